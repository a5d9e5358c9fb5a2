// Several runs against each other: what differs, parallel coordinates, scatter, and their curves.
import { axisOf, isDrawable, judgeOf, usualAxes } from "./axes.js";
import { metricNames } from "./chart-parts.js";
import { chartPanel } from "./charts.js";
import { runColours } from "./colours.js";
import { diffView } from "./diff.js";
import { fill, h } from "./dom.js";
import { axisChoice, failedRead } from "./compare-controls.js";
import { parallelPlot } from "./parallel.js";
import { heldRows } from "./rows.js";
import { runLine } from "./run-line.js";
import { legend, scatterPlot } from "./scatter.js";
import { chosenFilter, runLabels } from "./selection.js";
import { signal } from "./signals.js";

const COMPARE_VIEWS = { diff: "Differences", parallel: "Parallel coordinates", scatter: "Scatter", curves: "Curves" };
const MOST_RUNS = 5000;
const NEWEST = 10; // compared if none are chosen
const MOST_AXES = 8;

/** @typedef {import("./types.js").Page} Page */
/** @typedef {{runs: import("./types.js").ShownRun[], columns: Map<string, import("./types.js").Column>,
 *             infos: import("./types.js").ColumnInfo[]}} Chosen */

/**
 * @param {import("./types.js").Context} context
 * @returns {Page}
 */
export function comparePage({ source, state, live, list }) {
  const head = h("div", { class: "compare-head" });
  const body = h("div", { class: "compare-body" }, h("p", { class: "loading" }, "Loading…"));
  const element = h("div", { class: "compare" }, head, body);
  /** @type {Page|null} */
  let view = null;
  /** @type {Chosen|null} */
  let chosen = null;
  let asked = 0;
  let limit = 0;
  /** @type {Map<string, [number, number]>} Ranges of axes, in values. */
  const brushed = new Map();

  const load = async () => {
    const mine = (asked += 1);
    try {
      limit = limitOf(state);
      const found = await choose(source, state, list.rows.get().uids);
      if (mine !== asked) return;
      chosen = found;
      brushed.clear();
      draw();
    } catch (error) {
      if (mine !== asked) return;
      view?.dispose();
      [view, chosen] = [null, null];
      fill(body, failedRead("The runs cannot be read", error, load));
    }
  };

  function draw() {
    if (!chosen) return;
    view?.dispose();
    view = null;
    const tab = viewName(state);
    fill(head, heading(chosen, state), tabs(tab, state), ...chips(chosen, state));
    if (chosen.runs.length < 2 && tab !== "curves") {
      fill(body, h("div", { class: "empty" }, h("h2", {}, "Choose two runs or more"),
        h("p", {}, "Mark runs on the runs page (space or the box in front of a run), then come back."),
        h("a", { href: state.link("runs") }, "To the runs")));
      return;
    }
    const made = tab === "diff" ? diffView({ source, state, runs: chosen.runs })
      : tab === "parallel" ? parallelView(chosen, state, brushed)
      : tab === "scatter" ? scatterView(chosen, state)
      : chartPanel({ source, state, runs: signal(chosen.runs), metrics: signal(metricsOf(chosen)), live });
    view = made;
    fill(body, made.element);
  }

  const stops = [
    state.listen(["runs", "q", "project", "all"], load),
    state.listen(["tab"], () => (chosen && limitOf(state) === limit ? draw() : load())),
    state.listen(["axes", "colour", "logaxes", "linaxes", "sx", "sy", "size"], draw),
  ];
  // The ramp of colours depends on the theme.
  const themes = new MutationObserver(draw);
  themes.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  load();
  return {
    element,
    dispose() {
      asked += 1;
      themes.disconnect();
      view?.dispose();
      for (const stop of stops) stop();
    },
  };
}

/** @param {import("./router.js").State} state */
function viewName(state) {
  return Object.hasOwn(COMPARE_VIEWS, state.text("tab")) ? state.text("tab") : "diff";
}

/** @param {import("./router.js").State} state */
function chosenTexts(state) {
  return state.flag("all") ? [] : state.list("runs").flatMap((text) => text.split(","));
}

/**
 * How many runs are read.
 * @param {import("./router.js").State} state
 */
function limitOf(state) {
  if (chosenTexts(state).length) return 20_000;
  return state.flag("all") || viewName(state) !== "diff" ? MOST_RUNS : NEWEST;
}

/**
 * The metrics that the chosen runs have.
 * @param {Chosen} chosen
 */
function metricsOf({ infos }) {
  return metricNames(infos.filter((info) => info.filled > 0));
}

/**
 * The runs to compare: those of the address, or those that the filter finds.
 * @param {import("./types.js").Source} source
 * @param {import("./router.js").State} state
 * @param {string[]} known  Uids.
 * @returns {Promise<Chosen>}
 */
async function choose(source, state, known) {
  const named = chosenTexts(state);
  const query = { project: state.text("project"), q: state.text("q") };
  // Chosen runs are shown whatever the filter says: they were chosen.
  const scope = named.length ? { q: chosenFilter(named, known) } : query;
  const limit = limitOf(state);
  const [table, { columns: infos }] = await Promise.all([
    source.runs({ ...scope, columns: ["*"], limit }), source.columns(scope)]);
  const uids = /** @type {string[]} */ (table.columns.find((column) => column.id === "uid")?.values ?? []);
  const rows = [...uids.keys()].filter((row) => !named.length || named.some((start) => uids[row].startsWith(start)));
  const columns = new Map(table.columns.map((column) => [column.id, { ...column, values: rows.map((row) => column.values[row]) }]));
  return { runs: shownRuns(columns), columns, infos: among(infos, columns) };
}

/** @param {Map<string, import("./types.js").Column>} columns */
function shownRuns(columns) {
  const texts = (/** @type {string} */ id) => (columns.get(id)?.values ?? []).map((cell) => String(cell ?? ""));
  const [uids, names, statuses] = [texts("uid"), texts("name"), texts("status")];
  const colours = runColours(uids);
  const labels = runLabels(heldRows({ count: uids.length, version: "", columns: [...columns.values()] }), uids);
  return uids.map((uid, place) => ({
    uid, name: names[place], status: statuses[place], label: labels[place],
    ...(colours.get(uid) ?? { colour: 0, dash: 0 }),
  }));
}

/**
 * What is known of the columns, for the chosen runs alone.
 * @param {import("./types.js").ColumnInfo[]} infos
 * @param {Map<string, import("./types.js").Column>} columns
 */
function among(infos, columns) {
  return infos.filter((info) => columns.has(info.id)).map((info) => {
    const values = columns.get(info.id)?.values.filter((cell) => cell !== null) ?? [];
    const distinct = new Set(values.map(String)).size;
    return { ...info, filled: values.length, distinct, varies: distinct > 1 };
  });
}

/**
 * @param {Chosen} chosen
 * @param {import("./router.js").State} state
 */
function heading({ runs }, state) {
  const all = state.flag("all") || !state.list("runs").length;
  const other = state.list("runs").length ? h("button", { class: "plain", on: {
    click: () => state.set({ all: !state.flag("all") }, { push: true }),
  } }, all ? "Only the chosen ones" : "All that the filter finds") : null;
  return h("div", { class: "row" }, h("h1", {}, `Compare ${runs.length} run${runs.length === 1 ? "" : "s"}`), other);
}

/**
 * @param {string} tab
 * @param {import("./router.js").State} state
 */
function tabs(tab, state) {
  return h("div", { class: "row", role: "group", "aria-label": "View" }, ...Object.entries(COMPARE_VIEWS).map(([name, title]) =>
    h("button", { "aria-pressed": String(name === tab), on: { click: () => state.set({ tab: name }, { push: true }) } }, title)));
}

/**
 * @param {Chosen} chosen
 * @param {import("./router.js").State} state
 */
function chips({ runs }, state) {
  if (viewName(state) !== "curves" || runs.length > 40) return [];
  return [h("div", { class: "row chips" }, ...runs.map((run) =>
    h("a", { class: "tag row", href: state.link("run", run.uid) }, runLine(run), run.label)))];
}

/**
 * @param {Chosen} chosen
 * @param {import("./router.js").State} state
 * @param {Map<string, [number, number]>} brushed
 * @returns {Page}
 */
function parallelView({ runs, columns, infos }, state, brushed) {
  const wanted = state.list("axes").filter((id) => columns.has(id));
  const ids = wanted.length >= 2 ? wanted : usualAxes(infos, MOST_AXES);
  const axes = ids.map((id) => axisFor(id, columns, infos, state)).filter(isDrawable);
  const colourId = state.text("colour") || judgeOf(infos.filter((info) => info.group === "metric"))?.id || "";
  const colour = columns.has(colourId) ? axisFor(colourId, columns, infos, state) : null;
  const choice = axisChoice({ infos, groups: [
    { title: "Add an axis", value: "", empty: "…", choose: (id) => id && state.set({ axes: [...new Set([...ids, id])] }, { push: true }) },
    { title: "Colour", value: colourId, empty: "none", choose: (id) => state.set({ colour: id || "none" }, { push: true }) },
  ] });
  if (axes.length < 2) {
    return { element: h("div", {}, choice, h("p", { class: "empty" }, "These runs differ in fewer than two things. Add an axis.")), dispose() {} };
  }
  const plot = parallelPlot({
    axes, colour, runs, brushed,
    onOrder: (order) => state.set({ axes: order }, { push: true }),
    onLog: (id) => changeLog(id, axes.find((axis) => axis.id === id)?.log ?? false, state),
    onKeep: (filter) => state.set({ q: bothFilters(state.text("q"), filter), runs: [], all: false }, { push: true }),
    onOpen: (uid) => { location.hash = state.link("run", uid); },
  });
  return { element: h("div", {}, choice, colour ? legend(colour) : null, plot.element), dispose: plot.dispose };
}

/**
 * @param {Chosen} chosen
 * @param {import("./router.js").State} state
 * @returns {Page}
 */
function scatterView({ runs, columns, infos }, state) {
  const distinctOf = (/** @type {string} */ id) => infos.find((info) => info.id === id)?.distinct ?? 0;
  const usual = usualAxes(infos, 20);
  const fine = usual.slice(0, -1).sort((a, b) => distinctOf(b) - distinctOf(a));
  const pick = (/** @type {string} */ name, /** @type {string|undefined} */ fallback) =>
    columns.has(state.text(name)) ? state.text(name) : fallback ?? "";
  const [xId, yId] = [pick("sx", fine[0] ?? usual[0]), pick("sy", usual.at(-1))];
  const [colourId, sizeId] = [pick("colour", undefined), pick("size", undefined)];
  const set = (/** @type {string} */ name) => (/** @type {string} */ id) => state.set({ [name]: id }, { push: true });
  const axis = (/** @type {string} */ id) => axisFor(id, columns, infos, state);
  const log = (/** @type {string} */ id) => {
    const one = id ? axis(id) : null;
    return one?.canLog ? { on: one.log, change: () => changeLog(id, one.log, state) } : null;
  };
  const choice = axisChoice({ infos, groups: [
    { title: "x", value: xId, choose: set("sx"), log: log(xId) },
    { title: "y", value: yId, choose: set("sy"), log: log(yId) },
    { title: "Colour", value: colourId, empty: "the run’s", choose: set("colour"), log: log(colourId) },
    { title: "Size", value: sizeId, empty: "the same", choose: set("size") },
  ] });
  if (!xId || !yId) {
    return { element: h("div", {}, choice, h("p", { class: "empty" }, "Choose what to draw on x and y.")), dispose() {} };
  }
  const plot = scatterPlot({ x: axis(xId), y: axis(yId), colour: colourId ? axis(colourId) : null,
    size: sizeId ? axis(sizeId) : null, runs, onOpen: (uid) => { location.hash = state.link("run", uid); } });
  return { element: h("div", {}, choice, plot.element), dispose: plot.dispose };
}

/**
 * @param {string} id
 * @param {Map<string, import("./types.js").Column>} columns
 * @param {import("./types.js").ColumnInfo[]} infos
 * @param {import("./router.js").State} state
 */
function axisFor(id, columns, infos, state) {
  const column = /** @type {import("./types.js").Column} */ (columns.get(id));
  const log = state.list("logaxes").includes(id) ? true : state.list("linaxes").includes(id) ? false : undefined;
  return axisOf(column, infos.find((info) => info.id === id)?.label ?? id, log);
}

/**
 * @param {string} id
 * @param {boolean} log  As it is now.
 * @param {import("./router.js").State} state
 */
function changeLog(id, log, state) {
  const without = (/** @type {string} */ name) => state.list(name).filter((one) => one !== id);
  state.set({
    logaxes: log ? without("logaxes") : [...without("logaxes"), id],
    linaxes: log ? [...without("linaxes"), id] : without("linaxes"),
  }, { push: true });
}

/**
 * @param {string} q
 * @param {string} more
 */
function bothFilters(q, more) {
  return q ? `(${q}) and ${more}` : more;
}
