// @ts-check
// A row of the live page: updated only where it differs from what it shows, to avoid needless painting.

import { address, goOn, put } from './page.js';
import { level } from './thresholds.js';
import { clock, full, now, span } from './time.js';

/** @typedef {import('./floor.js').Known} Known */

// The words of states, verdicts and activities come from the server.
/** @type {Map<string, { label: string, className: string }>} */
const words = new Map();
for (const chip of document.querySelectorAll('#chips .count-chip')) {
  const { key, value } = /** @type {HTMLElement} */ (chip).dataset;
  const word = chip.querySelector('.chip');
  words.set(`${key} ${value}`, { label: word?.textContent?.trim() || '', className: word?.className || 'chip' });
}
const ACTIVITIES = /** @type {Record<string, string>} */ ({ work: 'Work', break: 'Break', lunch: 'Lunch', meeting: 'Meeting', training: 'Training', off: 'Not on shift', uncovered: 'No schedule' });
const ODD = /** @type {Record<string, string>} */ ({ Unseen: 'Not observed', OffRoster: 'Off the roster' });

/** @param {string | null | undefined} state */
export const stateWord = (state) => words.get(`state ${state || ''}`) || { label: state ? ODD[state] || state : 'Not observed yet', className: 'chip state-unknown' };
/** @param {string} verdict */
export const verdictLabel = (verdict) => words.get(`verdict ${verdict}`)?.label || verdict;
/** @param {string} activity */
const activityWord = (activity) => ACTIVITIES[activity] || activity;

const template = /** @type {HTMLTemplateElement} */ (document.getElementById('row')).content.querySelector('tr');

export class Row {
  /** @param {HTMLElement} [drawn] by the server; without it a new one */
  constructor(drawn) {
    this.element = drawn || /** @type {HTMLElement} */ (template?.cloneNode(true));
    /** @type {Record<string, HTMLElement> | null} */ this.parts = null;
    /** What it shows. @type {Known | null} */ this.shown = null;
    this.level = drawn?.querySelector('[data-f="level"]')?.className.split(' ')[1] || '';
  }

  /** @returns {HTMLInputElement} */
  get tick() {
    return /** @type {HTMLInputElement} */ (this.element.querySelector('input'));
  }

  /** @param {boolean} on */
  select(on) {
    if (this.tick.checked !== on) this.tick.checked = on;
    this.element.classList.toggle('selected', on);
  }

  /** Fills it, where it shows anything else. @param {Known} known */
  fill(known) {
    if (this.shown === known) return;
    this.shown = known;
    this.parts ||= Object.fromEntries([...this.element.querySelectorAll('[data-f]')].map((part) => [/** @type {HTMLElement} */ (part).dataset.f, /** @type {HTMLElement} */ (part)]));
    const { parts } = this;
    const { id, name, agent } = known;
    put(parts.name, name);
    const href = address(`/agents/${encodeURIComponent(id)}`);
    if (parts.name.getAttribute('href') !== href) parts.name.setAttribute('href', href);
    put(parts.id, id);
    put(parts.team, known.team);
    put(parts.queue, known.queue);
    const { tick } = this;
    if (tick.value !== id) {
      tick.value = id;
      tick.checked = false;
    }
    const label = `Select ${name}`;
    if (tick.getAttribute('aria-label') !== label) tick.setAttribute('aria-label', label);
    putChip(parts.state, stateWord(known.state));
    put(parts.reason, agent.reason || '');
    putSince(parts.level, known.entered);
    this.age(known);
    put(parts.planned.querySelector('span'), activityWord(known.activity));
    const plan = `plan plan-${ACTIVITIES[known.activity] ? known.activity : 'other'}`;
    if (parts.planned.className !== plan) parts.planned.className = plan;
    putUntil(parts.until, agent);
    putChip(parts.verdict, words.get(`verdict ${known.verdict}`) || stateWord(null));
    putSince(parts.out, known.verdict === 'out' ? known.judged : 0);
    if (this.element.dataset.verdict !== known.verdict) this.element.dataset.verdict = known.verdict;
    const { open } = agent;
    put(parts.change, open ? `to ${stateWord(open.target).label}: ${open.status === 'in_doubt' ? 'in doubt' : open.status}` : '');
  }

  /** Marks a time in a state that has become long. @param {Known} known */
  age(known) {
    const stands = level(known.state, known.entered);
    if (stands === this.level) return;
    this.level = stands;
    const place = this.element.querySelector('[data-f="level"]');
    if (!place) return;
    place.className = `level ${stands}`;
    put(place.querySelector('.level-word'), { act: 'too long', watch: 'long', '': '' }[stands]);
  }
}

/** @param {HTMLElement} place @param {{ label: string, className: string }} word */
function putChip(place, { label, className }) {
  if (place.className !== className) place.className = className;
  put(place.querySelector('span'), label);
}

/** @param {HTMLElement} place @param {number} since in milliseconds; 0 for no span */
function putSince(place, since) {
  let time = place.querySelector('time');
  if (!since) {
    time?.remove();
    return;
  }
  if (!time) {
    time = document.createElement('time');
    place.prepend(time);
  }
  if (time.dataset.since !== String(since)) {
    time.dataset.since = String(since);
    put(time, span(now() - since));
    goOn(place);
  }
}

/** @param {HTMLElement} place @param {import('./floor.js').Agent} agent */
function putUntil(place, agent) {
  const until = agent.planned?.until;
  if (!until) {
    if (place.firstChild) place.replaceChildren();
    return;
  }
  let time = place.querySelector('time');
  if (!time) {
    time = document.createElement('time');
    place.replaceChildren('until ', time);
  }
  if (time.getAttribute('datetime') === until) return;
  time.setAttribute('datetime', until);
  put(time, clock(until, agent.zone));
  time.title = full(until, agent.zone);
}
