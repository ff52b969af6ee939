// @ts-check
// What a change of the schedule would do, as a check of the API shows it, with the button that applies it.

import { address, byId, carryOut, make, say } from './page.js';
import { clock, day } from './time.js';

const result = /** @type {HTMLElement} */ (byId('result'));

/** The number of shifts after which no more agents are listed. */
const LISTED_SHIFTS = 300;

/** @param {number} number @param {string} noun */
export const count = (number, noun) => `${number} ${noun}${number === 1 ? '' : 's'}`;

/** A shift in words, in its agent's zone. @param {any} shift @param {string | null} zone */
function words(shift, zone) {
  if (!shift) return 'no shift';
  const span = (/** @type {any} */ one) => `${clock(one.start, zone)}–${clock(one.end, zone)}`;
  const activities = shift.activities.map((/** @type {any} */ one) => `${one.activity} ${span(one)}`);
  return `${day(shift.start, zone)}, ${span(shift)}${activities.length ? `: ${activities.join(', ')}` : ''}`;
}

/** A table of texts. @param {string[]} headings @param {string[][]} rows */
export function table(headings, rows) {
  const heading = make('tr', {}, ...headings.map((text) => make('th', { scope: 'col' }, text)));
  const row = (/** @type {string[]} */ texts) => make('tr', {}, make('th', { scope: 'row' }, texts[0]), ...texts.slice(1).map((text, index) => make('td', { 'data-label': headings[index + 1] }, text)));
  return make('table', { class: 'list' }, make('thead', {}, heading), make('tbody', {}, ...rows.map(row)));
}

/** A table that scrolls on narrow screens. @param {string} label @param {HTMLElement} content @param {string} [id] */
export function scroll(label, content, id) {
  return make('div', { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': label, ...(id ? { id } : {}) }, content);
}

/** The changes by team and by agent. @param {any} check */
function changes(check) {
  const parts = [];
  if (check.teams.length > 1) {
    const rows = check.teams.map((/** @type {any} */ one) => [one.team || 'No team', ...[one.agents, one.added, one.changed, one.removed].map(String)]);
    parts.push(scroll('Changes by team', table(['Team', 'Agents', 'New', 'Changed', 'Removed'], rows)));
  }
  /** @type {string[][]} */
  const rows = [];
  let listed = 0;
  for (const agent of check.changes) {
    if (rows.length >= LISTED_SHIFTS) break;
    listed += 1;
    for (const shift of agent.shifts) rows.push([agent.name || agent.agent, agent.team || '', words(shift.before, agent.zone), words(shift.after, agent.zone)]);
  }
  if (rows.length) parts.push(scroll('Changes by agent', table(['Agent', 'Team', 'Now', 'New'], rows)));
  const more = check.changes.length - listed + check.more_agents;
  if (more) parts.push(make('p', { class: 'sub' }, `${count(more, 'more agent')} not listed.`));
  return parts;
}

/** The agents who are left out, and what to look at. @param {any} check */
function notes(check) {
  const parts = [];
  const list = (/** @type {string[]} */ lines) => make('ul', { class: 'plain' }, ...lines.slice(0, 50).map((text) => make('li', {}, text)));
  if (check.left_out.length) {
    parts.push(make('h3', {}, `Left out: ${count(check.left_out.length, 'agent')}`));
    parts.push(list(check.left_out.map((/** @type {any} */ one) => `${one.name || one.agent}: ${one.why}`)));
  }
  if (check.warnings.length) parts.push(make('h3', {}, 'About the file'), list(check.warnings));
  if (check.findings.length) {
    const all = check.findings.length + check.more_findings;
    parts.push(make('h3', {}, `To look at: ${count(all, 'finding')}`));
    const names = new Map(check.changes.map((/** @type {any} */ agent) => [agent.agent, agent.name]));
    parts.push(list(check.findings.map((/** @type {any} */ one) => `${one.agent ? `${names.get(one.agent) || one.agent}: ` : ''}${one.message}`)));
    if (all > 50) parts.push(make('p', { class: 'sub' }, `${count(all - 50, 'more finding')} not listed.`));
  }
  return parts;
}

/** The quarter hours with fewer agents than required. @param {any} check */
function shortfalls(check) {
  if (!check.shortfalls.length) return [];
  const zone = document.documentElement.dataset.zone || 'UTC';
  const net = (/** @type {number} */ agents) => agents.toFixed(1).replace('-', '−');
  const rows = check.shortfalls.slice(0, 96).map((/** @type {any} */ one) => [`${day(one.start, zone)}, ${clock(one.start, zone)}–${clock(one.end, zone)}`, one.skill ? `Skill ${one.skill}` : one.team || 'All agents', net(one.required), net(one.before), net(one.after)]);
  const all = check.shortfalls.length + check.more_shortfalls;
  const parts = [make('h3', {}, `Fewer agents than required: ${count(all, 'quarter hour')}`)];
  parts.push(scroll('Fewer agents than required', table(['Time', 'Team or skill', 'Required', 'Net now', 'Net new'], rows), 'shortfalls'));
  if (all > rows.length) parts.push(make('p', { class: 'sub' }, `${count(all - rows.length, 'more quarter hour')} not listed.`));
  return parts;
}

/** What the rules would do differently. @param {any} check */
function rules(check) {
  const preview = check.rules;
  if (!preview) return [];
  const zones = new Map(check.changes.map((/** @type {any} */ agent) => [agent.agent, agent.zone]));
  const own = document.documentElement.dataset.zone || 'UTC';
  const when = (/** @type {any} */ one, /** @type {string | null} */ at) => (at ? clock(at, zones.get(one.agent) || own) : '–');
  const all = preview.changes.length + preview.more_changes;
  const span = `${day(preview.from, own)}, ${clock(preview.from, own)} to ${day(preview.to, own)}, ${clock(preview.to, own)}`;
  const parts = [make('h3', {}, all ? `What rules would do differently: ${count(all, 'action')}` : 'Rules would do the same')];
  const figures = preview.uses_figures ? ' Rules that need figures of skills or queues are not shown.' : '';
  parts.push(make('p', { class: 'sub' }, `From ${span}, if agents change nothing themselves.${figures}`));
  const mode = (/** @type {any} */ one) => ({ watch: 'monitoring', approve: 'requires approval' })[one.mode] || '';
  const rows = preview.changes.slice(0, 100).map((/** @type {any} */ one) => [one.name || one.agent, mode(one) ? `${one.rule} (${mode(one)})` : one.rule, one.action, when(one, one.before), when(one, one.after)]);
  if (rows.length) parts.push(scroll('What rules would do differently', table(['Agent', 'Rule', 'Action', 'Now', 'New'], rows), 'rules'));
  if (all > rows.length) parts.push(make('p', { class: 'sub' }, `${count(all - rows.length, 'more action')} not listed.`));
  return parts;
}

/** Shows parts as the result, with its heading in focus. @param {HTMLElement[]} parts */
export function showResult(parts) {
  result.replaceChildren(...parts);
  result.hidden = false;
  /** @type {HTMLElement} */ (result.firstElementChild).focus();
}

/** Hides a result that no longer fits what was entered. */
export function hideResult() {
  result.hidden = true;
}

/** Shows a check, with a button that applies it. @param {any} check @param {(hash: string) => Promise<any>} apply */
export function show(check, apply) {
  const parts = [make('h2', { tabindex: '-1' }, 'What would change')];
  const shifts = [[check.added, 'new'], [check.changed, 'changed'], [check.removed, 'removed']].filter(([number]) => number);
  const summary = check.agents ? `${count(check.agents, 'agent')}: ${shifts.map(([number, what]) => `${count(number, 'shift')} ${what}`).join(', ')}.` : 'Nothing would change.';
  parts.push(make('p', { id: 'summary' }, summary));
  if (check.in_past) parts.push(make('p', { class: 'banner' }, `${count(check.in_past, 'changed shift')} began in the past: adherence and reports of these days are computed again.`));
  parts.push(...changes(check), ...notes(check), ...shortfalls(check), ...rules(check));
  if (check.agents) {
    const button = /** @type {HTMLButtonElement} */ (make('button', { class: 'primary', id: 'apply' }, `Apply to ${count(check.agents, 'agent')}`));
    button.addEventListener('click', () => carryOut(button, async () => {
      const applied = await apply(check.hash);
      sessionStorage.setItem('schedule-applied', `Version ${applied.version} is in force: ${count(check.agents, 'agent')} changed.`);
      location.assign(address('/schedule/change', Object.fromEntries(new URLSearchParams(location.search))));
    }));
    parts.push(make('p', { class: 'buttons' }, button));
  }
  showResult(parts);
}

/** Says on the next page what was applied. */
export function sayApplied() {
  const applied = sessionStorage.getItem('schedule-applied');
  if (!applied) return;
  sessionStorage.removeItem('schedule-applied');
  say(applied);
}
