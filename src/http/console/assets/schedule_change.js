// @ts-check
// Changing schedules: an edit, or the undo of a version, is checked, shown and applied as it was shown.

import { api, byId, carryOut, make, put, tenant } from './page.js';
import { count, hideResult, sayApplied, show } from './schedule_check.js';
import { showOffer } from './schedule_offer_links.js';
import { clock, inputTime, instantOf, now } from './time.js';

const input = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (byId(id));
const kind = () => /** @type {HTMLSelectElement} */ (byId('kind')).value;

/** The edit that the form describes. */
function edit() {
  const only = /** @type {HTMLInputElement | null} */ (byId('only'));
  const activity = input('activity').value.trim();
  const zone = document.documentElement.dataset.zone || 'UTC';
  const at = (/** @type {string} */ id) => (input(id).value ? instantOf(input(id).value, zone) : null);
  const start = only?.checked ? only.value : null;
  const [from, to] = [at('start'), at('end')];
  if (kind() === 'set_shift') {
    if (!from && !to) throw new Error('Enter a start or an end of the shift.');
    return { set_shift: { start: from, end: to } };
  }
  const minutes = Number(input('minutes').value);
  if (kind() === 'move_end') {
    if (!minutes) throw new Error('Enter by how many minutes to move the end of the shift.');
    return { move_end: { by_minutes: minutes } };
  }
  if (!activity) throw new Error('Name the activity.');
  if (kind() === 'add') {
    if (!from || !to) throw new Error('Enter when the activity starts and ends.');
    return { add: { activity, start: from, end: to } };
  }
  if (kind() === 'remove') return { remove: { activity, start } };
  if (!minutes) throw new Error('Enter by how many minutes to move the activity.');
  return { move: { activity, start, by_minutes: minutes } };
}

/** A form that offers an edit to its agents instead of applying it. @param {any} body @param {number} agents */
function offerForm(body, agents) {
  const zone = document.documentElement.dataset.zone || 'UTC';
  const places = /** @type {HTMLInputElement} */ (make('input', { type: 'number', id: 'places', min: '1', max: '500', required: '', value: String(Math.min(agents, 500)) }));
  const until = /** @type {HTMLInputElement} */ (make('input', { type: 'datetime-local', id: 'until', required: '', value: inputTime(now() + 1800000, zone) }));
  const button = /** @type {HTMLButtonElement} */ (make('button', { id: 'offer' }, `Offer to ${count(agents, 'agent')}`));
  const field = (/** @type {string} */ label, /** @type {HTMLElement} */ input) => make('p', { class: 'field' }, make('label', { for: input.id }, label), input);
  const form = make('form', { class: 'card', id: 'offer-form', autocomplete: 'off' },
    make('p', {}, 'Each agent gets a link and accepts or declines. The first to accept get the places. Nothing changes for the others.'),
    make('div', { class: 'fields' }, field('Places', places), field('Answer until', until)),
    make('p', { class: 'buttons' }, button));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    carryOut(button, async () => {
      const offer = { ...body, places: Number(places.value), expires_at: instantOf(until.value, zone) };
      showOffer((await api('POST', '/api/v1/schedule-offers', offer)).body);
    });
  });
  return make('details', { id: 'instead' }, make('summary', {}, 'Offer it instead'), form);
}

/** Fills in what the address says: the kind of change, and from when to when. */
function fillIn() {
  const query = new URLSearchParams(location.search);
  const zone = document.documentElement.dataset.zone || 'UTC';
  const chosen = query.get('kind') || '';
  const choice = /** @type {HTMLSelectElement} */ (byId('kind'));
  if ([...choice.options].some(({ value }) => value === chosen)) choice.value = chosen;
  for (const [key, id] of [['from', 'start'], ['to', 'end']]) {
    const at = Date.parse(query.get(key) || '');
    if (!Number.isNaN(at)) input(id).value = inputTime(at, zone);
  }
  if (kind() === 'add' && !input('start').value && input('day').value) {
    // The next half hour, on the day of the change.
    const next = Math.ceil(now() / 1800000) * 1800000;
    const time = (/** @type {number} */ at) => inputTime(at, zone).slice(inputTime(at, zone).indexOf('T'));
    input('start').value = input('day').value + time(next);
    input('end').value = input('day').value + time(next + 1800000);
  }
}

const form = /** @type {HTMLFormElement | null} */ (byId('edit'));
if (form) {
  fillIn();
  const arrange = () => {
    for (const place of form.querySelectorAll('[data-for]')) {
      const part = /** @type {HTMLElement} */ (place);
      part.hidden = !(part.dataset.for || '').split(' ').includes(kind());
    }
  };
  form.addEventListener('input', () => {
    arrange();
    hideResult();
  });
  byId('team')?.addEventListener('input', () => {
    input('by-team').checked = true;
  });
  input('agent').addEventListener('input', () => {
    input('by-agent').checked = true;
  });
  arrange();
  const only = byId('only-at');
  if (only) put(only, clock(only.getAttribute('datetime') || '', document.documentElement.dataset.zone || 'UTC'));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    carryOut(/** @type {HTMLButtonElement} */ (byId('check')), async () => {
      const whom = input('by-team').checked ? { team: /** @type {HTMLSelectElement} */ (byId('team')).value } : { agents: [input('agent').value.trim()] };
      const body = { tenant, ...whom, day: input('day').value, edit: edit() };
      const checked = await api('POST', '/api/v1/schedule-edits/check', body);
      show(checked.body, async (hash) => (await api('POST', '/api/v1/schedule-edits', { ...body, hash })).body);
      if (checked.body.agents) byId('result')?.append(offerForm(body, checked.body.agents));
    });
  });
}

document.addEventListener('click', (event) => {
  const button = event.target instanceof Element ? event.target.closest('button[data-undo]') : null;
  if (!(button instanceof HTMLButtonElement)) return;
  carryOut(button, async () => {
    const path = `/api/v1/schedule-versions/${button.dataset.undo}/undo`;
    const checked = await api('POST', `${path}/check`, { tenant });
    show(checked.body, async (hash) => (await api('POST', path, { tenant, hash })).body);
  });
});

sayApplied();
