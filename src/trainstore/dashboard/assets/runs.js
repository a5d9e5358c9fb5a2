// The page of the runs: the table beside the charts.
import { metricNames } from "./chart-parts.js";
import { chartPanel } from "./charts.js";
import { databaseNow } from "./clock.js";
import { divider } from "./divider.js";
import { announce, fill, h } from "./dom.js";
import { formatNumber } from "./format.js";
import { addShortcut } from "./keys.js";
import { filterTrouble, firstScreen, nothingFound, staleNotice, troubleNotice, waitingNotice } from "./runs-empty.js";
import { runsTable } from "./runs-table.js";
import { runsToolbar } from "./runs-toolbar.js";
import { runSelection } from "./selection.js";
import { disposables, effect, signal } from "./signals.js";
import { remember, remembered } from "./theme.js";
import { shownColumns } from "./shown-columns.js";
import { waitingRecords } from "./waiting.js";

const SPLIT_KEY = "trainstore.split";
const USUAL_SPLIT = 44; // percent for the table
const NARROW_PAGE = 900; // pixels; below it, one part at a time
const CLOCK_MS = 15_000;

/** @param {import("./types.js").Context} context */
export function runsPage({ source, meta, state, live, list }) {
  const { add, dispose } = disposables();
  const columns = shownColumns(state, list);
  const selection = runSelection(state, list, meta.limits.curves_runs);
  const left = h("div", { class: "runs-table" });

  const waiting = waitingRecords({ source, meta, live });
  const notice = h("div", { class: "notice", role: "status", hidden: true });
  const parts = h("div", { class: "runs-parts" });
  const line = divider(Number(remembered(SPLIT_KEY)) || USUAL_SPLIT, (percent, done) => {
    parts.style.setProperty("--split", `${percent}%`);
    if (done) remember(SPLIT_KEY, String(Math.round(percent)));
  });

  /** @type {import("./signals.js").Signal<string[]>} */
  const metrics = signal(/** @type {string[]} */ ([]), (a, b) => a.join("\n") === b.join("\n"));
  const known = signal(false);
  // Those of the first rows until all are known: their curves need not wait for that.
  const usualMetrics = () => list.usual.get().map((id) => ({ id, group: id.startsWith("metric.") ? "metric" : "" }));
  add(
    effect([list.infos, list.usual, list.status], () => {
      const infos = list.infos.get();
      metrics.set(metricNames(infos.length ? infos : usualMetrics()));
      known.set(infos.length > 0 && list.status.get().count !== null);
    }),
  );
  const charts = chartPanel({ source, state, runs: selection.shown, metrics, known, live });
  const table = runsTable({ state, list, selection, groups: charts.groups, columns: columns.get, now: databaseNow });
  fill(parts, left, line, h("div", { class: "runs-charts" }, charts.element));
  const toolbar = runsToolbar({ source, state, list, selection, columns, order: table.order, limit: meta.limits.curves_runs });
  const element = h(
    "section",
    { class: "runs" },
    h("h1", { class: "visually-hidden" }, "Runs"),
    toolbar.element,
    notice,
    parts,
  );

  const need = () =>
    list.need(
      [...columns.get(), ...state.list("group"), ...state.list("sort").map((id) => id.replace(/^-/, ""))],
      columns.own(),
    );

  /** Table, charts, or both: as the address says, and as the window has room. */
  const arrange = () => {
    const narrow = element.clientWidth > 0 && element.clientWidth < NARROW_PAGE;
    const tab = state.text("tab");
    element.dataset.view = tab === "charts" ? "charts" : tab === "table" || narrow ? "table" : "both";
    element.dataset.narrow = String(narrow);
    toolbar.view(element.dataset.view, narrow);
  };

  /** Whether it is the filter that cannot be read. */
  const ofFilter = (/** @type {any} */ error) => error?.code === "filter" && !error.elsewhere && source.can.filter;
  /** @type {any} What the notice says; it is made once, so that its button keeps the focus. */
  let said = null;
  const say = (/** @type {any} */ error) => {
    const left = waiting.shown.get();
    if (said === (error ?? left)) return;
    said = error ?? left;
    notice.hidden = !said;
    const usual = () => state.set({ cols: null, sort: null, group: null });
    if (error) fill(notice, ofFilter(error) ? staleNotice() : troubleNotice(error, list.load, usual));
    else if (left) fill(notice, waitingNotice(left, waiting.close));
  };

  const draw = () => {
    const { count, error, loading, whole } = list.status.get();
    const bare = count === 0 && !state.text("q");
    const first = bare && !state.text("project");
    element.classList.toggle("is-empty", count === 0);
    element.classList.toggle("is-new", count === null);
    element.setAttribute("aria-busy", String(loading));
    left.dataset.whole = String(whole && !loading);
    const wrong = ofFilter(error);
    element.classList.toggle("is-old", wrong && !loading);
    say(wrong && !count ? null : error);
    if (wrong && !count) fill(left, filterTrouble(state, error));
    else if (first) fill(left, firstScreen(meta));
    else if (count === 0) fill(left, nothingFound(state));
    else if (count === null && !error) fill(left, h("p", { class: "loading" }, "Reading the runs…"));
    else if (count === null) fill(left, h("p", { class: "empty" }, "No runs could be read."));
    else if (table.element.parentElement !== left) fill(left, table.element);
    if (count !== null) table.show();
  };

  const flip = (/** @type {string} */ part) =>
    state.set({ tab: state.text("tab") === part ? null : part }, { push: true });
  add(effect([list.rows, list.infos, list.usual, list.status, waiting.shown], draw));
  add(waiting.dispose);
  add(
    state.listen(["cols", "sort", "group"], () => {
      need();
      draw();
    }),
  );
  add(
    state.listen(["q", "project"], () => {
      need();
      list.refresh();
    }),
  );
  add(state.listen(["tab"], arrange));
  add(
    selection.shown.listen(() => {
      table.refresh();
      const n = selection.shown.get().length;
      announce(`${formatNumber(n)} run${n === 1 ? "" : "s"} in the charts`);
    }),
  );
  add(charts.groups.listen(() => table.refresh()));
  add(addShortcut("t", "the table alone, and back", () => flip("table")));
  add(addShortcut("c", "the charts alone, and back", () => flip("charts")));
  add(addShortcut("j", "to the table", table.focus));
  for (const [keys, text] of PAGE_KEYS) add(addShortcut(keys, text, null));
  const clock = setInterval(() => document.visibilityState === "visible" && table.refresh(), CLOCK_MS);
  add(() => clearInterval(clock));
  const observer = new ResizeObserver(arrange);
  observer.observe(element);
  add(() => observer.disconnect());
  add(charts.dispose);
  add(toolbar.dispose);
  add(list.dispose);
  add(selection.dispose);
  add(table.dispose);
  if (live) {
    add(live.onTable(list.patch, list.held));
    add(live.onNames(list.readColumns));
  }

  need();
  arrange();
  list.refresh();
  return { element, dispose };
}

const PAGE_KEYS = [
  ["↑ ↓ Home End", "in the table: from cell to cell"],
  ["Space", "in the table: the run into the charts, or out"],
  ["Shift Space", "all runs from the last one to this"],
  ["Ctrl a", "in the table: all that the filter shows"],
  ["Enter", "in the table: open the run, sort by the heading, open a group; in a chart: the whole window"],
  ["← →", "in a chart: from point to point; with ↑ ↓ from run to run"],
  ["0", "in a chart: the whole range"],
  ["z", "in a chart: the range before"],
];
