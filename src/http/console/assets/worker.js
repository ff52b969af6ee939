// @ts-check
// Shared by all pages of a browser: one stream per tenant, however many pages use it. Browsers allow six connections to
// an HTTP/1.1 server, and a supervisor opens eight pages.

import { Line } from './line.js';

/** @type {Map<string, { line: Line, ports: Map<MessagePort, { hidden: boolean, heard: number }> }>} */
const lines = new Map();
/** A page that has said nothing for so long is gone, in milliseconds. */
const GONE = 90000;

/** @param {string} tenant */
function lineOf(tenant) {
  let known = lines.get(tenant);
  if (!known) {
    const ports = new Map();
    const line = new Line(tenant, (news) => {
      for (const [port, page] of ports) if (!page.hidden) port.postMessage(news);
    });
    known = { line, ports };
    lines.set(tenant, known);
  }
  return known;
}

/** @param {string} tenant @param {MessagePort} port */
function leave(tenant, port) {
  const known = lines.get(tenant);
  known?.ports.delete(port);
  if (known && known.ports.size === 0) {
    known.line.stop();
    lines.delete(tenant);
  }
}

/** @type {any} */ (self).onconnect = (/** @type {MessageEvent} */ event) => {
  const port = event.ports[0];
  let tenant = '';
  port.onmessage = ({ data }) => {
    if (data.follow) {
      tenant = data.follow;
      const known = lineOf(tenant);
      known.ports.set(port, { hidden: false, heard: Date.now() });
      port.postMessage(known.line.picture());
    } else if (data.leave) {
      leave(tenant, port);
    } else {
      const known = lines.get(tenant);
      const page = known?.ports.get(port);
      if (!known || !page) return;
      page.heard = Date.now();
      page.hidden = data.hidden ?? page.hidden;
    }
  };
  port.start();
};

setInterval(() => {
  for (const [tenant, { ports }] of lines) {
    for (const [port, page] of ports) if (Date.now() - page.heard > GONE) leave(tenant, port);
  }
}, 30000);
