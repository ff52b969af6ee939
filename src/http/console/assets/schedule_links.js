// @ts-check
// Links to the schedule board: create one, show its address once, and revoke links.

import { api, byId, carryOut, say, sure, tenant } from './page.js';
import { refresh } from './refresh.js';

const field = (/** @type {string} */ id) => /** @type {HTMLInputElement | HTMLSelectElement} */ (byId(id));

/** A name for the link to a team, in the characters that names may have. @param {string} team */
const nameFor = (team) => `wall-${team === '*' ? tenant : team}`.normalize('NFKD').toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/-$/, '').slice(0, 60);

const name = /** @type {HTMLInputElement} */ (field('name'));
let proposed = '';

function proposeName() {
  if (name.value !== proposed) return;
  proposed = nameFor(field('team').value);
  name.value = proposed;
}

field('team').addEventListener('change', proposeName);
proposeName();

byId('new-link')?.addEventListener('submit', (event) => {
  event.preventDefault();
  carryOut(/** @type {HTMLButtonElement} */ (byId('create')), async () => {
    const days = Number(field('lifetime').value);
    const { body } = await api('POST', '/api/v1/tokens', {
      id: name.value,
      may: ['view_board'],
      tenants: [{ id: tenant, teams: [field('team').value] }],
      ...(days ? { expires_in_days: days } : {}),
    });
    const address = `${location.origin}/wall/${body.token}`;
    field('address').value = address;
    /** @type {HTMLAnchorElement} */ (byId('open')).href = address;
    /** @type {HTMLElement} */ (byId('created')).hidden = false;
    byId('created-heading')?.focus();
    await refresh();
  });
});

byId('copy')?.addEventListener('click', (event) => {
  carryOut(/** @type {HTMLButtonElement} */ (event.currentTarget), async () => {
    const address = /** @type {HTMLInputElement} */ (field('address'));
    address.select();
    // Browsers offer the clipboard only over TLS and on this machine.
    if (!navigator.clipboard) throw new Error('This browser does not let the page copy. The address is selected: press Ctrl+C.');
    await navigator.clipboard.writeText(address.value);
    say('Copied.');
  });
});

document.addEventListener('click', (event) => {
  const button = event.target instanceof Element ? event.target.closest('button[data-revoke]') : null;
  if (!(button instanceof HTMLButtonElement)) return;
  const id = button.dataset.revoke || '';
  carryOut(button, async () => {
    if (!(await sure(`Revoke ${id}?`, 'Screens that show this link go blank within a minute. A revoked link cannot be restored.', 'Revoke'))) return;
    await api('POST', `/api/v1/tokens/${encodeURIComponent(id)}/revoke`);
    say(`${id} is revoked.`);
    await refresh();
  });
});
