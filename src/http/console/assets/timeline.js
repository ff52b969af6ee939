// @ts-check
// Timelines with pointer and keyboard: one bar of a drawing has the focus, and arrow keys move to its neighbours.

/** @param {Element} drawing */
const barsOf = (drawing) => [...drawing.querySelectorAll('.piece')].map((bar) => /** @type {SVGElement} */ (bar));

/** The bar that an event is about, and its drawing. @param {Event} event */
function of(event) {
  const bar = event.target instanceof Element ? event.target.closest('.drawing .piece') : null;
  return { bar, drawing: bar?.closest('.drawing') };
}

function firstStops() {
  for (const drawing of document.querySelectorAll('.drawing')) {
    const bars = barsOf(drawing);
    if (bars.length && !bars.some((bar) => bar.getAttribute('tabindex') === '0')) bars[0].setAttribute('tabindex', '0');
  }
}

for (const kind of ['pointerover', 'focusin']) {
  document.addEventListener(kind, (event) => {
    const { bar, drawing } = of(event);
    const detail = drawing?.querySelector('.detail') || document.querySelector('.gantt-detail');
    if (bar && detail) detail.textContent = bar.getAttribute('aria-label');
  });
}

document.addEventListener('keydown', (event) => {
  const { bar, drawing } = of(event);
  if (!bar || !drawing) return;
  const bars = barsOf(drawing);
  const index = bars.indexOf(/** @type {SVGElement} */ (bar));
  const row = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (row && drawing.matches('.gantt-row')) {
    event.preventDefault();
    move(bar, barBeside(bar, drawing, row));
    return;
  }
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const next = event.key === 'Home' ? bars[0] : event.key === 'End' ? bars[bars.length - 1] : step ? bars[index + step] : undefined;
  if (!next) return;
  event.preventDefault();
  move(bar, next);
});

/** @param {Element} bar @param {SVGElement | undefined} next */
function move(bar, next) {
  if (!next) return;
  bar.setAttribute('tabindex', '-1');
  next.setAttribute('tabindex', '0');
  next.focus();
}

/** The bar of the next drawing, or of the one before, that begins nearest to where this one does.
 * @param {Element} bar @param {Element} drawing @param {number} step */
function barBeside(bar, drawing, step) {
  const drawings = [...document.querySelectorAll('.gantt-row.drawing')];
  const left = bar.getBoundingClientRect().left;
  for (let index = drawings.indexOf(drawing) + step; drawings[index]; index += step) {
    const bars = barsOf(drawings[index]);
    const distance = (/** @type {Element} */ other) => Math.abs(other.getBoundingClientRect().left - left);
    if (bars.length) return bars.reduce((best, other) => (distance(other) < distance(best) ? other : best));
  }
  return undefined;
}

/** Drawings that were looked at: whoever has moved one since keeps it there. @type {WeakSet<Element>} */
const looked = new WeakSet();

/** A drawing that is wider than its place is looked at from the shift on, and with now in sight where that is today. */
function lookAtShift() {
  for (const found of document.querySelectorAll('.timeline')) {
    const place = /** @type {HTMLElement} */ (found);
    if (looked.has(place)) continue;
    looked.add(place);
    const [whole, shown] = [place.scrollWidth, place.clientWidth];
    const at = (/** @type {string | undefined} */ share) => (share ? (parseFloat(share) / 100) * whole : NaN);
    const [begins, now] = [at(place.dataset.begins), at(place.dataset.now)];
    const left = (begins || 0) - shown * 0.05;
    place.scrollLeft = now > left + shown * 0.9 ? now - shown * 0.75 : left;
  }
}

for (const look of [firstStops, lookAtShift]) {
  document.addEventListener('refreshed', look);
  look();
}
