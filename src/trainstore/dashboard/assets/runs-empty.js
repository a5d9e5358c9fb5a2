// What the page of the runs says when there is nothing to show.
import { h } from "./dom.js";
import { formatNumber } from "./format.js";

/** @param {string} store  The expression that opens it. */
const recordingCode = (store) => `from trainstore import TrainStore

with ${store}.start_run(project="first", hyperparams={"lr": 0.1}) as run:
    for step in range(100):
        run.log({"loss": 1 / (step + 1)}, step=step)`;

/**
 * The store has no run yet: what to do.
 * @param {import("./types.js").Meta} meta
 */
export function firstScreen({ store }) {
  const hidden = store.options === null; // the URL has a password
  const options = hidden ? store.prefix && ` --prefix ${store.prefix}` : (store.options ?? "");
  return h(
    "div",
    { class: "empty first-screen" },
    h("h2", {}, "No runs yet"),
    h("p", {}, "This page looks at ", h("code", {}, store.url), ". Runs appear here as soon as a program records one:"),
    h("pre", {}, h("code", {}, recordingCode(store.code ?? "TrainStore()"))),
    h("p", {}, "Or let trainstore record an example: ", h("code", {}, `trainstore demo${options}`)),
    hidden &&
      h(
        "p",
        {},
        "Both need the URL of this database, with its password, in ",
        h("code", {}, "TRAINSTORE_URL"),
        ", as for this dashboard.",
      ),
    h(
      "p",
      { class: "small" },
      "Are the runs in another database? Name it: ",
      h("code", {}, "trainstore ui path/to/runs.db"),
      ", or set ",
      h("code", {}, "TRAINSTORE_URL"),
      ".",
    ),
  );
}

/** @param {import("./router.js").State} state */
export function nothingFound(state) {
  const q = state.text("q");
  const project = state.text("project");
  const clear = () => state.set(q ? { q: null } : { project: null }, { push: true });
  return h(
    "div",
    { class: "empty" },
    h("h2", {}, q ? "No run matches the filter" : `The project “${project}” has no runs`),
    q && h("p", {}, h("code", {}, q), project && ` in the project “${project}”`),
    h("p", {}, h("button", { class: "primary", on: { click: clear } }, q ? "Clear the filter" : "All projects")),
  );
}

/** The filter cannot be read, and there are runs of an earlier one. */
export function staleNotice() {
  return h(
    "div",
    { class: "row" },
    h("span", { class: "warn", "aria-hidden": "true" }, "⚠"),
    h("span", { class: "grow" }, "The filter has an error; these are the runs of the one before."),
  );
}

/**
 * The filter cannot be read, and there is nothing else to show.
 * @param {import("./router.js").State} state
 * @param {any} error
 */
export function filterTrouble(state, error) {
  return h(
    "div",
    { class: "empty" },
    h("h2", {}, "The filter has an error"),
    h("p", {}, h("code", {}, state.text("q"))),
    h("p", {}, withoutPlace(error.message)),
    error.hint && h("p", {}, error.hint),
    h("p", {}, h("button", { class: "primary", on: { click: () => state.set({ q: null }, { push: true }) } }, "Clear the filter")),
  );
}

/** @param {string} message */
function withoutPlace(message) {
  return message.replace(/^\w+, character \d+: /, "");
}

/**
 * A read that failed, beside what is still shown.
 * @param {any} error
 * @param {() => void} again
 * @param {() => void} usual
 */
export function troubleNotice(error, again, usual) {
  const ours = error.code === "filter" || error.code === "argument";
  return h(
    "div",
    { class: "row" },
    h("span", { class: "bad", "aria-hidden": "true" }, "⚠"),
    h(
      "span",
      { class: "grow" },
      withoutPlace(error.message),
      error.hint ? ` (${error.hint})` : "",
    ),
    ours
      ? h("button", { on: { click: usual } }, "The usual columns and order")
      : h("button", { on: { click: again } }, "Try again"),
  );
}

/**
 * Records that a process has left behind, and what delivers them.
 * @param {NonNullable<import("./types.js").Meta["waiting"]>} waiting
 * @param {() => void} close
 */
export function waitingNotice({ records, command }, close) {
  const what =
    records === 1
      ? "One record of a process that has ended is"
      : `${formatNumber(records)} records of processes that have ended are`;
  return h(
    "div",
    { class: "row" },
    h("span", { class: "warn", "aria-hidden": "true" }, "⚠"),
    h("span", { class: "grow" }, `${what} not in the database yet. This delivers them: `, h("code", {}, command)),
    h("button", { class: "plain", "aria-label": "Close this message", on: { click: close } }, "×"),
  );
}
