// @ts-check
// The result of a backtest: its figures, its changes by hour as a drawing and a table, and what it would have changed.

import { address, make } from './page.js';
import { day, second } from './time.js';

/** @typedef {{ from: string, acts: number }} Hour */

/** The drawing's own units: room for the words on both sides, since a part of it may be in sight, and the height up and down. */
const [LEFT, RIGHT, MIDDLE, SIDE, BOTTOM] = [48, 912, 116, 96, 236];
/** How wide a day's name is. */
const NAME = 50;
/** Acts that are listed at most. */
const MOST_LISTED = 100;

/** @param {any} result @returns {(Node | string)[]} */
export function shown(result) {
  const { replayed, present, really, compared, cannot_know: unknown } = result;
  const row = (/** @type {string} */ name, /** @type {number} */ actions, /** @type {number | string} */ agents) => make('tr', {}, make('th', { scope: 'row' }, name), make('td', { class: 'num' }, String(actions)), make('td', { class: 'num' }, String(agents)));
  const counted = (/** @type {number} */ count, /** @type {string} */ noun) => `${count} ${noun}${count === 1 ? '' : 's'}`;
  const figures = [
    make('p', {}, `With this definition, the rule would have acted ${counted(replayed.acts, 'time')} on ${counted(replayed.agents, 'agent')}. ${really.acts ? `As it was then, it acted ${counted(really.acts, 'time')} on ${counted(really.agents, 'agent')}.` : 'As it was then, it did not act.'}`),
    make('table', { class: 'figures-table' }, head('In these days', 'Actions', 'Agents'), make('tbody', {},
      row('This definition would have acted', replayed.acts, replayed.agents),
      ...(present ? [row('The active rule would have acted', present.acts, present.agents)] : []),
      row('The rule acted, as it was then', really.acts, really.agents),
      row('Both: this definition, and the rule as it was then', compared.both, ''),
      row('Only this definition', compared.only_replayed, ''),
      row('Only the rule as it was then', compared.only_really, ''))),
  ];
  return [...figures, ...byHour(replayed.by_hour, really.by_hour), ...limits(unknown), ...acts(replayed)];
}

/** @param {string[]} unknown */
function limits(unknown) {
  if (!unknown.length) return [];
  return [make('details', {}, make('summary', {}, 'What history cannot show'), make('ul', {}, ...unknown.map((line) => make('li', {}, line))))];
}

/** @param {{ acts: number, listed: any[] }} replayed */
function acts({ acts: all, listed }) {
  if (!listed.length) return [make('p', { class: 'empty' }, 'No actions in this date range.')];
  const drawn = listed.slice(0, MOST_LISTED);
  const rows = drawn.map((one) => make('tr', {},
    make('th', { scope: 'row' }, second(one.at)),
    make('td', { 'data-label': 'Agent' }, make('a', { href: address(`/agents/${encodeURIComponent(one.agent)}`) }, one.name || one.agent)),
    make('td', { 'data-label': 'Action' }, one.wants),
    make('td', { 'data-label': 'Cause' }, one.because)));
  const more = all > drawn.length ? [make('p', { class: 'sub' }, `The first ${drawn.length} of ${all}.`)] : [];
  return [make('h3', {}, 'Actions of this definition'), ...more, make('table', { class: 'list' }, head('When', 'Agent', 'Action', 'Cause'), make('tbody', {}, ...rows))];
}

/** @param {string[]} names */
const head = (...names) => make('thead', {}, make('tr', {}, ...names.map((name) => make('th', { scope: 'col' }, name))));

/** @param {Hour[]} replayed @param {Hour[]} really */
function byHour(replayed, really) {
  const most = Math.max(1, ...replayed.map((hour) => hour.acts), ...really.map((hour) => hour.acts));
  const rows = replayed.map((hour, index) => ({ hour, fact: really[index]?.acts || 0 })).filter(({ hour, fact }) => hour.acts || fact);
  const table = make('table', {}, head('Hour from', 'This definition', 'As it was then'), make('tbody', {},
    ...rows.map(({ hour, fact }) => make('tr', {}, make('td', {}, second(hour.from)), make('td', { class: 'num' }, String(hour.acts)), make('td', { class: 'num' }, String(fact))))));
  const key = (/** @type {string} */ name, /** @type {string} */ text) => {
    const sample = svg('svg', { width: 14, height: 14, 'aria-hidden': 'true' });
    sample.append(svg('rect', { class: name, width: 14, height: 14 }));
    return make('li', {}, sample, text);
  };
  return [
    make('h3', { id: 'by-hour' }, 'Actions per hour'),
    make('div', { class: 'chart', tabindex: '0', role: 'group', 'aria-labelledby': 'by-hour' }, drawing(replayed, really, most)),
    make('ul', { class: 'legend chart-legend', 'aria-label': 'Legend' }, key('t-oncontact', 'Up: this definition'), key('t-notready', 'Down: the rule as it was then')),
    make('details', {}, make('summary', {}, 'Hours as a table'), make('div', { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': 'Hours as a table' }, table)),
  ];
}

/** @param {string} name @param {Record<string, string | number>} attributes @param {string} [text] */
function svg(name, attributes, text = '') {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  if (text) element.textContent = text;
  return element;
}

/** Acts by hour: of the text above the line, real ones below it. @param {Hour[]} replayed @param {Hour[]} really @param {number} most */
function drawing(replayed, really, most) {
  const label = `Actions per hour, at most ${most}. This definition is above the line, the rule as it was then below. The table below shows the same data.`;
  const picture = svg('svg', { viewBox: '0 0 960 256', role: 'img', 'aria-label': label });
  const step = (RIGHT - LEFT) / Math.max(1, replayed.length);
  const x = (/** @type {number} */ index) => LEFT + index * step;
  for (const acts of [most, 0, -most]) {
    const y = MIDDLE - (acts / most) * SIDE;
    const number = String(Math.abs(acts));
    picture.append(svg('line', { class: 'grid', x1: LEFT, x2: RIGHT, y1: y, y2: y }),
      svg('text', { class: 'beside', x: LEFT - 6, y, dy: 4 }, number), svg('text', { x: RIGHT + 6, y, dy: 4 }, number));
  }
  const days = replayed.map((hour, index) => ({ index, name: day(hour.from) })).filter(({ name }, index, all) => name !== all[index - 1]?.name);
  days.forEach(({ index, name }, place) => {
    picture.append(svg('line', { class: 'grid', x1: x(index), x2: x(index), y1: MIDDLE - SIDE, y2: MIDDLE + SIDE }));
    // An incomplete day may be narrower than its name: the last name is put before the end, the first left out.
    const next = days[place + 1];
    if (x(next?.index ?? replayed.length) - x(index) >= NAME) picture.append(svg('text', { x: x(index), dx: 3, y: BOTTOM }, name));
    else if (!next) picture.append(svg('text', { class: 'beside', x: RIGHT, y: BOTTOM }, name));
  });
  replayed.forEach((hour, index) => {
    const [up, down] = [(hour.acts / most) * SIDE, ((really[index]?.acts || 0) / most) * SIDE];
    const at = { x: x(index), width: Math.max(1, step - 1) };
    if (up) picture.append(svg('rect', { ...at, class: 't-oncontact', y: MIDDLE - up, height: up }));
    if (down) picture.append(svg('rect', { ...at, class: 't-notready', y: MIDDLE, height: down }));
  });
  return picture;
}
