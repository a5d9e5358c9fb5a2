// The exponential moving average of a curve in buckets: the formula of buckets.py.

/** Curves of fewer points are drawn as they are: smoothed, they would lag far beside their own points. */
export const FEWEST_TO_SMOOTH = 64;

/** @typedef {{value: number, norm: number}} AverageState  What an average has seen so far. */

/**
 * The average at each bucket; a bucket of n points counts as n times its mean.
 * @param {ArrayLike<number>} mean
 * @param {ArrayLike<number>} count
 * @param {number} weight  Of the past, from 0 to below 1.
 * @param {AverageState} [start]  Where a zoomed part begins: what the whole curve's average has seen until there.
 * @returns {Float64Array}
 */
export function smoothedLine(mean, count, weight, start = { value: 0, norm: 0 }) {
  const line = new Float64Array(mean.length);
  averageOver(mean, count, weight, start, mean.length, line);
  return line;
}

/**
 * What the average of a curve has seen before x.
 * @param {{x: ArrayLike<number>, mean: ArrayLike<number>, count: ArrayLike<number>}} curve
 * @param {number} weight
 * @param {number} before
 * @returns {AverageState}
 */
export function averageBefore(curve, weight, before) {
  let end = 0;
  while (end < curve.x.length && curve.x[end] < before) end += 1;
  return averageOver(curve.mean, curve.count, weight, { value: 0, norm: 0 }, end, null);
}

/**
 * @param {ArrayLike<number>} mean
 * @param {ArrayLike<number>} count
 * @param {number} weight
 * @param {AverageState} start
 * @param {number} end
 * @param {Float64Array|null} line
 * @returns {AverageState}
 */
function averageOver(mean, count, weight, start, end, line) {
  let { value, norm } = start;
  for (let i = 0; i < end; i += 1) {
    const kept = weight ** count[i];
    value = kept * value + (1 - kept) * mean[i];
    norm = kept * norm + (1 - kept);
    if (line) line[i] = norm ? value / norm : mean[i];
  }
  return { value, norm };
}
