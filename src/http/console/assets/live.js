// @ts-check
// The live page: rows updated in place and never moved under the pointer, the filter in the address, and the selection.

import { putCard, standings } from './figures.js';
import { Floor, staying } from './floor.js';
import { follow } from './follow.js';
import { address, api, byId, carryOut, goOn, keysAreOn, put, tell, tenant } from './page.js';
import { Row, stateWord, verdictLabel } from './row.js';
import { stands } from './standing.js';

/** @typedef {import('./line.js').News} News */
/** @typedef {import('./floor.js').Known} Known */
/** @typedef {import('./floor.js').Wanted} Wanted */

const rows = /** @type {HTMLElement} */ (byId('rows'));
const filterForm = /** @type {HTMLFormElement} */ (byId('filter'));
const selectionForm = /** @type {HTMLFormElement} */ (byId('selection'));
const tickAll = /** @type {HTMLInputElement} */ (byId('tick-all'));
/** Rows that are drawn at most; the filter finds the others. */
const MOST_ROWS = Number(rows.dataset.most) || Infinity;

const floor = new Floor((state) => stateWord(state).label);
/** The rows that were ever drawn: one that comes back need not be made again. @type {Map<string, Row>} */
const made = new Map();
for (const row of rows.querySelectorAll('tr')) made.set(row.dataset.id || '', new Row(row));
/** The rows as they stand. */
let order = [...made.keys()];
/** Rows that no longer belong here. @type {Set<string>} */
let elsewhere = new Set();
/** @type {Set<string>} */
const selected = new Set();

// ---- the filter in the address

/** @returns {Wanted} */
function fromAddress() {
  const query = new URLSearchParams(location.search);
  const all = (/** @type {string} */ key) => query.getAll(key).filter((value) => value || key === 'state');
  return { q: (query.get('q') || '').trim(), state: all('state'), verdict: all('verdict'), team: all('team'), queue: all('queue'), sort: query.get('sort') || 'worst', open: all('open') };
}

let wanted = fromAddress();

/** @param {Wanted} wanted */
function toAddress({ q, state, verdict, team, queue, sort, open }) {
  const query = new URLSearchParams({ tenant });
  if (q) query.set('q', q);
  for (const [key, values] of Object.entries({ state, verdict, team, queue })) for (const value of values) query.append(key, value);
  if (sort !== 'worst') query.set('sort', sort);
  for (const fold of open) query.append('open', fold);
  return `/?${query}`;
}

// ---- rows, filled in small batches

/** So long a frame may go on filling rows, in milliseconds: the rest of it is for drawing. */
const FILLING = 6;
/** Rows that show what was; each as often as it is here. @type {Set<string>} */
const behind = new Set();
let filling = 0;

/** Lets a row catch up with what is known, in this frame or in one of the next. @param {string} id */
function catchUp(id) {
  behind.add(id);
  filling ||= requestAnimationFrame(fillSome);
}

function fillSome() {
  filling = 0;
  const end = performance.now() + FILLING;
  for (const id of behind) {
    behind.delete(id);
    const known = floor.agents.get(id);
    const row = made.get(id);
    if (known && row?.element.isConnected) row.fill(known);
    if (performance.now() > end) break;
  }
  if (behind.size) filling = requestAnimationFrame(fillSome);
}

// ---- the table as a whole

let drawn = false;
/** Something was typed, maybe before there was anything to find. */
let typed = false;

/** @param {string} id @param {boolean} hidden */
function hide(id, hidden) {
  const place = byId(id);
  if (place && place.hidden !== hidden) place.hidden = hidden;
}

/** Whom the table is to have, in order, and how many match. */
function look() {
  const list = floor.inOrder(wanted);
  put(byId('matching'), String(list.length));
  hide('no-rows', list.length > 0);
  hide('more-rows', list.length <= MOST_ROWS);
  return list.slice(0, MOST_ROWS);
}

/** Which rows can stay where they are. @param {Known[]} list */
function inPlace(list) {
  const places = new Map(order.map((id, place) => [id, place]));
  return staying(list.map(({ id }) => places.get(id) ?? -1));
}

/** Puts the rows that are wanted in their order. Whatever has the focus keeps it. */
function arrange() {
  const list = look();
  const focus = document.activeElement instanceof HTMLElement && rows.contains(document.activeElement) ? document.activeElement : null;
  const keep = new Set(list.map(({ id }) => id));
  for (const id of order) {
    if (!keep.has(id)) made.get(id)?.element.remove();
    if (!floor.agents.has(id)) made.delete(id);
  }
  const stays = inPlace(list);
  /** @type {Element | null} */
  let next = null;
  for (let index = list.length - 1; index >= 0; index -= 1) {
    const known = list[index];
    let row = made.get(known.id);
    if (!row) {
      row = new Row();
      row.element.dataset.id = known.id;
      made.set(known.id, row);
      goOn(row.element);
    }
    // A row that is displayed already is correct except for the latest change.
    if (!row.element.isConnected) row.fill(known);
    else if (row.shown !== known) catchUp(known.id);
    if (!stays[index]) {
      row.select(selected.has(known.id));
      rows.insertBefore(row.element, next);
    }
    next = row.element;
  }
  order = list.map(({ id }) => id);
  mark(new Set());
  if (focus?.isConnected && document.activeElement !== focus) focus.focus({ preventScroll: true });
  hide('moved', true);
  showSelected();
}

/** @param {Set<string>} now */
function mark(now) {
  for (const id of elsewhere) if (!now.has(id)) made.get(id)?.element.classList.remove('elsewhere');
  for (const id of now) if (!elsewhere.has(id)) made.get(id)?.element.classList.add('elsewhere');
  elsewhere = now;
}

/** Rows that no longer stand where they belong are counted, and moved when nobody points at them. */
function compareOrder() {
  const list = look();
  const belong = new Set(list.map(({ id }) => id));
  const left = new Set(order.filter((id) => !belong.has(id)));
  const moved = list.length - inPlace(list).reduce((sum, stays) => sum + stays, 0);
  if (moved + left.size === 0) {
    mark(left);
    hide('moved', true);
    return;
  }
  const above = rows.getBoundingClientRect().top;
  const inUse = rows.matches(':hover') || rows.contains(document.activeElement) || selected.size > 0 || above < 0;
  if (!inUse) {
    arrange();
    return;
  }
  mark(left);
  const many = (/** @type {number} */ count, /** @type {string} */ one, /** @type {string} */ more) => (count === 1 ? `1 row ${one}` : `${count} rows ${more}`);
  const texts = [...(moved ? [many(moved, 'has moved', 'have moved')] : []), ...(left.size ? [many(left.size, 'no longer matches', 'no longer match')] : [])];
  put(byId('moved-text'), `${texts.join(', ')}.`);
  hide('moved', false);
}

byId('resort')?.addEventListener('click', arrange);

// ---- counts

function counts() {
  const { sums, out } = floor.counts(wanted);
  for (const chip of document.querySelectorAll('#chips .count-chip')) {
    const { key, value } = /** @type {HTMLElement} */ (chip).dataset;
    put(chip.querySelector('.count'), String(sums.get(`${key} ${value}`) || 0));
  }
  put(byId('total'), String(floor.agents.size));
  announce(out);
}

let announced = { out: -1, at: 0 };
/** A summary for who cannot see the page, seldom enough to be heard. @param {number} out */
function announce(out) {
  if (announced.out >= 0 && out > announced.out && Date.now() - announced.at > 30000) {
    tell(`${out - announced.out} more out of adherence, ${out} in all.`);
    announced = { out, at: Date.now() };
  } else if (announced.out < 0 || out < announced.out) {
    announced.out = out;
  }
}

// ---- updates

let frame = 0;
let anew = false;

/** @param {News} news */
function take(news) {
  stands(news);
  if (news.kind === 'picture') {
    floor.clear();
    anew = true;
  }
  for (const agent of news.agents) {
    floor.put(agent);
    catchUp(agent.id);
  }
  for (const id of news.gone) floor.remove(id);
  const figures = [...news.skills, ...news.queues];
  figures.forEach(putCard);
  if (figures.length) put(byId('standings'), standings());
  if (!frame && (news.kind === 'picture' || news.agents.length || news.gone.length)) frame = requestAnimationFrame(paint);
}

function paint() {
  frame = 0;
  counts();
  if (anew && !drawn) {
    drawn = true;
    hide('not-here', true);
    if (typed) readForm();
    else arrange();
  } else {
    compareOrder();
  }
  anew = false;
}

// Thresholds are also passed without any message, because time goes on.
setInterval(() => {
  if (document.hidden || !drawn) return;
  for (const id of order) {
    const known = floor.agents.get(id);
    if (known) made.get(id)?.age(known);
  }
  compareOrder();
}, 5000);

follow(tenant, take);

// ---- changing the filter

/** What the filter narrows to, as the server says it. */
function sayFilter() {
  const { q, state, verdict, team, queue } = wanted;
  const said = [...team, ...queue, ...verdict.map(verdictLabel), ...state.map((name) => stateWord(name).label), ...(q ? [`“${q}”`] : [])].join(', ');
  put(byId('narrowed'), said && `: ${said}`);
  document.title = `${said ? `Live: ${said}` : 'Live'} · ${tenant} · Shiftkeeper`;
  hide('queues-whole', !said);
  hide('clear', !said);
}

/** The filter with a chip's word, or without where it is there. @param {Element} chip @returns {Partial<Wanted>} */
function toggled(chip) {
  const { key, value = '' } = /** @type {HTMLElement} */ (chip).dataset;
  const values = wanted[/** @type {'state' | 'verdict'} */ (key)];
  return { [key || '']: values.includes(value) ? values.filter((one) => one !== value) : [...values, value] };
}

/** @param {Partial<Wanted>} change */
function want(change) {
  wanted = { ...wanted, ...change };
  history.replaceState(null, '', toAddress(wanted));
  for (const chip of document.querySelectorAll('#chips .count-chip')) {
    const { key, value } = /** @type {HTMLElement} */ (chip).dataset;
    const on = wanted[/** @type {'state' | 'verdict'} */ (key)].includes(value || '');
    if (on) chip.setAttribute('aria-current', 'true');
    else chip.removeAttribute('aria-current');
    chip.setAttribute('href', toAddress({ ...wanted, ...toggled(chip) }));
  }
  sayFilter();
  const key = wanted.sort.replace(/^-/, '');
  for (const head of document.querySelectorAll('#agents th[data-sort]')) {
    const own = /** @type {HTMLElement} */ (head).dataset.sort;
    const downwards = own === 'time' || own === 'worst';
    if (own === key) head.setAttribute('aria-sort', wanted.sort.startsWith('-') === downwards ? 'ascending' : 'descending');
    else head.removeAttribute('aria-sort');
  }
  if (!drawn) return;
  announced = { out: -1, at: 0 };
  counts();
  arrange();
}

// Collapsible parts: all are expanded if there is room, otherwise those that the address names.
const room = matchMedia('(min-width: 900.02px)');
const folds = [...document.querySelectorAll('details.fold')].map((fold) => /** @type {HTMLDetailsElement} */ (fold));
const nameOf = (/** @type {HTMLElement} */ fold) => fold.dataset.fold || '';
function unfold() {
  for (const fold of folds) fold.open = room.matches || wanted.open.includes(nameOf(fold));
}
for (const fold of folds) {
  fold.addEventListener('toggle', () => {
    if (room.matches) return;
    wanted = { ...wanted, open: folds.filter(({ open }) => open).map(nameOf) };
    history.replaceState(null, '', toAddress(wanted));
  });
}
room.addEventListener('change', unfold);
unfold();

filterForm.addEventListener('submit', (event) => {
  if (!drawn) return;
  event.preventDefault();
  readForm();
});
filterForm.addEventListener('input', () => {
  typed = true;
  if (drawn) readForm();
});
function readForm() {
  const value = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (byId(id)).value;
  const list = (/** @type {string} */ id) => (value(id) ? [value(id)] : []);
  want({ q: value('q').trim(), team: list('team'), queue: list('queue'), sort: value('sort') });
}
byId('clear')?.addEventListener('click', (event) => {
  if (!drawn || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  clear();
});
byId('chips')?.addEventListener('click', (event) => {
  const chip = event.target instanceof Element ? event.target.closest('a') : null;
  if (!chip || !drawn || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  want(toggled(chip));
});
function clear() {
  for (const id of ['q', 'team', 'queue']) /** @type {HTMLInputElement} */ (byId(id)).value = '';
  want({ q: '', state: [], verdict: [], team: [], queue: [] });
  const search = byId('q');
  (search?.checkVisibility() ? search : rows.querySelector('a'))?.focus();
}
byId('agents')?.querySelector('thead')?.addEventListener('click', (event) => {
  const head = event.target instanceof Element && event.target.closest('a') ? event.target.closest('th') : null;
  if (!head || !drawn) return;
  event.preventDefault();
  const key = head.dataset.sort || 'worst';
  const sort = wanted.sort === key ? `-${key}` : key;
  /** @type {HTMLSelectElement} */ (byId('sort')).value = key;
  want({ sort });
});

// ---- the selection

/** @param {Iterable<string>} ids @param {boolean} on */
function select(ids, on) {
  for (const id of ids) {
    if (on) selected.add(id);
    else selected.delete(id);
    made.get(id)?.select(on);
  }
  showSelected();
}

function showSelected() {
  if (drawn) for (const id of selected) if (!floor.agents.has(id)) selected.delete(id);
  selectionForm.hidden = selected.size === 0;
  put(byId('selected'), String(selected.size));
  const all = order.length > 0 && selected.size > 0 && order.every((id) => selected.has(id));
  tickAll.checked = all;
  tickAll.indeterminate = !all && selected.size > 0;
}

/** @type {string | null} */
let last = null;
/** Selects a row as its box says, with `span` all from the one before. @param {HTMLInputElement} box @param {boolean} span */
function tick(box, span) {
  const [from, to] = [last ? order.indexOf(last) : -1, order.indexOf(box.value)];
  select(span && from >= 0 && to >= 0 ? order.slice(Math.min(from, to), Math.max(from, to) + 1) : [box.value], box.checked);
  last = box.value;
}
rows.addEventListener('click', (event) => {
  if (event.target instanceof HTMLInputElement) tick(event.target, event.shiftKey);
});
tickAll.addEventListener('click', () => select([...order], tickAll.checked));
byId('select-matching')?.addEventListener('click', () => select(floor.inOrder(wanted).map(({ id }) => id), true));
byId('select-none')?.addEventListener('click', () => {
  select([...selected], false);
  rows.querySelector('input')?.focus();
});

/** The next page reads the selection from here: an address would not hold it. While the daemon is away this page stays, with all that is
 * selected. @param {string} path @param {Element | null} button */
function takeAlong(path, button) {
  carryOut(/** @type {HTMLButtonElement | null} */ (button), async () => {
    await api('GET', '/healthz');
    sessionStorage.setItem(`selection ${tenant}`, JSON.stringify([...selected]));
    location.assign(address(path, { selection: '1' }));
  });
}
selectionForm.addEventListener('submit', (event) => {
  event.preventDefault();
  takeAlong('/changes/new', selectionForm.querySelector('button.primary'));
});
byId('excuse')?.addEventListener('click', (event) => takeAlong('/exceptions/new', /** @type {Element} */ (event.currentTarget)));

// Boxes that were ticked before scripts ran, or that the browser restored.
select([...rows.querySelectorAll('input')].filter((box) => box.checked).map((box) => box.value), true);

// ---- keys
document.addEventListener('keydown', (event) => {
  if (!keysAreOn(event)) return;
  const { key, target } = event;
  const row = target instanceof Element ? target.closest('#rows tr') : null;
  const box = row?.querySelector('input');
  if (key === 'r') arrange();
  if (key === 'c' && selected.size) /** @type {HTMLElement | null} */ (selectionForm.querySelector('button.primary'))?.focus();
  if (box && (key === 'x' || key === 'X')) {
    box.checked = !box.checked;
    tick(box, key === 'X');
  }
  if (key !== 'j' && key !== 'k') return;
  event.preventDefault();
  const next = row ? (key === 'j' ? row.nextElementSibling : row.previousElementSibling) : rows.firstElementChild;
  const link = next?.querySelector('a');
  link?.focus();
  link?.scrollIntoView({ block: 'nearest' });
});
