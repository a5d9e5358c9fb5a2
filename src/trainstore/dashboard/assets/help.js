// The help: keys, and the filter language in ten lines.
import { fill, h } from "./dom.js";
import { allShortcuts } from "./keys.js";

const FILTERS = [
  ["sweep", "name, a tag or the notes contain it"],
  ["hp.lr < 1e-3 and hp.optim = adamw", "hyperparameters"],
  ["hp.optim in (adamw, lion)", "one of these"],
  ["metric.eval_loss.min < 2", "last value, or .min, .max, .count"],
  ["status = running or started > -7d", "state and time"],
  ["not tag.bad", "runs without the tag"],
  ["name ~ warmup", "contains, capitals or not"],
  ["hp.seed is null", "runs that have none"],
];

/** The window with the help; `open` shows it. */
export function helpWindow() {
  const keys = h("dl", { class: "help-keys" });
  const close = h("button", { on: { click: () => element.close() } }, "Close");
  const filters = FILTERS.map(([text, meaning]) => [h("dt", {}, h("code", {}, text)), h("dd", {}, meaning)]);
  const element = h(
    "dialog",
    { class: "help", "aria-label": "Help" },
    h("div", { class: "row" }, h("h2", { class: "grow" }, "Keys"), close),
    keys,
    h("h2", {}, "Filter"),
    h("dl", { class: "help-filters" }, filters.flat()),
  );
  element.addEventListener("click", (/** @type {Event} */ event) => event.target === element && element.close());
  return {
    element,
    open() {
      /** @type {Map<string, string>} */
      const known = new Map(allShortcuts().map(({ keys: text, text: meaning }) => [text, meaning]));
      fill(
        keys,
        [...known]
          .map(([text, meaning]) => [
            h(
              "dt",
              {},
              text.split(" ").map((key) => h("kbd", {}, key)),
            ),
            h("dd", {}, meaning),
          ])
          .flat(),
      );
      element.showModal();
      close.focus();
    },
  };
}
