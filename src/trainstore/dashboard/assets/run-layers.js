// The tab Layers: gradient norms, and other metrics of a model's layers, as heat maps.
import { fill, h } from "./dom.js";
import { formatNumber } from "./format.js";
import { heatmap } from "./heatmap.js";
import { layerFamilies, layerGrid } from "./layer-grid.js";

/** @typedef {import("./types.js").RunDetail} RunDetail */

const LAYER_COLUMNS = 300;
const MOST_LAYERS = 400; // more would be a picture of thousands of pixels
const LAYERS_PAUSE = 10_000; // milliseconds between two requests of a run that goes on

/**
 * @param {RunDetail} detail
 * @returns {import("./layer-grid.js").Family[]}
 */
export function familiesOf({ summary, events }) {
  return layerFamilies(summary.map(({ metric }) => metric), events);
}

/**
 * @param {import("./types.js").Context} context
 * @param {string} uid
 * @returns {import("./run-panels.js").Panel}
 */
export function layersPanel({ source, state, meta }, uid) {
  const map = heatmap();
  const choice = h("select", { "aria-label": "Kind of layer metric" });
  const note = h("p", { class: "muted", role: "status" });
  const element = h("div", { class: "layers" }, h("div", { class: "row" }, choice), note, map.element);
  /** @type {RunDetail|null} */
  let detail = null;
  let [at, asked, isGone, number] = [-Infinity, NaN, false, 0];
  choice.addEventListener("change", () => state.set({ family: choice.value }, { push: true }));

  const load = async () => {
    if (!detail) return;
    const families = familiesOf(detail);
    const family = families.find(({ name }) => name === state.text("family")) ?? families[0];
    fill(choice, families.map(({ name }) => h("option", { value: name, selected: name === family?.name }, name)));
    choice.parentElement.hidden = families.length < 2;
    map.element.hidden = !family;
    if (!family) {
      note.textContent = "This run has no metrics of layers. GradLogger records the norms of their gradients.";
      return;
    }
    const layers = family.layers.slice(0, MOST_LAYERS);
    const mine = ++number;
    if (at === -Infinity) note.textContent = "Loading…";
    at = performance.now();
    try {
      const curves = await curvesOfLayers(layers.map(({ metric }) => metric));
      if (isGone || mine !== number) return;
      const grid = layerGrid({ ...family, layers }, curves, LAYER_COLUMNS);
      const left = family.layers.length - layers.length;
      note.textContent = left ? `The first ${formatNumber(layers.length)} of ${formatNumber(family.layers.length)} layers` : "";
      map.show(grid, family.name.replaceAll("_", " "));
    } catch (error) {
      if (isGone || mine !== number) return;
      note.textContent = `The layers cannot be read: ${/** @type {Error} */ (error).message}`;
    }
  };

  /** @param {string[]} metrics */
  const curvesOfLayers = async (metrics) => {
    const most = meta.limits.curves_metrics;
    const curves = [];
    for (let start = 0; start < metrics.length; start += most) {
      const query = { runs: [uid], metrics: metrics.slice(start, start + most), x: "step", points: LAYER_COLUMNS };
      curves.push(...(await source.curves({ ...query, exact: /** @type {const} */ (1) })));
    }
    return curves;
  };

  const stop = state.listen(["family"], load);
  return {
    element,
    update(next) {
      detail = next;
      const last = next.run.last_step ?? -1;
      const soon = next.run.status === "running" && performance.now() - at < LAYERS_PAUSE;
      if (last === asked || soon) return;
      asked = last;
      load();
    },
    dispose() {
      isGone = true;
      stop();
      map.dispose();
    },
  };
}
