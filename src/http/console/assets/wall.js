// @ts-check
// The schedule board on a wall: it refreshes, is as large as fits, takes turns if it does not fit, and says when it is old.

import { byId, put } from './page.js';
import { goOnRefreshing } from './refresh.js';
import { clock, now } from './time.js';

/** How long a part of a board that does not fit is shown, in seconds. */
const DWELL = 20;
/** How old a board may be before the page says so, in seconds: several attempts have failed by then. */
const OLD = 60;
/** How much larger than on a desk the rows are at most. */
const LARGEST = 2.5;
/** The width that the names and a day need at the size of a desk, in pixels. */
const DESK_WIDTH = 760;

const zone = document.documentElement.dataset.zone || 'UTC';
const board = () => /** @type {HTMLElement | null} */ (document.querySelector('.gantt'));

/** Makes the rows as large as fits; where a day is wider than the screen, now is in sight. */
function fit() {
  const place = board();
  const inner = place?.querySelector('.gantt-inner');
  if (!place || !(inner instanceof HTMLElement)) return;
  inner.style.setProperty('zoom', '1');
  const fitting = Math.min(place.clientHeight / Math.max(1, inner.offsetHeight), place.clientWidth / DESK_WIDTH);
  const scale = Math.min(LARGEST, Math.max(1, fitting));
  inner.style.setProperty('zoom', String(Math.floor(scale * 100) / 100));
  const names = /** @type {HTMLElement | null} */ (place.querySelector('.gantt-name'))?.offsetWidth || 0;
  const at = parseFloat(place.dataset.now || '');
  if (at && place.scrollWidth > place.clientWidth) place.scrollLeft = (at / 100) * (place.scrollWidth - names) - (place.clientWidth - names) / 2;
}

/** Shows the next part of a board that does not fit, and after the last part the first. */
function turn() {
  const place = board();
  if (!place || place.scrollHeight <= place.clientHeight + 1) return;
  const isAtEnd = place.scrollTop + place.clientHeight >= place.scrollHeight - 1;
  const covered = (/** @type {string} */ css) => place.querySelector(css)?.getBoundingClientRect().height || 0;
  const part = place.clientHeight - covered('.gantt-head') - covered('.gantt-staffing');
  place.scrollTop = isAtEnd ? 0 : place.scrollTop + Math.max(40, part);
}

let [updatedAt, beats] = [Date.now(), 0];
const told = { at: now() };

document.addEventListener('refreshed', () => {
  updatedAt = Date.now();
  told.at = now();
  fit();
});
window.addEventListener('resize', fit);
setInterval(() => {
  beats += 1;
  put(byId('clock'), clock(now(), zone));
  const isOld = Date.now() - updatedAt > OLD * 1000;
  /** @type {HTMLElement} */ (byId('old')).hidden = !isOld;
  if (isOld) put(byId('old-since'), clock(told.at, zone));
  if (beats % DWELL === 0) turn();
  // Against burn-in.
  if (beats % 60 === 0) document.body.className = `wallboard wall drift-${(beats / 60) % 4}`;
}, 1000);
fit();
goOnRefreshing();
