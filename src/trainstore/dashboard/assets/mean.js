// Curves of several runs as one: their mean, and a band around it; groups.py says the same in Python.

/** @typedef {{x: Float64Array, mean: Float64Array, low: Float64Array, high: Float64Array, count: Float64Array, oddX: Float64Array, odd: Float64Array, runs: number}} MeanCurve */

/**
 * @param {{x: Float64Array, mean: Float64Array, count: Float64Array}[]} curves  Each run counts the same.
 * @param {number} points  At most so many places.
 * @param {string} band  "std", "sem" or "range".
 * @returns {MeanCurve}
 */
export function meanOfCurves(curves, points, band) {
  const full = curves.filter((curve) => curve.x.length);
  const every = Float64Array.from(new Set(full.flatMap((curve) => [...curve.x]))).sort();
  const parts = partsOf(every, points);
  const sums = parts.places.map(() => /** @type {number[]} */ ([]));
  for (const curve of full) {
    for (const [part, value] of valuesInParts(curve, parts)) sums[part].push(value);
  }
  const kept = [...parts.places.keys()].filter((part) => sums[part].length);
  const across = (/** @type {(part: number) => number} */ of) => Float64Array.from(kept, of);
  const means = sums.map((values) => values.reduce((sum, value) => sum + value, 0) / values.length);
  const edge = (/** @type {number} */ part, /** @type {number} */ side) => {
    const values = sums[part];
    if (band === "range") return side < 0 ? Math.min(...values) : Math.max(...values);
    const squares = values.reduce((sum, value) => sum + (value - means[part]) ** 2, 0);
    const width = Math.sqrt(squares / Math.max(values.length - 1, 1));
    return means[part] + (side * width) / (band === "sem" ? Math.sqrt(values.length) : 1);
  };
  return {
    x: across((part) => parts.places[part]),
    mean: across((part) => means[part]),
    low: across((part) => edge(part, -1)),
    high: across((part) => edge(part, 1)),
    count: across((part) => sums[part].length),
    oddX: new Float64Array(),
    odd: new Float64Array(),
    runs: full.length,
  };
}

/**
 * Where a group has values: at each x, or, if there are too many, in parts of the same width.
 * @param {Float64Array} every  All x, ascending, each once.
 * @param {number} points
 * @returns {{places: number[], partOf: (x: number) => number}}
 */
function partsOf(every, points) {
  if (every.length <= points) {
    const places = new Map([...every].map((x, nr) => [x, nr]));
    return { places: [...every], partOf: (x) => places.get(x) ?? 0 };
  }
  const [first, last] = [every[0], every[every.length - 1]];
  const partOf = (/** @type {number} */ x) =>
    Math.min(points - 1, Math.max(0, Math.floor(((x - first) / (last - first)) * points)));
  const sums = new Float64Array(points);
  const counts = new Float64Array(points);
  for (const x of every) {
    sums[partOf(x)] += x;
    counts[partOf(x)] += 1;
  }
  const middle = (/** @type {number} */ part) => first + ((part + 0.5) * (last - first)) / points;
  return { places: [...sums].map((sum, part) => (counts[part] ? sum / counts[part] : middle(part))), partOf };
}

/**
 * A curve's value in each part where it has one: the mean of its points there.
 * @param {{x: Float64Array, mean: Float64Array, count: Float64Array}} curve
 * @param {{partOf: (x: number) => number}} parts
 * @returns {Map<number, number>}
 */
function valuesInParts(curve, { partOf }) {
  /** @type {Map<number, [number, number]>} */
  const found = new Map();
  curve.x.forEach((x, nr) => {
    const part = partOf(x);
    const [sum, count] = found.get(part) ?? [0, 0];
    found.set(part, [sum + curve.mean[nr] * curve.count[nr], count + curve.count[nr]]);
  });
  return new Map([...found].map(([part, [sum, count]]) => [part, sum / count]));
}
