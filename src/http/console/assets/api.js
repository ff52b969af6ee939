// @ts-check
// The API page: applies the theme and searches the routes.

const chosen = document.documentElement.dataset.theme;
const system = matchMedia('(prefers-color-scheme: dark)');
const paint = () => document.documentElement.classList.toggle('dark-mode', chosen ? chosen === 'dark' : system.matches);
system.addEventListener('change', paint);
paint();

const find = /** @type {HTMLInputElement} */ (document.getElementById('find'));
const found = /** @type {HTMLElement} */ (document.getElementById('found'));
const page = /** @type {HTMLElement} */ (document.getElementById('swagger-ui'));

/** What a route is found by: its method, path and summary, without the marks at which a path may break. @param {Element} route */
const words = (route) => (route.querySelector('.opblock-summary')?.textContent || '').replace(/\u200b/g, '').toLowerCase();

function narrow() {
  const wanted = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  let [all, shown] = [0, 0];
  for (const group of page.querySelectorAll('.opblock-tag-section')) {
    const routes = /** @type {HTMLElement[]} */ ([...group.querySelectorAll('.opblock')]);
    for (const route of routes) {
      const text = words(route);
      route.hidden = !wanted.every((word) => text.includes(word));
    }
    const fit = routes.filter((route) => !route.hidden).length;
    [all, shown] = [all + routes.length, shown + fit];
    // Hide a group without matching routes; a collapsed group has no routes to check.
    /** @type {HTMLElement} */ (group).hidden = routes.length > 0 && fit === 0;
  }
  const text = all === 0 ? '' : wanted.length ? `${shown} of ${all} routes` : `${all} routes`;
  if (found.textContent !== text) found.textContent = text;
}

find.addEventListener('input', narrow);
new MutationObserver(narrow).observe(page, { childList: true, subtree: true });
document.addEventListener('keydown', (event) => {
  const typing = event.target instanceof HTMLElement && event.target.closest('input, select, textarea');
  if (event.key !== '/' || typing || event.ctrlKey || event.metaKey || event.altKey || localStorage.getItem('keys') === 'off') return;
  event.preventDefault();
  find.focus();
});
