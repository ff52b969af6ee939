// @ts-check
// A row of the schedule board: its agent, its shifts and its times, and the pages that change its plan.

import { address } from './page.js';
import { clock, day } from './time.js';

const MINUTE = 60000;

export const board = () => /** @type {HTMLElement | null} */ (document.querySelector('.gantt'));

/** What the viewer may do, as the board says. */
export const may = () => ({ edit: 'edit' in (board()?.dataset || {}), excuse: 'excuse' in (board()?.dataset || {}) });

/** The start and the length of the board, in milliseconds. */
function axis() {
  const { from, minutes } = board()?.dataset || {};
  return { from: Number(from), length: (Number(minutes) || 1440) * MINUTE };
}

/** How many milliseconds a pixel of a drawing is wide. @param {Element} drawing */
export const scale = (drawing) => axis().length / (drawing.clientWidth || 1);

/** The instant at a place of the window, in milliseconds. @param {Element} drawing @param {number} x */
export const timeAt = (drawing, x) => axis().from + (x - drawing.getBoundingClientRect().left) * scale(drawing);

/** An instant in whole steps of five minutes. @param {number} at @param {(at: number) => number} [how] */
export const rounded = (at, how = Math.round) => how(at / (5 * MINUTE)) * 5 * MINUTE;

/** When a bar starts and ends, in whole minutes. @param {Element} bar */
export function span(bar) {
  const part = (/** @type {string} */ name) => (parseFloat(bar.getAttribute(name) || '0') / 100) * axis().length;
  const [start, length] = [part('x'), part('width')];
  return [start, start + length].map((offset) => Math.round((axis().from + offset) / MINUTE) * MINUTE);
}

/** The row of a bar: the id and the name of its agent, and the agent's shifts. @param {Element} bar */
export function rowOf(bar) {
  const row = /** @type {HTMLElement} */ (bar.closest('.gantt-row'));
  const shifts = (row.dataset.shifts || '').split(',').filter(Boolean).map((text) => {
    const [day, start, end] = text.split(' ');
    return { day, start: Date.parse(start), end: Date.parse(end) };
  });
  return { agent: row.dataset.key || '', name: row.querySelector('a')?.textContent || '', shifts };
}

/** The shift of a planned bar. @param {Element} bar */
export function shiftOf(bar) {
  const [start] = span(bar);
  return rowOf(bar).shifts.find((shift) => shift.start <= start + MINUTE && start < shift.end);
}

/** The hours and minutes of an instant on the board, with the day in a week. @param {number} at */
export function hours(at) {
  const { zone, week } = board()?.dataset || {};
  return week === undefined ? clock(at, zone) : `${day(at, zone)} ${clock(at, zone)}`;
}

const iso = (/** @type {number} */ at) => new Date(at).toISOString();

/** The page that edits a shift. @param {string} agent @param {string} day @param {Record<string, string | number>} edit */
export function changePage(agent, day, edit) {
  const texts = Object.entries(edit).map(([key, value]) => [key, typeof value === 'number' && key !== 'minutes' ? iso(value) : String(value)]);
  return address('/schedule/change', { agent, day, ...Object.fromEntries(texts) });
}

/** The page that approves an exception. @param {string} agent @param {number} from @param {number} to */
export function exceptionPage(agent, from, to) {
  return address('/exceptions/new', { agent, from: iso(from), to: iso(to) });
}
