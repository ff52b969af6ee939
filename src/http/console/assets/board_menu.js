// @ts-check
// What can be done with a bar of the schedule board: Enter, a double click or a right click lists it, each as a link to the page
// that does it, filled in.

import { changePage, exceptionPage, hours, may, rounded, rowOf, shiftOf, span } from './board_row.js';
import { make } from './page.js';
import { now } from './time.js';

const HALF_HOUR = 1800000;

/** The pages that a bar leads to, with what each does. @param {SVGElement} bar @returns {[string, string][]} */
function actions(bar) {
  const { agent } = rowOf(bar);
  const [start, end] = span(bar);
  const shift = 'planned' in bar.dataset ? shiftOf(bar) : undefined;
  /** @type {[string, string][]} */
  const found = [];
  if (shift && may().edit) {
    const { activity } = bar.dataset;
    if (activity) {
      const which = { activity, start: bar.dataset.start || '' };
      found.push([`Move the ${activity}…`, changePage(agent, shift.day, { kind: 'move', ...which })]);
      found.push([`Remove the ${activity}…`, changePage(agent, shift.day, { kind: 'remove', ...which })]);
    }
    // During the shift, from now on.
    const at = rounded(now(), Math.ceil);
    const within = shift.start < at && at < shift.end;
    found.push(['Early leave…', changePage(agent, shift.day, { kind: 'set_shift', to: within ? at : shift.end })]);
    found.push(['Late start…', changePage(agent, shift.day, { kind: 'set_shift', from: within ? at : shift.start })]);
    const from = start < at && at < end ? at : start;
    found.push(['Add a meeting…', changePage(agent, shift.day, { kind: 'add', activity: 'meeting', from, to: Math.min(from + HALF_HOUR, shift.end) })]);
  }
  if (may().excuse) found.push(['Approve an exception…', exceptionPage(agent, start, end)]);
  return found;
}

/** Lists what can be done with a bar. Gives whether there is anything. @param {SVGElement} bar */
function open(bar) {
  const found = actions(bar);
  if (!found.length) return false;
  const dialog = /** @type {HTMLDialogElement} */ (make('dialog', { class: 'bar-menu', 'aria-labelledby': 'bar-menu-heading' }));
  const links = found.map(([text, page]) => make('li', {}, make('a', { href: page }, text)));
  const close = make('button', { type: 'button', class: 'quiet' }, 'Close');
  close.addEventListener('click', () => dialog.close());
  const [start, end] = span(bar);
  const heading = make('h2', { id: 'bar-menu-heading' }, `${rowOf(bar).name}, ${hours(start)} to ${hours(end)}`);
  dialog.append(heading, make('ul', { class: 'plain' }, ...links), make('p', { class: 'buttons' }, close));
  document.body.append(dialog);
  dialog.addEventListener('close', () => dialog.remove());
  dialog.showModal();
  return true;
}

/** The bar of an agent that an event is about. @param {Event} event */
const barOf = (event) => /** @type {SVGElement | null} */ (event.target instanceof Element ? event.target.closest('.gantt-row:not(.gantt-staffing) .piece') : null);

for (const kind of ['dblclick', 'contextmenu']) {
  document.addEventListener(kind, (event) => {
    const bar = barOf(event);
    if (bar && open(bar)) event.preventDefault();
  });
}
document.addEventListener('keydown', (event) => {
  const bar = event.key === 'Enter' ? barOf(event) : null;
  if (bar && open(bar)) event.preventDefault();
});
