// The newest run that is running: a page to leave open on a second screen.
import { databaseNow } from "./clock.js";
import { fill, h } from "./dom.js";
import { formatDuration, formatNumber } from "./format.js";
import { bestOf, watchedFirst } from "./latest-model.js";
import { layerOf } from "./layer-grid.js";
import { curvesPanel } from "./run-curves.js";
import { durationNow, speedText, statusBadge } from "./run-head.js";
import { followTable, silenceText, speedReader } from "./run-live.js";
import { disposables } from "./signals.js";
import { numberOf } from "./wire.js";

/** @typedef {import("./types.js").RunDetail} RunDetail */
/** @typedef {import("./types.js").Context} Context */

const BIG_NUMBERS = 4; // metrics among them
const LATEST_CHARTS = 12;

/**
 * The uid of the run that started last among those that run; without one, of the run that started last.
 * @param {import("./types.js").Source} source
 * @param {string} project
 * @returns {Promise<string|null>}
 */
export async function newestRun(source, project) {
  const query = { project, columns: ["status"], sort: ["-started"], limit: 1 };
  for (const q of ['status = "running"', ""]) {
    const { columns } = await source.runs({ ...query, q });
    const uid = columns.find(({ id }) => id === "uid")?.values[0];
    if (uid) return String(uid);
  }
  return null;
}

/**
 * @param {Context} context
 * @returns {import("./types.js").Page}
 */
export function latestPage(context) {
  const { source, state } = context;
  const element = h("div", { class: "latest-page" }, h("p", { class: "loading" }, "Loading…"));
  const stops = disposables();
  /** @type {(ReturnType<typeof latestView> & {uid: string})|null} */
  let view = null;
  let [isGone, number] = [false, 0];

  const load = async () => {
    const mine = ++number; // of two at once, the later one counts
    try {
      const uid = await newestRun(source, state.text("project"));
      const detail = uid && (await source.run(uid));
      if (isGone || mine !== number) return;
      if (!detail) return nothing(h("h1", {}, "No run yet"), h("p", {}, "As soon as a run starts, it is shown here."));
      if (view?.uid !== detail.run.uid) {
        view?.dispose();
        view = { uid: detail.run.uid, ...latestView(context) };
        fill(element, view.element);
      }
      view.update(detail);
    } catch (error) {
      if (!isGone && mine === number && !view) nothing(h("h1", {}, "The newest run cannot be read"), h("p", {}, /** @type {Error} */ (error).message));
    }
  };
  /** @param {...HTMLElement} children */
  const nothing = (...children) => {
    view?.dispose();
    view = null;
    fill(element, h("div", { class: "empty" }, children));
  };
  stops.add(state.listen(["project"], load));
  stops.add(followTable(context, load, () => view?.status() === "running"));
  stops.add(() => view?.dispose());
  load();
  return {
    element,
    dispose() {
      isGone = true;
      stops.dispose();
    },
  };
}

/** @param {Context} context */
function latestView(context) {
  const { state } = context;
  const head = h("header", { class: "row latest-head" });
  const silence = h("span", { class: "warn silence" });
  const idle = h("p", { class: "muted", hidden: true }, "No run is running; this is the newest one.");
  const numbers = h("dl", { class: "big-numbers" });
  const curves = curvesPanel(context, latestMetrics, true);
  const speed = speedReader();
  /** @type {RunDetail|null} */
  let shown = null;

  const tick = () => {
    if (!shown) return;
    fill(numbers, bigNumbers(shown, speed.of(shown.run)));
    silence.textContent = silenceText(shown.run, speed.since(), databaseNow());
  };
  const timer = setInterval(tick, 1000);
  return {
    element: h("div", { class: "latest" }, head, idle, numbers, curves.element),
    /** @param {RunDetail} detail */
    update(detail) {
      const { run } = detail;
      if (run.name !== shown?.run.name || run.status !== shown.run.status) {
        fill(
          head,
          h("h1", { class: "cut", title: run.name }, h("a", { href: state.link("run", run.uid) }, run.name)),
          statusBadge(run.status),
          silence,
          h("span", { class: "muted" }, run.project),
        );
      }
      idle.hidden = run.status === "running";
      shown = detail;
      speed.read(run);
      tick();
      curves.update(detail);
    },
    status: () => shown?.run.status,
    dispose() {
      clearInterval(timer);
      curves.dispose();
    },
  };
}

/** @param {RunDetail} detail */
function latestMetrics({ summary }) {
  const shown = summary.filter(({ metric }) => !layerOf(metric));
  return watchedFirst(shown).slice(0, LATEST_CHARTS).map(({ metric }) => metric);
}

/**
 * @param {RunDetail} detail
 * @param {number|null} stepsPerSecond
 */
function bigNumbers({ run, summary }, stepsPerSecond) {
  const metrics = watchedFirst(summary).slice(0, BIG_NUMBERS).map((one) => {
    const best = bestOf(one);
    const note = best ? `best ${formatNumber(best.value)} at step ${formatNumber(best.step)}` : "";
    return bigNumber(one.metric, formatNumber(numberOf(one.last)), note);
  });
  const took = formatDuration(durationNow(run, databaseNow()));
  return [
    bigNumber("step", run.last_step === null ? "–" : formatNumber(run.last_step), speedText(stepsPerSecond)),
    ...(took ? [bigNumber(run.status === "running" ? "running for" : "took", took, "")] : []), // a lost run has none
    ...metrics,
  ];
}

/**
 * @param {string} label
 * @param {string} value
 * @param {string} note
 */
function bigNumber(label, value, note) {
  return h("div", { class: "card" }, h("dt", { class: "cut", title: label }, label), h("dd", { class: "big" }, value),
    h("dd", { class: "muted small" }, note || "\u00a0")); // prettier-ignore
}
