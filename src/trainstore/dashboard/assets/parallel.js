// Parallel coordinates: each run a line across axes. Axes are dragged into another order, ranges of them brushed.
import { axisText, filterOf, isInRange, jitterOf, placeOn, valueAt } from "./axes.js";
import { announce, fill, h } from "./dom.js";
import { axisHead, axisTicks } from "./parallel-axis.js";
import { isDark, plotHeight, rampColour } from "./ramp.js";

const TOP = 62;
const FOOT = 40; // room for runs without a value, below the axis
const AXIS_ROOM = 92; // pixels, at least
const SIDE = 74;
const BELOW = 18; // pixels below the axis where such runs pass

/** @typedef {import("./axes.js").Axis} Axis */
/**
 * @typedef {Object} ParallelOptions
 * @property {Axis[]} axes
 * @property {Axis|null} colour
 * @property {import("./types.js").ShownRun[]} runs  In the order of the axes' values.
 * @property {Map<string, [number, number]>} brushed  By axis, in values: ranges are kept when the plot is drawn anew.
 * @property {(ids: string[]) => void} onOrder
 * @property {(id: string) => void} onLog
 * @property {(filter: string) => void} onKeep
 * @property {(uid: string) => void} onOpen
 */

/**
 * @param {ParallelOptions} options
 * @returns {import("./types.js").Page}
 */
export function parallelPlot({ axes, colour, runs, brushed, onOrder, onLog, onKeep, onOpen }) {
  const HEIGHT = plotHeight();
  const canvas = h("canvas", { class: "parallel-lines", role: "img", tabindex: 0,
    "aria-label": `${runs.length} runs across ${axes.length} axes: ${axes.map((axis) => axis.label).join(", ")}. `
      + "↑ and ↓ go through the runs by the last axis, Enter opens one" });
  const overlay = h("div", { class: "parallel-axes" });
  const reading = h("p", { class: "parallel-reading muted small" }, "");
  const plot = h("div", { class: "parallel-plot", style: { height: `${HEIGHT}px` } }, canvas, overlay);
  const keep = h("button", { class: "primary", hidden: true, on: { click: () => onKeep(filterText()) } }, "");
  const clear = h("button", { hidden: true, on: { click: () => { for (const axis of axes) setRange(axis, null); drawAll(); } } }, "Clear ranges");
  plot.style.minWidth = `${axes.length * AXIS_ROOM}px`; // on a narrow page it scrolls
  const element = h("div", { class: "parallel" }, plot, h("div", { class: "row parallel-foot" }, keep, clear, reading));

  /** @type {Map<string, [number, number]>} */
  const ranges = new Map();
  for (const axis of axes) {
    const [low, high] = brushed.get(axis.id) ?? [];
    if (low !== undefined && high !== undefined) ranges.set(axis.id, [placeOn(axis, low), placeOn(axis, high)]);
  }
  const setRange = (/** @type {Axis} */ axis, /** @type {[number, number]|null} */ range) => {
    if (range) {
      ranges.set(axis.id, range);
      brushed.set(axis.id, [valueAt(axis, range[0]), valueAt(axis, range[1])]);
    } else {
      ranges.delete(axis.id);
      brushed.delete(axis.id);
    }
  };
  let near = -1;
  let width = 0;
  let frame = 0;
  const xOf = (/** @type {number} */ place) =>
    axes.length === 1 ? width / 2 : SIDE + (place * (width - 2 * SIDE)) / (axes.length - 1);
  const yOf = (/** @type {number} */ share) =>
    Number.isFinite(share) ? HEIGHT - FOOT - share * (HEIGHT - TOP - FOOT) : HEIGHT - FOOT + BELOW;
  /** Where each run crosses each axis. */
  const places = axes.map((axis) => Float64Array.from(axis.values, (value, row) => {
    const share = placeOn(axis, value);
    return axis.categories ? share + jitterOf(row, 0.5 / Math.max(3, axis.categories.length)) : share;
  }));
  const inRanges = (/** @type {number} */ row) => axes.every((axis) => {
    const range = ranges.get(axis.id);
    return !range || isInRange(axis, row, range);
  });
  const filterText = () => axes.filter((axis) => ranges.has(axis.id))
    .map((axis) => filterOf(axis, /** @type {[number, number]} */ (ranges.get(axis.id)))).join(" and ");

  function drawLines() {
    const ratio = devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(HEIGHT * ratio);
    const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    pen.scale(ratio, ratio);
    const dark = isDark();
    const chosen = [...runs.keys()].filter(inRanges);
    const few = runs.length <= 60;
    if (ranges.size) {
      pen.globalAlpha = few ? 0.18 : 0.06;
      for (const row of runs.keys()) if (!inRanges(row)) line(pen, row, dark ? "#8b95a1" : "#8f979f", 1);
    }
    pen.globalAlpha = few ? 0.9 : runs.length <= 500 ? 0.55 : 0.25;
    // The strongest last, so that they lie on top.
    const shares = chosen.map((row) => (colour ? placeOn(colour, colour.values[row]) : 0.6));
    for (const place of [...chosen.keys()].sort((a, b) => (shares[a] || -1) - (shares[b] || -1))) {
      line(pen, chosen[place], rampColour(shares[place], dark), few ? 1.6 : 1);
    }
    pen.globalAlpha = 1;
    if (near >= 0) line(pen, near, getComputedStyle(element).getPropertyValue("--text"), 2.5);
    keep.hidden = clear.hidden = ranges.size === 0;
    keep.textContent = `Keep these ${chosen.length} of ${runs.length} runs`;
    keep.disabled = chosen.length === 0;
  }

  function drawAll() {
    cancelAnimationFrame(frame);
    frame = 0;
    drawLines();
    const focus = /** @type {HTMLElement|null} */ (document.activeElement)?.dataset.axis;
    fill(overlay, ...axes.map((axis, place) => axisElement(axis, place)));
    for (const one of overlay.querySelectorAll("[data-axis]")) if (one.dataset.axis === focus) one.focus();
  }

  /**
   * @param {CanvasRenderingContext2D} pen
   * @param {number} row
   * @param {string} stroke
   * @param {number} thickness
   */
  function line(pen, row, stroke, thickness) {
    pen.strokeStyle = stroke;
    pen.lineWidth = thickness;
    pen.beginPath();
    for (let place = 0; place < axes.length; place += 1) pen.lineTo(xOf(place), yOf(places[place][row]));
    pen.stroke();
  }

  /**
   * @param {Axis} axis
   * @param {number} place
   */
  function axisElement(axis, place) {
    const range = ranges.get(axis.id);
    const missing = axis.values.some((value) => !Number.isFinite(value));
    const brush = h("div", { class: "parallel-brush", style: { top: `${TOP}px`, height: `${HEIGHT - TOP - FOOT}px` },
      tabindex: 0, role: "group", data: { axis: axis.id },
      "aria-label": `Range of ${axis.label}. ↑ raises its low end, ↓ lowers its high end, with shift back; Escape clears`,
      on: { pointerdown: (/** @type {PointerEvent} */ event) => startBrush(event, axis, brush),
        keydown: (/** @type {KeyboardEvent} */ event) => brushByKey(event, axis) } });
    if (range) {
      brush.append(h("div", { class: "parallel-range", style: { bottom: `${range[0] * 100}%`, top: `${(1 - range[1]) * 100}%` } }));
    }
    const ids = axes.map((one) => one.id);
    const move = (/** @type {number} */ to) => {
      if (to < 0 || to >= ids.length || to === place) return;
      ids.splice(to, 0, ids.splice(place, 1)[0]);
      onOrder(ids);
    };
    const room = axes.length > 1 ? Math.min(140, xOf(1) - xOf(0)) : 140;
    const at = { left: `${xOf(place)}px`, height: `${HEIGHT}px`, "--room": `${room}px` };
    return h("div", { class: "parallel-axis", style: at },
      axisHead({ axis, onMove: (by) => move(place + by), onLog: () => onLog(axis.id),
        onRemove: axes.length > 2 ? () => onOrder(ids.filter((id) => id !== axis.id)) : null,
        onDrop: (left) => move(nearest(place, left)) }),
      brush, ...axisTicks(axis, yOf),
      missing ? h("span", { class: "parallel-tick muted", style: { top: `${yOf(NaN)}px` } }, "none") : null);
  }

  /**
   * @param {number} place
   * @param {number} by  Pixels that the axis was dragged.
   */
  function nearest(place, by) {
    const at = xOf(place) + by;
    const distances = axes.map((_, other) => Math.abs(xOf(other) - at));
    return distances.indexOf(Math.min(...distances));
  }

  /**
   * @param {PointerEvent} event
   * @param {Axis} axis
   * @param {HTMLElement} brush
   */
  function startBrush(event, axis, brush) {
    event.preventDefault();
    const box = brush.getBoundingClientRect();
    const shareAt = (/** @type {PointerEvent} */ at) => Math.min(1, Math.max(0, 1 - (at.clientY - box.top) / box.height));
    const from = shareAt(event);
    const move = (/** @type {PointerEvent} */ at) => {
      const to = shareAt(at);
      // A click without a drag takes the range away; categories lie between their middles.
      setRange(axis, Math.abs(to - from) < 0.01 ? null : [Math.min(from, to), Math.max(from, to)]);
      frame ||= requestAnimationFrame(drawAll);
    };
    const end = (/** @type {PointerEvent} */ at) => {
      move(at);
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", end);
      drawAll();
      announce(keep.textContent ?? "");
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", end);
  }

  /**
   * @param {KeyboardEvent} event
   * @param {Axis} axis
   */
  function brushByKey(event, axis) {
    let [from, to] = ranges.get(axis.id) ?? [0, 1];
    const by = event.shiftKey ? -0.05 : 0.05;
    if (event.key === "ArrowUp") from = Math.min(to - 0.02, Math.max(0, from + by));
    else if (event.key === "ArrowDown") to = Math.max(from + 0.02, Math.min(1, to - by));
    else if (event.key !== "Escape") return;
    event.preventDefault();
    setRange(axis, event.key === "Escape" || (from === 0 && to === 1) ? null : [from, to]);
    drawAll();
    announce(keep.hidden ? "No range" : keep.textContent ?? "");
  }

  /** @param {PointerEvent} event */
  function hover(event) {
    const box = plot.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    read(nearestRun(x, y));
  }

  /** @param {number} row  -1: none. */
  function read(row) {
    if (row === near) return;
    near = row;
    reading.textContent = row < 0 ? "" : `${runs[row].label}: ${axes.map((axis) => `${axis.label} ${axisText(axis, row)}`).join(", ")}`;
    drawLines();
  }

  /** @param {KeyboardEvent} event */
  function readByKey(event) {
    const step = event.key === "ArrowUp" ? 1 : event.key === "ArrowDown" ? -1 : 0;
    if (event.key === "Enter" && near >= 0) onOpen(runs[near].uid);
    if (event.key === "Escape") read(-1);
    if (!step) return;
    event.preventDefault();
    const last = places[places.length - 1];
    const order = [...runs.keys()].filter(inRanges).sort((a, b) => yOf(last[b]) - yOf(last[a]));
    const now = order.indexOf(near);
    const next = now < 0 ? (step > 0 ? 0 : order.length - 1) : Math.min(order.length - 1, Math.max(0, now + step));
    read(order[next] ?? -1);
    announce(reading.textContent ?? "");
  }

  /**
   * @param {number} x
   * @param {number} y
   */
  function nearestRun(x, y) {
    let place = 0;
    while (place < axes.length - 2 && xOf(place + 1) < x) place += 1;
    if (axes.length < 2) return -1;
    const share = (x - xOf(place)) / (xOf(place + 1) - xOf(place));
    let [best, least] = [-1, 8];
    for (const row of runs.keys()) {
      if (!inRanges(row)) continue;
      const at = yOf(places[place][row]) * (1 - share) + yOf(places[place + 1][row]) * share;
      const distance = Math.abs(at - y);
      if (distance < least) [best, least] = [row, distance];
    }
    return best;
  }

  plot.addEventListener("pointermove", hover);
  plot.addEventListener("pointerleave", () => read(-1));
  canvas.addEventListener("keydown", readByKey);
  canvas.addEventListener("click", () => near >= 0 && onOpen(runs[near].uid));
  const sizes = new ResizeObserver(() => {
    const now = plot.clientWidth;
    if (now === width || now === 0) return;
    width = now;
    drawAll();
  });
  sizes.observe(plot);
  return {
    element,
    dispose() {
      cancelAnimationFrame(frame);
      sizes.disconnect();
    },
  };
}
