// @ts-check
// The exceptions pages: create exceptions, and end them early.

import { address, api, byId, carryOut, put, say, sure, tenant } from './page.js';
import { goOnRefreshing, refresh } from './refresh.js';
import { inputTime, instantOf, now } from './time.js';

goOnRefreshing();

document.addEventListener('click', (event) => {
  const button = event.target instanceof Element ? event.target.closest('button[data-end]') : null;
  if (!(button instanceof HTMLButtonElement)) return;
  carryOut(button, async () => {
    const whole = 'whole' in button.dataset;
    const reason = whole
      ? await sure('Revoke this exception?', 'It counts as if it had never been approved. Reports of its time are recalculated.', 'Revoke', { reason: 'Reason' })
      : await sure('End this exception?', 'From now on the plan counts again. The time until now stays neutral.', 'End it', { reason: 'Reason' });
    if (!reason) return;
    await api('POST', `/api/v1/exceptions/${button.dataset.end}/end`, { tenant, reason, whole });
    say(whole ? 'Revoked.' : 'Ended.');
    await refresh();
  });
});

const form = /** @type {HTMLFormElement | null} */ (byId('new-exception'));
if (form) {
  const input = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (byId(id));
  const query = new URLSearchParams(location.search);
  /** @type {string[]} */
  let agents = [...document.querySelectorAll('.preselected')].map((one) => /** @type {HTMLInputElement} */ (one).value);
  if (query.has('selection')) {
    try {
      const kept = JSON.parse(sessionStorage.getItem(`selection ${tenant}`) || '[]');
      if (Array.isArray(kept) && kept.length) agents = kept.map(String);
    } catch {
      // Text that cannot be parsed is no selection.
    }
  }
  if (agents.length) {
    const row = byId('by-agents-row');
    if (row) row.hidden = false;
    input('by-agents').checked = true;
    put(byId('agents-count'), String(agents.length));
    put(byId('agents-names'), agents.slice(0, 10).join(', ') + (agents.length > 10 ? ', …' : ''));
  }
  const roster = [...document.querySelectorAll('#roster option')].map((option) => ({ id: /** @type {HTMLOptionElement} */ (option).value, name: option.textContent || '' }));
  /** The agents that a typed name or id means: more than one where they share the name. */
  const typed = () => {
    const text = input('exception-agent').value.trim().toLowerCase();
    const own = roster.filter(({ id }) => id.toLowerCase() === text);
    return text ? (own.length ? own : roster.filter(({ name }) => name.toLowerCase() === text)) : [];
  };
  const chosen = () => /** @type {HTMLInputElement} */ (form.querySelector('input[name="who"]:checked')).value;
  /** Says whom the exception is for before it is approved. */
  const sayAffected = () => {
    const team = /** @type {HTMLSelectElement} */ (byId('exception-team'));
    const found = typed();
    const [who, count] = /** @type {[string, number]} */ ({
      agents: ['the selection', agents.length],
      agent: [found.length === 1 ? `${found[0].name || found[0].id} (${found[0].id})` : 'this name', found.length],
      team: [team.value, Number(team.selectedOptions[0]?.dataset.count) || 0],
      everyone: [`everyone at ${tenant}`, roster.length],
    }[chosen()] || ['', 0]);
    const missing = chosen() === 'agent' ? 'Type the name or the id of an agent.' : 'This exception affects nobody.';
    put(byId('affected'), count ? `This exception affects ${count === 1 ? '1 agent' : `${count} agents`}: ${who}.` : missing);
    put(byId('excuse-save'), count ? `Approve exception for ${count === 1 ? '1 agent' : `${count} agents`}` : 'Approve exception');
  };
  input('exception-agent').addEventListener('input', () => {
    input('by-agent').checked = true;
  });
  byId('exception-team')?.addEventListener('input', () => {
    input('by-team').checked = true;
  });
  form.addEventListener('input', sayAffected);
  sayAffected();
  // An input field of local time has no time zone: it is read and written in the viewer's.
  const zone = document.documentElement.dataset.zone || 'UTC';
  const asked = (/** @type {string} */ key, /** @type {number} */ otherwise) => inputTime(Date.parse(query.get(key) || '') || otherwise, zone);
  input('from').value = asked('from', now());
  input('to').value = asked('to', now() + 3600000);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    carryOut(/** @type {HTMLButtonElement} */ (byId('excuse-save')), async () => {
      const year = (/** @type {string} */ id) => Number(input(id).value.slice(0, input(id).value.indexOf('-')));
      for (const id of ['from', 'to']) if (!input(id).value || year(id) > 2199 || year(id) < 2000) throw new Error('Enter a start and an end between the years 2000 and 2199.');
      if (input('to').value <= input('from').value) throw new Error('The end must be after the start.');
      const who = chosen();
      const found = typed();
      if (who === 'agent' && found.length === 0) throw new Error('Type the name or the id of an agent.');
      if (who === 'agent' && found.length > 1) throw new Error(`${found.length} agents have this name. Type the id of one of them.`);
      const whom = who === 'agent' ? { agents: [found[0].id] } : who === 'agents' ? { agents } : who === 'team' ? { team: /** @type {HTMLSelectElement} */ (byId('exception-team')).value } : { everyone: true };
      await api('POST', '/api/v1/exceptions', { tenant, ...whom, from: instantOf(input('from').value, zone), to: instantOf(input('to').value, zone), reason: input('exception-reason').value.trim() });
      // Return to the change that led here, if there is one.
      const set = query.get('set');
      location.assign(address(set ? `/changes/${encodeURIComponent(set)}` : '/exceptions'));
    });
  });
}
