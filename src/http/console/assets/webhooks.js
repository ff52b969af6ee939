// @ts-check
// Webhooks: a test, an event sent again, and all that was given up.

import { api, carryOut, say, sure, tenant } from './page.js';
import { now } from './time.js';

/** @param {string} name @param {(value: string, button: HTMLButtonElement) => Promise<void>} work */
function on(name, work) {
  for (const element of document.querySelectorAll(`button[data-${name}]`)) {
    const button = /** @type {HTMLButtonElement} */ (element);
    button.addEventListener('click', () => carryOut(button, () => work(button.dataset[name] || '', button)));
  }
}

/** @param {string} id @param {string} what */
const path = (id, what) => `/api/v1/webhooks/${encodeURIComponent(id)}/${what}`;

on('test', async (id) => {
  const { body } = await api('POST', path(id, 'test'), { tenant });
  if (body.delivered) say(`${id} took the test in ${body.latency_ms} ms (${body.status_code}).`);
  else say(`${id} did not take the test: ${body.error || `it answered ${body.status_code}`}.`, { wrong: true });
});

on('recover', async (id) => {
  const DAYS = 7;
  if (!(await sure(`Send again to ${id}?`, `Everything that was given up in the last ${DAYS} days is tried again, and the endpoint is enabled.`, 'Send again'))) return;
  const since = new Date(now() - DAYS * 86400000).toISOString();
  const { body } = await api('POST', path(id, 'recover'), { tenant, since });
  say(`${body.revived} deliveries are tried again; ${body.waiting} wait.`);
});

on('retry', async (event, button) => {
  const id = button.dataset.hook || '';
  await api('POST', path(id, 'retry'), { tenant, event });
  say('It is sent again now. Load the page again to see how that ended.');
});
