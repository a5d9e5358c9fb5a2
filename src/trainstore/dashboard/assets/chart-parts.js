// What a panel of charts is made of: the metrics, their sections, the theme's colours.
import { colourOf, COLOURS } from "./colours.js";

export const PINNED = "\0pinned"; // a section that no prefix can name

/**
 * The metrics that a table's columns are of: `metric.loss` and `metric.loss.min` are of "loss".
 * @param {{id: string, group: string}[]} columns
 * @returns {string[]}
 */
export function metricNames(columns) {
  const ids = new Set(columns.filter((column) => column.group === "metric").map((column) => column.id));
  return [...ids].filter((id) => !ids.has(id.replace(/\.(?:last|min|max|count)$/, "")) || !/\.(?:last|min|max|count)$/.test(id))
    .map((id) => id.slice("metric.".length).replace(/^"(.*)"$/s, (_, quoted) => quoted.replaceAll('""', '"')))
    .sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
}

/** @param {string} metric */
function rankOf(metric) {
  return metric === "loss" ? 0 : metric.includes("loss") ? 1 : 2;
}

/**
 * Sections in their order: what has no prefix first. In each, losses come first.
 * @param {string[]} metrics
 * @param {string[]} pins
 * @returns {{name: string, metrics: string[]}[]}
 */
export function sectionsOf(metrics, pins) {
  const pinned = pins.filter((metric) => metrics.includes(metric));
  /** @type {Map<string, string[]>} */
  const byPrefix = new Map([["", []]]);
  for (const metric of metrics) {
    const prefix = metric.includes("/") ? metric.slice(0, metric.indexOf("/")) : "";
    byPrefix.set(prefix, [...(byPrefix.get(prefix) ?? []), metric]);
  }
  const sections = [...byPrefix].filter(([, own]) => own.length).map(([name, own]) => {
    return { name, metrics: [...own].sort((a, b) => rankOf(a) - rankOf(b)) };
  });
  return pinned.length ? [{ name: PINNED, metrics: pinned }, ...sections] : sections;
}

/**
 * Which chart: a pinned metric has two.
 * @param {string} section
 * @param {string} metric
 */
export function chartKey(section, metric) {
  return `${section}\n${metric}`;
}

/** @param {string} key */
export function metricOfKey(key) {
  return key.slice(key.indexOf("\n") + 1);
}

/** @returns {import("./chart-draw.js").Look} The theme's colours, for a canvas. */
export function currentLook() {
  const style = getComputedStyle(document.documentElement);
  const value = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  return {
    ...{ size: 11, font: value("--font"), text: value("--text"), muted: value("--muted"), line: value("--line") },
    ...{ edge: value("--edge"), shade: value("--shade"), bad: value("--bad"), bg: value("--bg") },
    runs: Array.from({ length: COLOURS }, (_, place) => value(colourOf(place))),
  };
}
