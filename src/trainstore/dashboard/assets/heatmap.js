// A grid of layers and steps in colours, with a reading under the pointer or the keys.
import { announce, fill, h } from "./dom.js";
import { formatNumber } from "./format.js";
import { heatColour, placeOnRamp } from "./layer-grid.js";
import { ticksOf } from "./scale.js";

/** @typedef {import("./layer-grid.js").LayerGrid} LayerGrid */

const HEAT_SHADES = Array.from({ length: 64 }, (_, place) => heatColour(place / 63));
const HEAT_FOOT = 34; // pixels under the grid: ticks and the name of the axis
const HEAT_WIDEST = 220;

/** @returns {{element: HTMLElement, show: (grid: LayerGrid, what: string) => void, dispose: () => void}} */
export function heatmap() {
  const canvas = h("canvas", { "aria-hidden": "true" });
  const reading = h("p", { class: "heat-reading" });
  const frame = h("div", { class: "heat-frame", tabindex: "0", role: "group" }, canvas);
  const legend = h("div", { class: "heat-legend" });
  const element = h("div", { class: "heatmap" }, legend, frame, reading);
  /** @type {LayerGrid|null} */
  let grid = null;
  /** @type {{row: number, column: number}|null} */
  let cursor = null;
  let [what, left, plotWidth, rowHeight] = ["", 0, 0, 0];

  const draw = () => {
    if (!grid || !frame.clientWidth) return;
    const style = getComputedStyle(frame);
    const colour = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
    const rows = grid.labels.length;
    rowHeight = Math.max(6, Math.min(24, Math.floor(560 / rows)));
    const [width, height] = [frame.clientWidth, rows * rowHeight + HEAT_FOOT];
    const ratio = window.devicePixelRatio || 1;
    Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    canvas.style.height = `${height}px`;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.font = `11px ${style.fontFamily}`;
    const widest = Math.max(...grid.labels.map((label) => pen.measureText(label).width));
    left = Math.ceil(Math.min(widest, HEAT_WIDEST, width * 0.4)) + 10;
    plotWidth = width - left - 1;
    paintCells(pen, grid, colour);
    paintLabels(pen, grid, colour);
    if (cursor) paintCursor(pen, grid, cursor, colour);
  };

  /** The pixels between which a column lies. */
  const columnEdges = (/** @type {LayerGrid} */ { steps }, /** @type {number} */ column) => {
    const size = plotWidth / steps.length;
    return [left + column * size, size];
  };

  const paintCells = (/** @type {any} */ pen, /** @type {LayerGrid} */ shown, /** @type {(name: string) => string} */ colour) => {
    const { steps, values, odd, low, high, labels } = shown;
    pen.fillStyle = colour("--panel");
    pen.fillRect(left, 0, plotWidth, labels.length * rowHeight);
    for (let place = 0; place < values.length; place += 1) {
      const [row, column] = [Math.floor(place / steps.length), place % steps.length];
      const [x, size] = columnEdges(shown, column);
      const y = row * rowHeight;
      if (!Number.isNaN(values[place])) {
        const ramp = placeOnRamp(values[place], low, high);
        pen.fillStyle = ramp === null ? colour("--edge") : HEAT_SHADES[Math.round(ramp * 63)];
        pen.fillRect(x, y, Math.max(size + 0.5, 1), rowHeight - (rowHeight > 9 ? 1 : 0));
      }
      if (odd.has(place)) paintCross(pen, x + size / 2, y + rowHeight / 2, colour("--bad"));
    }
  };

  const paintLabels = (/** @type {any} */ pen, /** @type {LayerGrid} */ shown, /** @type {(name: string) => string} */ colour) => {
    const { labels, steps } = shown;
    pen.fillStyle = colour("--muted");
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    const every = Math.ceil(12 / rowHeight);
    labels.forEach((label, row) => {
      if (row % every === 0) pen.fillText(cutToWidth(pen, label, left - 10), left - 6, row * rowHeight + rowHeight / 2);
    });
    pen.textAlign = "center";
    const foot = labels.length * rowHeight + 10;
    const [first, last] = [steps[0], steps[steps.length - 1]];
    let free = left;
    for (const tick of ticksOf("linear", first, last, Math.max(2, Math.floor(plotWidth / 90)))) {
      const column = nearestColumn(steps, tick.value);
      const [x, size] = columnEdges(shown, column);
      const half = pen.measureText(tick.label).width / 2;
      const at = Math.min(x + size / 2, left + plotWidth - half);
      if (at - half < free) continue;
      pen.fillText(tick.label, at, foot);
      free = at + half + 8;
    }
    pen.fillText("step", left + plotWidth / 2, foot + 15);
  };

  const paintCursor = (
    /** @type {any} */ pen, /** @type {LayerGrid} */ shown, /** @type {{row: number, column: number}} */ at,
    /** @type {(name: string) => string} */ colour,
  ) => {
    const [x, size] = columnEdges(shown, at.column);
    for (const [line, width] of [[colour("--bg"), 4], [colour("--text"), 2]]) {
      pen.strokeStyle = line;
      pen.lineWidth = width;
      pen.strokeRect(x - 1, at.row * rowHeight - 0.5, Math.max(size, 3) + 2, rowHeight);
    }
  };

  /** @param {{row: number, column: number}|null} next @param {boolean} [say] */
  const moveTo = (next, say = false) => {
    cursor = next;
    const text = grid && cursor ? readingOf(grid, cursor) : "";
    fill(reading, text || `Move over the colours, or through them with the arrow keys, to read ${what}.`);
    if (say && text) announce(text);
    draw();
  };

  frame.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
    if (!grid) return;
    const box = frame.getBoundingClientRect();
    const row = Math.floor((event.clientY - box.top) / rowHeight);
    const column = Math.floor(((event.clientX - box.left - left) / plotWidth) * grid.steps.length);
    const inside = row >= 0 && row < grid.labels.length && column >= 0 && column < grid.steps.length;
    moveTo(inside ? { row, column } : null);
  });
  frame.addEventListener("pointerleave", () => moveTo(null));
  frame.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (!grid?.steps.length) return;
    const { row, column } = cursor ?? { row: 0, column: grid.steps.length - 1 };
    const last = { row: grid.labels.length - 1, column: grid.steps.length - 1 };
    const moves = {
      ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1], ArrowUp: [row - 1, column],
      ArrowDown: [row + 1, column], Home: [row, 0], End: [row, last.column],
      PageUp: [0, column], PageDown: [last.row, column],
    }; // prettier-ignore
    const to = moves[/** @type {keyof typeof moves} */ (event.key)];
    if (!to) return;
    event.preventDefault();
    const within = (/** @type {number} */ value, /** @type {number} */ most) => Math.min(most, Math.max(0, value));
    const first = cursor === null;
    moveTo(first ? { row, column } : { row: within(to[0], last.row), column: within(to[1], last.column) }, true);
  });
  const sizes = new ResizeObserver(draw);
  sizes.observe(frame);
  const themes = new MutationObserver(draw);
  themes.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });

  return {
    element,
    show(next, name) {
      const isSame = grid?.labels.length === next.labels.length && grid?.steps.length === next.steps.length;
      grid = next;
      what = name;
      frame.setAttribute("aria-label", `${name} of ${next.labels.length} layers at ${next.steps.length} steps`);
      fill(legend, heatLegend(next, name));
      moveTo(isSame ? cursor : null);
    },
    dispose() {
      sizes.disconnect();
      themes.disconnect();
    },
  };
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {number} x
 * @param {number} y
 * @param {string} colour
 */
function paintCross(pen, x, y, colour) {
  pen.strokeStyle = colour;
  pen.lineWidth = 2;
  pen.beginPath();
  for (const side of [-1, 1]) {
    pen.moveTo(x - 3, y - 3 * side);
    pen.lineTo(x + 3, y + 3 * side);
  }
  pen.stroke();
}

/**
 * A label that fits, without its beginning: layers differ in their ends.
 * @param {CanvasRenderingContext2D} pen
 * @param {string} text
 * @param {number} width
 */
function cutToWidth(pen, text, width) {
  let cut = text;
  while (cut.length > 3 && pen.measureText(cut).width > width) cut = `…${cut.slice(2)}`;
  return cut;
}

/**
 * @param {Float64Array} steps
 * @param {number} step
 */
function nearestColumn(steps, step) {
  let best = 0;
  steps.forEach((value, place) => {
    if (Math.abs(value - step) < Math.abs(steps[best] - step)) best = place;
  });
  return best;
}

/**
 * @param {LayerGrid} grid
 * @param {{row: number, column: number}} at
 */
function readingOf({ labels, steps, values, odd }, { row, column }) {
  const place = row * steps.length + column;
  const strange = odd.get(place);
  const value = strange ?? values[place];
  const text = strange === undefined && Number.isNaN(value) ? "not measured" : formatNumber(value);
  return `${labels[row]}, step ${formatNumber(Math.round(steps[column]))}: ${text}`;
}

/**
 * @param {LayerGrid} grid
 * @param {string} name
 */
function heatLegend({ low, high, odd }, name) {
  const strip = h("canvas", { width: HEAT_SHADES.length, height: 1, class: "heat-strip", "aria-hidden": "true" });
  const pen = strip.getContext("2d");
  HEAT_SHADES.forEach((shade, place) => {
    pen.fillStyle = shade;
    pen.fillRect(place, 0, 1, 1);
  });
  const cross = odd.size ? h("span", {}, h("span", { class: "bad" }, "× "), "NaN or infinite") : null;
  return [h("span", {}, name), h("span", { class: "muted" }, formatNumber(low, 3)), strip,
    h("span", { class: "muted" }, formatNumber(high, 3)), h("span", { class: "muted" }, "logarithmic"), cross]; // prettier-ignore
}
