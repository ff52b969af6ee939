// @ts-check
// The audit chain, verified by hand.

import { api, byId, carryOut, make, tenant } from './page.js';

const button = /** @type {HTMLButtonElement | null} */ (byId('verify'));
button?.addEventListener('click', () => carryOut(button, async () => {
  const place = byId('verified');
  place?.replaceChildren(make('p', {}, 'Every entry is read and its hash computed anew…'));
  try {
    const { body } = await api('POST', '/api/v1/audit/verify', { tenant });
    const good = !body.first_bad && body.bad_heads.length === 0;
    const lines = [make('p', { class: `outcome ${good ? 'outcome-good' : 'outcome-bad'}` }, good ? `The chain holds: ${body.verified} of ${body.entries} entries verified in ${body.took_ms} ms.` : 'The chain does not hold.')];
    if (body.first_bad) lines.push(make('p', {}, `First bad entry: no. ${body.first_bad.seq}, ${body.first_bad.reason}.`));
    for (const head of body.bad_heads) lines.push(make('p', {}, `Signed head of entry ${head.seq}: ${head.reason}.`));
    lines.push(make('p', { class: 'sub' }, `${body.heads} signed heads, keys: ${body.keys.join(', ') || 'none'}.`));
    place?.replaceChildren(...lines);
  } catch (error) {
    place?.replaceChildren();
    throw error;
  }
}));
