// @ts-check
// The Live page: rows patched in place, never moved under the pointer; the filter in the address; the selection.

import { follow } from './follow.js';
import { putCard } from './figures.js';
import { address, byId, goOn, make, put, tell, tenant } from './page.js';
import { stands } from './standing.js';
import { clock, full, now, span } from './time.js';

/** @typedef {import('./line.js').News} News */
/** @typedef {import('./line.js').Thing} Agent */

const rows = /** @type {HTMLElement} */ (byId('rows'));
const template = /** @type {HTMLTemplateElement} */ (byId('row')).content.querySelector('tr');
const filterForm = /** @type {HTMLFormElement} */ (byId('filter'));
const selectionForm = /** @type {HTMLFormElement} */ (byId('selection'));
const tickAll = /** @type {HTMLInputElement} */ (byId('tick-all'));

/** @type {Map<string, Agent>} */
const agents = new Map();
/** @type {Map<string, HTMLElement>} */
const shown = new Map();
for (const row of rows.querySelectorAll('tr')) shown.set(row.dataset.id || '', row);
/** @type {Set<string>} */
const selected = new Set();

// The words of states, verdicts and activities are the server's.
/** @type {Map<string, { label: string, className: string, watch: number, act: number }>} */
const words = new Map();
for (const chip of document.querySelectorAll('#chips .count-chip')) {
  const { key, value, watch, act } = /** @type {HTMLElement} */ (chip).dataset;
  const word = chip.querySelector('.chip');
  words.set(`${key} ${value}`, { label: word?.textContent?.trim() || '', className: word?.className || 'chip', watch: Number(watch) * 1000 || 0, act: Number(act) * 1000 || 0 });
}
const ACTIVITIES = /** @type {Record<string, string>} */ ({ work: 'Work', break: 'Break', lunch: 'Lunch', meeting: 'Meeting', training: 'Training', off: 'Not on shift', uncovered: 'No schedule' });
const ODD = /** @type {Record<string, string>} */ ({ Unseen: 'Out of sight', OffRoster: 'Off the roster' });

/** @param {Agent} agent */
const verdictOf = (agent) => agent.adherence?.verdict || 'unknown';
/** @param {string | null | undefined} state */
const stateWord = (state) => words.get(`state ${state || ''}`) || { label: state ? ODD[state] || state : 'Not seen yet', className: 'chip state-unknown', watch: 0, act: 0 };

/** @param {Agent} agent */
function level(agent) {
  const { watch, act } = stateWord(agent.state);
  const lasted = agent.entered_at ? now() - Date.parse(agent.entered_at) : 0;
  return act && lasted >= act ? 'act' : watch && lasted >= watch ? 'watch' : '';
}

// ---- one row

/** @param {Element} row @param {string} field */
const part = (row, field) => row.querySelector(`[data-f="${field}"]`);

/** @param {Element | null} place @param {string | null | undefined} since */
function putSince(place, since) {
  if (!place) return;
  let time = place.querySelector('time');
  if (!since) {
    time?.remove();
    return;
  }
  const ms = String(Date.parse(since));
  if (!time) {
    time = document.createElement('time');
    place.prepend(time);
  }
  if (time.dataset.since !== ms) {
    time.dataset.since = ms;
    put(time, span(now() - Number(ms)));
    goOn(place);
  }
}

/** @param {Element} row @param {Agent} agent */
function patch(row, agent) {
  const name = agent.name || agent.id;
  const link = /** @type {HTMLAnchorElement} */ (part(row, 'name'));
  put(link, name);
  const href = address(`/agents/${encodeURIComponent(agent.id)}`);
  if (link.getAttribute('href') !== href) link.setAttribute('href', href);
  put(part(row, 'id'), agent.id);
  put(part(row, 'team'), agent.team || '');
  put(part(row, 'queue'), agent.queue || '');
  const tick = row.querySelector('input');
  if (tick && tick.value !== agent.id) {
    tick.value = agent.id;
    tick.checked = false;
  }
  tick?.setAttribute('aria-label', `Select ${name}`);
  putChip(part(row, 'state'), stateWord(agent.state));
  put(part(row, 'reason'), agent.reason || '');
  putSince(part(row, 'level'), agent.entered_at);
  putLevel(row, agent);
  const activity = agent.planned?.activity || 'uncovered';
  const planned = part(row, 'planned');
  put(planned?.querySelector('span'), ACTIVITIES[activity] || activity);
  const plan = `plan plan-${ACTIVITIES[activity] ? activity : 'other'}`;
  if (planned && planned.className !== plan) planned.className = plan;
  putUntil(part(row, 'until'), agent);
  const verdict = verdictOf(agent);
  putChip(part(row, 'verdict'), words.get(`verdict ${verdict}`) || stateWord(null));
  putSince(part(row, 'out'), verdict === 'out' ? agent.adherence.since : null);
  const line = /** @type {HTMLElement} */ (row);
  if (line.dataset.verdict !== verdict) line.dataset.verdict = verdict;
  const open = agent.open;
  put(part(row, 'change'), open ? `to ${stateWord(open.target).label}: ${open.status === 'in_doubt' ? 'in doubt' : open.status}` : '');
}

/** @param {Element | null} place @param {{ label: string, className: string }} word */
function putChip(place, { label, className }) {
  if (!place) return;
  if (place.className !== className) place.className = className;
  put(place.querySelector('span'), label);
}

/** @param {Element} row @param {Agent} agent */
function putLevel(row, agent) {
  const place = part(row, 'level');
  const now = level(agent);
  if (place && place.className !== `level ${now}`) place.className = `level ${now}`;
  put(place?.querySelector('.level-word'), now === 'act' ? 'too long' : now === 'watch' ? 'long' : '');
}

/** @param {Element | null} place @param {Agent} agent */
function putUntil(place, agent) {
  const until = agent.planned?.until;
  if (!place) return;
  if (!until) {
    place.replaceChildren();
    return;
  }
  const text = clock(until, agent.zone);
  let time = place.querySelector('time');
  if (!time) {
    time = document.createElement('time');
    place.replaceChildren('until ', time);
  }
  put(time, text);
  if (time.getAttribute('datetime') !== until) {
    time.setAttribute('datetime', until);
    time.title = full(until, agent.zone);
  }
}

// ---- the filter

/** @typedef {{ q: string, state: string[], verdict: string[], team: string[], queue: string[], sort: string }} Wanted */

/** @returns {Wanted} */
function fromAddress() {
  const query = new URLSearchParams(location.search);
  const all = (/** @type {string} */ key) => query.getAll(key).filter(Boolean);
  return { q: (query.get('q') || '').trim(), state: all('state'), verdict: all('verdict'), team: all('team'), queue: all('queue'), sort: query.get('sort') || 'worst' };
}

let wanted = fromAddress();

/** @param {Wanted} wanted */
function toAddress({ q, state, verdict, team, queue, sort }) {
  const query = new URLSearchParams({ tenant });
  if (q) query.set('q', q);
  for (const [key, values] of Object.entries({ state, verdict, team, queue })) for (const value of values) query.append(key, value);
  if (sort !== 'worst') query.set('sort', sort);
  return `/?${query}`;
}

/** @param {Agent} agent */
function passes(agent) {
  const any = (/** @type {string[]} */ values, /** @type {string} */ value) => values.length === 0 || values.includes(value);
  const q = wanted.q.toLowerCase();
  return any(wanted.state, agent.state || '') && any(wanted.verdict, verdictOf(agent)) && any(wanted.team, agent.team || '') && any(wanted.queue, agent.queue || '')
    && (!q || [agent.name || agent.id, agent.id, agent.team || ''].some((text) => text.toLowerCase().includes(q)));
}

const compare = new Intl.Collator('en', { sensitivity: 'base', numeric: true }).compare;
/** @param {Agent} agent */
const nameOf = (agent) => agent.name || agent.id;

/** @returns {Agent[]} */
function inOrder() {
  const lasted = (/** @type {string | null | undefined} */ since) => (since ? now() - Date.parse(since) : 0);
  const rank = (/** @type {Agent} */ agent) => (verdictOf(agent) === 'out' ? 0 : { act: 1, watch: 2, '': 3 }[level(agent)]);
  const key = wanted.sort.replace(/^-/, '');
  const by = /** @type {Record<string, (one: any, other: any) => number>} */ ({
    worst: (one, other) => one.rank - other.rank || other.over - one.over,
    name: () => 0,
    team: (one, other) => compare(one.agent.team || '', other.agent.team || ''),
    state: (one, other) => compare(stateWord(one.agent.state).label, stateWord(other.agent.state).label),
    time: (one, other) => lasted(other.agent.entered_at) - lasted(one.agent.entered_at),
    plan: (one, other) => compare(one.agent.planned?.activity || '', other.agent.planned?.activity || ''),
    verdict: (one, other) => compare(verdictOf(one.agent), verdictOf(other.agent)),
    queue: (one, other) => Number(!one.agent.queue) - Number(!other.agent.queue) || compare(one.agent.queue || '', other.agent.queue || ''),
  })[key] || (() => 0);
  const list = [...agents.values()].filter(passes).map((agent) => {
    const of = rank(agent);
    return { agent, rank: of, over: of === 0 ? lasted(agent.adherence.since) : of < 3 ? lasted(agent.entered_at) : 0 };
  });
  list.sort((one, other) => by(one, other) || compare(nameOf(one.agent), nameOf(other.agent)));
  if (wanted.sort.startsWith('-')) list.reverse();
  return list.map(({ agent }) => agent);
}

// ---- the table as a whole

let drawn = false;

/** Puts the rows that are wanted in their order. Whatever has the focus keeps it. */
function arrange() {
  const list = inOrder();
  const focus = document.activeElement instanceof HTMLElement && rows.contains(document.activeElement) ? document.activeElement : null;
  const keep = new Set(list.map((agent) => agent.id));
  for (const [id, row] of shown) {
    if (!keep.has(id)) {
      row.remove();
      shown.delete(id);
    }
  }
  let place = rows.firstElementChild;
  for (const agent of list) {
    let row = shown.get(agent.id);
    if (!row) {
      row = /** @type {HTMLElement} */ (template?.cloneNode(true));
      row.dataset.id = agent.id;
      shown.set(agent.id, row);
      patch(row, agent);
      goOn(row);
    }
    row.classList.remove('elsewhere');
    if (row === place) place = place.nextElementSibling;
    else rows.insertBefore(row, place);
  }
  if (focus?.isConnected && document.activeElement !== focus) focus.focus({ preventScroll: true });
  put(byId('matching'), String(list.length));
  hide('no-rows', list.length > 0);
  hide('moved', true);
  showSelection();
}

/** @param {string} id @param {boolean} hidden */
function hide(id, hidden) {
  const place = byId(id);
  if (place && place.hidden !== hidden) place.hidden = hidden;
}

/** Rows that no longer stand where they belong are counted, and moved when nobody points at them. */
function compareOrder() {
  const list = inOrder();
  put(byId('matching'), String(list.length));
  let moved = 0;
  let row = rows.firstElementChild;
  const wantedIds = new Set(list.map((agent) => agent.id));
  for (const agent of list) {
    if (!(row instanceof HTMLElement) || row.dataset.id !== agent.id) moved += 1;
    row = row?.nextElementSibling ?? null;
  }
  let left = 0;
  for (const [id, one] of shown) {
    const stays = wantedIds.has(id);
    if (!stays) left += 1;
    one.classList.toggle('elsewhere', !stays);
  }
  if (moved + left === 0) {
    hide('moved', true);
    return;
  }
  const inUse = rows.matches(':hover') || rows.contains(document.activeElement) || selected.size > 0 || scrollY > rows.getBoundingClientRect().top + scrollY;
  if (!inUse) {
    arrange();
    return;
  }
  put(byId('moved-text'), left ? `${moved} rows have moved, ${left} no longer match.` : `${moved} rows have moved.`);
  hide('moved', false);
}

byId('resort')?.addEventListener('click', arrange);

/** @param {Iterable<Agent>} changed */
function patchAll(changed) {
  for (const agent of changed) {
    const row = shown.get(agent.id);
    if (row) patch(row, agent);
  }
}

// ---- counts, and who is out

function counts() {
  /** @type {Map<string, number>} */
  const sums = new Map();
  const add = (/** @type {string} */ key) => sums.set(key, (sums.get(key) || 0) + 1);
  for (const agent of agents.values()) {
    add(`state ${agent.state || ''}`);
    add(`verdict ${verdictOf(agent)}`);
  }
  for (const chip of document.querySelectorAll('#chips .count-chip')) {
    const { key, value } = /** @type {HTMLElement} */ (chip).dataset;
    put(chip.querySelector('.count'), String(sums.get(`${key} ${value}`) || 0));
  }
  put(byId('total'), String(agents.size));
  drawWorst(sums.get('verdict out') || 0);
}

const MOST_WORST = 6;
/** @param {number} out */
function drawWorst(out) {
  const list = byId('worst');
  if (!list || list.contains(document.activeElement)) return;
  put(byId('worst-count'), String(out));
  const since = (/** @type {Agent} */ agent) => Date.parse(agent.adherence.since) || 0;
  const worst = [...agents.values()].filter((agent) => verdictOf(agent) === 'out').sort((one, other) => since(one) - since(other) || compare(nameOf(one), nameOf(other))).slice(0, MOST_WORST);
  const key = JSON.stringify(worst.map((agent) => [agent.id, agent.state, agent.adherence.since, agent.planned?.activity]));
  if (list.dataset.key !== key) {
    list.dataset.key = key;
    list.replaceChildren(...worst.map((agent) => {
      const word = stateWord(agent.state);
      const activity = agent.planned?.activity || '';
      const ms = String(since(agent));
      return make('li', {},
        make('a', { href: address(`/agents/${encodeURIComponent(agent.id)}`) }, nameOf(agent)), ' ',
        make('span', { class: word.className }, make('i', { class: 'shape' }), make('span', {}, word.label)), ' ',
        make('span', { class: 'sub' }, `planned: ${ACTIVITIES[activity] || activity}`), ' ',
        make('strong', {}, 'out for ', make('time', { 'data-since': ms }, span(now() - Number(ms)))));
    }));
    goOn(list);
  }
  hide('no-worst', out > 0);
  hide('all-worst', out <= worst.length);
}

// ---- news

let announced = { out: -1, at: 0 };
/** A summary for who cannot see the page, seldom enough to be heard. */
function announce() {
  const out = [...agents.values()].filter((agent) => verdictOf(agent) === 'out').length;
  if (announced.out >= 0 && out > announced.out && Date.now() - announced.at > 30000) {
    tell(`${out - announced.out} more out of plan, ${out} in all.`);
    announced = { out, at: Date.now() };
  } else if (announced.out < 0 || out < announced.out) {
    announced.out = out;
  }
}

let frame = 0;
/** @type {Map<string, Agent>} */
const waiting = new Map();
let anew = false;

/** @param {News} news */
function take(news) {
  stands(news);
  if (news.kind === 'picture') {
    agents.clear();
    anew = true;
  }
  for (const agent of news.agents) {
    agents.set(agent.id, agent);
    waiting.set(agent.id, agent);
  }
  for (const id of news.gone) {
    agents.delete(id);
    shown.get(id)?.classList.add('elsewhere');
  }
  for (const one of [...news.skills, ...news.queues]) putCard(one);
  if (!frame && (anew || waiting.size || news.gone.length)) frame = requestAnimationFrame(paint);
}

function paint() {
  frame = 0;
  patchAll(waiting.values());
  waiting.clear();
  counts();
  if (anew && !drawn) {
    drawn = true;
    arrange();
  } else {
    compareOrder();
  }
  anew = false;
  announce();
}

// Thresholds are passed by time alone.
setInterval(() => {
  if (document.hidden || !drawn) return;
  for (const [id, row] of shown) {
    const agent = agents.get(id);
    if (agent) putLevel(row, agent);
  }
  compareOrder();
}, 5000);

follow(tenant, take);

// ---- the filter by hand

/** @param {Partial<Wanted>} change */
function want(change) {
  wanted = { ...wanted, ...change };
  history.replaceState(null, '', toAddress(wanted));
  for (const chip of document.querySelectorAll('#chips .count-chip')) {
    const { key, value } = /** @type {HTMLElement} */ (chip).dataset;
    const on = wanted[/** @type {'state' | 'verdict'} */ (key)].includes(value || '');
    if (on) chip.setAttribute('aria-current', 'true');
    else chip.removeAttribute('aria-current');
  }
  hide('clear', !(wanted.q || wanted.state.length || wanted.verdict.length || wanted.team.length || wanted.queue.length));
  const key = wanted.sort.replace(/^-/, '');
  for (const head of document.querySelectorAll('#agents th[data-sort]')) {
    const own = /** @type {HTMLElement} */ (head).dataset.sort;
    const downwards = own === 'time' || own === 'worst';
    if (own === key) head.setAttribute('aria-sort', wanted.sort.startsWith('-') === downwards ? 'ascending' : 'descending');
    else head.removeAttribute('aria-sort');
  }
  if (drawn) arrange();
}

filterForm.addEventListener('submit', (event) => {
  if (!drawn) return;
  event.preventDefault();
  readForm();
});
filterForm.addEventListener('input', () => {
  if (drawn) readForm();
});
function readForm() {
  const value = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (byId(id)).value;
  const list = (/** @type {string} */ id) => (value(id) ? [value(id)] : []);
  want({ q: value('q').trim(), team: list('team'), queue: list('queue'), sort: value('sort') });
}
byId('chips')?.addEventListener('click', (event) => {
  const chip = event.target instanceof Element ? event.target.closest('a') : null;
  if (!chip || !drawn || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (chip.id === 'clear') return clear();
  const key = /** @type {'state' | 'verdict'} */ (chip.dataset.key);
  const value = chip.dataset.value || '';
  want({ [key]: wanted[key].includes(value) ? wanted[key].filter((one) => one !== value) : [...wanted[key], value] });
});
function clear() {
  for (const id of ['q', 'team', 'queue']) /** @type {HTMLInputElement} */ (byId(id)).value = '';
  want({ q: '', state: [], verdict: [], team: [], queue: [] });
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

function showSelection() {
  for (const id of selected) if (!agents.has(id) && drawn) selected.delete(id);
  selectionForm.hidden = selected.size === 0;
  put(byId('selected'), String(selected.size));
  let all = shown.size > 0;
  for (const [id, row] of shown) {
    const on = selected.has(id);
    const box = row.querySelector('input');
    if (box && box.checked !== on) box.checked = on;
    row.classList.toggle('selected', on);
    all &&= on;
  }
  tickAll.checked = all && selected.size > 0;
  tickAll.indeterminate = !all && selected.size > 0;
}

/** @type {string | null} */
let last = null;
rows.addEventListener('click', (event) => {
  const box = event.target instanceof HTMLInputElement ? event.target : null;
  if (!box) return;
  const ids = [...rows.children].map((row) => /** @type {HTMLElement} */ (row).dataset.id || '');
  const [from, to] = [last ? ids.indexOf(last) : -1, ids.indexOf(box.value)];
  const span = event.shiftKey && from >= 0 ? ids.slice(Math.min(from, to), Math.max(from, to) + 1) : [box.value];
  for (const id of span) {
    if (box.checked) selected.add(id);
    else selected.delete(id);
  }
  last = box.value;
  showSelection();
});
tickAll.addEventListener('click', () => {
  for (const id of shown.keys()) {
    if (tickAll.checked) selected.add(id);
    else selected.delete(id);
  }
  showSelection();
});
byId('select-matching')?.addEventListener('click', () => {
  for (const agent of inOrder()) selected.add(agent.id);
  showSelection();
});
byId('select-none')?.addEventListener('click', () => {
  selected.clear();
  showSelection();
  rows.querySelector('input')?.focus();
});

/** The next page reads the selection from here: an address would not hold it. @param {string} path */
function takeAlong(path) {
  sessionStorage.setItem(`selection ${tenant}`, JSON.stringify([...selected]));
  location.assign(address(path, { selection: '1' }));
}
selectionForm.addEventListener('submit', (event) => {
  event.preventDefault();
  takeAlong('/changes/new');
});
byId('excuse')?.addEventListener('click', () => takeAlong('/exceptions/new'));

// What was ticked before scripts ran, or came back with the page.
for (const box of rows.querySelectorAll('input')) if (box.checked) selected.add(box.value);
showSelection();

// ---- keys
document.addEventListener('keydown', (event) => {
  const target = event.target;
  const typing = target instanceof HTMLElement && target.closest('input:not([type="checkbox"]), select, textarea, dialog');
  if (typing || event.ctrlKey || event.metaKey || event.altKey || localStorage.getItem('keys') === 'off') return;
  if (event.key === 'r') arrange();
  if (event.key !== 'j' && event.key !== 'k' && event.key !== 'x') return;
  const row = target instanceof Element ? target.closest('#rows tr') : null;
  if (event.key === 'x') {
    row?.querySelector('input')?.click();
    return;
  }
  event.preventDefault();
  const next = row ? (event.key === 'j' ? row.nextElementSibling : row.previousElementSibling) : rows.firstElementChild;
  const link = next?.querySelector('a');
  link?.focus();
  link?.scrollIntoView({ block: 'nearest' });
});
