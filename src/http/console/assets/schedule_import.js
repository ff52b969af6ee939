// @ts-check
// Importing a schedule file: it is checked, what it would change is shown, and exactly that is applied.

import { Refused, api, byId, carryOut, make, tenant } from './page.js';
import { count, hideResult, scroll, show, showResult, table } from './schedule_check.js';

const input = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (byId(id));

/** The parameters of the import that the form describes. @param {File} file */
function parameters(file) {
  const query = new URLSearchParams({ tenant, name: file.name, move_weeks: String(Number(input('weeks').value) || 0) });
  const profile = /** @type {HTMLSelectElement} */ (byId('profile')).value;
  if (profile) query.set('profile', profile);
  if (input('whole').checked) query.set('whole', 'true');
  return query;
}

/** Shows why a file is refused. @param {any} problem */
function refuse(problem) {
  const lines = problem.complaints || [];
  const rows = lines.map((/** @type {any} */ one) => [[one.sheet, one.line && `line ${one.line}`].filter(Boolean).join(', ') || 'The file', one.column || '', one.value || '', one.reason]);
  const parts = [make('h2', { tabindex: '-1' }, 'The file was refused'), make('p', { id: 'summary' }, problem.detail)];
  if (rows.length) parts.push(scroll('Faults of the file', table(['Where', 'Column', 'Value', 'What is wrong'], rows)));
  const more = (problem.faults || 0) - rows.length;
  if (more > 0) parts.push(make('p', { class: 'sub' }, `${count(more, 'more fault')} not listed.`));
  showResult(parts);
}

const form = /** @type {HTMLFormElement | null} */ (byId('import'));
form?.addEventListener('input', hideResult);
form?.addEventListener('submit', (event) => {
  event.preventDefault();
  carryOut(/** @type {HTMLButtonElement} */ (byId('check')), async () => {
    const file = input('file').files?.[0];
    if (!file) return;
    const query = parameters(file);
    try {
      const checked = await api('POST', `/api/v1/schedule-imports/check?${query}`, file);
      show(checked.body, async (hash) => (await api('POST', `/api/v1/schedule-imports?${query}&hash=${hash}`, file)).body);
    } catch (error) {
      if (!(error instanceof Refused) || error.code !== 'schedule_refused') throw error;
      refuse(error.problem);
    }
  });
});
