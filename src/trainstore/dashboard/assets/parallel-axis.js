// One axis of parallel coordinates: its head, by which it is moved, and its ticks.
import { axisMarks } from "./axes.js";
import { h } from "./dom.js";

const MOST_TICKS = 14; // categories that are named

/**
 * The name of an axis. Dragging it, or the arrow keys, move the axis; L changes to a log scale, Delete takes it out.
 * @param {{axis: import("./axes.js").Axis, onMove: (by: number) => void, onDrop: (pixels: number) => void,
 *          onLog: () => void, onRemove: (() => void)|null}} options
 */
export function axisHead({ axis, onMove, onDrop, onLog, onRemove }) {
  const hint = `${axis.label}. Drag, or ← and →: move${axis.canLog ? "; L: log scale" : ""}${onRemove ? "; Delete: take out" : ""}`;
  const head = h("button", { class: "parallel-head plain cut", title: hint, "aria-label": hint,
    on: { keydown: act, pointerdown: drag } }, axis.label);
  const tools = h("div", { class: "parallel-tools" },
    axis.canLog ? h("button", { class: "plain small", "aria-pressed": String(axis.log), "aria-label": `${axis.label}: log scale`,
      on: { click: onLog } }, "log") : null,
    onRemove ? h("button", { class: "plain small", "aria-label": `Take ${axis.label} out`, on: { click: onRemove } }, "×") : null);

  /** @param {KeyboardEvent} event */
  function act(event) {
    if (event.key === "ArrowLeft") onMove(-1);
    else if (event.key === "ArrowRight") onMove(1);
    else if (event.key === "l" && axis.canLog) onLog();
    else if (event.key === "Delete" && onRemove) onRemove();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {PointerEvent} event */
  function drag(event) {
    const from = event.clientX;
    const whole = /** @type {HTMLElement} */ (head.closest(".parallel-axis"));
    const move = (/** @type {PointerEvent} */ at) => { whole.style.transform = `translateX(${at.clientX - from}px)`; };
    const end = (/** @type {PointerEvent} */ at) => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", end);
      whole.style.transform = "";
      if (Math.abs(at.clientX - from) > 8) onDrop(at.clientX - from);
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", end);
  }
  return h("div", { class: "parallel-title" }, head, tools);
}

/**
 * @param {import("./axes.js").Axis} axis
 * @param {(share: number) => number} yOf
 * @returns {HTMLElement[]}
 */
export function axisTicks(axis, yOf) {
  return axisMarks(axis, axis.categories ? MOST_TICKS : 6).map(({ place, label }) => tickElement(label, yOf(place)));
}

/**
 * @param {string} text
 * @param {number} y
 */
function tickElement(text, y) {
  return h("span", { class: "parallel-tick", style: { top: `${y}px` }, title: text }, text);
}
