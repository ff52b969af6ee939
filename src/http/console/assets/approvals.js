// @ts-check
// What waits for a person: approved or denied.

import { api, carryOut, say, sure, tenant } from './page.js';
import { goOnRefreshing, refresh } from './refresh.js';

goOnRefreshing();

document.addEventListener('click', (event) => {
  const button = event.target instanceof Element ? event.target.closest('button[data-accept], button[data-deny]') : null;
  if (!(button instanceof HTMLButtonElement)) return;
  const { accept, deny } = button.dataset;
  carryOut(button, async () => {
    try {
      if (accept) {
        const { body } = await api('POST', `/api/v1/approvals/${accept}/accept`, { tenant });
        say(body.error ? `Approved; it now is ${body.status}: ${body.error}` : `Approved; it now is ${body.status}.`);
      } else {
        const note = await sure('Deny this change?', 'The rule leaves the agent alone for a while.', 'Deny', { reason: 'Why' });
        if (!note) return;
        await api('POST', `/api/v1/approvals/${deny}/deny`, { tenant, note });
        say('Denied.');
      }
    } finally {
      await refresh().catch(() => {});
    }
  });
});
