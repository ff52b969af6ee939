// @ts-check
// Shows how old the data is: the age of the platform's data and the state of the connection, always visible.

import { byId, put } from './page.js';
import { full, now, second, span } from './time.js';

/** @typedef {import('./line.js').News} News */

/** @type {{ seen: number, standing: import('./line.js').Standing | null }} */
const known = { seen: 0, standing: null };

/** Takes what a piece of news says about itself. @param {News} news */
export function stands(news) {
  if (news.seen_at) known.seen = Date.parse(news.seen_at);
  known.standing = news.standing;
  draw();
}

function draw() {
  const age = byId('age-text');
  if (known.seen) {
    put(age, `${span(now() - known.seen)} old`);
    const at = byId('age-at');
    if (at) {
      put(at, second(known.seen));
      at.setAttribute('datetime', new Date(known.seen).toISOString());
      at.title = full(known.seen);
    }
  }
  const { standing } = known;
  if (!standing) return;
  const words = { connecting: 'Connecting', following: 'Connected', broken: 'Disconnected', refused: 'Not permitted' };
  put(byId('line-word'), words[standing.state]);
  const place = byId('line-state');
  const state = standing.state === 'following' ? 'following' : standing.state === 'connecting' ? '' : 'broken';
  if (place && place.className !== `line-state ${state}`) place.className = `line-state ${state}`;
  const stale = byId('stale');
  const broken = standing.state === 'broken' || standing.state === 'refused';
  // A connection that is restored at once is no reason for an alarm.
  const alarm = standing.state === 'refused' || (broken && Date.now() - standing.since > 3000);
  document.documentElement.classList.toggle('is-stale', alarm);
  if (stale) {
    if (alarm) put(byId('stale-text'), `${standing.why || ''} This page shows the last data received and retries every few seconds.`);
    stale.hidden = !alarm;
  }
}

setInterval(draw, 1000);
