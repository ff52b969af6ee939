// @ts-check
// Changing schedules: an edit, or the undo of a version, is checked, shown and applied as it was shown.

import { address, api, byId, carryOut, make, put, say, tenant } from './page.js';
import { clock, day, instantOf } from './time.js';

const result = /** @type {HTMLElement} */ (byId('result'));
const input = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (byId(id));
const kind = () => /** @type {HTMLSelectElement} */ (byId('kind')).value;

/** @param {number} number @param {string} noun */
const count = (number, noun) => `${number} ${noun}${number === 1 ? '' : 's'}`;

/** A shift in words, in its agent's zone. @param {any} shift @param {string | null} zone */
function words(shift, zone) {
  if (!shift) return 'no shift';
  const span = (/** @type {any} */ one) => `${clock(one.start, zone)}–${clock(one.end, zone)}`;
  const activities = shift.activities.map((/** @type {any} */ one) => `${one.activity} ${span(one)}`);
  return `${day(shift.start, zone)}, ${span(shift)}${activities.length ? `: ${activities.join(', ')}` : ''}`;
}

/** @param {string[]} headings @param {string[][]} rows */
function table(headings, rows) {
  const heading = make('tr', {}, ...headings.map((text) => make('th', { scope: 'col' }, text)));
  const row = (/** @type {string[]} */ texts) => make('tr', {}, make('th', { scope: 'row' }, texts[0]), ...texts.slice(1).map((text, index) => make('td', { 'data-label': headings[index + 1] }, text)));
  return make('table', { class: 'list' }, make('thead', {}, heading), make('tbody', {}, ...rows.map(row)));
}

/** Shows a check, with a button that applies it. @param {any} check @param {(hash: string) => Promise<any>} apply */
function show(check, apply) {
  const parts = [make('h2', { tabindex: '-1' }, 'What would change')];
  const shifts = [[check.added, 'new'], [check.changed, 'changed'], [check.removed, 'removed']].filter(([number]) => number);
  const summary = check.agents ? `${count(check.agents, 'agent')}: ${shifts.map(([number, what]) => `${count(number, 'shift')} ${what}`).join(', ')}.` : 'Nothing would change.';
  parts.push(make('p', { id: 'summary' }, summary));
  if (check.in_past) parts.push(make('p', { class: 'banner' }, `${count(check.in_past, 'changed shift')} began in the past: adherence and reports of these days are computed again.`));
  if (check.changes.length) {
    const rows = check.changes.flatMap((/** @type {any} */ agent) => agent.shifts.map((/** @type {any} */ shift) => [agent.name || agent.agent, agent.team || '', words(shift.before, agent.zone), words(shift.after, agent.zone)]));
    parts.push(make('div', { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': 'Changes by agent' }, table(['Agent', 'Team', 'Now', 'New'], rows)));
  }
  if (check.more_agents) parts.push(make('p', { class: 'sub' }, `${count(check.more_agents, 'more agent')} not listed.`));
  if (check.left_out.length) {
    parts.push(make('h3', {}, `Left out: ${count(check.left_out.length, 'agent')}`));
    parts.push(make('ul', { class: 'plain' }, ...check.left_out.map((/** @type {any} */ one) => make('li', {}, `${one.name || one.agent}: ${one.why}`))));
  }
  if (check.findings.length) {
    parts.push(make('h3', {}, `To look at: ${count(check.findings.length + check.more_findings, 'finding')}`));
    const names = new Map(check.changes.map((/** @type {any} */ agent) => [agent.agent, agent.name]));
    parts.push(make('ul', { class: 'plain' }, ...check.findings.slice(0, 50).map((/** @type {any} */ one) => make('li', {}, `${one.agent ? `${names.get(one.agent) || one.agent}: ` : ''}${one.message}`))));
  }
  if (check.shortfalls.length) {
    const zone = document.documentElement.dataset.zone || 'UTC';
    const net = (/** @type {number} */ agents) => agents.toFixed(1).replace('-', '−');
    const rows = check.shortfalls.slice(0, 96).map((/** @type {any} */ one) => [`${day(one.start, zone)}, ${clock(one.start, zone)}–${clock(one.end, zone)}`, one.team || 'All agents', net(one.required), net(one.before), net(one.after)]);
    const all = check.shortfalls.length + check.more_shortfalls;
    parts.push(make('h3', {}, `Fewer agents than required: ${count(all, 'quarter hour')}`));
    parts.push(make('div', { class: 'scroll', tabindex: '0', role: 'group', id: 'shortfalls', 'aria-label': 'Fewer agents than required' }, table(['Time', 'Team', 'Required', 'Net now', 'Net new'], rows)));
    if (all > rows.length) parts.push(make('p', { class: 'sub' }, `${count(all - rows.length, 'more quarter hour')} not listed.`));
  }
  if (check.agents) {
    const button = /** @type {HTMLButtonElement} */ (make('button', { class: 'primary', id: 'apply' }, `Apply to ${count(check.agents, 'agent')}`));
    button.addEventListener('click', () => carryOut(button, async () => {
      const applied = await apply(check.hash);
      sessionStorage.setItem('schedule-applied', `Version ${applied.version} is in force: ${count(applied.agents, 'agent')} changed.`);
      location.assign(address('/schedule/change', location.search.slice(1)));
    }));
    parts.push(make('p', { class: 'buttons' }, button));
  }
  result.replaceChildren(...parts);
  result.hidden = false;
  /** @type {HTMLElement} */ (result.firstElementChild).focus();
}

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
  if (!activity) throw new Error('Name the activity.');
  if (kind() === 'add') {
    if (!from || !to) throw new Error('Enter when the activity starts and ends.');
    return { add: { activity, start: from, end: to } };
  }
  if (kind() === 'remove') return { remove: { activity, start } };
  const minutes = Number(input('minutes').value);
  if (!minutes) throw new Error('Enter by how many minutes to move the activity.');
  return { move: { activity, start, by_minutes: minutes } };
}

const form = /** @type {HTMLFormElement | null} */ (byId('edit'));
if (form) {
  const arrange = () => {
    for (const place of form.querySelectorAll('[data-for]')) {
      const part = /** @type {HTMLElement} */ (place);
      part.hidden = !(part.dataset.for || '').split(' ').includes(kind());
    }
  };
  form.addEventListener('input', () => {
    arrange();
    result.hidden = true;
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

const applied = sessionStorage.getItem('schedule-applied');
if (applied) {
  sessionStorage.removeItem('schedule-applied');
  say(applied);
}
