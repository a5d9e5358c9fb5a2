// The head of a run's page: what it is, how far it is, and what people wrote about it.
import { databaseNow } from "./clock.js";
import { commandLine, shellQuoted } from "./copy.js";
import { fill, h } from "./dom.js";
import { formatAgo, formatDuration, formatNumber, formatTime, signOf } from "./format.js";
import { silenceText } from "./run-live.js";
import { plainValue } from "./run-marks.js";
import { linkedParts } from "./run-notes.js";

/** @typedef {import("./types.js").RunDetail} RunDetail */

const OWN_SOURCES = new Set(["python", "transformers", "forgather", "trainstore"]); // others were imported, as a rule

/**
 * @param {string} status
 * @returns {HTMLElement}
 */
export function statusBadge(status) {
  return h("span", { class: `status status-${status}` }, h("span", { "aria-hidden": "true" }, signOf(status)), status);
}

/**
 * @param {string} text
 * @param {string} [label]
 * @returns {HTMLElement}
 */
export function linkedText(text, label = "Notes") {
  const parts = linkedParts(text).map(({ text: part, href }) =>
    href ? h("a", { href, rel: "noopener noreferrer nofollow", target: "_blank" }, part) : part,
  );
  return h("div", { class: "notes", role: "note", "aria-label": label }, parts);
}

/**
 * Tags as chips.
 * @param {Record<string, unknown>} tags
 * @returns {HTMLElement[]}
 */
export function tagChips(tags) {
  return Object.entries(tags).map(([name, value]) =>
    h("span", { class: "tag" }, value === true ? name : `${name}=${plainValue(value)}`),
  );
}

/**
 * Seconds that a run has taken so far.
 * @param {{status: string, started: number, duration: number|null}} run
 * @param {number} now  NaN: nobody knows.
 */
export function durationNow(run, now) {
  return run.status === "running" && !Number.isNaN(now) ? Math.max(0, now - run.started) : run.duration;
}

/**
 * @param {number|null|undefined} speed  Steps a second.
 * @returns {string}
 */
export function speedText(speed) {
  if (!speed || !Number.isFinite(speed)) return "";
  return speed >= 0.1 ? `${formatNumber(speed, 3)} steps/s` : `${formatNumber(speed * 60, 3)} steps/min`;
}

/**
 * Labels and values, in a row that wraps.
 * @param {[label: string, value: string|HTMLElement, title?: string][]} pairs
 */
export function factRow(pairs) {
  const shown = pairs.filter(([, value]) => value !== "");
  return h(
    "dl",
    { class: "facts" },
    shown.map(([label, value, title]) => h("div", { title: title ?? null }, h("dt", {}, label), h("dd", {}, value))),
  );
}

/**
 * Commands that show the same in a terminal.
 * @param {string} uid
 * @param {import("./types.js").Meta} meta
 */
export function terminalCommands(uid, { store }) {
  const options = store.options ?? "";
  const file = `run-${uid.slice(0, 8)}.html`;
  return h(
    "details",
    { class: "terminal" },
    h("summary", {}, "In a terminal"),
    commandLine(`trainstore show ${shellQuoted(uid)}${options}`),
    commandLine(`trainstore report ${shellQuoted(uid)} -o ${file}${options}`),
    store.options === null
      ? h("p", { class: "muted small" }, "The URL of the database, with its password, belongs in TRAINSTORE_URL.")
      : null,
  );
}

/**
 * @param {import("./types.js").Context} context
 * @param {() => void} [edit]  What the button does; without it there is none.
 */
export function runHead(context, edit) {
  const { state, source, meta } = context;
  const element = h("section", { class: "run-head", "aria-label": "The run" });
  const started = h("span", {});
  const duration = h("span", {});
  const lastStep = h("span", { class: "last-step" });
  const speed = h("span", {});
  const silence = h("span", { class: "warn silence" });
  /** @type {RunDetail|null} */
  let shown = null;
  /** @type {number|null} */
  let since = null;

  const tick = () => {
    if (!shown) return;
    const now = databaseNow();
    started.textContent = formatAgo(shown.run.started, now);
    duration.textContent = formatDuration(durationNow(shown.run, now));
    silence.textContent = silenceText(shown.run, since, now);
  };
  const timer = setInterval(tick, 1000);

  const relative = (/** @type {import("./types.js").Relative} */ { uid, name, step }) =>
    h(
      "span",
      {},
      name === null
        ? h("code", { title: `${uid}: not in this store` }, uid.slice(0, 8))
        : h("a", { href: state.link("run", uid) }, name),
      step === null ? "" : ` at step ${formatNumber(step)}`,
    );

  /** @param {RunDetail} detail */
  const render = ({ run, attempts }) => {
    document.title = `${run.name} · trainstore`;
    const facts = /** @type {[string, string|HTMLElement, string?][]} */ ([
      ["started", started, formatTime(run.started)],
      run.status === "running" || run.duration !== null
        ? [run.status === "running" ? "running for" : "took", duration]
        : ["last step at", run.last_step_at ? formatTime(run.last_step_at) : ""],
      ["last step", run.last_step === null ? "none yet" : lastStep],
      ["speed", run.last_step === null ? "" : speed],
      ["attempts", attempts.length > 1 ? formatNumber(attempts.length) : ""],
      ["model", run.model_name ?? ""],
      ["made from", run.parent ? relative(run.parent) : ""],
      ["continued in", run.children.length ? h("span", {}, joined(run.children.map(relative))) : ""],
      ["source", OWN_SOURCES.has(run.source) ? "" : run.source],
      ["project", h("a", { href: state.link("runs", "", { project: run.project }) }, run.project || "none")],
      ["uid", h("code", {}, run.uid.slice(0, 8)), `${run.uid}, id ${run.id}`],
    ]);
    fill(
      element,
      h(
        "div",
        { class: "row" },
        h("h1", { class: "cut", title: run.name }, run.name),
        statusBadge(run.status),
        silence,
        tagChips(run.tags),
        h("span", { class: "grow" }),
        edit ? h("button", { type: "button", on: { click: edit } }, "Edit") : null,
      ),
      factRow(facts),
      run.error ? h("pre", { class: "error-text", tabindex: "0", "aria-label": "Error" }, run.error) : null,
      run.notes ? linkedText(run.notes) : null,
      source.can.export ? terminalCommands(run.uid, meta) : null,
    );
  };

  return {
    element,
    /**
     * @param {RunDetail} detail
     * @param {number|null} stepsPerSecond
     * @param {number|null} lastStepAt
     */
    update(detail, stepsPerSecond, lastStepAt) {
      since = lastStepAt;
      if (!shown || JSON.stringify(headOf(shown)) !== JSON.stringify(headOf(detail))) render(detail);
      shown = detail;
      lastStep.textContent = detail.run.last_step === null ? "" : formatNumber(detail.run.last_step);
      speed.textContent = speedText(stepsPerSecond) || "–";
      tick();
    },
    dispose: () => clearInterval(timer),
  };
}

/**
 * What the head is made of, without what changes with each step.
 * @param {RunDetail} detail
 */
function headOf({ run, attempts }) {
  const always = { last_step: run.last_step === null, attempts: attempts.length, steps_per_second: null, step_interval: null };
  return { ...run, ...always, ...(run.status === "running" ? { duration: null, last_step_at: null } : {}) };
}

/**
 * @param {HTMLElement[]} elements
 * @returns {(HTMLElement|string)[]}
 */
function joined(elements) {
  return elements.flatMap((element, place) => (place ? [", ", element] : [element]));
}
