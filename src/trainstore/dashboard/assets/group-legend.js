// Groups of runs as the charts draw them: each with a colour of its own in all charts, and its name above them.
import { swatch } from "./chart-tip.js";
import { assignColours } from "./colours.js";
import { fill, h } from "./dom.js";

/** @typedef {import("./types.js").ShownRun} ShownRun */

/** @param {() => import("./chart-draw.js").Look} look */
export function groupLegend(look) {
  /** @type {Map<string, ShownRun>} */
  const known = new Map();
  const element = h("ul", { class: "chart-legend", hidden: true, "aria-label": "groups" });
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
    /** @param {boolean} grouped */
    show(grouped) {
      element.hidden = !grouped || !known.size;
      const groups = [...known.values()];
      fill(element, groups.map((group) => h("li", {}, swatch(group, look().runs[group.colour]), group.label)));
    },
    clear() {
      known.clear();
      element.hidden = true;
    },
  };
}
