// @ts-check
// The page of a bulk change: starts what was previewed, follows it, cancels it and undoes it.

import { address, api, byId, carryOut, say, sure, tenant } from './page.js';
import { goOnRefreshing, refresh } from './refresh.js';

/** Above so many agents a person types the number. */
const TYPED_FROM = 200;

goOnRefreshing();

/**
 * Shows the same change anew, of these of its agents or of all, and goes there. `choice` is what is asked for otherwise.
 *
 * @param {string} path @param {(string | undefined)[]} [these] @param {{even_if_in_state?: boolean}} [choice]
 */
async function previewOnceMore(path, these, choice) {
  const { body: set } = await api('GET', `${path}?tenant=${encodeURIComponent(tenant)}`);
  const { to, reason, on_contact, urgent, even_if_in_state, below_floor, note } = { ...set, ...choice };
  const agents = these || set.agents.map((/** @type {{agent: string}} */ member) => member.agent);
  const { body } = set.undoes
    ? await api('POST', `/api/v1/change-sets/${set.undoes}/undo`, { tenant, on_contact })
    : await api('POST', '/api/v1/change-sets', { tenant, select: { agents }, to, reason, on_contact, urgent, even_if_in_state, below_floor, note });
  location.assign(address(`/changes/${body.id}`));
}

document.addEventListener('click', (event) => {
  const button = event.target instanceof Element ? event.target.closest('#actions button, #reasons') : null;
  const place = byId('actions');
  if (!(button instanceof HTMLButtonElement) || !place) return;
  const { id, hash, count } = place.dataset;
  const path = `/api/v1/change-sets/${id}`;
  const work = {
    start: async () => {
      const many = Number(count);
      if (many >= TYPED_FROM && !(await sure(`Change ${many} agents?`, 'That is a large part of the floor.', 'Start', { typed: String(many) }))) return;
      await api('POST', `${path}/start`, { tenant, hash });
      say(`Started. You can leave this page; the change continues.`);
    },
    discard: async () => {
      await api('POST', `${path}/cancel`, { tenant });
      location.assign(address('/changes'));
    },
    cancel: async () => {
      if (!(await sure('Cancel the rest of this change?', 'Agents whose change has not been sent keep their state. Changes already sent stay; you can undo them afterwards.', 'Cancel the rest'))) return;
      await api('POST', `${path}/cancel`, { tenant });
      say('Cancelled.');
    },
    undo: async () => {
      const { body } = await api('POST', `${path}/undo`, { tenant, on_contact: place.dataset.contact });
      location.assign(address(`/changes/${body.id}`));
    },
    retry: async () => {
      const rows = [...document.querySelectorAll('#members tr[data-failed]')];
      await previewOnceMore(path, rows.map((row) => /** @type {HTMLElement} */ (row).dataset.key));
    },
    again: () => previewOnceMore(path),
    reasons: () => previewOnceMore(path, undefined, { even_if_in_state: true }),
  }[button.id];
  if (work) {
    carryOut(button, async () => {
      await work();
      await refresh().catch(() => {});
    });
  }
});
