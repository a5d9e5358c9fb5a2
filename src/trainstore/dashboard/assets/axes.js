// Axes for comparing runs: any column of the run table as places between 0 and 1. Pure.
import { spelledValue } from "./filter-words.js";
import { formatCell, formatNumber } from "./format.js";
import { ticksOf } from "./scale.js";
import { numberOf } from "./wire.js";

/**
 * @typedef {Object} Axis
 * @property {string} id
 * @property {string} label
 * @property {import("./types.js").Kind} kind
 * @property {string[]|null} categories  In their order; null if the values are numbers.
 * @property {Float64Array} values  A number or the place of a category; NaN if missing.
 * @property {number} low   Of the finite values; NaN if there are none.
 * @property {number} high
 * @property {number[]} few  The different values, ascending, if a few were chosen from; else none.
 * @property {boolean} canLog  All values are above 0.
 * @property {boolean} log
 */

const WIDE = 50; // from this ratio on, numbers above 0 are better told apart by their logarithm
const WIDE_OF_FEW = 8; // the same for a few chosen values, such as 32, 64, 128 and 256
const FEW = 10;
const CLOSE = 0.03; // labels closer than this would lie on each other
const MOST_CATEGORIES = 40;
const ROUNDING = 1e-9; // of places

/**
 * @param {import("./types.js").Column} column
 * @param {string} label
 * @param {boolean} [log]  undefined: as the values ask for.
 * @returns {Axis}
 */
export function axisOf(column, label, log) {
  const numeric = column.kind === "number" || column.kind === "time" || column.kind === "duration";
  const categories = numeric ? null : categoriesOf(column.values);
  const values = Float64Array.from(column.values, (cell) =>
    categories ? (cell === null ? NaN : categories.indexOf(String(cell))) : numberOf(cell),
  );
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high) low = high = NaN;
  const canLog = column.kind === "number" && low > 0;
  const different = categories ? [] : [...new Set(values)].filter(Number.isFinite);
  const some = values.filter(Number.isFinite).length;
  const few = different.length <= FEW && 2 * different.length <= some ? different.sort((a, b) => a - b) : [];
  return {
    id: column.id, label, kind: column.kind, categories, values, low, high, few, canLog,
    log: canLog && (log ?? high / low >= (few.length ? WIDE_OF_FEW : WIDE)),
  };
}

/**
 * Texts in their order, numbers among them by size.
 * @param {import("./types.js").Cell[]} cells
 */
function categoriesOf(cells) {
  const texts = [...new Set(cells.filter((cell) => cell !== null).map(String))];
  return texts.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
}

/**
 * Whether an axis tells runs apart well enough to be drawn.
 * @param {Axis} axis
 */
export function isDrawable(axis) {
  return axis.categories ? axis.categories.length <= MOST_CATEGORIES : Number.isFinite(axis.low);
}

/**
 * Where a value stands: 0 at the low end, 1 at the high end; NaN if it has no place.
 * @param {Axis} axis
 * @param {number} value
 */
export function placeOn(axis, value) {
  if (!Number.isFinite(value)) return NaN;
  if (axis.categories) return (value + 0.5) / axis.categories.length; // in the middle of a band
  if (axis.high === axis.low) return 0.5;
  if (axis.log) return Math.log(value / axis.low) / Math.log(axis.high / axis.low);
  return (value - axis.low) / (axis.high - axis.low);
}

/**
 * The value at a place.
 * @param {Axis} axis
 * @param {number} place
 */
export function valueAt(axis, place) {
  if (axis.categories) return place * axis.categories.length - 0.5;
  if (axis.log) return axis.low * (axis.high / axis.low) ** place;
  return axis.low + place * (axis.high - axis.low);
}

/**
 * A little to one side, the same for the same run: runs of one category would hide each other.
 * @param {number} index
 * @param {number} width
 */
export function jitterOf(index, width) {
  return (((index * 0.618033988749895) % 1) - 0.5) * width;
}

/**
 * Whether a run lies in a brushed range of an axis. A range that has been turned into values and back counts as the same.
 * @param {Axis} axis
 * @param {number} row
 * @param {[number, number]} range  Of places, ascending.
 */
export function isInRange(axis, row, [from, to]) {
  const at = placeOn(axis, axis.values[row]);
  return at >= from - ROUNDING && at <= to + ROUNDING;
}

/**
 * The part of a filter that a brushed range of an axis stands for: it holds for the runs in the range, and no others.
 * @param {Axis} axis
 * @param {[number, number]} range  Of places, ascending. There are runs in it.
 */
export function filterOf(axis, range) {
  const inside = axis.values.filter((_, row) => isInRange(axis, row, range)).sort();
  const { categories } = axis;
  if (categories) {
    const chosen = [...new Set(inside)].map((place) => categories[place]);
    if (axis.kind !== "boolean") return `${axis.id} in (${chosen.map(spelledValue).join(", ")})`;
    const either = chosen.map((text) => `${axis.id} = ${text}`).join(" or ");
    return chosen.length > 1 ? `(${either})` : either;
  }
  const spelled = axis.kind === "time" ? isoTime : axis.kind === "duration" ? wholeMicroseconds : String;
  return `${axis.id} >= ${spelled(inside[0])} and ${axis.id} <= ${spelled(inside[inside.length - 1])}`;
}

/**
 * Times are recorded in microseconds.
 * @param {number} seconds
 */
function isoTime(seconds) {
  const micros = Math.round(seconds * 1e6);
  const rest = ((micros % 1e6) + 1e6) % 1e6;
  const whole = new Date((micros - rest) / 1000).toISOString().slice(0, 19);
  return `"${whole}.${String(rest).padStart(6, "0")}Z"`;
}

/**
 * A difference of two times in seconds since 1970, which float64 does not have to the microsecond.
 * @param {number} seconds
 */
function wholeMicroseconds(seconds) {
  return String(Math.round(seconds * 1e6) / 1e6);
}

/**
 * Spearman's rank correlation of the pairs that are both finite; ties share the mean of their ranks.
 * @param {Float64Array} a
 * @param {Float64Array} b
 * @returns {{rho: number, n: number}}  NaN with fewer than 3 pairs, or if one side is constant.
 */
export function rankCorrelation(a, b) {
  const both = [...a.keys()].filter((row) => Number.isFinite(a[row]) && Number.isFinite(b[row]));
  const n = both.length;
  if (n < 3) return { rho: NaN, n };
  const [x, y] = [meanRanks(both.map((row) => a[row])), meanRanks(both.map((row) => b[row]))];
  const middle = (n + 1) / 2;
  let [xy, xx, yy] = [0, 0, 0];
  for (let i = 0; i < n; i += 1) {
    xy += (x[i] - middle) * (y[i] - middle);
    xx += (x[i] - middle) ** 2;
    yy += (y[i] - middle) ** 2;
  }
  return { rho: xx && yy ? xy / Math.sqrt(xx * yy) : NaN, n };
}

/** @param {number[]} values */
function meanRanks(values) {
  const order = [...values.keys()].sort((i, j) => values[i] - values[j]);
  const ranks = new Array(values.length).fill(0);
  for (let from = 0; from < order.length; ) {
    let to = from;
    while (to + 1 < order.length && values[order[to + 1]] === values[order[from]]) to += 1;
    for (let i = from; i <= to; i += 1) ranks[order[i]] = (from + to) / 2 + 1;
    from = to + 1;
  }
  return ranks;
}

/**
 * The axes to begin with: the hyperparameters that vary, then the metric by which runs are judged.
 * @param {import("./types.js").ColumnInfo[]} infos
 * @param {number} most
 */
export function usualAxes(infos, most) {
  const varying = infos.filter((info) => info.varies && info.filled > 1);
  // A nested value has columns of its own for what is in it.
  const facts = varying.filter((info) => ["hp", "mth", "dbh"].includes(info.group) && info.kind !== "json");
  const told = facts.filter((info) => info.kind === "number" || info.kind === "boolean" || info.distinct <= 12);
  const metrics = varying.filter((info) => info.group === "metric");
  const judge = judgeOf(metrics);
  const chosen = told.sort((a, b) => b.filled - a.filled).slice(0, judge ? most - 1 : most);
  return [...chosen.map((info) => info.id), ...(judge ? [judge.id] : [])];
}

const JUDGES = [/^(eval|val|valid|validation|test)[_/.]?loss$/, /(eval|val|valid|validation|test).*loss/, /^(eval|val).*acc/, /loss/];

/**
 * @param {import("./types.js").ColumnInfo[]} metrics
 * @returns {import("./types.js").ColumnInfo|undefined}
 */
export function judgeOf(metrics) {
  for (const pattern of JUDGES) {
    const found = metrics.filter((info) => pattern.test(info.label)).sort((a, b) => b.filled - a.filled);
    if (found.length) return found[0];
  }
  return metrics[0];
}

/**
 * Where an axis has marks, and what they say.
 * @param {Axis} axis
 * @param {number} count  Of marks, about.
 * @returns {{place: number, label: string}[]}
 */
export function axisMarks(axis, count) {
  if (axis.categories) {
    const every = Math.ceil(axis.categories.length / Math.max(1, count));
    const marks = axis.categories.map((label, at) => ({ place: placeOn(axis, at), label: label || "(empty)" }));
    return marks.filter((_, at) => at % every === 0);
  }
  if (axis.few.length && axis.kind === "number") {
    const marks = axis.few.map((value) => ({ place: placeOn(axis, value), label: formatNumber(value) }));
    return marks.filter(({ place }, at) => at === 0 || place - marks[at - 1].place >= CLOSE);
  }
  if (!Number.isFinite(axis.low)) return [];
  const kind = axis.log ? "log" : axis.kind === "time" || axis.kind === "duration" ? axis.kind : "linear";
  return ticksOf(kind, axis.low, axis.high, count)
    .filter(({ value }) => value >= axis.low && value <= axis.high)
    .map(({ value, label }) => ({ place: placeOn(axis, value), label }));
}

/**
 * The value of a run on an axis, as text.
 * @param {Axis} axis
 * @param {number} row
 */
export function axisText(axis, row) {
  const value = axis.values[row];
  if (Number.isNaN(value)) return "none";
  if (axis.categories) return axis.categories[value];
  return axis.kind === "number" ? formatNumber(value) : formatCell(value, axis.kind);
}
