// What trainstore doctor finds, worst first.
import { commandLine } from "./copy.js";
import { fill, h } from "./dom.js";

/** @typedef {import("./types.js").Finding & {fix?: string|null}} DoctorsFinding */

const HEALTH_COMMAND = /^(.*?)(trainstore [a-z]+(?: [a-z]+)?)$/s; // what to do often ends with a command

const HEALTH_LEVELS = /** @type {[level: string, title: string, sign: string, tone: string][]} */ ([
  ["error", "Needs fixing", "✕", "bad"],
  ["warning", "Worth a look", "!", "warn"],
  ["ok", "In order", "✓", "good"],
]);

/**
 * @param {import("./types.js").Context} context
 * @returns {import("./types.js").Page}
 */
export function healthPage({ source, meta }) {
  const body = h("div", { "aria-live": "polite" }, h("p", { class: "loading" }, "Looking…"));
  const button = h("button", { type: "button", on: { click: () => look() } }, "Look again");
  const element = h(
    "div",
    { class: "health-page" },
    h("div", { class: "row" }, h("h1", {}, "Health"), h("span", { class: "muted cut" }, meta.store.url),
      h("span", { class: "grow" }), button),
    body,
    h("p", { class: "muted" }, "The same in a terminal, with more checks:"),
    commandLine(`trainstore doctor${meta.store.options ?? ""}`),
  ); // prettier-ignore

  const look = async () => {
    button.disabled = true;
    try {
      const { findings } = await source.health();
      fill(body, summaryLine(findings), HEALTH_LEVELS.map((level) => levelSection(level, findings, meta)));
    } catch (error) {
      const { message, hint } = /** @type {{message: string, hint?: string}} */ (error);
      fill(body, h("div", { class: "empty" }, h("h2", {}, "The store cannot be looked at"), h("p", {}, message),
        hint ? h("p", {}, hint) : null)); // prettier-ignore
    } finally {
      button.disabled = false;
    }
  };
  look();
  return { element, dispose() {} };
}

/** @param {DoctorsFinding[]} findings */
function summaryLine(findings) {
  const bad = findings.filter(({ level }) => level !== "ok").length;
  const text = bad === 0 ? "Everything is in order." : bad === 1 ? "One thing needs attention." : `${bad} things need attention.`;
  return h("p", { class: bad ? "health-summary" : "health-summary good" }, text);
}

/**
 * @param {[level: string, title: string, sign: string, tone: string]} level
 * @param {DoctorsFinding[]} findings
 * @param {import("./types.js").Meta} meta
 */
function levelSection([level, title, sign, tone], findings, meta) {
  const found = findings.filter((finding) => finding.level === level);
  if (!found.length) return null;
  const items = found.map(({ check, text, fix }) =>
    h("li", {}, h("span", { class: `sign ${tone}`, "aria-hidden": "true" }, sign), h("strong", {}, check),
      h("div", {}, h("p", {}, text), fix ? whatToDo(fix, meta) : null)),
  ); // prettier-ignore
  const list = h("ul", { class: "findings card" }, items);
  return h("section", {}, h("h2", { class: tone }, title), list);
}

/**
 * @param {string} fix
 * @param {import("./types.js").Meta} meta
 */
function whatToDo(fix, { store }) {
  const [, text = fix, command = ""] = HEALTH_COMMAND.exec(fix) ?? [];
  return [
    text.trim() ? h("p", { class: "fix" }, text) : null,
    command ? commandLine(`${command}${store.options ?? ""}`) : null,
  ];
}
