// @ts-check
// Instants and durations: the daemon's clock, which may run faster than the browser's, and how both are written.

const root = document.documentElement;
const speed = Number(root.dataset.speed) || 1;
let anchor = { at: Number(root.dataset.now) || Date.now(), ours: performance.now() };

/** The daemon's clock now, in milliseconds since the epoch. */
export function now() {
  return anchor.at + (performance.now() - anchor.ours) * speed;
}

/** The daemon said what time it is. A message that was long on its way does not set the clock back.
 * @param {string | undefined} at */
export function heard(at) {
  const said = at ? Date.parse(at) : NaN;
  if (Number.isNaN(said)) return;
  const known = now();
  if (said > known || known - said > 5000 * speed) anchor = { at: said, ours: performance.now() };
}

/** A span in its two largest units, such as `12 min 5 s`; the server writes the same. @param {number} ms */
export function span(ms) {
  const total = Math.max(0, Math.floor(ms / 1000));
  const units = /** @type {[number, string][]} */ ([[Math.floor(total / 86400), 'd'], [Math.floor(total / 3600) % 24, 'h'], [Math.floor(total / 60) % 60, 'min'], [total % 60, 's']]);
  const found = units.findIndex(([amount]) => amount > 0);
  const first = found < 0 ? units.length - 1 : found;
  return units.slice(first, first + 2).filter(([amount], place) => place === 0 || amount > 0).map(([amount, unit]) => `${amount} ${unit}`).join(' ');
}

/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

/** @param {string | null | undefined} zone @param {Intl.DateTimeFormatOptions} options */
function format(zone, options) {
  const wanted = root.dataset.byAgent === 'true' && zone ? zone : root.dataset.zone || 'UTC';
  const key = wanted + JSON.stringify(options);
  let known = formats.get(key);
  if (!known) {
    try {
      known = new Intl.DateTimeFormat('en-GB', { ...options, timeZone: wanted });
    } catch {
      known = new Intl.DateTimeFormat('en-GB', { ...options, timeZone: 'UTC' });
    }
    formats.set(key, known);
  }
  return known;
}

/** Hours and minutes. @param {string | number} at @param {string | null} [zone] */
export function clock(at, zone) {
  return format(zone, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(new Date(at));
}

/** The day and the month. @param {string | number} at @param {string | null} [zone] */
export function day(at, zone) {
  return format(zone, { day: 'numeric', month: 'short' }).format(new Date(at));
}

/** A local time as an input field of local times takes it. @param {number} ms @param {string} zone */
export function inputTime(ms, zone) {
  const parts = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
  return parts.format(new Date(ms)).replace(' ', 'T');
}

/** The instant at which a zone's clocks show the local time of an input field. @param {string} text @param {string} zone */
export function instantOf(text, zone) {
  const wanted = Date.parse(`${text}Z`);
  let at = wanted;
  for (let turn = 0; turn < 3; turn += 1) at += wanted - Date.parse(`${inputTime(at, zone)}Z`);
  return new Date(at).toISOString();
}

/** The second of the day. @param {string | number} at */
export function time(at) {
  return format(null, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' }).format(new Date(at));
}

/** The day and the second. @param {string | number} at @param {string | null} [zone] */
export function second(at, zone) {
  const options = /** @type {Intl.DateTimeFormatOptions} */ ({ day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
  return format(zone, options).format(new Date(at)).replace(',', '');
}

/** Everything, with the zone's name. @param {string | number} at @param {string | null} [zone] */
export function full(at, zone) {
  const made = format(zone, { dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23' });
  return `${made.format(new Date(at)).replace(',', '')} ${made.resolvedOptions().timeZone}`;
}
