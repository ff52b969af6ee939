// @ts-check
// What every page needs: the browser's time zone, the choice of tenant, keys, messages and calls of the API.

import { now, span } from './time.js';

const root = document.documentElement;
root.classList.add('scripted');

/** @param {string} id */
export const byId = (id) => document.getElementById(id);
export const tenant = root.dataset.tenant || '';

/** An address of this tenant. @param {string} path @param {Record<string, string>} [more] */
export function address(path, more) {
  return `${path}?${new URLSearchParams({ tenant, ...more })}`;
}

// The server formats times in the browser's time zone; once it is known, the page is loaded again.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && root.dataset.toldZone !== zone && root.dataset.toldZone !== undefined) {
  document.cookie = `shiftkeeper_tz=${encodeURIComponent(zone)}; Path=/; Max-Age=31536000; SameSite=Lax`;
  const kept = document.cookie.includes('shiftkeeper_tz=');
  if (kept && root.dataset.toldZone === '' && !sessionStorage.getItem('zone-told')) {
    sessionStorage.setItem('zone-told', '1');
    location.reload();
  }
}

byId('tenant')?.addEventListener('change', () => {
  /** @type {HTMLFormElement | null} */ (byId('tenant-form'))?.submit();
});

// A menu closes on Escape and on a click outside.
const menus = [...document.querySelectorAll('details.menu, details.pages-menu')].map((menu) => /** @type {HTMLDetailsElement} */ (menu));
document.addEventListener('click', ({ target }) => {
  for (const menu of menus) if (menu.open && target instanceof Node && !menu.contains(target)) menu.open = false;
});

/** Says something to who cannot see the page: what everybody else sees anyway. @param {string} text */
export function tell(text) {
  put(byId('told'), text);
}

/** Says something to the person, for all to hear. @param {string} text @param {{ wrong?: boolean, link?: [string, string] }} [how] */
export function say(text, how = {}) {
  const place = byId('said');
  if (!place) return;
  const line = document.createElement('p');
  if (how.wrong) line.className = 'wrong';
  line.textContent = text;
  if (how.link) {
    const link = document.createElement('a');
    [link.textContent, link.href] = how.link;
    line.append(' ', link);
  }
  place.replaceChildren(line);
  if (!how.wrong) setTimeout(() => line.remove(), 12000);
}

/** An answer of the API that says what went wrong. */
export class Refused extends Error {
  /** @param {number} status @param {any} problem */
  constructor(status, problem) {
    super(problem?.detail || `The daemon answered ${status}.`);
    this.status = status;
    this.code = String(problem?.code || '');
    this.problem = problem;
  }
}

/** A key for one wish: the same wish sent again is carried out once. */
export function wish() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Asks the API; a file is sent as it is. Gives the body and the headers; throws Refused.
 * @param {string} method @param {string} path @param {any} [body] @param {{ key?: string, ifMatch?: string, signal?: AbortSignal }} [how] */
export async function api(method, path, body, how = {}) {
  /** @type {Record<string, string>} */
  const headers = { Accept: 'application/json' };
  const isFile = body instanceof Blob;
  if (body !== undefined) headers['Content-Type'] = isFile ? 'application/octet-stream' : 'application/json';
  if (method === 'POST') headers['Idempotency-Key'] = how.key || wish();
  if (how.ifMatch) headers['If-Match'] = how.ifMatch;
  /** @type {Response} */
  let response;
  try {
    response = await fetch(path, { method, headers, body: body === undefined || isFile ? body : JSON.stringify(body), credentials: 'same-origin', signal: how.signal });
  } catch (error) {
    if (how.signal?.aborted) throw error;
    throw new Refused(0, { detail: 'The daemon cannot be reached just now. Nothing is known to have changed; try again.', code: 'unreachable' });
  }
  const text = await response.text();
  let parsed = null;
  try {
    parsed = text ? JSON.parse(text) : null;
  } catch {
    parsed = null;
  }
  if (response.status === 401) {
    location.assign(`/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
  }
  if (!response.ok) throw new Refused(response.status, parsed);
  return { body: parsed, etag: response.headers.get('ETag') || '' };
}

/** Carries out what a button asks for: one at a time, and says what went wrong. Gives whether it went well.
 * @param {HTMLButtonElement | null} button @param {() => Promise<void>} work */
export async function carryOut(button, work) {
  if (button) {
    if (button.getAttribute('aria-disabled') === 'true') return false;
    button.setAttribute('aria-disabled', 'true');
  }
  try {
    await work();
    return true;
  } catch (error) {
    say(error instanceof Error ? error.message : String(error), { wrong: true });
    return false;
  } finally {
    button?.removeAttribute('aria-disabled');
  }
}

/** Asks the person; with `typed` the yes has to be typed, with `reason` words have to be given. Gives what was typed, or
 * false for a no. @param {string} heading @param {string} text @param {string} yes
 * @param {{ typed?: string, reason?: string }} [how] @returns {Promise<string | false>} */
export function sure(heading, text, yes, how = {}) {
  const dialog = /** @type {HTMLDialogElement} */ (byId('sure'));
  const set = (/** @type {string} */ id, /** @type {string} */ value) => {
    const place = byId(id);
    if (place) place.textContent = value;
  };
  const typed = /** @type {HTMLInputElement} */ (byId('sure-typed'));
  const button = /** @type {HTMLButtonElement} */ (byId('sure-yes'));
  const row = byId('sure-typed-row');
  const asks = how.typed !== undefined || how.reason !== undefined;
  set('sure-heading', heading);
  set('sure-text', text);
  set('sure-yes', yes);
  set('sure-typed-label', how.reason ?? (how.typed ? `Type ${how.typed} to go on` : ''));
  typed.value = '';
  if (row) row.hidden = !asks;
  const look = () => {
    const given = typed.value.trim();
    button.disabled = how.typed !== undefined ? given !== how.typed : how.reason !== undefined && !given;
  };
  look();
  typed.oninput = look;
  dialog.returnValue = 'no';
  dialog.showModal();
  if (asks) typed.focus();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes' ? typed.value.trim() || 'yes' : false), { once: true });
  });
}

/** An element with attributes and children; text is never markup.
 * @param {string} name @param {Record<string, string>} [attributes] @param {(Node | string)[]} children */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Sets a text only where it differs, so that nothing is painted and no selection lost for nothing.
 * @param {Element | null | undefined} element @param {string} text */
export function put(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

// Running durations: the visible ones are updated every second.
/** @type {Set<Element>} */
const inSight = new Set();
const sight = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting) {
      inSight.add(entry.target);
      tick(entry.target);
    } else {
      inSight.delete(entry.target);
    }
  }
});

/** @param {Element} element */
function tick(element) {
  const since = Number(/** @type {HTMLElement} */ (element).dataset.since);
  if (since) put(element, span(now() - since));
}

/** Lets spans below an element go on. @param {ParentNode} place */
export function goOn(place) {
  for (const element of place.querySelectorAll('time[data-since]')) sight.observe(element);
}

goOn(document);
setInterval(() => {
  if (document.hidden) return;
  for (const element of inSight) {
    if (element.isConnected) tick(element);
    else inSight.delete(element);
  }
}, 1000);

// Keys: `g` and a letter opens a page, `/` goes to the search, `?` lists the keys.
const PAGES = /** @type {Record<string, string>} */ ({ l: '/', w: '/wallboard', c: '/changes', r: '/rules', p: '/approvals', x: '/exceptions', e: '/reports', a: '/audit', h: '/webhooks', s: '/system', t: '/trends', y: '/analytics' });
let afterG = -Infinity;

/** The link of the menu to the page of a letter: who may not see a page has none. @param {string} letter */
const placeOf = (letter) => /** @type {HTMLAnchorElement[]} */ ([...document.querySelectorAll('.top nav a')]).find(({ pathname }) => pathname === PAGES[letter]);

/** Whether a key is one of ours now: nobody types, no other key is held, and the person wants them. @param {KeyboardEvent} event */
export function keysAreOn(event) {
  const { target } = event;
  const typing = target instanceof HTMLElement && target.closest('input:not([type="checkbox"]), select, textarea, dialog');
  return !typing && !event.ctrlKey && !event.metaKey && !event.altKey && localStorage.getItem('keys') !== 'off';
}

document.addEventListener('keydown', (event) => {
  const menu = event.key === 'Escape' && menus.find(({ open }) => open);
  if (menu) {
    menu.open = false;
    menu.querySelector('summary')?.focus();
  }
  if (!keysAreOn(event)) return;
  if (event.key === 'g') {
    afterG = performance.now();
  } else if (performance.now() - afterG < 1500 && placeOf(event.key)) {
    event.preventDefault();
    location.assign(/** @type {HTMLAnchorElement} */ (placeOf(event.key)).href);
  } else if (event.key === '/') {
    const search = document.querySelector('input[type="search"]');
    if (search instanceof HTMLElement) {
      event.preventDefault();
      const fold = search.closest('details');
      if (fold) fold.open = true;
      search.focus();
    }
  } else if (event.key === '?') {
    keysHelp();
  }
  if (event.key !== 'g') afterG = -Infinity;
});

function keysHelp() {
  const dialog = /** @type {HTMLDialogElement} */ (make('dialog', { 'aria-labelledby': 'keys-heading' }));
  const pages = Object.keys(PAGES).flatMap((letter) => [placeOf(letter)].flatMap((link) => (link ? [[`g ${letter}`, link.querySelector('span')?.textContent || '']] : [])));
  const rows = [['/', 'to the search'], ...pages, ['j, k', 'Live: next and previous agent'], ['x', 'Live: select the agent'], ['Shift x', 'Live: select all from the one selected before'], ['r', 'Live: sort again'], ['c', 'Live: change the state of those selected']];
  const list = make('dl', { class: 'pairs' }, ...rows.flatMap(([keys, what]) => [make('dt', {}, make('kbd', {}, keys)), make('dd', {}, what)]));
  const off = localStorage.getItem('keys') === 'off';
  const toggle = make('button', { type: 'button' }, 'Turn single keys off');
  toggle.addEventListener('click', () => {
    localStorage.setItem('keys', 'off');
    dialog.close();
    say('Single keys are off in this browser. Clear the site data to have them again.');
  });
  const close = make('button', { type: 'button', class: 'primary' }, 'Close');
  close.addEventListener('click', () => dialog.close());
  dialog.append(make('h2', { id: 'keys-heading' }, 'Keys'), list, make('p', { class: 'buttons' }, close, ...(off ? [] : [toggle])));
  document.body.append(dialog);
  dialog.addEventListener('close', () => dialog.remove());
  dialog.showModal();
}
