// @ts-check
// The links of an offer that was made, by which agents answer it.

import { address, make } from './page.js';
import { count, scroll, showResult, table } from './schedule_check.js';

/** Shows the links of an offer that was made. @param {any} made */
export function showOffer(made) {
  const names = new Map(made.offer.agents.map((/** @type {any} */ agent) => [agent.agent, agent.name]));
  const rows = made.links.map((/** @type {any} */ link) => [names.get(link.agent) || link.agent, location.origin + link.path]);
  const parts = [
    make('h2', { tabindex: '-1' }, `Offered to ${count(rows.length, 'agent')}`),
    make('p', {}, 'The links went out as the event offer.made. They are shown only now: whoever has a link can answer for the agent.'),
    scroll('Links of agents', table(['Agent', 'Link'], rows), 'links'),
  ];
  if (made.left_out.length) {
    const lines = made.left_out.map((/** @type {any} */ one) => make('li', {}, `${one.name || one.agent}: ${one.why}`));
    parts.push(make('h3', {}, `Left out: ${count(lines.length, 'agent')}`), make('ul', { class: 'plain' }, ...lines));
  }
  parts.push(make('p', {}, make('a', { href: address('/schedule/offers') }, 'All offers')));
  showResult(parts);
}
