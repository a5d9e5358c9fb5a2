// The tabs of a run that are tables of text: hyperparameters, environment, events.
import { databaseNow } from "./clock.js";
import { fill, h } from "./dom.js";
import { formatAgo, formatCell, formatNumber, formatTime } from "./format.js";
import { factsBySpace, textOf } from "./run-facts-model.js";
import { eventText, plainValue } from "./run-marks.js";
import { changedFacts } from "./run-tree.js";
import { settled } from "./signals.js";

/** @typedef {import("./types.js").RunDetail} RunDetail */
/** @typedef {{element: HTMLElement, update: (detail: RunDetail) => void, dispose: () => void}} Panel */

const MOST_ROWS = 500; // at once; the rest on request
const ONE_COLUMN = 15; // rows of a single table that stand below each other

/**
 * A search field that tells 150 ms after the last key.
 * @param {string} label
 * @param {(text: string) => void} onText
 */
export function searchField(label, onText) {
  const field = h("input", { type: "search", placeholder: label, "aria-label": label });
  const tell = settled(150, () => onText(field.value));
  field.addEventListener("input", tell);
  return field;
}

/**
 * @param {string[]} namespaces
 * @param {string} empty  What is said if there is nothing.
 * @returns {Panel}
 */
export function factsPanel(namespaces, empty) {
  let [search, key, all] = ["", "", false];
  /** @type {RunDetail|null} */
  let shown = null;
  const body = h("div", {});
  const field = searchField("Search", (text) => {
    search = text;
    render();
  });
  const defaults = h("button", { type: "button", class: "small", on: { click: () => toggleDefaults() } });
  const element = h("div", { class: "facts-panel" }, h("div", { class: "row" }, field, defaults), body);

  const toggleDefaults = () => {
    all = !all;
    render();
  };

  const render = () => {
    if (!shown) return;
    const changes = changedFacts(shown.attempts);
    const spaces = factsBySpace(shown.hyperparams, namespaces, search, all || search !== "");
    const usual = shown.hyperparams.filter((fact) => fact.usual && namespaces.includes(fact.namespace)).length;
    defaults.hidden = usual === 0;
    defaults.textContent = all ? "Hide defaults" : `Show ${formatNumber(usual)} defaults`;
    const tables = spaces.map((space) =>
      h(
        "section",
        {},
        h("h2", {}, space.title, h("span", { class: "tab-count" }, countText(space.facts.length, space.of))),
        h("table", { class: "plain-table facts-table" }, h("tbody", {}, space.facts.map((fact) => factRowOf(fact, changes)))),
      ),
    );
    field.hidden = !spaces.length;
    const many = (spaces[0]?.facts.length ?? 0) > ONE_COLUMN;
    body.className = tables.length > 1 ? "facts-grid" : many ? "facts-columns" : "facts-one";
    fill(body, tables.length ? tables : h("p", { class: "empty" }, usual ? "Every value is a default." : empty));
  };
  return {
    element,
    update(detail) {
      const next = JSON.stringify([detail.hyperparams, detail.attempts.map(({ changed }) => changed)]);
      shown = detail;
      if (next !== key) render();
      key = next;
    },
    dispose() {},
  };
}

/**
 * @param {number} found
 * @param {number} of
 */
function countText(found, of) {
  return found === of ? formatNumber(of) : `${formatNumber(found)} of ${formatNumber(of)}`;
}

/**
 * @param {import("./types.js").Fact} fact
 * @param {ReturnType<typeof changedFacts>} changes
 */
function factRowOf({ key, id, value, kind }, changes) {
  const changed = changes.get(id) ?? [];
  const text = typeof value === "number" || kind === "boolean" ? formatCell(value, kind) : textOf(value);
  const exact = typeof value === "number" ? String(value) : null; // the cell is rounded
  const history = changed.map(({ attempt, old, new: now }) =>
    h("div", { class: "small changed" }, `attempt ${attempt}: ${plainValue(old) || "unset"} → ${plainValue(now)}`),
  );
  return h("tr", {}, h("th", { scope: "row" }, breakable(key)), h("td", { title: exact }, h("div", { class: "value" }, text), history));
}

/**
 * A long name that may go on in the next line after a separator.
 * @param {string} name
 */
function breakable(name) {
  return name.split(/(?<=[_./-])/).flatMap((part, place) => (place ? [h("wbr"), part] : [part]));
}

/** @returns {Panel} */
export function eventsPanel() {
  let [search, kind, limit, key] = ["", "", MOST_ROWS, ""];
  /** @type {RunDetail|null} */
  let shown = null;
  const kinds = h("div", { class: "row kinds", role: "group", "aria-label": "Kinds of events" });
  const body = h("tbody", {});
  const more = h("p", {});
  const field = searchField("Search in events", (text) => {
    search = text.toLowerCase();
    render();
  });
  const heads = ["time", "step", "kind", "what"].map((text) => h("th", { scope: "col" }, text));
  const table = h("table", { class: "plain-table events-table" }, h("thead", {}, h("tr", {}, heads)), body);
  const frame = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Events" }, table);
  const empty = h("p", { class: "empty" }, "Nothing happened in this run that was recorded as an event.");
  const element = h("div", {}, h("div", { class: "row" }, field, kinds), frame, more, empty);

  const render = () => {
    if (!shown) return;
    const { events } = shown;
    empty.hidden = events.length > 0;
    field.hidden = frame.hidden = !events.length;
    /** @type {Map<string, number>} */
    const counts = new Map();
    for (const event of events) counts.set(event.kind, (counts.get(event.kind) ?? 0) + 1);
    fill(kinds, counts.size > 1 ? [...counts].sort().map(([name, count]) => kindButton(name, count)) : []);
    const found = events.filter((event) => !kind || event.kind === kind).map((event) => ({ event, text: eventText(event) }));
    const matching = found.filter(({ event, text }) => `${event.kind} ${text}`.toLowerCase().includes(search)).reverse();
    fill(body, matching.slice(0, limit).map(({ event, text }) => eventRow(event, text)));
    fill(more, matching.length > limit ? moreButton(matching.length - limit) : null);
  };
  const kindButton = (/** @type {string} */ name, /** @type {number} */ count) =>
    h("button", {
      type: "button", class: "small", "aria-pressed": String(kind === name), data: { kind: name },
      on: { click: () => choose(kind === name ? "" : name) },
    }, `${name.replaceAll("_", " ")} ${formatNumber(count)}`); // prettier-ignore
  const choose = (/** @type {string} */ name) => {
    kind = name;
    limit = MOST_ROWS;
    render();
    const chosen = [...kinds.children].find((button) => button.getAttribute("aria-pressed") === "true");
    /** @type {HTMLElement|undefined} */ (chosen ?? kinds.firstElementChild ?? undefined)?.focus();
  };
  const moreButton = (/** @type {number} */ left) =>
    h("button", {
      type: "button",
      on: {
        click: () => {
          limit += MOST_ROWS;
          render();
        },
      },
    }, `Show ${formatNumber(Math.min(left, MOST_ROWS))} more of ${formatNumber(left)}`); // prettier-ignore
  return {
    element,
    update(detail) {
      const next = JSON.stringify(detail.events);
      shown = detail;
      if (next !== key) render();
      key = next;
    },
    dispose() {},
  };
}

/**
 * @param {import("./types.js").RunEvent} event
 * @param {string} text
 */
function eventRow(event, text) {
  const level = event.kind === "alert" ? event.details?.level : "";
  const tone = level === "error" || event.kind === "exception" ? "bad" : level === "warn" ? "warn" : "";
  return h(
    "tr",
    {},
    h("td", { class: "nowrap", title: formatAgo(event.at, databaseNow()) }, formatTime(event.at)),
    h("td", { class: "number" }, event.step === null ? "" : formatNumber(event.step)),
    h("td", { class: `nowrap ${tone}` }, event.kind.replaceAll("_", " ")),
    h("td", { class: "what" }, text),
  );
}
