// @ts-check
// The webhooks pages: refresh regularly, send a test, send an event again, and send all parked deliveries again.

import { api, carryOut, say, sure, tenant } from './page.js';
import { goOnRefreshing, refresh } from './refresh.js';
import { now } from './time.js';

goOnRefreshing();

/** Days back for which what was given up is sent again. */
const DAYS = 7;

/** @param {string} id @param {string} what */
const path = (id, what) => `/api/v1/webhooks/${encodeURIComponent(id)}/${what}`;

/** @type {Record<string, (value: string, button: HTMLButtonElement) => Promise<void>>} */
const WORK = {
  test: async (id) => {
    const { body } = await api('POST', path(id, 'test'), { tenant });
    if (body.delivered) say(`${id} accepted the test in ${body.latency_ms} ms (${body.status_code}).`);
    else say(`${id} did not accept the test: ${body.error || `it answered ${body.status_code}`}.`, { wrong: true });
  },
  recover: async (id) => {
    if (!(await sure(`Resend to ${id}?`, `All failed deliveries of the last ${DAYS} days are sent again, and the endpoint is enabled.`, 'Resend'))) return;
    const since = new Date(now() - DAYS * 86400000).toISOString();
    const { body } = await api('POST', path(id, 'recover'), { tenant, since });
    say(`${body.revived} deliveries are sent again; ${body.waiting} are waiting.`);
  },
  retry: async (event, button) => {
    await api('POST', path(button.dataset.hook || '', 'retry'), { tenant, event });
    say('The event is being sent again.');
  },
};

document.addEventListener('click', (event) => {
  const button = event.target instanceof Element ? event.target.closest('button[data-test], button[data-recover], button[data-retry]') : null;
  if (!(button instanceof HTMLButtonElement)) return;
  const what = Object.keys(WORK).find((name) => name in button.dataset) || '';
  carryOut(button, async () => {
    await WORK[what](button.dataset[what] || '', button);
    await refresh().catch(() => {});
  });
});
