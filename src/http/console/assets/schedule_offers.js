// @ts-check
// The page of offers: approve or decline one that a rule proposed, and withdraw one that was made.

import { api, carryOut, say, sure, tenant } from './page.js';
import { goOnRefreshing, refresh } from './refresh.js';
import { showOffer } from './schedule_offer_links.js';

goOnRefreshing();

/** Withdraws an offer, or declines it. @param {string} id @param {boolean} proposed */
async function withdraw(id, proposed) {
  const [question, detail, action, done] = proposed
    ? ['Decline this offer?', 'It is not made to anybody.', 'Decline', 'The offer is declined.']
    : ['Withdraw this offer?', 'Nobody can accept it any more. What agents have accepted stays in force.', 'Withdraw', 'The offer is withdrawn.'];
  if (!(await sure(question, detail, action))) return;
  await api('POST', `/api/v1/schedule-offers/${id}/withdraw`, { tenant });
  say(done);
  await refresh();
}

document.addEventListener('click', (event) => {
  const button = event.target instanceof Element ? event.target.closest('button[data-approve], button[data-withdraw]') : null;
  if (!(button instanceof HTMLButtonElement)) return;
  const { approve, withdraw: id, proposed } = button.dataset;
  carryOut(button, async () => {
    if (!approve) {
      await withdraw(id || '', proposed !== undefined);
      return;
    }
    const made = await api('POST', `/api/v1/schedule-offers/${approve}/approve`, { tenant });
    showOffer(made.body);
    await refresh();
  });
});
