// What is drawn, above the charts: the runs, or groups of runs, each with a colour of its own in all charts.
import { assignColours } from "./colours.js";
import { fill, h } from "./dom.js";
import { formatNumber } from "./format.js";
import { groupKey } from "./order.js";
import { runLine } from "./run-line.js";
import { signal } from "./signals.js";

/** @typedef {import("./types.js").ShownRun} ShownRun */
/** @typedef {import("./signals.js").Signal<Map<string, ShownRun>>} GroupStyles  By `groupKey`; none without groups. */

const MOST_IN_LEGEND = 40;

/**
 * What the runs of a group have in common, as the table says it: "lr = 0.001, optimizer = adamw".
 * @param {string[]} by  Ids of columns.
 * @param {import("./types.js").Curve} curve
 */
export function groupName(by, { group = [], label = "" }) {
  if (!by.length || group.length !== by.length) return label;
  const text = (/** @type {import("./types.js").Cell} */ cell) =>
    cell === null ? "none" : typeof cell === "number" ? formatNumber(cell) : String(cell);
  return by.map((id, place) => `${id.replace(/^(hp|tag|mth|dbh|env)\./, "")} = ${text(group[place])}`).join(", ");
}

/**
 * @param {() => string[]} by  The columns that runs are grouped by.
 */
export function chartLegend(by) {
  /** @type {Map<string, ShownRun>} */
  const known = new Map();
  /** @type {Map<string, ShownRun>} */
  let byKey = new Map();
  /** @type {GroupStyles} */
  const styles = signal(byKey);
  const element = h("ul", { class: "chart-legend", hidden: true });
  return {
    element,
    styles,
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
      const name = groupName(by(), curve);
      const label = curve.runs === undefined ? name : `${name} (${curve.runs})`;
      const group = { uid, name, status: "", label, ...style };
      known.set(uid, group);
      byKey = new Map([...byKey, [groupKey(curve.group ?? []), group]]);
      return group;
    },
    /**
     * @param {boolean} grouped
     * @param {ShownRun[]} runs
     */
    show(grouped, runs) {
      const all = grouped ? [...known.values()] : runs;
      styles.set(byKey);
      const more = all.length - MOST_IN_LEGEND;
      element.hidden = !all.length;
      element.classList.toggle("of-runs", !grouped);
      element.setAttribute("aria-label", grouped ? "groups" : "runs");
      fill(
        element,
        all.slice(0, MOST_IN_LEGEND).map((one) => {
          return h("li", {}, runLine(one), h("span", { class: "cut" }, one.label || one.name));
        }),
        more > 0 && h("li", { class: "muted" }, `and ${more} more`),
      );
    },
    /**
     * Above the charts, or in the one that fills the screen.
     * @param {HTMLElement} sections  The charts.
     * @param {string} full  Its metric, or "".
     */
    place(sections, full) {
      const charts = /** @type {HTMLElement[]} */ ([...sections.querySelectorAll(".chart")]);
      const filled = full ? charts.filter(({ dataset }) => dataset.metric === full).at(-1) : null;
      if (filled) filled.append(element);
      else if (sections.previousElementSibling !== element) sections.before(element);
    },
    clear() {
      known.clear();
      byKey = new Map();
      styles.set(byKey);
      element.hidden = true;
    },
  };
}
