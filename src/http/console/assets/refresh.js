// @ts-check
// Refreshes a part of a page: fetches the page from the server and replaces what differs, so that everything is
// rendered in one place only. Focus, ticked boxes and expanded parts stay.

import { goOn } from './page.js';

/** Puts the newer children in place of those that differ. Elements with data-key are told apart by it.
 * @param {Element} old @param {Element} fresh */
function patch(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  const keyed = fresh.children.length > 0 && [...fresh.children].every((child) => child instanceof HTMLElement && child.dataset.key);
  const same = old.children.length === fresh.children.length && [...old.children].every((child, index) => child.tagName === fresh.children[index].tagName && child.id === fresh.children[index].id);
  const hasText = [...fresh.childNodes, ...old.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent?.trim());
  copyAttributes(old, fresh);
  if (keyed) {
    const known = new Map([...old.children].map((child) => [/** @type {HTMLElement} */ (child).dataset.key, child]));
    let place = old.firstElementChild;
    for (const child of [...fresh.children]) {
      const own = known.get(/** @type {HTMLElement} */ (child).dataset.key);
      if (own) {
        known.delete(/** @type {HTMLElement} */ (child).dataset.key);
        patch(own, child);
      }
      const put = own || child;
      if (put === place) place = place.nextElementSibling;
      else old.insertBefore(put, place);
    }
    for (const gone of known.values()) gone.remove();
  } else if (same && !hasText && fresh.children.length > 0) {
    [...old.children].forEach((child, index) => patch(child, fresh.children[index]));
  } else {
    old.replaceChildren(...fresh.childNodes);
  }
}

/** @param {Element} old @param {Element} fresh */
function copyAttributes(old, fresh) {
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && name !== 'open') old.removeAttribute(name);
  for (const { name, value } of [...fresh.attributes]) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  if (old instanceof HTMLProgressElement) old.value = Number(fresh.getAttribute('value'));
}

const FOCUSABLE = 'a[href], button, input, select, textarea, summary, [tabindex]';

/** Where in a part the focus is; gives what puts it there again when the element itself is no more. @param {Element} place */
function focusIn(place) {
  const focus = document.activeElement;
  if (!focus || !place.contains(focus)) return () => {};
  const row = /** @type {HTMLElement | null} */ (focus.closest('[data-key]'));
  const index = [...(row || place).querySelectorAll(FOCUSABLE)].indexOf(focus);
  return () => {
    if (document.activeElement === focus) return;
    const scope = row ? place.querySelector(`[data-key="${CSS.escape(row.dataset.key || '')}"]`) : place;
    /** @type {HTMLElement | undefined} */ (scope?.querySelectorAll(FOCUSABLE)[index])?.focus({ preventScroll: true });
  };
}

/** @type {Promise<void> | null} */
let underWay = null;

/** @type {number | undefined} */
let timer;
let goesOn = false;

/** Draws `#fresh` anew, from what the server says after this call. */
export async function refresh() {
  await underWay?.catch(() => {});
  underWay ||= again().finally(() => {
    underWay = null;
    next();
  });
  return underWay;
}

/** The next drawing: in as long as the part says now, which may be another time than it said before. */
function next() {
  if (!goesOn) return;
  clearTimeout(timer);
  const wait = Number(document.getElementById('fresh')?.dataset.refresh) || 0;
  timer = setTimeout(() => {
    if (wait && !document.hidden) refresh().catch(() => {});
    else next();
  }, wait || 5000);
}

async function again() {
  const place = document.getElementById('fresh');
  if (!place) return;
  const response = await fetch(location.href, { headers: { Accept: 'text/html' }, credentials: 'same-origin', cache: 'no-store' });
  if (response.redirected && new URL(response.url).pathname === '/sign-in') {
    location.assign(response.url);
    return;
  }
  if (response.status === 404) {
    // What the page shows is no more, or may not be seen any longer.
    location.reload();
    return;
  }
  if (!response.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), 'text/html');
  const fresh = page.getElementById('fresh');
  if (!fresh) return;
  const [waiting, waitingNow] = [document.getElementById('waiting'), page.getElementById('waiting')];
  if (waiting && waitingNow) patch(waiting, waitingNow);
  const focusAgain = focusIn(place);
  patch(place, fresh);
  focusAgain();
  goOn(place);
  place.dispatchEvent(new Event('refreshed', { bubbles: true }));
}

/** Goes on drawing `#fresh` anew, as often as it says itself. */
export function goOnRefreshing() {
  goesOn = true;
  next();
}
