// @ts-check
// Timelines with pointer and keyboard: one bar of a drawing has the focus, and arrow keys move to its neighbours.

/** @param {Element} drawing */
const barsOf = (drawing) => [...drawing.querySelectorAll('.piece')].map((bar) => /** @type {SVGElement} */ (bar));

/** The bar that an event is about, and its drawing. @param {Event} event */
function of(event) {
  const bar = event.target instanceof Element ? event.target.closest('figure.drawing .piece') : null;
  return { bar, drawing: bar?.closest('figure.drawing') };
}

function firstStops() {
  for (const drawing of document.querySelectorAll('figure.drawing')) {
    const bars = barsOf(drawing);
    if (bars.length && !bars.some((bar) => bar.getAttribute('tabindex') === '0')) bars[0].setAttribute('tabindex', '0');
  }
}

for (const kind of ['pointerover', 'focusin']) {
  document.addEventListener(kind, (event) => {
    const { bar, drawing } = of(event);
    const detail = drawing?.querySelector('.detail');
    if (bar && detail) detail.textContent = bar.getAttribute('aria-label');
  });
}

document.addEventListener('keydown', (event) => {
  const { bar, drawing } = of(event);
  if (!bar || !drawing) return;
  const bars = barsOf(drawing);
  const index = bars.indexOf(/** @type {SVGElement} */ (bar));
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const next = event.key === 'Home' ? bars[0] : event.key === 'End' ? bars[bars.length - 1] : step ? bars[index + step] : undefined;
  if (!next) return;
  event.preventDefault();
  bar.setAttribute('tabindex', '-1');
  next.setAttribute('tabindex', '0');
  next.focus();
});

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
