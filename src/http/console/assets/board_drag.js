// @ts-check
// Dragging on the schedule board, in steps of five minutes: an activity to another time, the start or the end of a shift, and a
// span of the actual lane for an exception. Each leads to the page that does it, filled in.

import { board, changePage, exceptionPage, hours, may, rounded, rowOf, scale, shiftOf, span, timeAt } from './board_row.js';
import { put } from './page.js';

/** What is being dragged: `move` draws it and gives what it means, `end` gives the page that it leads to.
 * @typedef {{ move: (x: number) => string, end: () => string | null, clear: () => void }} Drag */

/** @type {Drag | null} */
let drag = null;

const minutes = (/** @type {number} */ ms) => `${Math.abs(ms) / 60000} minutes ${ms < 0 ? 'earlier' : 'later'}`;

/** An activity to another time of its shift. @param {SVGElement} bar @param {number} from @returns {Drag} */
function dragActivity(bar, from) {
  const drawing = /** @type {SVGElement} */ (bar.ownerSVGElement);
  const [start, end] = span(bar);
  let by = 0;
  return {
    move(x) {
      by = rounded((x - from) * scale(drawing));
      bar.style.transform = `translateX(${by / scale(drawing)}px)`;
      return `${bar.dataset.activity}: ${minutes(by)}, ${hours(start + by)} to ${hours(end + by)}`;
    },
    end: () => (by ? changePage(rowOf(bar).agent, shiftOf(bar)?.day || board()?.dataset.day || '', { activity: bar.dataset.activity || '', start: bar.dataset.start || '', minutes: by / 60000 }) : null),
    clear() {
      bar.style.transform = '';
    },
  };
}

/** A span of a drawing, marked while it is dragged. @param {Element} drawing @param {string} kind */
function mark(drawing, kind) {
  const shape = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
  shape.setAttribute('class', `mark ${kind}`);
  drawing.append(shape);
  return {
    /** @param {number} from @param {number} to */
    draw(from, to) {
      const left = (Math.min(from, to) - timeAt(drawing, drawing.getBoundingClientRect().left)) / scale(drawing);
      shape.setAttribute('x', String(left));
      shape.setAttribute('width', String(Math.abs(to - from) / scale(drawing)));
    },
    clear: () => shape.remove(),
  };
}

/** The start or the end of a shift. @param {SVGElement} edge @returns {Drag | null} */
function dragEdge(edge) {
  const drawing = /** @type {SVGElement} */ (edge.ownerSVGElement);
  const { agent, shifts } = rowOf(edge);
  const shift = shifts[Number(edge.dataset.shift)];
  if (!shift) return null;
  const isEnd = edge.dataset.edge === 'end';
  const old = isEnd ? shift.end : shift.start;
  const marked = mark(drawing, 'plan');
  let at = old;
  return {
    move(x) {
      at = rounded(timeAt(drawing, x));
      at = isEnd ? Math.max(at, shift.start + 300000) : Math.min(at, shift.end - 300000);
      marked.draw(old, at);
      return `Shift ${isEnd ? 'ends' : 'starts'} at ${hours(at)}: ${minutes(at - old)}`;
    },
    end: () => (at === old ? null : changePage(agent, shift.day, { kind: 'set_shift', [isEnd ? 'to' : 'from']: at })),
    clear: marked.clear,
  };
}

/** A span of the actual lane, for an exception. @param {Element} drawing @param {number} from @returns {Drag} */
function dragSpan(drawing, from) {
  const { agent, name } = rowOf(drawing);
  const start = rounded(timeAt(drawing, from));
  const marked = mark(drawing, 'actual');
  let end = start;
  const times = () => [Math.min(start, end), Math.max(start, end)];
  return {
    move(x) {
      end = rounded(timeAt(drawing, x));
      marked.draw(start, end);
      return `Exception for ${name}: ${times().map(hours).join(' to ')}`;
    },
    end: () => (start === end ? null : exceptionPage(agent, times()[0], times()[1])),
    clear: marked.clear,
  };
}

/** What a press of the pointer takes hold of. @param {PointerEvent} event @returns {Drag | null} */
function take(event) {
  const target = event.target instanceof Element ? event.target : null;
  const drawing = target?.closest('.gantt[data-minutes] .gantt-row[data-key]:not(.gantt-staffing) svg');
  if (!target || !drawing || target.closest('.gantt-head') || 'week' in (board()?.dataset || {})) return null;
  const shape = /** @type {SVGElement} */ (target);
  if (may().edit && target.matches('.edge')) return dragEdge(shape);
  if (may().edit && target.matches('.piece[data-activity]')) return dragActivity(shape, event.clientX);
  // A finger scrolls the board; the menu of a bar offers the same.
  const isBelowPlan = event.clientY - drawing.getBoundingClientRect().top > 18;
  return may().excuse && isBelowPlan && event.pointerType !== 'touch' ? dragSpan(drawing, event.clientX) : null;
}

document.addEventListener('pointerdown', (event) => {
  if (event.button !== 0) return;
  drag = take(event);
  if (drag) /** @type {Element} */ (event.target).setPointerCapture(event.pointerId);
});
document.addEventListener('pointermove', (event) => {
  if (drag) put(document.querySelector('.gantt-detail'), drag.move(event.clientX));
});
document.addEventListener('pointerup', () => {
  const page = drag?.end();
  drag?.clear();
  drag = null;
  if (page) location.assign(page);
});
document.addEventListener('pointercancel', () => {
  drag?.clear();
  drag = null;
});
