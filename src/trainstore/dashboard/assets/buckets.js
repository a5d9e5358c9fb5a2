// Curves in buckets that grow while a run goes on, without being fetched again.

/** @typedef {import("./types.js").Curve} Curve */

const ARRAYS = /** @type {const} */ (["x", "mean", "low", "high", "count"]);

/**
 * The curve with later points at its end.
 * @param {Curve} curve
 * @param {ArrayLike<number>} x  Ascending.
 * @param {ArrayLike<number>} y
 * @param {number|undefined} from  Points of the curve from this x on are replaced.
 * @param {number} points  Above twice as many buckets, neighbours become one.
 * @returns {{curve: Curve, exact: boolean}} Not exact: a bucket of several points may have had to lose one, which needs a
 *   new read.
 */
export function withLater(curve, x, y, from, points) {
  let kept = curve.x.length;
  let exact = true;
  let first = 0;
  const start = from ?? (x.length ? x[0] : Infinity);
  while (kept && curve.x[kept - 1] >= start) {
    if (curve.count[kept - 1] > 1) {
      // Its last point comes again, and nothing tells what it was: the bucket stays as it is.
      exact = false;
      while (first < x.length && x[first] <= curve.x[kept - 1]) first += 1;
      break;
    }
    kept -= 1;
  }
  // A bucket stands at the mean of its points: some may be cut, unless the next one, a point, is where the cut is.
  const reaching = kept > 0 && kept < curve.x.length && curve.count[kept - 1] > 1;
  if (reaching && curve.x[kept] !== start) exact = false;
  let oddKept = curve.oddX.length;
  while (oddKept && curve.oddX[oddKept - 1] >= start) oddKept -= 1;
  const [newX, newY, oddX, odd] = Array.from({ length: 4 }, () => /** @type {number[]} */ ([]));
  for (let i = first; i < x.length; i += 1) {
    const finite = Number.isFinite(y[i]);
    (finite ? newX : oddX).push(x[i]);
    (finite ? newY : odd).push(y[i]);
  }
  const joined = {
    ...curve,
    x: joinedArray(curve.x, kept, newX),
    mean: joinedArray(curve.mean, kept, newY),
    low: joinedArray(curve.low, kept, newY),
    high: joinedArray(curve.high, kept, newY),
    count: joinedArray(curve.count, kept, newX.map(() => 1)),
    oddX: joinedArray(curve.oddX, oddKept, oddX),
    odd: joinedArray(curve.odd, oddKept, odd),
  };
  const shown = joined.odd.length > 2 * points ? { ...joined, ...thinned(joined, points) } : joined;
  return { curve: shown.x.length > 2 * points ? halved(shown) : shown, exact };
}

/**
 * So many of the points that are not finite, evenly, the first and the last among them.
 * @param {Curve} curve  Has more of them.
 * @param {number} points
 */
function thinned({ oddX, odd }, points) {
  const places = Array.from({ length: points }, (_, i) => Math.floor((i * (odd.length - 1)) / Math.max(1, points - 1)));
  const chosen = (/** @type {Float64Array} */ values) => Float64Array.from(places, (place) => values[place]);
  return { oddX: chosen(oddX), odd: chosen(odd) };
}

/**
 * @param {Float64Array} old
 * @param {number} kept
 * @param {number[]} more
 */
function joinedArray(old, kept, more) {
  const all = new Float64Array(kept + more.length);
  all.set(old.subarray(0, kept));
  all.set(more, kept);
  return all;
}

/**
 * Each two neighbours as one bucket: the mean by count, the lowest, the highest.
 * @param {Curve} curve
 * @returns {Curve}
 */
export function halved(curve) {
  const n = Math.ceil(curve.x.length / 2);
  const half = { ...curve };
  for (const name of ARRAYS) half[name] = new Float64Array(n);
  for (let i = 0; i < n; i += 1) {
    const a = 2 * i;
    const b = Math.min(a + 1, curve.x.length - 1);
    const [one, other] = [curve.count[a], b > a ? curve.count[b] : 0];
    const count = one + other;
    half.count[i] = count;
    half.mean[i] = (curve.mean[a] * one + curve.mean[b] * other) / count;
    half.low[i] = Math.min(curve.low[a], curve.low[b]);
    half.high[i] = Math.max(curve.high[a], curve.high[b]);
    // The last bucket stands where its last point does, as in what the server sends.
    half.x[i] = i === n - 1 ? curve.x[b] : (curve.x[a] * one + curve.x[b] * other) / count;
  }
  return half;
}

/**
 * How many points a curve has: the sum of its buckets' counts.
 * @param {Curve} curve
 */
export function pointsOf(curve) {
  let sum = 0;
  for (const count of curve.count) sum += count;
  return sum;
}
