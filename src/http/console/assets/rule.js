// @ts-check
// The page of a rule: checks it, saves it if its version is unchanged, and runs backtests.

import { diff } from './diff.js';
import { address, api, byId, carryOut, make, put, Refused, say, sure, tenant } from './page.js';
import { now, second } from './time.js';
import { shown } from './trial.js';

const form = /** @type {HTMLFormElement} */ (byId('edit'));
const text = /** @type {HTMLTextAreaElement} */ (byId('text'));
const button = (/** @type {string} */ id) => /** @type {HTMLButtonElement | null} */ (byId(id));
const isNew = 'new' in form.dataset;
const idOf = () => (isNew ? /** @type {HTMLInputElement} */ (byId('id')).value.trim() : form.dataset.id || '');
const path = () => `/api/v1/rules/${encodeURIComponent(idOf())}`;

/** @param {{ line: number, field: string, message: string }[]} complaints @param {string[]} warnings */
function showChecked(complaints, warnings, good = '') {
  const place = byId('checked');
  const lines = complaints.map(({ line, field, message }) => make('li', { class: 'outcome outcome-bad' }, `Line ${line}${field ? `, ${field}` : ''}: ${message}`));
  const others = warnings.map((warning) => make('li', { class: 'sub' }, `Note: ${warning}`));
  place?.replaceChildren(...(lines.length + others.length ? [make('ul', {}, ...lines, ...others)] : []), ...(good && !lines.length ? [make('p', { class: 'outcome outcome-good' }, good)] : []));
  const first = complaints[0];
  if (first) {
    const from = text.value.split('\n').slice(0, first.line - 1).join('\n').length;
    text.focus();
    text.setSelectionRange(from + (first.line > 1 ? 1 : 0), from + 1 + (text.value.split('\n')[first.line - 1] || '').length);
  }
}

async function check() {
  const { body } = await api('POST', '/api/v1/rules/check', { tenant, text: text.value });
  showChecked(body.complaints, body.warnings, body.ok ? 'The definition passes the check.' : '');
  return body.ok;
}

button('check')?.addEventListener('click', () => carryOut(button('check'), async () => {
  await check();
}));

form.addEventListener('submit', (event) => {
  event.preventDefault();
  carryOut(button('save'), async () => {
    if (!(await check())) return;
    let reason = /** @type {HTMLInputElement} */ (byId('why')).value.trim() || null;
    if (!reason && /^\s*mode\s*=\s*["']enforce["']/m.test(text.value)) {
      reason = await sure('Save an enforcing rule?', 'This definition is enforced from now on.', 'Save', { reason: 'Reason' });
      if (!reason) return;
    }
    try {
      await api('PUT', path(), { tenant, text: text.value, reason, enabled: true }, { ifMatch: `"${form.dataset.version}"` });
    } catch (error) {
      if (error instanceof Refused && error.problem?.complaints) showChecked(error.problem.complaints, []);
      if (error instanceof Refused && error.status === 412) {
        await lost();
        return;
      }
      throw error;
    }
    location.assign(address(`/rules/${encodeURIComponent(idOf())}`));
  });
});

/** Where two texts are apart, line by line. @param {string} mine @param {string} theirs */
function differences(mine, theirs) {
  const lines = diff(mine, theirs);
  const count = (/** @type {string} */ whose) => lines.filter((line) => line.whose === whose).length;
  const words = { both: '', mine: '◀ only yours', theirs: '▶ only theirs' };
  const rows = lines.map(({ whose, line }) => make('tr', { class: whose }, make('td', {}, words[whose]), make('td', {}, make('code', {}, line))));
  const table = make('table', { class: 'diff' }, make('thead', {}, make('tr', {}, make('th', { scope: 'col' }, 'Whose'), make('th', { scope: 'col' }, 'Line'))), make('tbody', {}, ...rows));
  const said = (/** @type {number} */ number) => (number === 1 ? '1 line' : `${number} lines`);
  return [
    make('p', {}, `${said(count('mine'))} only in yours, ${said(count('theirs'))} only in theirs:`),
    make('div', { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': 'Yours and theirs, line by line' }, table),
  ];
}

/** Somebody else was first: it is shown where both texts are apart, and the person decides. */
async function lost() {
  const place = byId('lost');
  if (!place) return;
  const { body } = await api('GET', `${path()}?${new URLSearchParams({ tenant })}`);
  const mine = text.value;
  const take = make('button', { type: 'button', id: 'take-theirs' }, 'Take theirs and discard mine');
  // This loads the whole page with their version, including its heading and figures.
  take.addEventListener('click', () => location.assign(address(`/rules/${encodeURIComponent(idOf())}`)));
  const over = make('button', { type: 'button', id: 'keep-mine' }, 'Keep mine; I have read theirs');
  over.addEventListener('click', () => {
    form.dataset.version = body.version;
    put(byId('version'), String(body.version));
    text.value = mine;
    place.hidden = true;
    say('Your definition is still here. Save again to replace theirs.');
  });
  place.replaceChildren(
    make('p', {}, make('strong', {}, 'Somebody changed this rule while you did. '), `${body.changed_by || 'Somebody'} saved version ${body.version}${body.changed_at ? ` at ${second(body.changed_at)}` : ''}${body.why ? `: ${body.why}` : ''}. Nothing of yours was saved.`),
    ...differences(mine, body.text), make('p', { class: 'buttons' }, take, over));
  place.hidden = false;
  place.scrollIntoView({ block: 'center' });
  /** @type {HTMLElement} */ (take).focus();
}

for (const one of document.querySelectorAll('#modes button[data-to]')) {
  const to = /** @type {HTMLElement} */ (one).dataset.to || '';
  one.addEventListener('click', () => carryOut(/** @type {HTMLButtonElement} */ (one), async () => {
    if (one.getAttribute('aria-pressed') === 'true') return;
    const words = { watch: ['Monitor only?', 'The rule records what it would have changed and changes nothing.'], approve: ['Require approval?', 'Each change waits until somebody approves it.'], enforce: ['Enforce this rule?', 'From now on the rule changes agents by itself.'] }[to] || ['', ''];
    const reason = await sure(words[0], words[1], 'Yes', { reason: 'Reason' });
    if (!reason) return;
    await api('POST', `${path()}/mode`, { tenant, mode: to, reason }, { ifMatch: `"${form.dataset.version}"` });
    location.reload();
  }));
}
for (const what of ['enable', 'disable']) {
  button(what)?.addEventListener('click', () => carryOut(button(what), async () => {
    const reason = await sure(what === 'enable' ? 'Turn the rule on?' : 'Turn the rule off?', '', 'Yes', { reason: 'Reason' });
    if (!reason) return;
    await api('POST', `${path()}/${what}`, { tenant, reason });
    location.reload();
  }));
}

// ---- backtests

const DAYS = 7;
let trial = '';

button('try')?.addEventListener('click', () => carryOut(button('try'), async () => {
  if (!(await check())) return;
  const to = new Date(now());
  const from = new Date(now() - DAYS * 86400000);
  const { body } = await api('POST', '/api/v1/rule-trials', { tenant, text: text.value, from: from.toISOString(), to: to.toISOString() });
  trial = body.id;
  const place = byId('trial');
  if (place) place.hidden = false;
  place?.scrollIntoView({ block: 'start' });
  await followTrial();
}));

button('trial-cancel')?.addEventListener('click', () => carryOut(button('trial-cancel'), async () => {
  await api('POST', `/api/v1/rule-trials/${trial}/cancel`, { tenant });
}));

async function followTrial() {
  for (;;) {
    const { body } = await api('GET', `/api/v1/rule-trials/${trial}?${new URLSearchParams({ tenant })}`);
    const progress = /** @type {HTMLProgressElement} */ (byId('trial-progress'));
    progress.value = body.progress;
    const words = /** @type {Record<string, string>} */ ({ waiting: 'Queued.', running: `Running: ${Math.floor(body.progress * 100)} %.`, done: 'Done.', cancelled: 'Cancelled.', failed: `Failed: ${body.error}` });
    const place = byId('trial-standing');
    if (place) place.textContent = words[body.status] || body.status;
    const open = body.status === 'waiting' || body.status === 'running';
    const stop = button('trial-cancel');
    if (stop) stop.hidden = !open;
    if (!open) {
      if (body.result) {
        byId('trial-result')?.replaceChildren(...shown(body.result));
        // Scroll to the newest days if not all of them are visible.
        byId('trial-result')?.querySelector('.chart')?.scrollTo({ left: 1e6 });
      }
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 700));
  }
}
