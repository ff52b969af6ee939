// @ts-check
// Keeps the name after a wrong password. It is kept in this tab only: an address would put it into logs, and
// people sometimes type their password into the field for the name.

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
