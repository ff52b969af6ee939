// @ts-check
// Approves or denies the change that a rule proposes, on the approvals page and on the agent's page.

import { api, carryOut, say, sure, tenant } from './page.js';
import { refresh } from './refresh.js';

document.addEventListener('click', (event) => {
  const button = event.target instanceof Element ? event.target.closest('button[data-accept], button[data-deny]') : null;
  if (!(button instanceof HTMLButtonElement)) return;
  const { accept, deny, who } = button.dataset;
  carryOut(button, async () => {
    try {
      if (accept) {
        const { body } = await api('POST', `/api/v1/approvals/${accept}/accept`, { tenant });
        say(body.error ? `You approved the change for ${who}, but it has not been made: ${body.error}.` : `You approved the change for ${who}. It is sent to the platform as soon as possible.`);
      } else {
        const note = await sure(`Deny this change for ${who}?`, 'The rule leaves the agent alone for a while.', 'Deny', { reason: 'Reason' });
        if (!note) return;
        await api('POST', `/api/v1/approvals/${deny}/deny`, { tenant, note });
        say(`Denied for ${who}.`);
      }
    } finally {
      await refresh().catch(() => {});
    }
  });
});
