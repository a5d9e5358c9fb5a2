// What the cells of the run table show.
import { fill, h } from "./dom.js";
import { formatAgo, formatCell, formatNumber, formatTime, signOf } from "./format.js";
import { summaryOf } from "./order.js";
import { cellAt } from "./rows.js";

/** @typedef {import("./rows.js").Rows} Rows */

const DIGITS = 4;
const LEAST_NAME_WIDTH = 84; // pixels
const MOST_NAME_WIDTH = 280;
const ROOM_BESIDE_NAME = 22; // the cell's padding, the indent below a group

/** @param {string} status */
export function statusMark(status) {
  return [h("span", { class: `sign status-${status}`, "aria-hidden": "true" }, signOf(status)), ` ${status}`];
}

/**
 * A cell's text. Values of a metric have the same digits, so that they stand under each other.
 * @param {string} id
 * @param {import("./types.js").Cell} value
 * @param {import("./types.js").Kind} kind
 * @param {number} now
 */
export function cellText(id, value, kind, now) {
  if (kind === "time") return formatAgo(value === null ? null : Number(value), now);
  const metric = id.startsWith("metric.") && typeof value === "number" && !Number.isInteger(value);
  const size = Math.abs(Number(value));
  if (metric && size >= 1e-4 && size < 1e4) return value.toPrecision(DIGITS).replace("-", "−");
  return formatCell(value, kind);
}

/**
 * A value of a run, with few digits; all of it in the title.
 * @param {HTMLElement} cell
 * @param {string} id
 * @param {import("./types.js").Cell} value
 * @param {import("./types.js").Kind} kind
 * @param {number} now
 */
export function fillValue(cell, id, value, kind, now) {
  if (value === null) {
    cell.textContent = "";
    cell.removeAttribute("title");
    return;
  }
  const text = cellText(id, value, kind, now);
  const odd = kind === "number" && typeof value === "string";
  if (odd) fill(cell, h("span", { class: "bad" }, text));
  else cell.textContent = text;
  cell.title = kind === "time" ? formatTime(Number(value)) : kind === "duration" ? `${value} s` : String(value);
}

/**
 * What the runs of a group have in a column: their value if it is one, the mean and deviation of numbers.
 * @param {HTMLElement} cell
 * @param {Rows} rows
 * @param {string} id
 * @param {number[]} members
 * @param {number} now
 */
export function fillSummary(cell, rows, id, members, now) {
  const kind = rows.columns.get(id)?.kind ?? "text";
  const values = new Set(members.map((row) => cellAt(rows, id, row)));
  if (values.size === 1) return fillValue(cell, id, [...values][0], kind, now);
  if (kind === "number" || kind === "duration") {
    const { n, mean, std, low, high } = summaryOf(rows, id, members);
    const show = (/** @type {number} */ value) =>
      kind === "number" ? formatNumber(value, 3) : formatCell(value, kind);
    fill(cell, n ? show(mean) : "", n > 1 ? h("span", { class: "muted" }, ` ± ${show(std)}`) : "");
    cell.title = n
      ? `mean ${mean}, deviation ${std}, from ${low} to ${high}, ${n} of ${members.length} runs`
      : "no number";
    return;
  }
  if (kind === "time") {
    const times = members.map((row) => Number(cellAt(rows, id, row) ?? NaN)).filter(Number.isFinite);
    return fillValue(cell, id, times.length ? Math.max(...times) : null, kind, now);
  }
  fill(cell, h("span", { class: "muted" }, `${values.size} values`));
  cell.title = [...values]
    .slice(0, 20)
    .map((value) => value ?? "none")
    .join(", ");
}

/**
 * How many runs of a group have which status.
 * @param {HTMLElement} cell
 * @param {Rows} rows
 * @param {number[]} members
 */
export function fillStatuses(cell, rows, members) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const row of members) {
    const status = String(cellAt(rows, "status", row) ?? "");
    counts.set(status, (counts.get(status) ?? 0) + 1);
  }
  const all = [...counts].sort((a, b) => b[1] - a[1]);
  fill(
    cell,
    all
      .map(([status, n]) => [
        h("span", { class: `sign status-${status}`, "aria-hidden": "true" }, signOf(status)),
        `${n} `,
      ])
      .flat(),
  );
  cell.title = all.map(([status, n]) => `${n} ${status}`).join(", ");
}

/**
 * A width for a column by what stands in it.
 * @param {string} label
 * @param {string[]} texts
 */
export function columnWidth(label, texts) {
  const longest = texts.reduce((most, text) => Math.max(most, text.length), 0);
  return Math.round(Math.min(240, Math.max(64, 34 + 7 * label.length, 22 + 7.4 * longest)));
}

/** @type {CanvasRenderingContext2D|null} */
let ruler = null;

/**
 * A width for the column of names: as wide as the longest of them, within limits.
 * @param {string[]} names
 */
export function nameWidth(names) {
  ruler ??= h("canvas").getContext("2d");
  if (!ruler) return MOST_NAME_WIDTH;
  const style = getComputedStyle(document.body);
  ruler.font = `${style.fontSize} ${style.fontFamily}`;
  const longest = Math.max(0, ...names.map((name) => ruler?.measureText(name).width ?? 0));
  return Math.ceil(Math.min(MOST_NAME_WIDTH, Math.max(LEAST_NAME_WIDTH, longest + ROOM_BESIDE_NAME)));
}

/**
 * What the runs of a group have in common: "lr = 0.1, optimizer = adamw".
 * @param {Rows} rows
 * @param {string[]} by
 * @param {import("./types.js").Cell[]} values
 */
export function groupTitle(rows, by, values) {
  const names = by.map((id) => id.replace(/^(hp|tag|mth|dbh|env)\./, ""));
  const text = (/** @type {number} */ place) => formatCell(values[place], rows.columns.get(by[place])?.kind ?? "text");
  return names.map((name, place) => `${name} = ${values[place] === null ? "none" : text(place)}`).join(", ");
}

/**
 * Headings: the short names, or the whole ones where two would be equal.
 * @param {string[]} ids
 * @param {import("./types.js").ColumnInfo[]} infos
 * @returns {Map<string, string>}
 */
export function labelsOf(ids, infos) {
  const known = new Map(infos.map(({ id, label }) => [id, label]));
  const short = ids.map((id) => known.get(id) ?? id.replace(/^(hp|mth|dbh|env|tag|metric)\./, ""));
  const twice = new Set(short.filter((label, place) => short.indexOf(label) !== place));
  return new Map(ids.map((id, place) => [id, twice.has(short[place]) ? id : short[place]]));
}
