// The short stretch of line by which a run is known in tables, legends and tips: its colour and its dash.
import { DASHES, colourOf } from "./colours.js";
import { h } from "./dom.js";

/**
 * @param {{colour: number, dash: number}} run
 * @returns {SVGElement}
 */
export function runLine({ colour, dash }) {
  return h("svg", { class: "run-line", width: 22, height: 8, viewBox: "0 0 22 8", "aria-hidden": "true" },
    h("line", { x1: 1, y1: 4, x2: 21, y2: 4, "stroke-width": 2.5, "stroke-dasharray": DASHES[dash].join(" ") || null,
      style: { stroke: `var(${colourOf(colour)})` } }));
}
