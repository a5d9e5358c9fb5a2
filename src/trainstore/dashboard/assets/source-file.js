// Data that lies in the page itself: a report, which needs no server. It has everything that it can show, so questions
// are answered from memory; a curve has the points that the report was made with, however far one zooms in.
import { embeddedData } from "./embedded.js";
import { comparedFacts } from "./source-file-compare.js";
import { embeddedCurves, embeddedGroups } from "./source-file-curves.js";

const FILE_VERSION = "report";

/** @returns {Promise<import("./types.js").Source>} */
export async function fileSource() {
  const data = await embeddedData();
  const uids = Object.keys(data.head.runs);
  // A report of one run begins with its page: a table of one row says little.
  if (uids.length === 1 && !location.hash) history.replaceState(null, "", `#/run/${encodeURIComponent(uids[0])}`);
  return sourceOf(data);
}

/**
 * @param {import("./embedded.js").Embedded} data
 * @returns {import("./types.js").Source}
 */
export function sourceOf(data) {
  const { head } = data;
  const refuse = async () => {
    throw new Error("A report is a picture of one moment: it is not live, and nothing in it can be changed.");
  };
  return {
    can: { filter: false, live: false, edit: false, export: false },
    meta: async () => head.meta,
    columns: async (query) => {
      const rows = rowsOf(head, query);
      return { count: rows.length, columns: head.columns.map((/** @type {any} */ info) => described(head, info, rows)) };
    },
    runs: async (query) => tableOf(head, query),
    run: async (uid) => {
      const found = Object.keys(head.runs).filter((known) => known === uid || (uid.length >= 8 && known.startsWith(uid)));
      if (found.length !== 1) throw Object.assign(new Error(`The report has no run ${uid}.`), { status: 404 });
      return head.runs[found[0]];
    },
    curves: async (query) => embeddedCurves(data, query),
    group: async (query) => embeddedGroups(data, groupsOf(head, query), query),
    compare: async (uids, all) => comparedFacts(head.compare, uids, all),
    samples: async (uids, name) => samplesOf(head.samples, uids, name),
    live: refuse,
    health: async () => ({ findings: [] }),
    edit: refuse,
    exported: refuse,
  };
}

// --- The table -------------------------------------------------------------------------------------------------------

/**
 * The rows that a question is about, by number, in the order that it asks for.
 * @param {any} head
 * @param {import("./types.js").RunsQuery} query
 * @returns {number[]}
 */
function rowsOf(head, query) {
  const rows = [...valuesOf(head, "uid").keys()];
  const projects = valuesOf(head, "project");
  const found = query.project ? rows.filter((row) => projects[row] === query.project) : rows;
  for (const field of [...(query.sort ?? [])].reverse()) {
    const falling = field.startsWith("-");
    const values = valuesOf(head, falling ? field.slice(1) : field);
    found.sort((a, b) => compareCells(values[a], values[b], falling));
  }
  return found;
}

/**
 * @param {any} head
 * @param {string} id
 * @returns {any[]}
 */
function valuesOf(head, id) {
  return head.table.find((/** @type {any} */ column) => column.id === id)?.values ?? [];
}

/**
 * What is missing and NaN come last, both ways.
 * @param {any} a
 * @param {any} b
 * @param {boolean} falling
 */
function compareCells(a, b, falling) {
  const rank = (/** @type {any} */ cell) => (cell === null || cell === undefined ? 2 : cell === "NaN" ? 1 : 0);
  if (rank(a) || rank(b)) return rank(a) - rank(b);
  const [x, y] = [comparableCell(a), comparableCell(b)];
  const order = typeof x === typeof y ? (x < y ? -1 : x > y ? 1 : 0) : typeof x === "number" ? -1 : 1;
  return falling ? -order : order;
}

/** @param {any} cell */
function comparableCell(cell) {
  if (cell === "Infinity") return Infinity;
  if (cell === "-Infinity") return -Infinity;
  return typeof cell === "boolean" ? Number(cell) : cell;
}

/**
 * @param {any} head
 * @param {import("./types.js").RunsQuery} query
 * @returns {import("./types.js").Table}
 */
function tableOf(head, query) {
  const rows = rowsOf(head, query);
  const shown = rows.slice(query.offset ?? 0, query.limit ? (query.offset ?? 0) + query.limit : undefined);
  const asked = query.columns?.length ? query.columns : head.short;
  const known = new Map(head.table.map((/** @type {any} */ column) => [column.id, column]));
  const ids = new Set(["uid", "name", "status", "started", ...(asked.includes("*") ? known.keys() : asked)]);
  const columns = [...ids]
    .flatMap((id) => known.get(id) ?? [])
    .map((column) => ({ ...column, values: shown.map((row) => column.values[row]) }));
  return { count: rows.length, version: FILE_VERSION, columns };
}

/**
 * @param {any} head
 * @param {any} info
 * @param {number[]} rows
 */
function described(head, info, rows) {
  const values = valuesOf(head, info.id);
  if (rows.length === values.length) return info;
  const there = rows.map((row) => values[row]).filter((cell) => cell !== null);
  const distinct = new Set(there).size;
  const some = info.group === "tag" && there.length > 0 && there.length < rows.length;
  return { ...info, filled: there.length, distinct, varies: distinct > 1 || some };
}

/**
 * Runs with the same values of some columns, in the order of these values.
 * @param {any} head
 * @param {import("./types.js").GroupQuery} query
 */
function groupsOf(head, { by = [], runs, groups, project }) {
  const several = (/** @type {string[]} */ uids) => (uids.length === 1 ? "1 run" : `${uids.length} runs`);
  const uids = valuesOf(head, "uid");
  if (groups) return groups.map((some) => ({ group: [], label: several(some), uids: some }));
  const columns = by.map((id) => valuesOf(head, id));
  /** @type {Map<string, {group: any[], label: string, uids: string[]}>} */
  const found = new Map();
  for (const row of rowsOf(head, { project })) {
    if (runs && !runs.includes(uids[row])) continue;
    const group = columns.map((values) => values[row] ?? null);
    const key = JSON.stringify(group);
    const known = found.get(key) ?? { group, label: "", uids: [] };
    found.set(key, known);
    known.uids.push(uids[row]);
  }
  const rank = (/** @type {any} */ cell) => (cell === null ? 2 : typeof cell === "string" ? 1 : 0);
  const inOrder = [...found.values()].sort((one, other) => {
    const place = one.group.findIndex((cell, nr) => cell !== other.group[nr]);
    const [a, b] = [one.group[place], other.group[place]];
    return rank(a) - rank(b) || (a < b ? -1 : 1);
  });
  const text = (/** @type {any} */ cell) =>
    cell === null ? "none" : typeof cell === "number" ? String(Number(cell.toPrecision(6))) : String(cell);
  for (const one of inOrder) {
    one.label = one.group.map((cell, nr) => `${by[nr]}=${text(cell)}`).join(", ") || several(one.uids);
  }
  return inOrder;
}

/**
 * @param {import("./types.js").Table} samples
 * @param {string[]} uids
 * @param {string|null} name
 * @returns {import("./types.js").Table}
 */
function samplesOf(samples, uids, name) {
  const column = (/** @type {string} */ id) => samples.columns.find((one) => one.id === id)?.values ?? [];
  const [runs, sets] = [column("uid"), column("set")];
  const rows = [...runs.keys()].filter((row) => uids.includes(String(runs[row])) && (!name || sets[row] === name));
  const columns = samples.columns.map((one) => ({ ...one, values: rows.map((row) => one.values[row]) }));
  return { count: rows.length, version: FILE_VERSION, columns };
}
