// Runs as points: any column against any other, with a colour and a size of further ones.
import { axisMarks, axisText, jitterOf, placeOn, rankCorrelation } from "./axes.js";
import { announce, fill, h } from "./dom.js";
import { formatNumber } from "./format.js";
import { drawRamp, isDark, plotHeight, rampColour } from "./ramp.js";

const LEFT = 76;
const RIGHT = 18;
const TOP_EDGE = 14;
const BOTTOM = 46;
const NEAR = 14; // pixels within which a point is meant

/** @typedef {import("./axes.js").Axis} Axis */

/**
 * @param {{x: Axis, y: Axis, colour: Axis|null, size: Axis|null, runs: import("./types.js").ShownRun[],
 *          onOpen: (uid: string) => void}} options
 * @returns {import("./types.js").Page}
 */
export function scatterPlot({ x, y, colour, size, runs, onOpen }) {
  const TALL = plotHeight();
  const rows = [...runs.keys()].filter((row) => Number.isFinite(x.values[row]) && Number.isFinite(y.values[row]));
  rows.sort((a, b) => x.values[a] - x.values[b]);
  const canvas = h("canvas", { class: "scatter-points", tabindex: 0, role: "img",
    "aria-label": `${y.label} against ${x.label}, ${rows.length} runs. ← and → go from run to run, Enter opens one` });
  const labels = h("div", { class: "scatter-labels" });
  const tip = h("div", { class: "scatter-tip popup small", hidden: true });
  const plot = h("div", { class: "scatter-plot", style: { height: `${TALL}px` } }, canvas, labels, tip);
  const element = h("div", { class: "scatter" }, summary(), colour ? legend(colour) : null, plot);
  let width = 0;
  let near = -1; // a place in rows
  const [xPlaces, yPlaces] = [spread(x, 0), spread(y, 7)];
  const xOf = (/** @type {number} */ row) => LEFT + inset(xPlaces[row]) * (width - LEFT - RIGHT);
  const yOf = (/** @type {number} */ row) => TALL - BOTTOM - inset(yPlaces[row]) * (TALL - TOP_EDGE - BOTTOM);

  function summary() {
    const { rho, n } = rankCorrelation(x.values, y.values);
    const told = x.categories || y.categories || Number.isNaN(rho) ? "" : `, rank correlation ${formatNumber(rho, 2)}`;
    const left = runs.length - rows.length;
    return h("p", { class: "muted small" }, `${n} runs${told}${left ? `; ${left} without one of the two values are not shown` : ""}`);
  }

  function draw() {
    const ratio = devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(TALL * ratio);
    const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    pen.scale(ratio, ratio);
    const dark = isDark();
    const style = getComputedStyle(element);
    grid(pen, style.getPropertyValue("--line"));
    rows.forEach((row, place) => {
      pen.globalAlpha = rows.length > 400 ? 0.6 : 0.9;
      pen.fillStyle = colour ? rampColour(placeOn(colour, colour.values[row]), dark) : style.getPropertyValue(`--run-${runs[row].colour}`);
      disc(pen, row, radiusOf(row));
      pen.fill();
      pen.globalAlpha = 1;
      pen.strokeStyle = style.getPropertyValue(place === near ? "--text" : "--bg");
      pen.lineWidth = place === near ? 2 : 1;
      pen.stroke();
    });
  }

  /** @param {number} row */
  function radiusOf(row) {
    const share = size ? placeOn(size, size.values[row]) : NaN;
    return Number.isFinite(share) ? 3 + Math.sqrt(share) * 9 : rows.length > 400 ? 3.5 : 5.5;
  }

  /**
   * @param {CanvasRenderingContext2D} pen
   * @param {number} row
   * @param {number} radius
   */
  function disc(pen, row, radius) {
    pen.beginPath();
    pen.arc(xOf(row), yOf(row), radius, 0, 2 * Math.PI);
  }

  /**
   * @param {CanvasRenderingContext2D} pen
   * @param {string} stroke
   */
  function grid(pen, stroke) {
    pen.strokeStyle = stroke;
    pen.lineWidth = 1;
    pen.beginPath();
    for (const { place } of axisMarks(x, Math.max(2, Math.floor(width / 110)))) {
      const at = Math.round(LEFT + inset(place) * (width - LEFT - RIGHT)) + 0.5;
      pen.moveTo(at, TOP_EDGE);
      pen.lineTo(at, TALL - BOTTOM);
    }
    for (const { place } of axisMarks(y, 8)) {
      const at = Math.round(TALL - BOTTOM - inset(place) * (TALL - TOP_EDGE - BOTTOM)) + 0.5;
      pen.moveTo(LEFT, at);
      pen.lineTo(width - RIGHT, at);
    }
    pen.stroke();
  }

  function drawLabels() {
    const below = axisMarks(x, Math.max(2, Math.floor(width / 110))).map(({ place, label }) =>
      h("span", { class: "scatter-x cut", style: { left: `${LEFT + inset(place) * (width - LEFT - RIGHT)}px` } }, label));
    const beside = axisMarks(y, 8).map(({ place, label }) =>
      h("span", { class: "scatter-y cut", style: { top: `${TALL - BOTTOM - inset(place) * (TALL - TOP_EDGE - BOTTOM)}px` } }, label));
    fill(labels, ...below, ...beside,
      h("span", { class: "scatter-x-name" }, `${x.label}${x.log ? " (log)" : ""}`),
      h("span", { class: "scatter-y-name" }, `${y.label}${y.log ? " (log)" : ""}`));
  }

  /** @param {number} place  In rows; -1: none. */
  function show(place) {
    if (place === near) return;
    near = place;
    draw();
    tip.hidden = near < 0;
    if (near < 0) return;
    const row = rows[near];
    const shown = [x, y, colour, size].filter((axis, at, all) => axis && all.indexOf(axis) === at);
    fill(tip, h("strong", {}, runs[row].label), ...shown.map((axis) =>
      h("div", {}, `${/** @type {Axis} */ (axis).label}: ${axisText(/** @type {Axis} */ (axis), row)}`)));
    const [left, top] = [xOf(row), yOf(row)];
    tip.style.left = `${left > width - 240 ? left - tip.offsetWidth - 14 : left + 14}px`;
    tip.style.top = `${Math.max(0, Math.min(TALL - tip.offsetHeight, top - 20))}px`;
  }

  canvas.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
    const distances = rows.map((row) => Math.hypot(xOf(row) - event.offsetX, yOf(row) - event.offsetY));
    const least = Math.min(...distances);
    show(least <= NEAR ? distances.indexOf(least) : -1);
  });
  canvas.addEventListener("pointerleave", () => show(-1));
  canvas.addEventListener("click", () => near >= 0 && onOpen(runs[rows[near]].uid));
  canvas.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "ArrowRight") show(Math.min(rows.length - 1, near + 1));
    else if (event.key === "ArrowLeft") show(Math.max(0, near - 1));
    else if (event.key === "Escape") show(-1);
    else if (event.key === "Enter" && near >= 0) return onOpen(runs[rows[near]].uid);
    else return undefined;
    event.preventDefault();
    announce(tip.hidden ? "" : [...tip.children].map((child) => child.textContent).join(", "));
    return undefined;
  });
  const sizes = new ResizeObserver(() => {
    if (plot.clientWidth === width || plot.clientWidth === 0) return;
    width = plot.clientWidth;
    draw();
    drawLabels();
  });
  sizes.observe(plot);
  return { element, dispose: () => sizes.disconnect() };
}

/**
 * The places of all runs on an axis, those of one category beside each other.
 * @param {Axis} axis
 * @param {number} shift  So that two axes do not move the same run alike.
 */
function spread(axis, shift) {
  const wide = axis.categories ? 0.5 / Math.max(2, axis.categories.length) : 0;
  return Float64Array.from(axis.values, (value, row) => placeOn(axis, value) + jitterOf(row * (shift + 1) + shift, wide));
}

/**
 * A little room at both ends, so that no point lies on the frame.
 * @param {number} share
 */
function inset(share) {
  return 0.06 + share * 0.88;
}

/**
 * What the colours mean.
 * @param {Axis} axis
 */
export function legend(axis) {
  const strip = h("canvas", { width: 160, height: 10, class: "ramp", "aria-hidden": "true" });
  drawRamp(strip, isDark());
  const ends = axis.categories ? [axis.categories[0], axis.categories.at(-1)] : [formatNumber(axis.low), formatNumber(axis.high)];
  return h("div", { class: "row small legend" }, h("span", { class: "muted" }, `${axis.label}:`), ends[0] ?? "", strip, ends[1] ?? "",
    axis.log ? h("span", { class: "muted" }, "(log)") : null);
}
