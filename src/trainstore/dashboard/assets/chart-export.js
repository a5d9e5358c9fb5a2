// A chart as a file: its points as CSV or as a table, its picture as PNG or SVG.
import { segment } from "./chart-axes.js";
import { paintChart } from "./chart-draw.js";
import { DASHES } from "./colours.js";
import { download, fill, h } from "./dom.js";
import { formatNumber } from "./format.js";
import { SvgPen } from "./svg-pen.js";

/** @typedef {import("./chart-draw.js").Line} Line */
/** @typedef {import("./chart-draw.js").Picture} Picture */

const TABLE_ROWS = 1000;
const LEGEND_ROW = 16; // pixels
const PNG_SCALE = 2;

/**
 * A text as a cell of CSV. A spreadsheet takes a text that begins like a formula for one.
 * @param {string} text
 */
export function csvText(text) {
  const plain = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

/**
 * The rows behind a chart: of each line its buckets, and its points that are not finite, in the order of x.
 * @param {Line[]} lines
 * @returns {{line: Line, x: number, mean: number, low: number, high: number, count: number, smooth: number|null}[]}
 */
export function pointRows(lines) {
  return lines.flatMap((line) => {
    const finite = Array.from(line.x, (x, i) => {
      const smooth = line.smooth ? line.smooth[i] : null;
      return { line, x, mean: line.mean[i], low: line.low[i], high: line.high[i], count: line.count[i], smooth };
    });
    const odd = Array.from(line.oddX, (x, i) => {
      return { line, x, mean: line.odd[i], low: line.odd[i], high: line.odd[i], count: 1, smooth: null };
    });
    return odd.length ? [...finite, ...odd].sort((a, b) => a.x - b.x) : finite;
  });
}

/**
 * @param {string} metric
 * @param {string} axis
 * @param {Line[]} lines
 */
export function csvOf(metric, axis, lines) {
  const head = ["run", "uid", "metric", axis, "mean", "min", "max", "points", "smoothed"].map(csvText).join(",");
  const rows = pointRows(lines).map(({ line, x, mean, low, high, count, smooth }) =>
    [csvText(line.run.name), csvText(line.run.uid), csvText(metric), x, mean, low, high, count, smooth ?? ""].join(","),
  );
  return `${[head, ...rows].join("\r\n")}\r\n`;
}

/**
 * The points as a table: what a chart is to those who do not see it.
 * @param {HTMLElement} place
 * @param {string} metric
 * @param {string} axis
 * @param {Line[]} lines
 */
export function fillDataTable(place, metric, axis, lines) {
  const rows = pointRows(lines);
  const shown = rows.slice(0, TABLE_ROWS);
  const more = rows.length > shown.length ? `, the first ${TABLE_ROWS} of ${rows.length} rows; CSV has all` : "";
  const smooth = lines.some((line) => line.smooth);
  const heads = ["run", axis, "mean", "min", "max", "points", ...(smooth ? ["smoothed"] : [])];
  fill(
    place,
    h(
      "table",
      { class: "chart-table" },
      h("caption", {}, `${metric}${more}`),
      h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", {}, shown.map((row) => {
        const numbers = [row.x, row.mean, row.low, row.high, row.count, ...(smooth ? [row.smooth] : [])];
        const cells = numbers.map((number) => h("td", { class: "number" }, number === null ? "" : formatNumber(number, 6)));
        return h("tr", {}, h("th", { scope: "row" }, row.line.run.name), cells);
      })),
    ),
  );
}

/**
 * The picture with its title and the names of its runs.
 * @param {import("./chart-draw.js").Pen} pen
 * @param {Picture} picture
 * @param {string} title
 * @param {number} height
 */
function paintSheet(pen, picture, title, height) {
  const { look, width } = picture;
  pen.fillStyle = look.bg;
  pen.fillRect(0, 0, width, height);
  paintChart(pen, picture);
  pen.textAlign = "left";
  pen.textBaseline = "middle";
  pen.fillStyle = look.text;
  pen.font = `13px ${look.font}`;
  pen.fillText(title, picture.plot.left, 12);
  pen.font = `${look.size}px ${look.font}`;
  let [x, y] = [picture.plot.left, picture.height + LEGEND_ROW / 2];
  for (const { run } of legendOf(picture.lines)) {
    const wide = pen.measureText(run.label || run.name).width + 44;
    if (x + wide > width && x > picture.plot.left) [x, y] = [picture.plot.left, y + LEGEND_ROW];
    pen.strokeStyle = look.runs[run.colour];
    pen.lineWidth = 2;
    pen.setLineDash(DASHES[run.dash]);
    segment(pen, x, y, x + 22, y);
    pen.setLineDash([]);
    pen.fillStyle = look.text;
    pen.fillText(run.label || run.name, x + 27, y);
    x += wide;
  }
}

/** @param {Line[]} lines */
function legendOf(lines) {
  return lines.filter((line) => !line.old).slice(0, 64);
}

/**
 * @param {Picture} picture
 * @param {CanvasRenderingContext2D} ruler
 * @returns {number} Pixels in all.
 */
function sheetHeight(picture, ruler) {
  ruler.font = `${picture.look.size}px ${picture.look.font}`;
  let [x, rows] = [picture.plot.left, 1];
  for (const { run } of legendOf(picture.lines)) {
    const wide = ruler.measureText(run.label || run.name).width + 44;
    if (x + wide > picture.width && x > picture.plot.left) [x, rows] = [picture.plot.left, rows + 1];
    x += wide;
  }
  return picture.height + rows * LEGEND_ROW + 8;
}

/**
 * @param {string} title
 * @param {Picture} picture
 */
export function savePng(title, picture) {
  const canvas = h("canvas");
  const pen = canvas.getContext("2d");
  const height = sheetHeight(picture, pen);
  canvas.width = Math.round(picture.width * PNG_SCALE);
  canvas.height = Math.round(height * PNG_SCALE);
  pen.scale(PNG_SCALE, PNG_SCALE);
  paintSheet(pen, picture, title, height);
  canvas.toBlob((/** @type {Blob|null} */ blob) => blob && download(`${fileName(title)}.png`, blob), "image/png");
}

/**
 * @param {string} title
 * @param {Picture} picture
 */
export function saveSvg(title, picture) {
  const ruler = h("canvas").getContext("2d");
  const height = sheetHeight(picture, ruler);
  const pen = new SvgPen(picture.width, height, ruler);
  paintSheet(pen, picture, title, height);
  download(`${fileName(title)}.svg`, new Blob([pen.text()], { type: "image/svg+xml" }));
}

/**
 * @param {string} title
 * @param {string} axis
 * @param {Line[]} lines
 */
export function saveCsv(title, axis, lines) {
  download(`${fileName(title)}.csv`, new Blob([csvOf(title, axis, lines)], { type: "text/csv" }));
}

/** @param {string} title */
function fileName(title) {
  return title.replace(/[^\p{L}\p{N}._-]+/gu, "-").slice(0, 100) || "chart";
}
