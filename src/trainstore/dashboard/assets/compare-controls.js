// Choosing columns for axes, colour and size; and what is said when a read has failed.
import { h } from "./dom.js";
import { GROUP_TITLES } from "./picker-tree.js";

const OFFERED = /** @type {(keyof typeof GROUP_TITLES)[]} */ (["metric", "hp", "mth", "dbh", "tag", "run", "env"]);

/**
 * @typedef {Object} Choice
 * @property {string} title
 * @property {string} value
 * @property {string} [empty]  What "none" is called; without it there is no such entry.
 * @property {(id: string) => void} choose
 * @property {{on: boolean, change: () => void}|null} [log]
 */

/**
 * @param {{infos: import("./types.js").ColumnInfo[], groups: Choice[]}} options
 * @returns {HTMLElement}
 */
export function axisChoice({ infos, groups }) {
  return h("div", { class: "row axis-choice" }, ...groups.map((choice) => {
    const select = h("select", { "aria-label": choice.title, on: { change: () => choice.choose(select.value) } },
      choice.empty === undefined ? null : h("option", { value: "" }, choice.empty),
      ...OFFERED.map((group) => optionsOf(infos, group, GROUP_TITLES[group])));
    select.value = choice.value;
    return h("span", { class: "row" }, h("label", { class: "row" }, h("span", { "aria-hidden": "true" }, choice.title), select),
      choice.log ? h("button", { class: "small", "aria-pressed": String(choice.log.on), "aria-label": `${choice.title}: log scale`,
        on: { click: choice.log.change } }, "log") : null);
  }));
}

/**
 * @param {import("./types.js").ColumnInfo[]} infos
 * @param {string} group
 * @param {string} title
 */
function optionsOf(infos, group, title) {
  const some = infos.filter((info) => info.group === group && info.filled > 0 && (info.varies || group !== "env"));
  if (!some.length) return null;
  // What is the same in all runs tells nothing, so it comes last.
  some.sort((a, b) => Number(b.varies) - Number(a.varies));
  return h("optgroup", { label: title }, ...some.map((info) => h("option", { value: info.id }, info.label)));
}

/**
 * @param {string} what
 * @param {any} error
 * @param {() => void} again
 */
export function failedRead(what, error, again) {
  return h("div", { class: "empty" }, h("p", { class: "bad" }, `${what}: ${error.message}`), error.hint ? h("p", {}, error.hint) : null,
    h("button", { on: { click: again } }, "Try again"));
}
