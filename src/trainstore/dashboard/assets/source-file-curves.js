// The curves of a report: those that it was made with, on the axis and in the range that a chart asks for.
import { meanOfCurves } from "./mean.js";

/** @typedef {import("./types.js").Curve} Curve */
/** @typedef {{step: number, time: number, epoch: number|null}} PackedAxes  Numbers of arrays. */
/** @typedef {{attempt?: number, total: number, axes: number, count: number, mean: number, low: number, high: number, oddAxes: number, odd: number}} PackedCurve */

/**
 * @param {import("./embedded.js").Embedded} data
 * @param {import("./types.js").CurvesQuery} query
 * @returns {Curve[]}
 */
export function embeddedCurves(data, query) {
  const kept = query.attempts === "superseded" ? data.head.superseded : data.head.curves;
  /** @type {Curve[]} */
  const found = [];
  for (const run of query.runs) {
    for (const metric of query.metrics) {
      for (const packed of kept[run]?.[metric] ?? []) found.push(curveOf(data, run, metric, packed, query));
    }
  }
  return found;
}

/**
 * @param {import("./embedded.js").Embedded} data
 * @param {string} run
 * @param {string} metric
 * @param {PackedCurve} packed
 * @param {{x?: string, lo?: number|null, hi?: number|null}} query
 * @returns {Curve}
 */
function curveOf(data, run, metric, packed, { x = "step", lo, hi }) {
  const { attempt, total } = packed;
  const head = { run, metric, exact: true, generation: 0, last_step: data.head.runs[run].run.last_step ?? -1, total };
  const columns = [packed.mean, packed.low, packed.high, packed.count].map((number) => data.array(number));
  const [places, [mean, low, high, count]] = inOrder(acrossOf(data, run, packed.axes, x), columns, lo, hi);
  const [oddX, [odd]] = inOrder(acrossOf(data, run, packed.oddAxes, x), [data.array(packed.odd)], lo, hi);
  return { ...head, ...(attempt === undefined ? {} : { attempt }), x: places, mean, low, high, count, oddX, odd };
}

/**
 * Where the points of a curve are on an axis; NaN where they are nowhere.
 * @param {import("./embedded.js").Embedded} data
 * @param {string} run
 * @param {number} axes
 * @param {string} x
 * @returns {Float64Array}
 */
function acrossOf(data, run, axes, x) {
  /** @type {PackedAxes} */
  const packed = data.head.axes[axes];
  const steps = data.array(packed.step);
  if (x === "step") return steps;
  if (x === "epoch") return packed.epoch === null ? steps.map(() => NaN) : data.array(packed.epoch);
  // Times are kept in milliseconds since the run began.
  if (x === "relative") return data.array(packed.time).map((time) => time / 1000);
  const { started } = data.head.runs[run].run;
  if (x === "time") return data.array(packed.time).map((time) => started + time / 1000);
  /** @type {PackedCurve|undefined} */
  const other = data.head.curves[run]?.[x]?.[0];
  if (!other) return steps.map(() => NaN);
  return interpolated(steps, data.array(data.head.axes[other.axes].step), data.array(other.mean));
}

/**
 * Values between points, by straight lines; NaN before the first and behind the last.
 * @param {Float64Array} at  Ascending, as `x`.
 * @param {Float64Array} x
 * @param {Float64Array} y
 */
export function interpolated(at, x, y) {
  let next = 0;
  return at.map((place) => {
    while (next < x.length && x[next] < place) next += 1;
    if (x[next] === place) return y[next];
    if (next === 0 || next === x.length) return NaN;
    const share = (place - x[next - 1]) / (x[next] - x[next - 1]);
    return y[next - 1] + share * (y[next] - y[next - 1]);
  });
}

/**
 * The points that have a place between two ends, in the order of their places.
 * @param {Float64Array} across
 * @param {Float64Array[]} columns
 * @param {number|null|undefined} lo
 * @param {number|null|undefined} hi
 * @returns {[Float64Array, Float64Array[]]}
 */
function inOrder(across, columns, lo, hi) {
  const rows = [...across.keys()].filter(
    (row) => Number.isFinite(across[row]) && !(across[row] < (lo ?? -Infinity)) && !(across[row] > (hi ?? Infinity)),
  );
  rows.sort((a, b) => across[a] - across[b]);
  const chosen = (/** @type {Float64Array} */ column) => Float64Array.from(rows, (row) => column[row]);
  return [chosen(across), columns.map(chosen)];
}

/**
 * @param {import("./embedded.js").Embedded} data
 * @param {{group: any[], label: string, uids: string[]}[]} groups
 * @param {import("./types.js").GroupQuery} query
 * @returns {Curve[]}
 */
export function embeddedGroups(data, groups, query) {
  return groups.flatMap(({ group, label, uids }) => {
    const curves = embeddedCurves(data, { ...query, runs: uids, metrics: [query.metric], attempts: "current" });
    if (!curves.length) return [];
    const mean = meanOfCurves(curves, query.points ?? data.head.points, query.band ?? "std");
    return [{ ...mean, run: "", metric: query.metric, group, label, exact: true, runs: curves.length }];
  });
}
