// @ts-check
// The analytics pages: refresh while a run is in progress, and start queries.

import { api, carryOut, say, tenant } from './page.js';
import { goOnRefreshing, refresh } from './refresh.js';

goOnRefreshing();

document.addEventListener('click', (event) => {
  const button = event.target instanceof Element ? event.target.closest('button[data-ask]') : null;
  if (!(button instanceof HTMLButtonElement)) return;
  const query = button.dataset.ask;
  carryOut(button, async () => {
    await api('POST', '/api/v1/analytics/runs', { tenant, query });
    say(`${query} was started. Its run is listed below.`);
    await refresh();
  });
});
