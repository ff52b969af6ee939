// @ts-check
// The system page: refreshes it regularly, and runs jobs.

import { api, carryOut, say, sure } from './page.js';
import { goOnRefreshing, refresh } from './refresh.js';

goOnRefreshing();

document.addEventListener('click', (event) => {
  const button = event.target instanceof Element ? event.target.closest('button[data-run]') : null;
  if (!(button instanceof HTMLButtonElement)) return;
  const { run, of } = button.dataset;
  carryOut(button, async () => {
    if (!(await sure(`Run ${run} now?`, of ? `The job runs once for ${of}, in addition to its schedule.` : 'The job runs once for the whole daemon, in addition to its schedule.', 'Run now'))) return;
    const query = of ? `?${new URLSearchParams({ tenant: of })}` : '';
    const { body } = await api('POST', `/api/v1/jobs/${encodeURIComponent(run || '')}/run${query}`);
    say(`${run} has started: run ${body.run}.`);
    await refresh();
  });
});
