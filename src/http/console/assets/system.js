// @ts-check
// System: jobs run by hand.

import { api, carryOut, say, sure } from './page.js';

for (const button of document.querySelectorAll('button[data-run]')) {
  const { run, of } = /** @type {HTMLElement} */ (button).dataset;
  button.addEventListener('click', () => carryOut(/** @type {HTMLButtonElement} */ (button), async () => {
    if (!(await sure(`Run ${run} now?`, of ? `The job runs once for ${of}, beside its calendar.` : 'The job runs once for the whole daemon, beside its calendar.', 'Run it'))) return;
    const query = of ? `?${new URLSearchParams({ tenant: of })}` : '';
    const { body } = await api('POST', `/api/v1/jobs/${encodeURIComponent(run || '')}/run${query}`);
    say(`${run} has begun: run ${body.run}. Look again in a moment.`);
  }));
}
