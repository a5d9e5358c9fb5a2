// From curves and options to all that a chart shows: its lines, scales, marks, and what must be said about them.
import { pointsOf } from "./buckets.js";
import { pausesIn, placesAfter } from "./breaks.js";
import { firstNotBelow, visible } from "./chart-draw.js";
import { averageBefore, FEWEST_TO_SMOOTH, smoothedLine } from "./ema.js";
import { makeScale, roomyRange } from "./scale.js";

/** @typedef {import("./types.js").Curve} Curve */
/** @typedef {import("./chart-draw.js").Line} Line */
/** @typedef {import("./chart-draw.js").Picture} Picture */
/** @typedef {[number, number]} Range */
/**
 * @typedef {Object} ChartOptions
 * @property {string} axis
 * @property {number|null} smooth  null: the usual.
 * @property {boolean} logx
 * @property {boolean} logy
 * @property {number|null} ymin
 * @property {number|null} ymax
 */
/** @typedef {{whole: Curve, part: Curve|null, run: import("./types.js").ShownRun, band: boolean, old: boolean}} DrawnCurve */

export const USUAL_SMOOTHING = 0.6;
const SMOOTHED_ABOVE = 500; // points
const ONLY_SMOOTHED_ABOVE_RUNS = 100;
/** @type {Record<string, import("./scale.js").ScaleKind>} */
const KINDS = { step: "whole", time: "time", relative: "duration" }; // of x axes
const AXIS_ROOM = 20; // pixels
const LANE = 11; // pixels: a row of signs

/** @type {WeakMap<Curve, {weight: number, whole: Curve, line: Float64Array}>} */
const smoothedBefore = new WeakMap();

/**
 * The weight of a smoothing that nobody has chosen.
 * @param {{whole: Curve, band: boolean}[]} curves
 */
export function usualSmoothing(curves) {
  return curves.some(({ whole, band }) => (band ? whole.x.length : pointsOf(whole)) > SMOOTHED_ABOVE) ? USUAL_SMOOTHING : 0;
}

/**
 * @param {DrawnCurve[]} curves
 * @param {number} weight
 * @param {string} [axis]
 * @param {Map<string, number[]>} [ends]  Of attempts.
 * @returns {{lines: Line[], short: number}} short: how many have too few points to be smoothed.
 */
export function linesOf(curves, weight, axis = "step", ends = new Map()) {
  let short = 0;
  const lines = curves.map(({ whole, part, run, band, old }) => {
    const { x, mean, low, high, count, oddX, odd } = part ?? whole;
    const few = (band ? whole.x.length : pointsOf(whole)) < FEWEST_TO_SMOOTH;
    if (weight > 0 && few && !old) short += 1;
    const smooth = weight > 0 && !few ? smoothOf(part ?? whole, whole, weight, band) : null;
    const known = old ? undefined : ends.get(run.uid);
    const breaks = !["time", "relative"].includes(axis) || band ? [] : known ? placesAfter(x, known) : pausesIn(x);
    return { run, x, mean, low, high, count, oddX, odd, band, old, smooth, breaks };
  });
  return { lines, short };
}

/**
 * @param {Curve} curve
 * @param {Curve} whole
 * @param {number} weight
 * @param {boolean} band  Its counts are runs, not points.
 */
function smoothOf(curve, whole, weight, band) {
  const known = smoothedBefore.get(curve);
  if (known && known.weight === weight && known.whole === whole) return known.line;
  const ones = (/** @type {Curve} */ one) => (band ? { ...one, count: one.count.map(() => 1) } : one);
  const start = curve === whole || !curve.x.length ? undefined : averageBefore(ones(whole), weight, curve.x[0]);
  const line = smoothedLine(curve.mean, ones(curve).count, weight, start);
  smoothedBefore.set(curve, { weight, whole, line });
  return line;
}

/**
 * The ends of x: of all points, finite or not; on a log axis of those above 0.
 * @param {DrawnCurve[]} curves
 * @param {boolean} log
 * @returns {Range}
 */
export function wholeRange(curves, log) {
  let [low, high] = [Infinity, -Infinity];
  for (const { whole } of curves) {
    for (const x of [whole.x, whole.oddX]) {
      const first = log ? firstNotBelow(x, Number.MIN_VALUE) : 0;
      if (first >= x.length) continue;
      low = Math.min(low, x[first]);
      high = Math.max(high, x[x.length - 1]);
    }
  }
  return roomyRange(low, high, log, 0.01);
}

/**
 * The ends of x that are drawn: a log axis has no place for a zoom's part at 0 and below.
 * @param {Range|null} zoom
 * @param {Range} whole
 * @param {boolean} log
 * @returns {Range}
 */
function drawnRange(zoom, whole, log) {
  if (!zoom || !log || zoom[0] > 0) return zoom ?? whole;
  return zoom[1] > whole[0] ? [whole[0], zoom[1]] : whole;
}

/**
 * The ends of y, of what is drawn between two x.
 * @param {Line[]} lines
 * @param {Range} across
 * @param {boolean} log
 * @returns {{range: Range|null, hidden: number}} hidden: values that a log axis has no place for.
 */
export function rangeOfValues(lines, across, log) {
  let [low, high, hidden] = [Infinity, -Infinity, 0];
  const many = lines.length > ONLY_SMOOTHED_ABOVE_RUNS;
  for (const line of lines) {
    const [first, last] = visible(line.x, across[0], across[1]);
    const few = lines.length <= 10 || line.band;
    const drawn = many && line.smooth ? line.smooth : null;
    for (let i = first; i < last; i += 1) {
      let bottom = drawn ? drawn[i] : few ? line.low[i] : line.mean[i];
      const top = drawn ? drawn[i] : few ? line.high[i] : line.mean[i];
      if (log && bottom <= 0) {
        if (line.mean[i] <= 0) hidden += line.count[i];
        if (top <= 0) continue;
        bottom = line.mean[i] > 0 ? line.mean[i] : top;
      }
      if (bottom < low) low = bottom;
      if (top > high) high = top;
    }
  }
  return { range: low <= high ? [low, high] : null, hidden };
}

/**
 * @param {Object} input
 * @param {DrawnCurve[]} input.curves
 * @param {ChartOptions} input.options
 * @param {Range|null} input.zoom  Of x.
 * @param {number} input.width
 * @param {number} input.height
 * @param {number} input.head  Pixels that stay free above.
 * @param {string} input.xLabel
 * @param {import("./chart-draw.js").Look} input.look
 * @param {(text: string) => number} input.measure  The width of a text.
 * @param {import("./chart-draw.js").Span[]} input.spans
 * @param {import("./chart-draw.js").PointMark[]} input.points
 * @param {Map<string, number[]>} [input.ends]
 * @param {number} input.ratio  Device pixels to a CSS pixel; 0 for a picture on paper.
 * @returns {{picture: Picture, notes: string[], weight: number}}
 */
export function composePicture({ curves, options, zoom, width, height, head, xLabel, look, measure, spans, points, ends, ratio }) {
  const weight = options.smooth ?? usualSmoothing(curves);
  const { lines, short } = linesOf(curves, weight, options.axis, ends);
  const across = drawnRange(zoom, wholeRange(curves, options.logx), options.logx);
  const { range, hidden } = rangeOfValues(lines, across, options.logy);
  const odd = oddities(lines, across);
  const top = head + 8 + (odd.head ? LANE : 0);
  const bottom = height - AXIS_ROOM;
  const [low, high] = yRange(range, options);
  const foot = (odd.foot ? LANE : 0) + (points.length ? LANE : 0);
  const over = spans.some((span) => span.kind === "attempt") ? LANE + 3 : 0;
  const lanes = { top: top - LANE / 2, odd: bottom - LANE / 2 - 1, points: bottom - foot + LANE / 2, spans: top + 2 };
  const y = range || options.ymin !== null || options.ymax !== null
    ? makeScale(options.logy ? "log" : "linear", low, high, bottom - foot, top + over)
    : null;
  const labels = y ? y.ticks(Math.max(2, Math.floor((bottom - top) / 38))).map((tick) => measure(tick.label)) : [];
  const left = Math.ceil(Math.max(24, ...labels)) + 10;
  const plot = { left, top, right: width - 10, bottom };
  const x = makeScale(options.logx ? "log" : KINDS[options.axis] ?? "linear", across[0], across[1], plot.left, plot.right);
  const picture = { width, height, plot, x, y, xLabel, lines, spans, points, lanes, look, ratio };
  return { picture, notes: notesOf(lines, short, hidden, odd, y === null), weight };
}

/**
 * @param {Range|null} range  Of the values.
 * @param {ChartOptions} options
 * @returns {Range}
 */
function yRange(range, { ymin, ymax, logy }) {
  const [low, high] = roomyRange(range?.[0] ?? NaN, range?.[1] ?? NaN, logy, 0.05);
  const from = ymin !== null && (!logy || ymin > 0) ? ymin : low;
  const to = ymax !== null && (!logy || ymax > 0) ? ymax : high;
  return from < to ? [from, to] : [low, high];
}

/**
 * @param {Line[]} lines
 * @param {Range} across
 */
function oddities(lines, across) {
  const found = { nan: 0, infinite: 0, foot: false, head: false };
  for (const { oddX, odd } of lines) {
    for (let i = 0; i < odd.length; i += 1) {
      if (oddX[i] < across[0] || oddX[i] > across[1]) continue;
      if (Number.isNaN(odd[i])) found.nan += 1;
      else found.infinite += 1;
      if (odd[i] > 0) found.head = true;
      else found.foot = true;
    }
  }
  return found;
}

/**
 * What a reader must know to read it rightly.
 * @param {Line[]} lines
 * @param {number} short
 * @param {number} hidden
 * @param {{nan: number, infinite: number}} odd
 * @param {boolean} empty
 */
function notesOf(lines, short, hidden, odd, empty) {
  const notes = [];
  const few = `fewer than ${FEWEST_TO_SMOOTH} points: not smoothed`;
  if (short) notes.push(short === lines.length ? few : `${short} of ${lines.length} curves have ${few}`);
  if (hidden) notes.push(`${hidden} value${hidden > 1 ? "s" : ""} of 0 and below left out of the log axis`);
  const nan = odd.nan ? "× NaN" : "";
  const infinite = odd.infinite ? "▲▼ infinite" : "";
  if (nan || infinite) notes.push([nan, infinite].filter(Boolean).join(", "));
  if (empty && (odd.nan || odd.infinite)) notes.push("no value is finite");
  return notes;
}

/**
 * Where a value of one axis lies on another, by a curve that is known over both.
 * @param {ArrayLike<number>} from  Ascending.
 * @param {ArrayLike<number>} to
 * @param {number} value
 */
export function carriedOver(from, to, value) {
  const n = Math.min(from.length, to.length);
  if (!n) return NaN;
  const right = Math.min(firstNotBelow(from, value), n - 1);
  const left = Math.max(0, right - 1);
  if (value <= from[0]) return to[0];
  if (value >= from[n - 1]) return to[n - 1];
  const width = from[right] - from[left];
  return width > 0 ? to[left] + ((to[right] - to[left]) * (value - from[left])) / width : to[right];
}
