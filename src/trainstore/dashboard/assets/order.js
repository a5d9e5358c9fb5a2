// The order of the table, its groups, and which columns differ: computed here, without a request.
import { cellAt } from "./rows.js";
import { numberOf } from "./wire.js";

/** @typedef {import("./rows.js").Rows} Rows */
/** @typedef {import("./types.js").Cell} Cell */
/** @typedef {{id: string, down: boolean}} SortKey */

export const MOST_SORT_KEYS = 3;
const BY_TIME = new Set(["started", "ended", "duration"]);
const NATURAL = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

/**
 * @param {string[]} texts  As in the address: "-metric.loss" is from high to low.
 * @returns {SortKey[]}
 */
export function sortKeys(texts) {
  const keys = texts.map((text) => ({ id: text.replace(/^-/, ""), down: text.startsWith("-") }));
  return keys.filter(({ id }) => id !== "").slice(0, MOST_SORT_KEYS);
}

/** @param {SortKey[]} keys */
export function sortTexts(keys) {
  return keys.map(({ id, down }) => (down ? `-${id}` : id));
}

/**
 * The order after a click on a heading: up, down, as it was. With `add` beside the other columns, else alone.
 * @param {SortKey[]} keys
 * @param {string} id
 * @param {boolean} add
 * @returns {SortKey[]}
 */
export function nextSort(keys, id, add) {
  const old = keys.find((key) => key.id === id);
  const next = !old ? { id, down: false } : old.down ? null : { id, down: true };
  if (!add) return next ? [next] : [];
  if (old) return keys.flatMap((key) => (key.id === id ? (next ?? []) : key));
  return [...keys, { id, down: false }].slice(-MOST_SORT_KEYS);
}

/**
 * The rows' numbers in order. What is missing or NaN is last both ways; ties keep the server's order. Where time leads,
 * running runs are on top.
 * @param {Rows} rows
 * @param {SortKey[]} keys
 * @returns {number[]}
 */
export function sortedRows(rows, keys) {
  const order = rows.uids.map((_, row) => row);
  /** @type {((a: number, b: number) => number)[]} */
  const compare = keys.map(({ id, down }) => comparison(rows, id, down));
  const newestFirst = !keys.length || (BY_TIME.has(keys[0].id) && keys[0].down);
  if (newestFirst) compare.unshift(runningFirst(rows));
  if (!compare.length) return order;
  return order.sort((a, b) => {
    for (const one of compare) {
      const found = one(a, b);
      if (found) return found;
    }
    return a - b;
  });
}

/** @param {Rows} rows */
function runningFirst(rows) {
  const status = rows.columns.get("status")?.values ?? [];
  return (/** @type {number} */ a, /** @type {number} */ b) =>
    Number(status[b] === "running") - Number(status[a] === "running");
}

/**
 * @param {Rows} rows
 * @param {string} id
 * @param {boolean} down
 */
function comparison(rows, id, down) {
  const values = rows.columns.get(id)?.values ?? [];
  const ranks = ranksOf(values);
  const sign = down ? -1 : 1;
  return (/** @type {number} */ a, /** @type {number} */ b) => {
    const x = ranks[a];
    const y = ranks[b];
    if (x === y) return 0;
    if (Number.isNaN(x)) return Number.isNaN(y) ? 0 : 1;
    if (Number.isNaN(y)) return -1;
    return x < y ? -sign : sign;
  };
}

/**
 * A number for each value that has its place in the order: numbers first, then texts; NaN for what is missing.
 * @param {Cell[]} values
 * @returns {Float64Array}
 */
function ranksOf(values) {
  const ranks = new Float64Array(values.length);
  const texts = [...new Set(values.filter(isText))].sort((a, b) => NATURAL.compare(a, b) || (a < b ? -1 : 1));
  const numbers = texts.length ? [...new Set(values.map(numeric).filter((x) => !Number.isNaN(x)))] : [];
  numbers.sort((a, b) => a - b);
  const places = new Map(
    /** @type {[Cell, number][]} */ ([...numbers, ...texts].map((value, place) => [value, place])),
  );
  values.forEach((value, row) => {
    ranks[row] = texts.length ? (places.get(isText(value) ? value : numeric(value)) ?? NaN) : numeric(value);
  });
  return ranks;
}

/**
 * @param {Cell} value
 * @returns {value is string}
 */
function isText(value) {
  return typeof value === "string" && value !== "NaN" && value !== "Infinity" && value !== "-Infinity";
}

/** @param {Cell} value */
function numeric(value) {
  return typeof value === "boolean" ? Number(value) : numberOf(value);
}

/**
 * @typedef {Object} RunGroup
 * @property {string} key
 * @property {Cell[]} values  Of the columns that it is grouped by.
 * @property {number[]} members  Rows, in the table's order.
 */

/**
 * The same for a row of the table and for a group's curve.
 * @param {Cell[]} values  Of the columns that runs are grouped by.
 */
export function groupKey(values) {
  return JSON.stringify(values);
}

/**
 * Groups of runs with the same values, in the order in which the sorted table meets them, or by a column of numbers
 * by their means.
 * @param {Rows} rows
 * @param {number[]} order
 * @param {string[]} by
 * @param {SortKey[]} keys
 * @returns {RunGroup[]}
 */
export function groupedRows(rows, order, by, keys) {
  /** @type {Map<string, RunGroup>} */
  const groups = new Map();
  for (const row of order) {
    const values = by.map((id) => cellAt(rows, id, row));
    const key = groupKey(values);
    const group = groups.get(key) ?? { key, values, members: [] };
    group.members.push(row);
    groups.set(key, group);
  }
  const result = [...groups.values()];
  const lead = keys[0];
  if (!lead || rows.columns.get(lead.id)?.kind !== "number" || by.includes(lead.id)) {
    return lead ? result : result.sort(byValues);
  }
  const means = new Map(result.map((group) => [group, summaryOf(rows, lead.id, group.members).mean]));
  const sign = lead.down ? -1 : 1;
  return result.sort((a, b) => missingLast(means.get(a) ?? NaN, means.get(b) ?? NaN, sign));
}

/**
 * @param {number} x
 * @param {number} y
 * @param {number} sign
 */
function missingLast(x, y, sign) {
  if (Number.isNaN(x) || Number.isNaN(y)) return Number(Number.isNaN(x)) - Number(Number.isNaN(y));
  return sign * (x - y);
}

/**
 * @param {RunGroup} a
 * @param {RunGroup} b
 */
function byValues(a, b) {
  for (let place = 0; place < a.values.length; place += 1) {
    const [x, y] = [a.values[place], b.values[place]];
    if (x === y) continue;
    if (x === null || y === null) return x === null ? 1 : -1;
    const [left, right] = [numeric(x), numeric(y)];
    const found = Number.isNaN(left) || Number.isNaN(right) ? NATURAL.compare(String(x), String(y)) : left - right;
    if (found) return found;
  }
  return 0;
}

/**
 * @typedef {{n: number, mean: number, std: number, low: number, high: number}} GroupSummary  Of the finite numbers.
 */

/**
 * @param {Rows} rows
 * @param {string} id
 * @param {number[]} members
 * @returns {GroupSummary}
 */
export function summaryOf(rows, id, members) {
  const numbers = members.map((row) => numeric(cellAt(rows, id, row))).filter(Number.isFinite);
  const n = numbers.length;
  if (!n) return { n, mean: NaN, std: NaN, low: NaN, high: NaN };
  const mean = numbers.reduce((sum, x) => sum + x, 0) / n;
  const squares = numbers.reduce((sum, x) => sum + (x - mean) ** 2, 0);
  return {
    n,
    mean,
    std: n > 1 ? Math.sqrt(squares / (n - 1)) : 0,
    low: Math.min(...numbers),
    high: Math.max(...numbers),
  };
}

/**
 * Whether runs have different values in a column; a run without a value differs from one with.
 * @param {Rows} rows
 * @param {string} id
 */
export function differs(rows, id) {
  const values = rows.columns.get(id)?.values ?? [];
  return values.some((value) => value !== values[0]);
}
