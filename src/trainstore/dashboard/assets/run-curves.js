// The tabs Curves and System: a run's charts, with its attempts, checkpoints and events on their axes.
import { chartPanel } from "./charts.js";
import { runColours } from "./colours.js";
import { h } from "./dom.js";
import { layerOf } from "./layer-grid.js";
import { marksOfRun } from "./run-marks.js";
import { signal } from "./signals.js";

/** @typedef {import("./types.js").RunDetail} RunDetail */

const equalJson = (/** @type {any} */ a, /** @type {any} */ b) => JSON.stringify(a) === JSON.stringify(b);
const SYSTEM = "system/";

/**
 * The metrics of the tab Curves: those without a tab of their own.
 * @param {RunDetail} detail
 * @returns {string[]}
 */
export function curveMetrics({ summary }) {
  return summary.map(({ metric }) => metric).filter((metric) => !metric.startsWith(SYSTEM) && !layerOf(metric));
}

/**
 * The metrics of the machine.
 * @param {RunDetail} detail
 * @returns {string[]}
 */
export function systemMetrics({ summary }) {
  return summary.map(({ metric }) => metric).filter((metric) => metric.startsWith(SYSTEM));
}

/**
 * @param {{run: RunDetail["run"]}} detail
 * @returns {import("./types.js").ShownRun}
 */
export function shownRun({ run: { uid, name, status } }) {
  const { colour, dash } = /** @type {{colour: number, dash: number}} */ (runColours([uid]).get(uid));
  return { uid, name, status, label: name, colour, dash };
}

/**
 * @param {import("./types.js").Context} context
 * @param {(detail: RunDetail) => string[]} choose  The metrics.
 * @param {boolean} [compact]
 * @returns {import("./run-panels.js").Panel}
 */
export function curvesPanel({ source, state, live }, choose, compact = false) {
  const element = h("div", { class: "run-curves" });
  const runs = signal(/** @type {import("./types.js").ShownRun[]} */ ([]), equalJson);
  const metrics = signal(/** @type {string[]} */ ([]), equalJson);
  const marks = signal(/** @type {Record<string, import("./chart-content.js").Marks>} */ ({}), equalJson);
  /** @type {import("./types.js").Page|null} */
  let panel = null;
  return {
    element,
    update(detail) {
      metrics.set(choose(detail));
      marks.set({ [detail.run.uid]: marksOfRun(detail) });
      runs.set([shownRun(detail)]);
      if (panel) return;
      panel = chartPanel({ source, state, runs, metrics, marks, live, compact });
      element.append(panel.element);
    },
    dispose: () => panel?.dispose(),
  };
}
