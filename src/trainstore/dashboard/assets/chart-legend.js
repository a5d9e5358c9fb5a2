// What is drawn, above the charts: the runs, or groups of runs, each with a colour of its own in all charts.
import { swatch } from "./chart-tip.js";
import { assignColours } from "./colours.js";
import { fill, h } from "./dom.js";

/** @typedef {import("./types.js").ShownRun} ShownRun */

const MOST_IN_LEGEND = 40;

/** @param {() => import("./chart-draw.js").Look} look */
export function chartLegend(look) {
  /** @type {Map<string, ShownRun>} */
  const known = new Map();
  const element = h("ul", { class: "chart-legend", hidden: true });
  return {
    element,
    /**
     * How a group is drawn. A metric that one of them lacks does not change the others' colours.
     * @param {import("./types.js").Curve} curve
     * @returns {ShownRun}
     */
    of(curve) {
      const uid = String(curve.label);
      const old = known.get(uid);
      if (old) return old;
      const style = assignColours([...known.keys(), uid], known).get(uid) ?? { colour: 0, dash: 0 };
      const label = curve.runs === undefined ? uid : `${uid} (${curve.runs})`;
      const group = { uid, name: uid, status: "", label, ...style };
      known.set(uid, group);
      return group;
    },
    /**
     * @param {boolean} grouped
     * @param {ShownRun[]} runs
     */
    show(grouped, runs) {
      const all = grouped ? [...known.values()] : runs;
      const more = all.length - MOST_IN_LEGEND;
      element.hidden = !all.length;
      element.classList.toggle("of-runs", !grouped);
      element.setAttribute("aria-label", grouped ? "groups" : "runs");
      fill(
        element,
        all.slice(0, MOST_IN_LEGEND).map((one) => {
          return h("li", {}, swatch(one, look().runs[one.colour]), h("span", { class: "cut" }, one.label || one.name));
        }),
        more > 0 && h("li", { class: "muted" }, `and ${more} more`),
      );
    },
    clear() {
      known.clear();
      element.hidden = true;
    },
  };
}
