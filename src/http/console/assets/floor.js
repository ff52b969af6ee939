// @ts-check
// The known agents, which of them match the filter, and their order. It draws nothing.

import { level } from './thresholds.js';
import { now } from './time.js';

/** @typedef {import('./line.js').Thing} Agent */
/** @typedef {{ q: string, state: string[], verdict: string[], team: string[], queue: string[], sort: string, open: string[] }} Wanted */
/** An agent with what orders ask for again and again: instants in milliseconds (0 for none), the place among all names, and
 * how bad it is.
 * @typedef {{ id: string, agent: Agent, name: string, state: string, verdict: string, team: string, queue: string, activity: string, entered: number, judged: number, place: number, rank: number, over: number }} Known */

const { compare } = new Intl.Collator('en', { sensitivity: 'base', numeric: true });

/** The places of words among each other, so that each is compared with others once. @param {Iterable<string>} words */
function placesOf(words) {
  return new Map([...new Set(words)].sort(compare).map((word, place) => [word, place]));
}

export class Floor {
  /** @param {(state: string) => string} labelOf what people read for a state */
  constructor(labelOf) {
    this.labelOf = labelOf;
    /** @type {Map<string, Known>} */ this.agents = new Map();
    this.named = true;
  }

  clear() {
    this.agents.clear();
  }

  /** @param {string} id */
  remove(id) {
    this.agents.delete(id);
  }

  /** @param {Agent} agent */
  put(agent) {
    const before = this.agents.get(agent.id);
    const instant = (/** @type {string | null | undefined} */ at) => (at ? Date.parse(at) : 0);
    const name = agent.name || agent.id;
    if (before?.name !== name) this.named = false;
    this.agents.set(agent.id, {
      id: agent.id, agent, name, state: agent.state || '', verdict: agent.adherence?.verdict || 'unknown', team: agent.team || '', queue: agent.queue || '',
      activity: agent.planned?.activity || 'uncovered', entered: instant(agent.entered_at), judged: instant(agent.adherence?.since), place: before?.place || 0, rank: 3, over: 0,
    });
  }

  /** Names are compared with each other when one is new, and not at every order. */
  putNames() {
    if (this.named) return;
    this.named = true;
    const all = [...this.agents.values()].sort((one, other) => compare(one.name, other.name) || (one.id < other.id ? -1 : 1));
    all.forEach((known, place) => {
      known.place = place;
    });
  }

  /** Those who are wanted, in their order. @param {Wanted} wanted @returns {Known[]} */
  inOrder(wanted) {
    this.putNames();
    const passes = passing(wanted);
    const list = [...this.agents.values()].filter(passes);
    const key = wanted.sort.replace(/^-/, '');
    list.sort(this.by(key, list));
    if (wanted.sort.startsWith('-')) list.reverse();
    return list;
  }

  /** @param {string} key @param {Known[]} list @returns {(one: Known, other: Known) => number} */
  by(key, list) {
    const words = (/** @type {(known: Known) => string} */ of) => {
      const places = placesOf(list.map(of));
      const place = (/** @type {Known} */ known) => places.get(of(known)) ?? 0;
      return (/** @type {Known} */ one, /** @type {Known} */ other) => place(one) - place(other) || one.place - other.place;
    };
    switch (key) {
      case 'worst':
        for (const known of list) rankOf(known);
        return (one, other) => one.rank - other.rank || other.over - one.over || one.place - other.place;
      case 'team':
        return words((known) => known.team);
      case 'state':
        return words((known) => this.labelOf(known.state));
      case 'plan':
        return words((known) => known.activity);
      case 'verdict':
        return words((known) => known.verdict);
      case 'queue': {
        const rest = words((known) => known.queue);
        return (one, other) => Number(!one.queue) - Number(!other.queue) || rest(one, other);
      }
      case 'time':
        // The longest in their state first; unknown durations last.
        return (one, other) => (one.entered || Infinity) - (other.entered || Infinity) || one.place - other.place;
      default:
        return (one, other) => one.place - other.place;
    }
  }

  /** How many there are of each state and verdict, each counted of those whom the rest of the filter leaves; and how many of them
   * are out of adherence. @param {Wanted} wanted */
  counts(wanted) {
    /** @type {Map<string, number>} */
    const sums = new Map();
    let out = 0;
    const add = (/** @type {string} */ key) => sums.set(key, (sums.get(key) || 0) + 1);
    const passes = passing({ ...wanted, state: [], verdict: [] });
    for (const known of this.agents.values()) {
      const { state, verdict } = known;
      const [byState, byVerdict] = [any(wanted.state, state), any(wanted.verdict, verdict)];
      if (!(byState || byVerdict) || !passes(known)) continue;
      if (byVerdict) add(`state ${state}`);
      if (byState) add(`verdict ${verdict}`);
      if (byState && verdict === 'out') out += 1;
    }
    return { sums, out };
  }
}

/** Out of plan, then too long in a state, then long, then the rest. @param {Known} known */
function rankOf(known) {
  const at = now();
  known.rank = known.verdict === 'out' ? 0 : { act: 1, watch: 2, '': 3 }[level(known.state, known.entered)];
  const since = known.rank === 0 ? known.judged : known.rank < 3 ? known.entered : 0;
  known.over = since ? at - since : 0;
}

/** @param {string[]} values @param {string} value */
const any = (values, value) => values.length === 0 || values.includes(value);

/** @param {Wanted} wanted @returns {(known: Known) => boolean} */
function passing({ q, state, verdict, team, queue }) {
  const part = q.toLowerCase();
  return (known) => any(state, known.state) && any(verdict, known.verdict) && any(team, known.team) && any(queue, known.queue)
    && (!part || [known.name, known.id, known.team].some((text) => text.toLowerCase().includes(part)));
}

/** Which of these places follow each other already: the most that can stay where they are while the others move. A new one has no
 * place (-1). @param {number[]} places @returns {Uint8Array} */
export function staying(places) {
  /** @type {number[]} */
  const ends = [];
  const before = new Int32Array(places.length).fill(-1);
  places.forEach((place, index) => {
    if (place < 0) return;
    let [low, high] = [0, ends.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (places[ends[middle]] < place) low = middle + 1;
      else high = middle;
    }
    if (low > 0) before[index] = ends[low - 1];
    ends[low] = index;
  });
  const stays = new Uint8Array(places.length);
  for (let index = ends.length ? ends[ends.length - 1] : -1; index >= 0; index = before[index]) stays[index] = 1;
  return stays;
}
