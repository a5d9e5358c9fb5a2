// What stands beside a point of a chart: the values of the nearest runs.
import { firstNotBelow } from "./chart-draw.js";
import { fill, h } from "./dom.js";
import { formatDuration, formatNumber, formatTime } from "./format.js";
import { runLine } from "./run-line.js";

/** @typedef {import("./chart-draw.js").Picture} Picture */
/** @typedef {import("./chart-draw.js").Line} Line */
/** @typedef {{line: Line, i: number, distance: number}} Reading */

const TIP_RUNS = 8;
const REACH = 12; // pixels: a line that ended further away has no value there

/**
 * The point of each line that is nearest to x, as it is drawn.
 * @param {Line[]} lines
 * @param {import("./scale.js").Scale} across
 * @param {number} x
 * @param {(line: Line, i: number) => number} distance  NaN: the point has no place in the chart.
 * @returns {Reading[]} The nearest lines first.
 */
export function readingsAt(lines, across, x, distance) {
  const at = across.pixel(x);
  /** @type {Reading[]} */
  const found = [];
  for (const line of lines) {
    if (!line.x.length) continue;
    const right = Math.min(firstNotBelow(line.x, x), line.x.length - 1);
    const before = right > 0 && at - across.pixel(line.x[right - 1]) < across.pixel(line.x[right]) - at;
    const i = before ? right - 1 : right;
    const away = distance(line, i);
    found.push({ line, i, distance: Number.isNaN(away) ? Infinity : away });
  }
  return found.sort((a, b) => (a.distance === b.distance ? 0 : a.distance - b.distance)); // Infinity - Infinity is NaN
}

/**
 * Whether a line has a value at x: not where it ended long before, or begins long after.
 * @param {Reading} reading  Its nearest point.
 * @param {import("./scale.js").Scale} across
 * @param {number} x
 */
export function reaches({ line, i }, across, x) {
  const beyond = across.pixel(x) - across.pixel(line.x[i]);
  return (i > 0 || beyond >= -REACH) && (i < line.x.length - 1 || beyond <= REACH);
}

/** @param {Reading} reading */
export function readValue({ line, i }) {
  return (line.smooth ?? line.mean)[i];
}

/**
 * @param {string} axis
 * @param {number} value
 */
export function formatAxisValue(axis, value) {
  if (axis === "step") return formatNumber(Math.round(value));
  if (axis === "time") return formatTime(value);
  if (axis === "relative") return formatDuration(value);
  return formatNumber(value, 6);
}

/**
 * @param {HTMLElement} tip
 * @param {Picture} shown
 * @param {Reading[]} readings  The nearest first.
 * @param {string} axis
 * @param {[string, string][]} facts  Of the nearest point: other axes, and where it stands there.
 */
export function showTip(tip, shown, readings, axis, facts) {
  const before = tipPlace(tip); // read before anything changes: a layout each time would be slow
  const near = readings.slice(0, TIP_RUNS);
  const nearest = near[0];
  const x = nearest.line.x[nearest.i];
  const at = shown.x.pixel(x);
  const rows = [...near].sort((a, b) => readValue(b) - readValue(a)).map((reading) => tipRow(reading, nearest));
  const smooth = near.some((reading) => reading.line.smooth);
  const heads = h("tr", {}, h("td"), h("td"), h("th", { scope: "col" }, "smoothed"), h("th", { scope: "col" }, "value"));
  fill(
    tip,
    h("dl", {}, [[shown.xLabel, formatAxisValue(axis, x)], ...facts].map(([name, value]) =>
      h("div", {}, h("dt", {}, name), h("dd", {}, value)),
    )),
    h("table", {}, smooth && heads, rows),
    readings.length > near.length && h("p", { class: "muted" }, `the nearest ${near.length} of ${readings.length}`),
  );
  tip.hidden = false;
  const { low, high, wide, tall } = before ?? /** @type {TipPlace} */ (tipPlace(tip));
  const left = at + 14 + wide <= high ? at + 14 : at - 14 - wide;
  tip.style.left = `${Math.max(low, Math.min(left, high - wide))}px`;
  tip.style.top = `${Math.max(0, Math.min(shown.plot.top, shown.height - tall))}px`;
}

/** @typedef {{low: number, high: number, wide: number, tall: number}} TipPlace */

/**
 * How large a tip is, and between which ends it may stand: beyond its panel it would be cut off.
 * @param {HTMLElement} tip
 * @returns {TipPlace|null} null: it is not shown.
 */
function tipPlace(tip) {
  if (tip.hidden) return null;
  const plot = /** @type {HTMLElement} */ (tip.parentElement);
  const full = tip.closest(".chart-full");
  const panel = /** @type {HTMLElement} */ (full ?? tip.closest(".charts") ?? plot).getBoundingClientRect();
  const { left } = plot.getBoundingClientRect();
  return { low: panel.left - left + 2, high: panel.right - left - 2, wide: tip.offsetWidth, tall: tip.offsetHeight };
}

/**
 * @param {Reading} reading
 * @param {Reading} nearest
 */
function tipRow(reading, nearest) {
  const { line, i } = reading;
  const several = line.count[i] > 1 || line.band;
  const range = several ? ` ${formatNumber(line.low[i], 3)} … ${formatNumber(line.high[i], 3)}` : "";
  return h(
    "tr",
    { class: reading === nearest ? "nearest" : null },
    h("td", {}, runLine(line.run)),
    h("td", { class: "cut chart-tip-name" }, line.run.label || line.run.name),
    line.smooth && h("td", { class: "number" }, formatNumber(line.smooth[i])),
    h("td", { class: "number" }, formatNumber(line.mean[i]), h("span", { class: "muted" }, range)),
  );
}
