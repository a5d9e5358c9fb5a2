// Hyperparameters and the environment: which of them are shown, in which order.
import { plainValue } from "./run-marks.js";

/** @typedef {import("./types.js").Fact} Fact */

/** What the namespaces hold, in the order in which they are read. */
export const NAMESPACES = /** @type {[name: string, title: string][]} */ ([
  ["hp", "Training"],
  ["mth", "Model"],
  ["dbh", "Data"],
  ["env", "Environment"],
  ["tag", "Tags"],
]);

/**
 * The facts of these namespaces that hold all words of a search, in their key or their value.
 * @param {Fact[]} facts
 * @param {string[]} namespaces
 * @param {string} search
 * @param {boolean} [all]  Also those that nobody chose.
 * @returns {{namespace: string, title: string, facts: Fact[], of: number}[]}  Without empty namespaces; `of`: before the
 *   search.
 */
export function factsBySpace(facts, namespaces, search, all = true) {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const matches = (/** @type {Fact} */ fact) => {
    const text = `${fact.id} ${plainValue(fact.value)}`.toLowerCase();
    return words.every((word) => text.includes(word));
  };
  return NAMESPACES.filter(([namespace]) => namespaces.includes(namespace))
    .map(([namespace, title]) => {
      const own = facts.filter((fact) => fact.namespace === namespace && (all || !fact.usual));
      const found = own.filter(matches).sort((a, b) => a.key.localeCompare(b.key, "en", { numeric: true }));
      return { namespace, title, facts: found, of: own.length };
    })
    .filter(({ of }) => of > 0);
}

/**
 * A value as text: a mapping in lines, a name and its value each; what is nested deeper has a dotted name.
 * @param {unknown} value
 * @returns {string}
 */
export function textOf(value) {
  if (!isMapping(value)) return plainValue(value);
  return leaves("", value)
    .map(([name, leaf]) => `${name}: ${plainValue(leaf)}`)
    .join("\n");
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {[name: string, value: unknown][]}
 */
function leaves(name, value) {
  if (!isMapping(value)) return [[name, value]];
  return Object.entries(value).flatMap(([part, leaf]) => leaves(name ? `${name}.${part}` : part, leaf));
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
function isMapping(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value) && Object.keys(value).length > 0;
}
