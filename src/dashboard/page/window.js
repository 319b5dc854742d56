/** A chart shows no more than the last five minutes. */
export const MAX_WINDOW_S = 300;
const MIN_WINDOW_S = 60;

/**
 * What charts show: a minute at first, then all there is, up to the most.
 * @param {number} ageS Since the first sample.
 */
export function windowOf(ageS) {
  return Math.min(MAX_WINDOW_S, Math.max(MIN_WINDOW_S, ageS));
}

/**
 * How long ago the places on the axis are, oldest first. None is so far left that its name would be cut off.
 * @param {number} windowS
 */
export function ticksOf(windowS) {
  const stepS = windowS <= 75 ? 15 : windowS <= 150 ? 30 : 60;
  const count = Math.floor((windowS * 0.9) / stepS);
  return Array.from({ length: count + 1 }, (_, i) => (count - i) * stepS);
}

/** @param {number} agoS */
export function formatAgo(agoS) {
  if (agoS === 0) return 'now';
  return agoS % 60 === 0 ? `−${agoS / 60} min` : `−${agoS} s`;
}

/**
 * Where marks are drawn: those that would touch the one before are left out.
 * @param {readonly number[]} places
 * @param {number} gap
 */
export function thinned(places, gap) {
  /** @type {number[]} */
  const kept = [];
  for (const x of places.toSorted((a, b) => a - b)) {
    const last = kept.at(-1);
    if (last === undefined || x - last >= gap) kept.push(x);
  }
  return kept;
}
