// @ts-check
// After a wrong password the name is still there. It goes through this tab alone: in an address it would stay in logs, and now and then
// what is typed for a name is a password.

const KEPT = 'sign-in name';
const form = /** @type {HTMLFormElement | null} */ (document.querySelector('form[action="/sign-in"]'));
const name = /** @type {HTMLInputElement | null} */ (document.getElementById('name'));
if (form && name) {
  const kept = sessionStorage.getItem(KEPT);
  sessionStorage.removeItem(KEPT);
  if (kept && !name.value && new URLSearchParams(location.search).has('problem')) {
    name.value = kept;
    document.getElementById('password')?.focus();
  }
  form.addEventListener('submit', () => sessionStorage.setItem(KEPT, name.value));
}
