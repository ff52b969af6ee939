// @ts-check
// The thresholds for times in a state and for service levels: the tenant's settings, put on the page by the server.

import { byId } from './page.js';
import { now } from './time.js';

const told = byId('thresholds')?.dataset || {};
/** @type {Record<string, [number, number]>} */
const inState = JSON.parse(told.inState || '{}');
const [good, warning] = [Number(told.good) / 100, Number(told.warning) / 100];
/** Figures are of now for so many milliseconds; 0 where nobody said. */
const goodFor = Number(told.goodFor) || 0;

/** How a time in a state stands. @param {string | null | undefined} state @param {number} since in milliseconds; 0 where it is not known
 * @returns {'' | 'watch' | 'act'} */
export function level(state, since) {
  const [watch, act] = inState[state || ''] || [0, 0];
  const lasted = since ? now() - since : 0;
  if (act && lasted >= act) return 'act';
  return watch && lasted >= watch ? 'watch' : '';
}

/** How a service level stands. @param {number | null | undefined} share of 1 @returns {'none' | 'good' | 'warning' | 'poor'} */
export function standing(share) {
  if (share === null || share === undefined) return 'none';
  if (share >= good) return 'good';
  return share >= warning ? 'warning' : 'poor';
}

/** Whether figures that were read then tell nothing of now. @param {number} taken in milliseconds */
export const isOld = (taken) => goodFor > 0 && now() - taken > goodFor;
