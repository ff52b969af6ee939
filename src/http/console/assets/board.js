// @ts-check
// The schedule board: zoom by buttons, keys and the wheel; a form that submits itself; now in sight at first.

import { put, tenant } from './page.js';
import { goOnRefreshing } from './refresh.js';

const KEY = 'gantt-zoom';
const LEVELS = [1, 1.5, 2, 3, 4, 6, 8];

/** The names stay in view while the chart is scrolled. */
const nameWidth = (/** @type {HTMLElement} */ board) => /** @type {HTMLElement | null} */ (board.querySelector('.gantt-name'))?.offsetWidth ?? 0;

const boardNow = () => /** @type {HTMLElement | null} */ (document.querySelector('.gantt'));

let level = Math.max(0, LEVELS.indexOf(Number(sessionStorage.getItem(KEY) || '1')));

/** Draws the board at its level, with the same time below `x`, in pixels from the board's left edge. @param {number} [x] */
function apply(x) {
  const board = boardNow();
  if (!board) return;
  const inner = /** @type {HTMLElement} */ (board.querySelector('.gantt-inner'));
  const names = nameWidth(board);
  const at = (x ?? board.clientWidth / 2) - names;
  const share = (board.scrollLeft + at) / Math.max(1, inner.clientWidth - names);
  inner.style.setProperty('--zoom', String(LEVELS[level]));
  board.scrollLeft = share * (inner.clientWidth - names) - at;
  sessionStorage.setItem(KEY, String(LEVELS[level]));
}

/** @param {number} step @param {number} [x] */
function zoom(step, x) {
  level = step === 0 ? 0 : Math.min(LEVELS.length - 1, Math.max(0, level + step));
  apply(x);
}

/** @type {WeakSet<Element>} */
const looked = new WeakSet();

function arrange() {
  const board = boardNow();
  if (!board) return;
  const inner = /** @type {HTMLElement} */ (board.querySelector('.gantt-inner'));
  inner.style.setProperty('--zoom', String(LEVELS[level]));
  if (looked.has(board)) return;
  looked.add(board);
  const now = parseFloat(board.dataset.now || '');
  if (now) board.scrollLeft = (now / 100) * (inner.clientWidth - nameWidth(board)) - board.clientWidth / 2;
}

for (const place of document.querySelectorAll('.gantt-zoom')) /** @type {HTMLElement} */ (place).hidden = false;
document.addEventListener('click', (event) => {
  const button = event.target instanceof Element ? event.target.closest('[data-zoom]') : null;
  if (button) zoom(Number(/** @type {HTMLElement} */ (button).dataset.zoom));
});
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !(event.target instanceof Element) || !event.target.closest('.gantt')) return;
  const step = { '+': 1, '=': 1, '-': -1, 0: 0 }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  zoom(step);
});
document.addEventListener('wheel', (event) => {
  const board = event.target instanceof Element ? event.target.closest('.gantt') : null;
  if (!board || !event.ctrlKey) return;
  event.preventDefault();
  zoom(event.deltaY < 0 ? 1 : -1, event.clientX - board.getBoundingClientRect().left);
}, { passive: false });
/** Opens the page that changes a planned activity. @param {Element} bar @param {number} [minutes] */
function change(bar, minutes) {
  const { activity, start } = /** @type {SVGElement} */ (bar).dataset;
  const agent = /** @type {HTMLElement | null} */ (bar.closest('.gantt-row'))?.dataset.key || '';
  const query = new URLSearchParams({ tenant, agent, day: boardNow()?.dataset.day || '', activity: activity || '', start: start || '' });
  if (minutes) query.set('minutes', String(minutes));
  location.assign(`/schedule/change?${query}`);
}

// A planned activity is dragged along its row, in steps of five minutes.
/** @type {{ bar: SVGElement, from: number, minutes: number } | null} */
let drag = null;
const movable = (/** @type {Event} */ event) => /** @type {SVGElement | null} */ (event.target instanceof Element ? event.target.closest('.gantt .piece[data-activity]') : null);
document.addEventListener('pointerdown', (event) => {
  const bar = movable(event);
  if (!bar || event.button !== 0) return;
  drag = { bar, from: event.clientX, minutes: 0 };
  bar.setPointerCapture(event.pointerId);
});
document.addEventListener('pointermove', (event) => {
  if (!drag) return;
  const width = drag.bar.ownerSVGElement?.clientWidth || 1;
  const day = Number(boardNow()?.dataset.minutes) || 1440;
  drag.minutes = Math.round((((event.clientX - drag.from) / width) * day) / 5) * 5;
  drag.bar.style.transform = `translateX(${(drag.minutes / day) * width}px)`;
  put(document.querySelector('.gantt-detail'), `${drag.bar.dataset.activity}: ${Math.abs(drag.minutes)} minutes ${drag.minutes < 0 ? 'earlier' : 'later'}`);
});
document.addEventListener('pointerup', () => {
  if (!drag) return;
  const { bar, minutes } = drag;
  drag = null;
  bar.style.transform = '';
  if (minutes) change(bar, minutes);
});
document.addEventListener('pointercancel', () => {
  if (drag) drag.bar.style.transform = '';
  drag = null;
});
document.addEventListener('keydown', (event) => {
  const bar = movable(event);
  if (bar && event.key === 'Enter') change(bar);
});
document.addEventListener('dblclick', (event) => {
  const bar = movable(event);
  if (bar) change(bar);
});
document.querySelector('form[data-submits]')?.addEventListener('change', (event) => {
  /** @type {HTMLFormElement} */ (event.currentTarget).requestSubmit();
});
document.addEventListener('refreshed', arrange);
arrange();
goOnRefreshing();
