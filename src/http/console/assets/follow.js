// @ts-check
// A page's connection to the live view: through the worker that all pages share, or directly if there is no worker.

import { Line } from './line.js';
import { heard } from './time.js';

/** @typedef {import('./line.js').News} News */

/** Follows a tenant's picture. The first news is the whole picture. @param {string} tenant @param {(news: News) => void} take */
export function follow(tenant, take) {
  const told = (/** @type {News} */ news) => {
    heard(news.at);
    take(news);
  };
  if (typeof SharedWorker === 'undefined') {
    alone(tenant, told);
    return;
  }
  const worker = new SharedWorker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'shiftkeeper' });
  let answered = false;
  worker.onerror = () => {
    // The browser does not support module workers.
    if (!answered) alone(tenant, told);
    answered = true;
  };
  const port = worker.port;
  port.onmessage = ({ data }) => {
    answered = true;
    told(data);
  };
  port.postMessage({ follow: tenant });
  // A page that becomes visible again needs the whole live view, because the worker may have dropped it.
  document.addEventListener('visibilitychange', () => port.postMessage(document.hidden ? { hidden: true } : { follow: tenant }));
  setInterval(() => port.postMessage({ here: true }), 30000);
  addEventListener('pagehide', () => port.postMessage({ leave: true }));
  addEventListener('pageshow', (event) => {
    if (event.persisted) port.postMessage({ follow: tenant });
  });
}

/** @param {string} tenant @param {(news: News) => void} told */
function alone(tenant, told) {
  /** @type {Line | null} */
  let line = new Line(tenant, told);
  addEventListener('pagehide', () => {
    line?.stop();
    line = null;
  });
  addEventListener('pageshow', (event) => {
    if (event.persisted && !line) line = new Line(tenant, told);
  });
}
