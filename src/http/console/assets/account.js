// @ts-check
// The account page: changes the password and ends sessions.

import { api, byId, carryOut, say } from './page.js';
import { goOnRefreshing, refresh } from './refresh.js';

goOnRefreshing();

document.addEventListener('click', (event) => {
  const button = event.target instanceof Element ? event.target.closest('button[data-end-session]') : null;
  if (!(button instanceof HTMLButtonElement)) return;
  carryOut(button, async () => {
    await api('POST', `/api/v1/me/sessions/${button.dataset.endSession}/end`);
    if ('this' in button.dataset) {
      location.assign('/sign-in');
      return;
    }
    say('That session is over.');
    await refresh();
  });
});

const form = /** @type {HTMLFormElement | null} */ (byId('password-form'));
form?.addEventListener('submit', (event) => {
  event.preventDefault();
  const input = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (byId(id));
  const problem = /** @type {HTMLElement} */ (byId('password-problem'));
  const complain = (/** @type {string} */ text) => {
    problem.textContent = text;
    problem.hidden = !text;
  };
  complain('');
  if (input('new').value !== input('again').value) {
    complain('The new passwords do not match.');
    input('again').focus();
    return;
  }
  carryOut(/** @type {HTMLButtonElement} */ (byId('change-password')), async () => {
    await api('POST', '/api/v1/me/password', { old: input('old').value, new: input('new').value }).catch((error) => {
      complain(error.message);
      throw error;
    });
    form.reset();
    say('Your password is changed. You are signed out everywhere else.');
    await refresh();
  });
});
