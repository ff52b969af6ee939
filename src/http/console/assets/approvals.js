// @ts-check
// The approvals page: refreshes it regularly, and decides approvals, also several at once, each with a call of its own.

import './decide.js';
import { Refused, api, byId, carryOut, make, put, sure, tell, tenant } from './page.js';
import { goOnRefreshing, refresh } from './refresh.js';

const boxes = () => /** @type {HTMLInputElement[]} */ ([...document.querySelectorAll('#fresh input[name=chosen]')]);
const bar = byId('chosen');

/** Says how many are chosen, and offers what can be done with them. */
function count() {
  const all = boxes();
  const chosen = all.filter((box) => box.checked).length;
  if (bar) bar.hidden = chosen === 0;
  put(byId('chosen-count'), `${chosen} selected`);
  const choose = /** @type {HTMLInputElement | null} */ (byId('choose-all'));
  if (choose) {
    choose.checked = chosen > 0 && chosen === all.length;
    choose.indeterminate = chosen > 0 && chosen < all.length;
  }
}

/** @param {boolean} on */
function choose(on) {
  for (const box of boxes()) box.checked = on;
  count();
}

document.addEventListener('change', ({ target }) => {
  if (!(target instanceof HTMLInputElement)) return;
  if (target.id === 'choose-all') choose(target.checked);
  else if (target.name === 'chosen') count();
});
document.addEventListener('refreshed', count);
byId('chosen-none')?.addEventListener('click', () => choose(false));

/** What became of one, in words. @param {string} id @param {string | null} note the reason of a no, null for a yes */
async function decide(id, note) {
  try {
    const { body } = await api('POST', `/api/v1/approvals/${id}/${note === null ? 'accept' : 'deny'}`, note === null ? { tenant } : { tenant, note });
    if (note !== null) return { text: 'denied.', went: true };
    return { text: body.error ? `approved, but the change has not been made: ${body.error}.` : 'approved.', went: true };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return { text: `not decided by you. ${error.message}`, went: false };
  }
}

/** Decides those chosen, one after the other. @param {string | null} note */
async function decideChosen(note) {
  const place = byId('outcome');
  const list = place?.querySelector('ul');
  const chosen = boxes().filter((box) => box.checked).map(({ value, dataset }) => ({ id: value, who: dataset.who || '' }));
  if (!place || !list || chosen.length === 0) return;
  const heading = byId('outcome-heading');
  list.replaceChildren();
  place.hidden = false;
  let went = 0;
  try {
    for (const [done, { id, who }] of chosen.entries()) {
      put(heading, `${done} of ${chosen.length} decided`);
      const answer = await decide(id, note);
      if (answer.went) went += 1;
      list.append(make('li', answer.went ? {} : { class: 'wrong' }, make('strong', {}, who), `: ${answer.text}`));
    }
    put(heading, `${went} of ${chosen.length} ${note === null ? 'approved' : 'denied'}`);
    tell(heading?.textContent || '');
  } finally {
    choose(false);
    await refresh().catch(() => {});
    heading?.focus();
  }
}

byId('chosen-accept')?.addEventListener('click', ({ currentTarget }) => {
  carryOut(/** @type {HTMLButtonElement} */ (currentTarget), () => decideChosen(null));
});
byId('chosen-deny')?.addEventListener('click', ({ currentTarget }) => {
  carryOut(/** @type {HTMLButtonElement} */ (currentTarget), async () => {
    const chosen = boxes().filter((box) => box.checked).length;
    const note = await sure(`Deny ${chosen === 1 ? 'this change' : `these ${chosen} changes`}?`, 'The rules leave these agents alone for a while. The reason is stored with each decision.', 'Deny', { reason: 'Reason' });
    if (note) await decideChosen(note);
  });
});

count();
goOnRefreshing();
