// What differs between runs, as a table: a row for each fact, a column for each run, one of which may be the baseline.
import { failedRead } from "./compare-controls.js";
import { fill, h } from "./dom.js";
import { formatNumber } from "./format.js";
import { GROUP_TITLES } from "./picker-tree.js";
import { runLine } from "./run-line.js";
import { numberOf } from "./wire.js";

const MOST_COMPARED = 50;
const DIFF_GROUPS = { ...GROUP_TITLES, metric: "Metrics, last values", attempt: "Versions" };

/**
 * @param {{source: import("./types.js").Source, state: import("./router.js").State,
 *          runs: import("./types.js").ShownRun[]}} options
 * @returns {import("./types.js").Page}
 */
export function diffView({ source, state, runs }) {
  const body = h("div", { class: "diff-body" }, h("p", { class: "loading" }, "Comparing…"));
  const everything = h("input", { type: "checkbox", checked: state.flag("same"), on: {
    change: () => state.set({ same: everything.checked }, { push: true }),
  } });
  const tools = h("div", { class: "row diff-tools" },
    h("label", { class: "row" }, everything, "also what is the same"),
    h("span", { class: "muted small" }, "Choose a baseline to see the others against it."));
  const element = h("div", { class: "diff" }, tools, body);
  const shown = runs.slice(0, MOST_COMPARED);
  let asked = 0;
  /** @type {import("./types.js").Table|null} */
  let table = null;

  const draw = () => table && fill(body, ...drawDiff(table, shown, runs.length, state));
  const load = async () => {
    const mine = (asked += 1);
    everything.checked = state.flag("same");
    try {
      const found = await source.compare(shown.map((run) => run.uid), state.flag("same"));
      if (mine !== asked) return;
      table = found;
      draw();
    } catch (error) {
      if (mine === asked) fill(body, failedRead("The runs cannot be compared", error, load));
    }
  };
  const stops = [state.listen(["same"], load), state.listen(["baseline"], draw)];
  load();
  return { element, dispose: () => { asked += 1; for (const stop of stops) stop(); } };
}

/**
 * @param {import("./types.js").Table} table
 * @param {import("./types.js").ShownRun[]} runs
 * @param {number} all
 * @param {import("./router.js").State} state
 */
function drawDiff(table, runs, all, state) {
  const keys = /** @type {string[]} */ (table.columns[0]?.values ?? []);
  if (!keys.some(isTold)) return [h("p", { class: "empty" }, "Nothing that is recorded of these runs differs.")];
  const columns = new Map(table.columns.slice(1).map((column) => [column.id, column.values]));
  const baseline = runs.find((run) => run.uid === state.text("baseline"))?.uid ?? "";
  const head = h("tr", {}, h("th", { scope: "col" }, h("span", { class: "visually-hidden" }, "What")), ...runs.map((run) => diffHead(run, baseline, state)));
  /** @type {HTMLElement[]} */
  const rows = [];
  let group = "";
  keys.forEach((key, place) => {
    if (!isTold(key)) return;
    const next = diffGroup(key);
    if (next !== group) rows.push(h("tr", { class: "diff-group" }, h("th", { colspan: runs.length + 1, scope: "colgroup" }, next)));
    group = next;
    const base = baseline ? columns.get(baseline)?.[place] ?? null : undefined;
    const cells = runs.map((run) => diffCell(columns.get(run.uid)?.[place] ?? null, base, key, run.uid === baseline));
    rows.push(h("tr", {}, h("th", { scope: "row", title: key }, diffLabel(key)), ...cells));
  });
  const note = all > runs.length ? h("p", { class: "muted" }, `The first ${runs.length} of ${all} runs.`) : null;
  return [note, h("div", { class: "diff-scroll", tabindex: 0, role: "region", "aria-label": "What differs" },
    h("table", {}, h("thead", {}, head), h("tbody", {}, ...rows)))];
}

/**
 * @param {import("./types.js").ShownRun} run
 * @param {string} baseline
 * @param {import("./router.js").State} state
 */
function diffHead(run, baseline, state) {
  const on = run.uid === baseline;
  const choose = () => state.set({ baseline: on ? "" : run.uid }, { push: true });
  return h("th", { scope: "col" },
    h("div", { class: "row diff-head" }, runLine(run), h("a", { class: "cut grow", href: state.link("run", run.uid), title: run.label }, run.label)),
    h("button", { class: "small plain", "aria-pressed": String(on), title: "Show the others against this run",
      on: { click: choose } }, on ? "baseline ✓" : "baseline"));
}

/**
 * The headings say the names.
 * @param {string} key
 */
function isTold(key) {
  return key !== "name";
}

/** @param {string} key */
function diffGroup(key) {
  const [first, rest] = key.split(/\.(.*)/s);
  return rest ? DIFF_GROUPS[/** @type {keyof typeof DIFF_GROUPS} */ (first)] ?? "Run" : "Run";
}

/** @param {string} key */
function diffLabel(key) {
  return diffGroup(key) === "Run" ? key : key.replace(/^(hp|metric|mth|dbh|tag|env|attempt\.versions|attempt)\./, "");
}

/**
 * @param {any} value
 * @param {any} base  undefined: there is no baseline.
 * @param {string} key
 * @param {boolean} isMeasure
 */
function diffCell(value, base, key, isMeasure) {
  const text = diffText(value);
  const number = typeof value === "number";
  const other = base !== undefined && !isMeasure && JSON.stringify(value) !== JSON.stringify(base);
  const against = other && number && typeof base === "number" ? againstText(value, base, key) : "";
  return h("td", { class: `${number ? "number " : ""}${other ? "other" : ""}`, title: number ? String(value) : text },
    h("span", { class: "cut" }, text), against ? h("span", { class: "against" }, against) : null);
}

/** @param {any} value */
function diffText(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return formatNumber(value, 5);
  return typeof value === "string" ? value : JSON.stringify(value);
}

/**
 * A number against that of the baseline: settings as a multiple, results as a difference.
 * @param {number} value
 * @param {number} base
 * @param {string} key
 */
export function againstText(value, base, key) {
  if (!Number.isFinite(numberOf(value)) || !Number.isFinite(base)) return "";
  if (!key.startsWith("metric.") && base !== 0 && value / base > 0) return `×${formatNumber(value / base, 3)}`;
  const difference = value - base;
  return `${difference > 0 ? "+" : ""}${formatNumber(difference, 3)}`;
}
