// @ts-check
// The schedule board: zoom by buttons, keys and the wheel; a form that submits itself; now in sight at first.

import './board_drag.js';
import './board_menu.js';
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
document.querySelector('form[data-submits]')?.addEventListener('change', (event) => {
  /** @type {HTMLFormElement} */ (event.currentTarget).requestSubmit();
});
document.addEventListener('refreshed', arrange);
arrange();
goOnRefreshing();
