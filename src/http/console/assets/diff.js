// @ts-check
// Compares two texts line by line: lines in both, and lines in only one of them. It draws nothing.

/** Lines of both together, where each is: in `both`, in `mine` alone or in `theirs` alone.
 * @typedef {{ whose: 'both' | 'mine' | 'theirs', line: string }} Line */

/** More pairs of lines than this are not compared with each other: then all of mine differ from all of theirs. */
const MOST_PAIRS = 4_000_000;

/** The longest common part stays, the rest is mine or theirs. @param {string} mine @param {string} theirs @returns {Line[]} */
export function diff(mine, theirs) {
  const [a, b] = [lines(mine), lines(theirs)];
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
  const both = (/** @type {string} */ line) => /** @type {Line} */ ({ whose: 'both', line });
  const between = changed(a.slice(start, a.length - end), b.slice(start, b.length - end));
  return [...a.slice(0, start).map(both), ...between, ...a.slice(a.length - end).map(both)];
}

/** Lines of a text; the end of the last one is no line. @param {string} text */
const lines = (text) => text.replace(/\r\n?/g, '\n').replace(/\n$/, '').split('\n');

/** @param {string[]} a @param {string[]} b @returns {Line[]} */
function changed(a, b) {
  const wide = b.length + 1;
  // The number of lines that the texts have in common from each pair of positions on.
  const common = a.length * b.length > MOST_PAIRS ? null : new Uint32Array((a.length + 1) * wide);
  if (common) {
    for (let i = a.length - 1; i >= 0; i -= 1) {
      for (let j = b.length - 1; j >= 0; j -= 1) {
        common[i * wide + j] = a[i] === b[j] ? common[(i + 1) * wide + j + 1] + 1 : Math.max(common[(i + 1) * wide + j], common[i * wide + j + 1]);
      }
    }
  }
  /** @type {Line[]} */
  const found = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (common && i < a.length && j < b.length && a[i] === b[j]) {
      found.push({ whose: 'both', line: a[i] });
      [i, j] = [i + 1, j + 1];
    } else if (i < a.length && (j === b.length || !common || common[(i + 1) * wide + j] >= common[i * wide + j + 1])) {
      found.push({ whose: 'mine', line: a[i] });
      i += 1;
    } else {
      found.push({ whose: 'theirs', line: b[j] });
      j += 1;
    }
  }
  return found;
}
