// @ts-check
// The page for a new change: whom to change, to which state, and why. The daemon makes the preview.

import { address, api, byId, carryOut, put, tenant } from './page.js';

const form = /** @type {HTMLFormElement} */ (byId('new'));
const input = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (byId(id));
const chosen = (/** @type {string} */ name) => /** @type {HTMLInputElement | null} */ (form.querySelector(`input[name="${name}"]:checked`))?.value || '';
const values = (/** @type {string} */ id) => [...document.querySelectorAll(`#${id} input:checked`)].map((box) => /** @type {HTMLInputElement} */ (box).value);

/** @type {string[]} */
let selection = [...document.querySelectorAll('.preselected')].map((one) => /** @type {HTMLInputElement} */ (one).value);
if (new URLSearchParams(location.search).has('selection')) {
  try {
    const kept = JSON.parse(sessionStorage.getItem(`selection ${tenant}`) || '[]');
    if (Array.isArray(kept) && kept.length) selection = kept.map(String);
  } catch {
    // Text that cannot be parsed is no selection.
  }
}
if (selection.length) {
  const row = byId('by-selection-row');
  if (row) row.hidden = false;
  input('by-selection').checked = true;
  put(byId('selection-count'), String(selection.length));
}

function show() {
  const by = chosen('by');
  /** @type {HTMLElement} */ (byId('filter-fields')).hidden = by !== 'filter';
  /** @type {HTMLElement} */ (byId('list-fields')).hidden = by !== 'list';
  /** @type {HTMLElement} */ (byId('below-field')).hidden = !input('below').checked;
  const who = select();
  const everyone = who.filter && Object.keys(who.filter).length === 0;
  put(byId('preview'), everyone ? 'Preview for everyone' : 'Preview');
}
form.addEventListener('change', show);
input('search').addEventListener('input', show);
show();

/** The first column of each line, quotes and a heading left aside. @param {string} text */
export function ids(text) {
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/);
  const single = lines.filter((line) => line.trim()).length === 1;
  const words = lines.flatMap((line) => (single ? line.split(/[\s,;]+/) : [line.split(/[,;\t]/)[0]]));
  const found = words.map((word) => word.trim().replace(/^"(.*)"$/, '$1')).filter(Boolean);
  if (/^(agent|agent[_ ]?id|id|user[_ ]?id)$/i.test(found[0] || '')) found.shift();
  return [...new Set(found.flatMap((word) => word.split(/\s+/)))];
}

input('file').addEventListener('change', async () => {
  const file = input('file').files?.[0];
  if (file && file.size < 2_000_000) input('pasted').value = ids(await file.text()).join('\n');
});

function select() {
  switch (chosen('by')) {
    case 'selection':
      return { agents: selection };
    case 'list':
      return { agents: ids(input('pasted').value) };
    default: {
      /** @type {Record<string, any>} */
      const filter = {};
      for (const key of ['teams', 'states', 'verdicts']) if (values(key).length) filter[key] = values(key);
      if (input('search').value.trim()) filter.search = input('search').value.trim();
      return { filter };
    }
  }
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  const problem = /** @type {HTMLElement} */ (byId('problem'));
  problem.hidden = true;
  const complain = (/** @type {string} */ text) => {
    problem.textContent = text;
    problem.hidden = false;
  };
  const who = select();
  if (who.agents && who.agents.length === 0) return complain('Name at least one agent.');
  const evenIfInState = input('even_if_in_state').checked;
  if (evenIfInState && !input('reason').value.trim()) return complain('Name the reason to set for agents who are already in this state.');
  const below = input('below').checked;
  if (below && !input('below_floor').value.trim()) return complain('Say why going below the floors is acceptable.');
  carryOut(/** @type {HTMLButtonElement} */ (byId('preview')), async () => {
    const { body } = await api('POST', '/api/v1/change-sets', {
      tenant,
      select: who,
      to: /** @type {HTMLSelectElement} */ (byId('to')).value,
      reason: input('reason').value.trim() || null,
      on_contact: chosen('on_contact'),
      urgent: input('urgent').checked,
      even_if_in_state: evenIfInState,
      below_floor: below ? input('below_floor').value.trim() : null,
      note: input('note').value.trim() || null,
    }).catch((error) => {
      complain(error.message);
      throw error;
    });
    location.assign(address(`/changes/${body.id}`));
  });
});
