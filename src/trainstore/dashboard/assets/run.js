// A run's page: its head, and tabs with everything that is known of it.
import { fill, h } from "./dom.js";
import { attemptsPanel } from "./run-attempts.js";
import { curveMetrics, curvesPanel, systemMetrics } from "./run-curves.js";
import { editForm } from "./run-edit.js";
import { runHead } from "./run-head.js";
import { familiesOf, layersPanel } from "./run-layers.js";
import { followTable, speedReader } from "./run-live.js";
import { eventsPanel, factsPanel } from "./run-panels.js";
import { samplesPanel } from "./run-samples.js";
import { disposables } from "./signals.js";
import { tabList } from "./tabs.js";

/** @typedef {import("./types.js").RunDetail} RunDetail */
/** @typedef {import("./run-panels.js").Panel} Panel */
/** @typedef {import("./types.js").Context} Context */

/**
 * @param {RunDetail} detail
 * @param {boolean} isLive
 * @returns {import("./tabs.js").Tab[]}
 */
function tabsOf(detail, isLive) {
  const { attempts, events, hyperparams } = detail;
  const facts = hyperparams.filter(({ namespace }) => namespace !== "env" && namespace !== "tag");
  return [
    { id: "curves", label: "Curves", count: curveMetrics(detail).length },
    { id: "hyperparameters", label: "Hyperparameters", count: facts.length },
    { id: "attempts", label: "Attempts", count: attempts.length },
    { id: "events", label: "Events", count: events.length },
    { id: "samples", label: "Samples" },
    ...(familiesOf(detail).length ? [{ id: "layers", label: "Layers" }] : []),
    ...(systemMetrics(detail).length ? [{ id: "system", label: "System" }] : []),
    ...(isLive || hyperparams.some(({ namespace }) => namespace === "env") ? [{ id: "environment", label: "Environment" }] : []),
  ];
}

/**
 * @param {Context} context
 * @param {string} uid
 * @returns {Record<string, () => Panel>}
 */
function panelsOf(context, uid) {
  return {
    curves: () => curvesPanel(context, curveMetrics),
    system: () => curvesPanel(context, systemMetrics),
    hyperparameters: () => factsPanel(["hp", "mth", "dbh"], "No hyperparameters were recorded for this run."),
    attempts: attemptsPanel,
    events: eventsPanel,
    samples: () => samplesPanel(context, uid),
    layers: () => layersPanel(context, uid),
    environment: () => factsPanel(["env"], "Nothing was recorded about the environment of this run."),
  };
}

/**
 * @param {Context} context
 * @returns {import("./types.js").Page}
 */
export function runPage(context) {
  const { uid } = context.route.get();
  const element = h("div", { class: "run-page" }, h("p", { class: "loading" }, "Loading…"));
  const page = runView(context, uid, element);
  return { element, dispose: page.dispose };
}

/**
 * Show a run inside an element, and keep it up to date.
 * @param {Context} context
 * @param {string} uid
 * @param {HTMLElement} element
 */
function runView(context, uid, element) {
  const { source, state, meta } = context;
  const stops = disposables();
  const panel = h("div", { class: "run-panel" });
  const tabs = tabList({ label: "About the run", panel, onChoose: (id) => state.set({ tab: id }, { push: true }) });
  const canEdit = meta.can_edit && source.can.edit;
  const head = runHead(context, canEdit ? () => edit() : undefined);
  const place = h("div", {}, head.element);
  const panels = panelsOf(context, uid);
  /** @type {{id: string, panel: Panel}|null} */
  let open = null;
  /** @type {RunDetail|null} */
  let detail = null;
  let isGone = false;
  const speed = speedReader();

  /** @param {RunDetail} next */
  const show = (next) => {
    if (!detail) fill(element, place, tabs.element, panel);
    detail = next;
    speed.read(next.run);
    head.update(next, speed.of(next.run), speed.since());
    showTab();
  };

  const showTab = () => {
    if (!detail) return;
    const list = tabsOf(detail, source.can.live); // a report may leave the environment out
    const asked = state.text("tab");
    const id = Object.hasOwn(panels, asked) ? asked : list[0].id;
    tabs.show(list, id);
    if (open?.id !== id) {
      open?.panel.dispose();
      open = { id, panel: panels[id]() };
      fill(panel, open.panel.element);
    }
    open.panel.update(detail);
  };

  const edit = () => {
    if (!detail) return;
    const form = editForm(source, detail, (saved) => {
      fill(place, head.element);
      if (saved) show(saved);
      /** @type {HTMLElement|null} */ (head.element.querySelector("button"))?.focus();
    });
    fill(place, form);
  };

  const load = async () => {
    try {
      const next = await source.run(uid);
      if (!isGone) show(next);
    } catch (/** @type {any} */ error) {
      const isDeleted = error.status === 404;
      if (isGone || (detail && !isDeleted)) return; // a page that shows the run waits until it can be read again
      open?.panel.dispose();
      [open, detail] = [null, null];
      fill(element, missing(context, uid, error, load));
    }
  };

  stops.add(state.listen(["tab"], showTab));
  stops.add(followTable(context, load, () => detail?.run.status === "running"));
  stops.add(() => open?.panel.dispose());
  stops.add(head.dispose);
  stops.add(() => (document.title = meta.title || "trainstore"));
  load();
  return {
    dispose() {
      isGone = true;
      stops.dispose();
    },
  };
}

/**
 * @param {Context} context
 * @param {string} uid
 * @param {{status?: number, message: string, hint?: string}} error
 * @param {() => void} again
 */
function missing({ state }, uid, error, again) {
  const isUnknown = error.status === 404;
  return h(
    "div",
    { class: "empty" },
    h("h1", {}, isUnknown ? "There is no such run" : "The run cannot be read"),
    h("p", {}, isUnknown ? h("code", {}, uid) : error.message),
    error.hint ? h("p", {}, error.hint) : null,
    h("p", {}, h("a", { href: state.link("runs") }, "All runs")),
    isUnknown ? null : h("button", { type: "button", on: { click: again } }, "Try again"),
  );
}
