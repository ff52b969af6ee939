// @ts-check
// The audit page: verifies the audit log.

import { api, byId, carryOut, make, tenant } from './page.js';

/** @param {number} count @param {string} one @param {string} many */
const counted = (count, one, many) => `${count} ${count === 1 ? one : many}`;

const button = /** @type {HTMLButtonElement | null} */ (byId('verify'));
button?.addEventListener('click', () => carryOut(button, async () => {
  const place = byId('verified');
  place?.replaceChildren(make('p', {}, 'Reading every entry and checking its hash…'));
  try {
    const { body } = await api('POST', '/api/v1/audit/verify', { tenant });
    const last = body.from + body.entries - 1;
    // Entries are added all the time, so say how many are newer than the page, to explain the different numbers.
    const since = last - Number(byId('last')?.dataset.seq || last);
    const which = body.entries > 0 ? `, no. ${body.from} to no. ${last}` : '';
    const later = since > 0 ? ` ${counted(since, 'of them is', 'of them are')} newer than this page.` : '';
    const lines = body.verified
      ? [make('p', {}, make('strong', {}, 'The chain holds.'), ` ${counted(body.entries, 'entry', 'entries')}${which}, checked in ${body.took_ms} ms.${later}`)]
      : [make('p', {}, make('strong', {}, 'The chain does not hold.'), ' Entries of the audit log were changed, removed or added outside the daemon. Keep the database as it is, export the log, and inform whoever is responsible for security.')];
    if (body.first_bad) lines.push(make('p', {}, `First bad entry: no. ${body.first_bad.seq}, ${body.first_bad.reason}.`));
    for (const head of body.bad_heads) lines.push(make('p', {}, `Signed head of entry ${head.seq}: ${head.reason}.`));
    lines.push(make('p', { class: 'sub' }, `${counted(body.heads, 'signed head', 'signed heads')}, keys: ${body.keys.join(', ') || 'none'}.`));
    place?.replaceChildren(make('div', { class: `banner ${body.verified ? 'good' : 'wrong'}`, ...(body.verified ? {} : { role: 'alert' }) }, ...lines));
  } catch (error) {
    place?.replaceChildren();
    throw error;
  }
}));
