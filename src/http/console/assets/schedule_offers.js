// @ts-check
// The page of offers: withdraw an offer.

import { api, carryOut, say, sure, tenant } from './page.js';
import { goOnRefreshing, refresh } from './refresh.js';

goOnRefreshing();

document.addEventListener('click', (event) => {
  const button = event.target instanceof Element ? event.target.closest('button[data-withdraw]') : null;
  if (!(button instanceof HTMLButtonElement)) return;
  carryOut(button, async () => {
    if (!(await sure('Withdraw this offer?', 'Nobody can accept it any more. What agents have accepted stays in force.', 'Withdraw'))) return;
    await api('POST', `/api/v1/schedule-offers/${button.dataset.withdraw}/withdraw`, { tenant });
    say('The offer is withdrawn.');
    await refresh();
  });
});
