// A line between two parts that is dragged, or moved by the arrow keys.
import { h } from "./dom.js";

const STEP = 2; // percent a key
const LEAST = 20; // percent
const MOST = 80;

/**
 * @param {number} start  Percent of the width that the left part has.
 * @param {(percent: number, done: boolean) => void} move
 */
export function divider(start, move) {
  let percent = Math.min(MOST, Math.max(LEAST, start));
  const element = h("div", {
    class: "divider",
    role: "separator",
    tabindex: 0,
    "aria-orientation": "vertical",
    "aria-label": "Width of the table",
    "aria-valuemin": LEAST,
    "aria-valuemax": MOST,
  });
  const set = (/** @type {number} */ next, /** @type {boolean} */ done) => {
    percent = Math.min(MOST, Math.max(LEAST, next));
    element.setAttribute("aria-valuenow", String(Math.round(percent)));
    move(percent, done);
  };
  element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const step = event.key === "ArrowLeft" ? -STEP : event.key === "ArrowRight" ? STEP : 0;
    if (!step) return;
    event.preventDefault();
    set(percent + step, true);
  });
  element.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
    element.setPointerCapture(event.pointerId);
    event.preventDefault();
    element.focus({ preventScroll: true });
    const box = element.parentElement.getBoundingClientRect();
    const drag = (/** @type {PointerEvent} */ moved) => set(((moved.clientX - box.left) / box.width) * 100, false);
    const end = () => {
      element.removeEventListener("pointermove", drag);
      set(percent, true);
    };
    element.addEventListener("pointermove", drag);
    element.addEventListener("pointerup", end, { once: true });
    element.addEventListener("pointercancel", end, { once: true });
  });
  set(percent, false);
  return element;
}
