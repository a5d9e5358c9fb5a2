// A panel of charts: sections by a metric's prefix, a search, pins, and the settings of all charts.
import { chart } from "./chart.js";
import { moreButton, settingFields } from "./chart-controls.js";
import { makeSync } from "./chart-hover.js";
import { usualSmoothing } from "./chart-picture.js";
import { chartState } from "./chart-state.js";
import { chartKey, currentLook, metricNames, metricOfKey, PINNED, sectionsOf } from "./chart-parts.js";
import { chartLegend } from "./chart-legend.js";
import { curveStore } from "./curves.js";
import { fill, h, keyed } from "./dom.js";
import { disposables, settled, signal } from "./signals.js";

/** @typedef {import("./types.js").ShownRun} ShownRun */
/** @typedef {import("./chart-content.js").Marks} Marks */
/** @typedef {import("./signals.js").Signal<Record<string, Marks>>} MarksSignal */

const MOST_CURVES = 500;
const POINTS_OF_FEW = 1000; // buckets a curve of at most FEW_RUNS
const POINTS_OF_MANY = 400;
const FEW_RUNS = 10;

/**
 * @param {Object} options
 * @param {import("./types.js").Source} options.source
 * @param {import("./router.js").State} options.state
 * @param {import("./signals.js").Signal<ShownRun[]>} options.runs
 * @param {import("./signals.js").Signal<string[]>} [options.metrics]  Without it: those of the state's project and filter.
 * @param {import("./signals.js").Signal<boolean>} [options.known]  Whether runs and metrics have been read: before, there
 *   is nothing to be said of them.
 * @param {MarksSignal} [options.marks]
 * @param {import("./types.js").Context["live"]} [options.live]
 * @param {boolean} [options.compact]  Without the controls.
 * @returns {import("./types.js").Page & {groups: import("./chart-legend.js").GroupStyles}}
 */
export function chartPanel({ source, state, runs, metrics, known = signal(metrics !== undefined), marks, live, compact = false }) {
  const all = disposables();
  const names = metrics ?? signal(/** @type {string[]} */ ([]));
  const sync = makeSync();
  const settings = chartState(state);
  /** @type {Map<string, ReturnType<typeof chart>>} */
  const charts = new Map();
  /** @type {Set<string>} */
  const closed = new Set();
  let look = currentLook();

  const shownRuns = () => runs.get().slice(0, MOST_CURVES);
  const points = () => settings.points() ?? (shownRuns().length > FEW_RUNS ? POINTS_OF_MANY : POINTS_OF_FEW);
  const grouping = () => {
    const by = state.list("group");
    return by.length ? { by, band: settings.common().band, q: state.text("q"), project: state.text("project") } : null;
  };
  const each = (/** @type {(one: ReturnType<typeof chart>) => void} */ act) => charts.forEach(act);
  const store = curveStore({
    ...{ source, points, grouping },
    runs: () => shownRuns().map((run) => run.uid),
    onChange: (changed) => {
      charts.forEach((one, key) => changed.has(metricOfKey(key)) && one.invalidate());
      afterChange();
    },
  });
  all.add(store.dispose);

  /** @type {Map<string, ShownRun>} */
  let byUid = new Map();
  const legend = chartLegend(() => state.list("group"));
  const host = {
    ...{ store, sync, settings: settings.of, common: settings.common, grouped: () => grouping() !== null },
    set: settings.set,
    zoomOf: settings.zoomOf,
    zoom: settings.zoom,
    zoomBack: settings.zoomBack,
    runOf: (/** @type {import("./types.js").Curve} */ curve) =>
      (curve.label === undefined ? byUid.get(curve.run) : legend.of(curve)) ?? null,
    look: () => look,
    marks: () => marks?.get() ?? {},
    resumed: () => Object.values(marks?.get() ?? {}).some((of) => of.spans.some((span) => span.kind === "superseded")),
    smoothing: smoothingOf,
    pinned: (/** @type {string} */ metric) => state.list("pins").includes(metric),
    togglePin(/** @type {string} */ metric) {
      const pins = state.list("pins");
      state.set({ pins: pins.includes(metric) ? pins.filter((pin) => pin !== metric) : [...pins, metric] }, { push: true });
    },
    full: () => state.text("full"),
    setFull: (/** @type {string} */ metric) => state.set({ full: metric }, { push: true }),
    linkTo: settings.linkTo,
    metrics: () => names.get(),
  };

  const search = h("input", { type: "search", placeholder: "metrics…", "aria-label": "search metrics", class: "chart-search" });
  search.value = state.text("metrics");
  const searched = settled(120, () => state.set({ metrics: search.value }));
  search.addEventListener("input", searched);
  all.add(searched.cancel);
  const fields = settingFields({
    settings: settings.common,
    smoothing: () => smoothingOf(""),
    change: (changes, push) => settings.setCommon(changes, push),
    ...{ metrics: names.get, grouped: host.grouped, resumed: host.resumed },
  });
  const columns = [1, 2, 3, 4].map((count) =>
    h("button", { "aria-label": `${count} per row`, title: `${count} per row`, on: { click: () => setColumns(count) } }, count),
  );
  const zoomed = h("button", { title: "the whole range (0); back one step: z" }, "reset zoom");
  zoomed.addEventListener("click", () => settings.resetZoom());
  const controls = h(
    "div",
    { class: "row chart-controls", role: "toolbar", "aria-label": "settings of all charts" },
    ...[search, fields.fields, h("span", { class: "chart-columns" }, columns), moreButton(state), zoomed],
  );
  const tooMany = h("p", { class: "notice", hidden: true });
  const sections = h("div", { class: "chart-sections" });
  const element = h("section", { class: "charts", "aria-label": "charts" }, compact ? null : controls, tooMany, legend.element, sections);

  const seen = new IntersectionObserver(
    (changes) => {
      for (const { target, isIntersecting } of changes) {
        charts.get(/** @type {HTMLElement} */ (target).dataset.key ?? "")?.show(isIntersecting);
      }
    },
    { rootMargin: "150px" },
  );
  all.add(() => seen.disconnect());

  /** @param {string} metric "": the greatest of those in sight */
  function smoothingOf(metric) {
    const wanted = metric ? [metric] : [...new Set([...charts.keys()].map(metricOfKey))];
    return Math.max(0, ...wanted.map((one) => {
      const { smooth, axis } = settings.of(one);
      const curves = store.get({ metric: one, axis, range: null }).curves;
      const drawn = curves.map((whole) => ({ whole, band: whole.label !== undefined }));
      return smooth ?? usualSmoothing(drawn);
    }));
  }
  const afterChange = settled(50, () => {
    fields.update();
    legend.show(grouping() !== null, runs.get());
  });
  all.add(afterChange.cancel);

  function setColumns(/** @type {number} */ count) {
    state.set({ "cols-per-row": count }, { push: true });
  }

  /** Sections and charts as the names, the search and the pins have them. */
  function arrange() {
    const wanted = state.text("metrics").toLowerCase().split(/\s+/).filter(Boolean);
    const found = names.get().filter((name) => wanted.every((word) => name.toLowerCase().includes(word)));
    const parts = runs.get().length || grouping() ? sectionsOf(found, state.list("pins")) : [];
    keyed(sections, parts, (part) => part.name, makeSection, (section, part) => fillSection(section, part));
    const kept = new Set(parts.flatMap((part) => part.metrics.map((metric) => chartKey(part.name, metric))));
    for (const [key, one] of charts) {
      if (kept.has(key)) continue;
      seen.unobserve(one.element);
      one.dispose();
      charts.delete(key);
    }
    if (!parts.length) fill(sections, known.get() && h("p", { class: "empty" }, emptyText(names.get().length > 0)));
    const count = Number(state.text("cols-per-row"));
    element.dataset.columns = count >= 1 && count <= 4 ? String(count) : "";
    columns.forEach((button, place) => button.setAttribute("aria-pressed", String(count === place + 1)));
    legend.place(sections, state.text("full"));
    const fills = [...charts.keys()].some((key) => metricOfKey(key) === state.text("full"));
    document.documentElement.classList.toggle("chart-fills", fills); // nothing scrolls beneath it
  }

  /** @param {boolean} some */
  function emptyText(some) {
    if (!runs.get().length && !grouping()) return "Select a run to see its curves.";
    return some ? "No metric has this in its name." : "No metrics yet.";
  }

  /** @param {{name: string, metrics: string[]}} part */
  function makeSection(part) {
    const title = part.name === PINNED ? "Pinned" : part.name || "Metrics";
    const count = h("span", { class: "muted small" });
    const section = h(
      "details",
      { open: !closed.has(part.name) },
      h("summary", {}, h("h2", {}, title), count),
      h("div", { class: "chart-grid" }),
    );
    section.addEventListener("toggle", () => closed[section.open ? "delete" : "add"](part.name));
    fillSection(section, part);
    return section;
  }

  /**
   * @param {HTMLElement} section
   * @param {{name: string, metrics: string[]}} part
   */
  function fillSection(section, part) {
    const grid = /** @type {HTMLElement} */ (section.querySelector(".chart-grid"));
    const count = /** @type {HTMLElement} */ (section.querySelector("summary .muted"));
    count.textContent = String(part.metrics.length);
    keyed(grid, part.metrics, (metric) => chartKey(part.name, metric), (metric) => {
      const one = chart(metric, host);
      charts.set(chartKey(part.name, metric), one);
      seen.observe(one.element);
      return one.element;
    });
  }

  function runsChanged() {
    byUid = new Map(shownRuns().map((run) => [run.uid, run]));
    legend.show(grouping() !== null, runs.get());
    const more = runs.get().length - MOST_CURVES;
    tooMany.hidden = more <= 0;
    tooMany.textContent = `Curves of the first ${MOST_CURVES} runs; ${more} more are selected.`;
    arrange();
    each((one) => one.change());
  }

  let usualPoints = points();
  all.add(runs.listen(() => {
    if (points() !== usualPoints) store.clear();
    usualPoints = points();
    runsChanged();
  }));
  all.add(names.listen(() => {
    arrange();
    fields.update();
  }));
  all.add(known.listen(arrange));
  if (marks) all.add(marks.listen(() => { fields.update(); each((one) => one.change()); }));
  all.add(state.listen(["metrics", "pins", "cols-per-row"], () => {
    if (document.activeElement !== search) search.value = state.text("metrics");
    arrange();
    each((one) => one.invalidate());
  }));
  let wasGrouped = grouping() !== null;
  all.add(state.listen(["points", "group", "band", "q", "project"], () => {
    const changed = points() !== usualPoints;
    usualPoints = points();
    if (grouping() === null && !wasGrouped && !changed) return;
    wasGrouped = grouping() !== null;
    legend.clear();
    store.clear();
    fields.update();
    arrange();
    each((one) => one.change());
  }));
  all.add(settings.listen(() => {
    fields.update();
    zoomed.hidden = !settings.zoomed();
    each((one) => one.change());
  }));
  all.add(state.listen(["full"], () => {
    arrange();
    each((one) => one.invalidate());
    charts.forEach((one, key) => metricOfKey(key) === state.text("full") && one.focus());
  }));
  const themes = new MutationObserver(() => {
    look = currentLook();
    legend.show(grouping() !== null, runs.get());
    each((one) => one.invalidate());
  });
  themes.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  all.add(() => themes.disconnect());
  if (live) {
    const shownMetrics = () => [...new Set([...charts].filter(([, one]) => one.visible()).map(([key]) => metricOfKey(key)))];
    const axis = () => settings.common().axis;
    all.add(live.watch({
      runs: () => store.drawn(shownMetrics(), axis()),
      metrics: shownMetrics,
      x: axis,
      onPoints: (uid, points, run) => store.append(uid, axis(), points, run.generation),
      onAnew: store.refresh,
    }));
    all.add(live.onTable(() => store.groupsChanged(shownMetrics())));
  }
  if (!metrics) {
    const read = () => {
      const query = { project: state.text("project"), q: state.text("q") };
      source.columns(query).then((found) => {
        names.set(metricNames(found.columns));
        known.set(true);
      }, () => {});
    };
    read();
    all.add(state.listen(["project", "q"], read));
    if (live) all.add(live.onNames(read));
  }
  all.add(() => each((one) => one.dispose()));
  all.add(() => document.documentElement.classList.remove("chart-fills"));
  zoomed.hidden = !settings.zoomed();
  runsChanged();
  return { element, groups: legend.styles, dispose: all.dispose };
}
