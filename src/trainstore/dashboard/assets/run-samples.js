// The tab Samples: what the model wrote after fixed prompts, steps side by side.
import { fill, h } from "./dom.js";
import { formatNumber } from "./format.js";
import { sampleSets, stepsSideBySide } from "./run-samples-model.js";

/** @typedef {import("./run-samples-model.js").SampleSet} SampleSet */

const MOST_COLUMNS = 4; // side by side; more would be too narrow to read
const MOST_PROMPTS = 100;
const SAMPLES_PAUSE = 10_000; // milliseconds between two requests of a run that goes on: all its samples are read

/**
 * @param {import("./types.js").Context} context
 * @param {string} uid
 * @returns {import("./run-panels.js").Panel}
 */
export function samplesPanel({ source, state }, uid) {
  const element = h("div", { class: "samples" }, h("p", { class: "loading" }, "Loading…"));
  /** @type {SampleSet[]} */
  let sets = [];
  let key = "";
  let [asked, at] = [NaN, -Infinity]; // the last step when the samples were asked for, and when that was
  let isGone = false;

  const chosenSet = () => sets.find(({ set }) => set === state.text("set")) ?? sets[0];
  const shownSteps = (/** @type {SampleSet} */ set) => stepsSideBySide(set.steps, state.list("steps").map(Number));

  const render = () => {
    const set = chosenSet();
    if (!set) {
      const how = "TextgenCallback records what a model writes after fixed prompts.";
      return fill(element, h("p", { class: "empty" }, `This run has no text samples. ${how}`));
    }
    const steps = shownSteps(set);
    fill(element, controls(set, steps), grid(set, steps));
  };

  const controls = (/** @type {SampleSet} */ set, /** @type {number[]} */ steps) =>
    h(
      "div",
      { class: "row" },
      sets.length > 1 ? setChoice(set) : null,
      h("span", { class: "muted" }, `${counted(set.prompts.length, "prompt")} at ${counted(set.steps.length, "step")}`),
      h("span", { class: "grow" }),
      h("button", {
        type: "button", disabled: steps.length >= MOST_COLUMNS || set.steps.length < 2,
        on: { click: () => state.set({ steps: [...steps, set.steps[set.steps.length - 1]] }, { push: true }) },
      }, "Another step beside"), // prettier-ignore
    );

  const setChoice = (/** @type {SampleSet} */ set) =>
    h(
      "label",
      {},
      "Set ",
      h(
        "select",
        { on: { change: (/** @type {any} */ event) => state.set({ set: event.target.value, steps: [] }, { push: true }) } },
        sets.map((one) => h("option", { value: one.set, selected: one === set }, one.set)),
      ),
    );

  const grid = (/** @type {SampleSet} */ set, /** @type {number[]} */ steps) => {
    const heads = steps.map((step, column) => stepHead(set, steps, step, column));
    const rows = set.prompts.slice(0, MOST_PROMPTS).map(({ nr, prompt }) =>
      h("tr", {}, h("th", { scope: "row" }, h("div", { class: "sample-text" }, prompt)),
        steps.map((step) => h("td", {}, sampleCell(set, step, nr)))),
    ); // prettier-ignore
    const left = set.prompts.length - MOST_PROMPTS;
    return h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Samples" },
      h("table", { class: "plain-table sample-table", style: { "--columns": steps.length + 1 } },
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "prompt"), heads)), h("tbody", {}, rows)),
      left > 0 ? h("p", { class: "muted" }, `${formatNumber(left)} more prompts: trainstore show ${uid} --samples`) : null,
    ); // prettier-ignore
  };

  const stepHead = (/** @type {SampleSet} */ set, /** @type {number[]} */ steps, /** @type {number} */ step, /** @type {number} */ column) => {
    const place = set.steps.indexOf(step);
    const title = h("span", {}, `step ${formatNumber(step)}`);
    const say = () => {
      const to = set.steps[Number(slider.value)];
      title.textContent = `step ${formatNumber(to)}`;
      slider.setAttribute("aria-valuetext", `step ${to}`);
    };
    const move = () => {
      state.set({ steps: steps.with(column, set.steps[Number(slider.value)]) });
      /** @type {HTMLElement|null} */ (element.querySelector(`[data-slider="${column}"]`))?.focus();
    };
    const slider = h("input", {
      type: "range", min: 0, max: set.steps.length - 1, value: place, "aria-label": `Step of column ${column + 1}`,
      "aria-valuetext": `step ${step}`, data: { slider: column }, disabled: set.steps.length < 2,
      on: { input: say, change: move }, // another table would take the slider from under the pointer
    }); // prettier-ignore
    const without = { steps: steps.filter((_, other) => other !== column) };
    return h(
      "th",
      { scope: "col" },
      h("div", { class: "row step-head" }, title, slider,
        steps.length > 1
          ? h("button", { type: "button", class: "plain small", "aria-label": `Take step ${step} away`,
              on: { click: () => state.set(without, { push: true }) } }, "✕")
          : null),
    ); // prettier-ignore
  };

  const load = async () => {
    try {
      const table = await source.samples([uid], null);
      const next = JSON.stringify(table.columns);
      if (isGone || next === key) return;
      key = next;
      sets = sampleSets(table);
      render();
    } catch (error) {
      if (!key) fill(element, h("p", { class: "empty bad" }, `The samples cannot be read: ${/** @type {Error} */ (error).message}`));
    }
  };
  const stop = state.listen(["set", "steps"], render);
  return {
    element,
    update({ run }) {
      const last = run.last_step ?? -1;
      const soon = run.status === "running" && performance.now() - at < SAMPLES_PAUSE;
      if (last === asked || soon) return;
      [asked, at] = [last, performance.now()];
      load();
    },
    dispose() {
      isGone = true;
      stop();
    },
  };
}

/**
 * @param {number} number
 * @param {string} what
 */
function counted(number, what) {
  return `${formatNumber(number)} ${what}${number === 1 ? "" : "s"}`;
}

/**
 * @param {SampleSet} set
 * @param {number} step
 * @param {number} nr
 */
function sampleCell(set, step, nr) {
  const sample = set.at.get(step)?.get(nr);
  if (!sample) return h("span", { class: "muted" }, "none");
  return [
    h("div", { class: "sample-text" }, sample.completion),
    sample.extra.length
      ? h("div", { class: "muted small" }, sample.extra.map(([name, value]) => `${name}=${value}`).join(" "))
      : null,
  ];
}
