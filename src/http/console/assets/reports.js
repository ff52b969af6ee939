// @ts-check
// The reports page: requests and cancels report files.

import { api, byId, carryOut, say, tenant } from './page.js';
import { goOnRefreshing, refresh } from './refresh.js';

goOnRefreshing();

document.addEventListener('click', (event) => {
  const button = event.target instanceof Element ? event.target.closest('button[data-call-off]') : null;
  if (!(button instanceof HTMLButtonElement)) return;
  carryOut(button, async () => {
    await api('POST', `/api/v1/reports/${button.dataset.callOff}/cancel`, { tenant });
    say('Cancelled.');
    await refresh();
  });
});

const form = /** @type {HTMLFormElement | null} */ (byId('new-report'));
form?.addEventListener('submit', (event) => {
  event.preventDefault();
  const chosen = (/** @type {string} */ id) => /** @type {HTMLSelectElement} */ (byId(id)).value;
  const team = chosen('report-team');
  carryOut(/** @type {HTMLButtonElement} */ (byId('report-make')), async () => {
    await api('POST', '/api/v1/reports', {
      tenant,
      report: chosen('report-kind'),
      format: chosen('report-format'),
      from: form.dataset.from,
      to: form.dataset.to,
      zone: form.dataset.reportZone,
      filters: team ? { teams: [team] } : {},
    });
    say('The file is being created. It is listed below.');
    await refresh();
  });
});
