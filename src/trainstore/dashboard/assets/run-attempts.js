// The tab Attempts: a run's attempts as a tree, and what is known of each.
import { databaseNow } from "./clock.js";
import { commandLine } from "./copy.js";
import { fill, h } from "./dom.js";
import { formatAgo, formatDuration, formatNumber, formatTime } from "./format.js";
import { factRow, statusBadge } from "./run-head.js";
import { attemptLabel, plainValue, stepsOf, stepsText } from "./run-marks.js";
import { attemptRows, changedVersions } from "./run-tree.js";

/** @typedef {import("./types.js").Attempt} Attempt */
/** @typedef {import("./run-tree.js").TreeRow} TreeRow */

const LANE_WIDTH = 22; // pixels between lanes
const DOT_TOP = 21; // from a card's top to its dot

/**
 * What the tab shows but for what changes with each step; as long as it is the same nothing is drawn anew, so that
 * nobody loses what they have opened or marked.
 * @param {import("./types.js").RunDetail} detail
 * @returns {string}
 */
function attemptsKey({ attempts, writers }) {
  return JSON.stringify([
    attempts.map((attempt) => ({ ...attempt, last_step: attempt.last_step === null })),
    writers.map((writer) => ({ ...writer, heartbeat: null })),
  ]);
}

/** @returns {import("./run-panels.js").Panel} */
export function attemptsPanel() {
  const element = h("div", { class: "attempts" });
  /** @type {Map<number, HTMLElement>} */
  const kept = new Map();
  let key = "";
  return {
    element,
    update(detail) {
      const next = attemptsKey(detail);
      if (next !== key) {
        const rows = attemptRows(detail.attempts);
        for (const { attempt } of rows) kept.set(attempt.attempt, h("span", { class: "muted" }));
        const items = rows.map((row) => attemptItem(row, rows, /** @type {HTMLElement} */ (kept.get(row.attempt.attempt))));
        fill(element, h("ol", { class: "attempt-tree" }, items), writersTable(detail));
      }
      key = next;
      for (const attempt of detail.attempts) {
        /** @type {HTMLElement} */ (kept.get(attempt.attempt)).textContent = keptText(attempt);
      }
    },
    dispose() {},
  };
}

/**
 * @param {TreeRow} row
 * @param {TreeRow[]} rows
 * @param {HTMLElement} kept  Which of its steps are shown.
 */
function attemptItem(row, rows, kept) {
  const { attempt, shown } = row;
  const before = rows.find((other) => other.attempt.attempt === attempt.resumed_from)?.attempt;
  return h(
    "li",
    { class: shown ? "attempt-item" : "attempt-item given-up" },
    laneDrawing(row, rows),
    h(
      "article",
      { class: "card attempt-card", "aria-label": attemptLabel(attempt) },
      h("div", { class: "row" }, h("h2", {}, capital(attemptLabel(attempt))), statusBadge(attempt.status), kept),
      attemptFacts(attempt),
      changedList(attempt),
      versionsOf(attempt, before),
      attempt.error
        ? h("pre", { class: "error-text", tabindex: "0", "aria-label": "Error" }, attempt.error)
        : null,
      attempt.command ? commandLine(attempt.command) : null,
    ),
  );
}

/** @param {string} text */
function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** @param {Attempt} attempt */
function keptText(attempt) {
  const { kept, replaced } = stepsOf(attempt);
  const parts = [
    kept ? stepsText(kept) : "no steps shown",
    replaced ? `${stepsText(replaced)} trained again later` : "",
  ];
  return parts.filter(Boolean).join("; ");
}

/** @param {Attempt} attempt */
function attemptFacts(attempt) {
  const commit = attempt.git_commit && h("code", { title: attempt.git_commit }, attempt.git_commit.slice(0, 12));
  const took = attempt.closed === null ? "" : formatDuration(attempt.closed - attempt.opened);
  return factRow([
    ["opened", formatAgo(attempt.opened, databaseNow()), formatTime(attempt.opened)],
    ["took", took],
    ["host", attempt.host ?? ""],
    ["commit", commit ? h("span", {}, commit, attempt.git_dirty ? " with uncommitted changes" : "") : ""],
  ]);
}

/** @param {Attempt} attempt */
function changedList({ changed }) {
  const pairs = Object.entries(changed ?? {}).filter(([, pair]) => Array.isArray(pair));
  if (!pairs.length) return null;
  return h(
    "p",
    { class: "changed" },
    "Changed: ",
    pairs.map(([id, [old, now]], place) => [place ? ", " : "", h("code", {}, id), ` ${plainValue(old)} → ${plainValue(now)}`]).flat(),
  );
}

/**
 * @param {Attempt} attempt
 * @param {Attempt|undefined} before
 */
function versionsOf(attempt, before) {
  const all = Object.entries(attempt.versions ?? {});
  if (!all.length) return null;
  const changed = before ? changedVersions(attempt, before) : [];
  const news = changed.map(([name, version, old]) => `${name} ${old ?? "none"} → ${version}`).join(", ");
  return h(
    "details",
    {},
    h("summary", {}, news ? `Versions: ${news}` : before ? "Versions: as before" : "Versions"),
    h("p", { class: "mono" }, all.map(([name, version]) => `${name} ${version}`).join(", ")),
  );
}

/**
 * The lanes that pass a row, and its dot. Lines go from a parent down its child's lane.
 * @param {TreeRow} row
 * @param {TreeRow[]} rows
 */
function laneDrawing(row, rows) {
  const place = rows.indexOf(row);
  const x = (/** @type {number} */ lane) => 11 + lane * LANE_WIDTH;
  const width = x(Math.max(...rows.map(({ lane }) => lane))) + 11;
  /** @type {SVGElement[]} */
  const lines = [];
  rows.forEach((child, childPlace) => {
    const parent = child.parent;
    if (!parent || parent.row > place || childPlace < place) return;
    const kind = child.shown ? "lane shown" : "lane";
    const out = parent.row === place; // the line leaves this row's dot
    const [from, to] = [out ? DOT_TOP : 0, childPlace === place ? DOT_TOP : "100%"];
    if (out && parent.lane !== child.lane) {
      lines.push(h("line", { class: kind, x1: x(parent.lane), y1: DOT_TOP, x2: x(child.lane), y2: DOT_TOP + LANE_WIDTH }));
      lines.push(h("line", { class: kind, x1: x(child.lane), y1: DOT_TOP + LANE_WIDTH, x2: x(child.lane), y2: "100%" }));
    } else {
      lines.push(h("line", { class: kind, x1: x(child.lane), y1: from, x2: x(child.lane), y2: to }));
    }
  });
  const dot = { class: row.shown ? "dot shown" : "dot", cx: x(row.lane), cy: DOT_TOP, r: 5 };
  return h("svg", { class: "lanes", width, "aria-hidden": "true" }, lines, h("circle", dot));
}

/** @param {import("./types.js").RunDetail} detail */
function writersTable({ writers, attempts }) {
  if (writers.length < 2) return null;
  const lost = new Set(attempts.filter(({ status }) => status === "lost").map(({ attempt }) => attempt));
  const row = (/** @type {typeof writers[number]} */ writer) => {
    const closed = lost.has(writer.attempt) ? "attempt lost" : "closed"; // by somebody else, then
    const state = writer.closed !== null ? closed : writer.alive ? "alive" : "not heard from";
    const cells = [writer.attempt, writer.rank, writer.host, writer.pid || null, formatTime(writer.started), state];
    return h("tr", {}, cells.map((cell, place) => h("td", { class: place === 2 || place > 3 ? "" : "number" }, cell)));
  };
  const heads = ["attempt", "rank", "host", "pid", "since", "state"];
  return h(
    "details",
    { open: writers.length <= 8 },
    h("summary", {}, `${formatNumber(writers.length)} processes recorded into this run`),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Processes" },
      h("table", { class: "plain-table" }, h("thead", {}, h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)))),
        h("tbody", {}, writers.map(row)))),
  );
}
