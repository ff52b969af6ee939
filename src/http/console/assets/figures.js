// @ts-check
// The cards of skills and queues, on the live page and the wallboard.

import { put } from './page.js';
import { isOld, standing } from './thresholds.js';
import { span, time } from './time.js';

/** @param {Element} card @param {string} field */
const part = (card, field) => card.querySelector(`[data-f="${field}"]`);

const WORDS = /** @type {Record<string, string>} */ ({ poor: 'act', warning: 'watch', good: 'good', none: 'without a figure' });

/** How many cards stand how, in words, as the server says it. */
export function standings() {
  const count = (/** @type {string} */ stands) => document.querySelectorAll(`.figures.standing-${stands}`).length;
  return Object.keys(WORDS).filter(count).map((stands) => `${count(stands)} ${WORDS[stands]}`).join(', ');
}

/** Puts newer figures on their card. @param {import('./line.js').Thing} one */
export function putCard(one) {
  const card = document.querySelector(`.figures[data-kind="${one.kind}"][data-id="${CSS.escape(one.id)}"]`);
  if (!card) return;
  const skill = one.kind === 'skill';
  const figure = (/** @type {number | null | undefined} */ value) => (value === null || value === undefined ? '–' : String(value));
  const share = one.service_level;
  // Nothing is good where there is nothing to answer, or nobody to answer it.
  const idle = (skill ? [one.contacts_queued, one.contacts_active] : [one.calls_waiting, one.agents_busy]).every((value) => value === 0);
  let stands = standing(share);
  let word = stands === 'none' ? (idle ? 'no contacts' : 'no figure') : WORDS[stands];
  if (stands === 'good' && idle) [stands, word] = ['none', 'no contacts'];
  else if (stands === 'good' && one.agents_available === 0) [stands, word] = ['warning', 'nobody available'];
  for (const known of Object.keys(WORDS)) card.classList.toggle(`standing-${known}`, known === stands);
  put(part(card, 'level'), stands === 'none' ? '–' : `${Math.floor(Math.round(share * 1e6) / 1e4)} %`);
  put(part(card, 'word')?.querySelector('span'), word);
  put(part(card, 'waiting'), figure(skill ? one.contacts_queued : one.calls_waiting));
  const wait = skill ? one.longest_queue_duration_s : one.average_wait_time_ms;
  put(part(card, 'wait'), wait === null || wait === undefined ? '–' : span(skill ? wait * 1000 : wait));
  put(part(card, 'available'), figure(one.agents_available));
  put(part(card, 'staffed'), figure(skill ? one.agents_staffed : one.agents_logged_on));
  const taken = /** @type {HTMLElement | null} */ (part(card, 'taken'));
  put(taken, time(one.taken_at));
  taken?.setAttribute('datetime', one.taken_at);
  if (taken) taken.dataset.taken = String(Date.parse(one.taken_at));
  age(card);
}

/** Says of a card whether its figures tell anything of now. @param {Element} card */
function age(card) {
  const taken = /** @type {HTMLElement | null} */ (part(card, 'taken'))?.dataset.taken;
  card.classList.toggle('old', isOld(Number(taken)));
}

setInterval(() => {
  if (!document.hidden) document.querySelectorAll('.figures').forEach(age);
}, 5000);
