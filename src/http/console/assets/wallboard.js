// @ts-check
// The wallboard: cards follow the stream, screens take turns, and everything moves slightly against burn-in.

import { follow } from './follow.js';
import { byId, put, tenant } from './page.js';
import { putCard } from './figures.js';
import { stands } from './standing.js';
import { level } from './thresholds.js';
import { clock, now } from './time.js';

/** How long a page of tiles stays, in seconds. */
const DWELL = 20;

/** @type {Map<string, any>} */
const agents = new Map();
const query = new URLSearchParams(location.search);
const [inches, metres] = [Number(query.get('inches')), Number(query.get('metres'))];
if (inches > 10 && inches < 200 && metres > 0 && metres < 40) {
  // Capitals of 20 minutes of arc: 5.8 mm for each metre. The page is designed for 55 inches at 5 m.
  const scale = (metres / 5) * (55 / inches);
  document.documentElement.style.setProperty('--scale', String(Math.min(2, Math.max(0.4, scale))));
}

follow(tenant, (news) => {
  stands(news);
  if (news.kind === 'picture') agents.clear();
  for (const agent of news.agents) agents.set(agent.id, agent);
  for (const id of news.gone) agents.delete(id);
  for (const one of [...news.skills, ...news.queues]) putCard(one);
  if (news.kind === 'picture' || news.agents.length || news.gone.length) draw();
});

function draw() {
  const all = [...agents.values()];
  const count = (/** @type {(agent: any) => boolean} */ is) => String(all.filter(is).length);
  put(byId('ready'), count((agent) => agent.state === 'Ready'));
  put(byId('contact'), count((agent) => agent.state === 'OnContact' || agent.state === 'AfterContactWork'));
  put(byId('out'), count((agent) => agent.adherence?.verdict === 'out'));
  put(byId('too-long'), count((agent) => level(agent.state, agent.entered_at ? Date.parse(agent.entered_at) : 0) === 'act'));
  put(byId('agents-count'), String(all.length));
}

const pages = [...document.querySelectorAll('.board-page')].map((page) => /** @type {HTMLElement} */ (page));
const dwell = /** @type {HTMLProgressElement} */ (byId('dwell'));
const pause = byId('pause');
let [page, since, paused, beats] = [0, 0, false, 0];
pause?.addEventListener('click', () => {
  paused = !paused;
  pause.setAttribute('aria-pressed', String(paused));
  put(pause, paused ? 'Resume' : 'Pause');
});
setInterval(() => {
  put(byId('clock'), clock(now()));
  beats += 1;
  if (beats % 60 === 0) document.body.className = `wallboard drift-${(beats / 60) % 4}`;
  if (pages.length < 2 || paused) return;
  since += 1;
  dwell.value = since;
  if (since < DWELL) return;
  since = 0;
  page = (page + 1) % pages.length;
  pages.forEach((one, index) => {
    one.hidden = index !== page;
  });
  put(byId('page-now'), String(page + 1));
}, 1000);

byId('full')?.addEventListener('click', () => {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen();
});
