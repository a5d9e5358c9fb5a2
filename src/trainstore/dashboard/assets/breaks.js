// Where a line is broken: on an axis of time nothing was recorded while a run did not run.

const PAUSE = 20; // so many times what usually lies between two points
const FEWEST = 3; // points from which on there is a usual

/** @type {WeakMap<Float64Array, number[]>} */
const pausesBefore = new WeakMap();

/**
 * The places of the points before which there is a pause.
 * @param {Float64Array} x  Ascending.
 * @returns {number[]}
 */
export function pausesIn(x) {
  const known = pausesBefore.get(x);
  if (known) return known;
  const gaps = Array.from({ length: Math.max(0, x.length - 1) }, (_, i) => x[i + 1] - x[i]);
  const median = Float64Array.from(gaps).sort()[gaps.length >> 1];
  const found = x.length < FEWEST ? [] : gaps.flatMap((gap, i) => (median > 0 && gap > PAUSE * median ? [i + 1] : []));
  pausesBefore.set(x, found);
  return found;
}

/**
 * The places of the first points after these x.
 * @param {Float64Array} x  Ascending.
 * @param {number[]} after
 * @returns {number[]} Ascending.
 */
export function placesAfter(x, after) {
  const places = after.map((at) => x.findIndex((one) => one > at)).filter((place) => place > 0);
  return [...new Set(places)].sort((a, b) => a - b);
}
