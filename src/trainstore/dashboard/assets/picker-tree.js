// The columns that there are, as a tree, and which of them a search finds.

/** @typedef {import("./types.js").ColumnInfo} ColumnInfo */

export const GROUP_TITLES = {
  run: "Run",
  metric: "Metrics",
  hp: "Hyperparameters",
  tag: "Tags",
  mth: "Model",
  dbh: "Data",
  env: "Environment",
};

/**
 * Which columns a search finds, by group. Each word of it must be in the id.
 * @param {ColumnInfo[]} infos
 * @param {string} search
 * @param {boolean} differing  Only those in which the filtered runs differ.
 * @returns {Map<string, ColumnInfo[]>}
 */
export function columnTree(infos, search, differing) {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  /** @type {Map<string, ColumnInfo[]>} */
  const tree = new Map(Object.keys(GROUP_TITLES).map((group) => [group, []]));
  for (const info of infos) {
    const text = info.id.toLowerCase();
    if ((differing && !info.varies) || !words.every((word) => text.includes(word))) continue;
    tree.set(info.group, [...(tree.get(info.group) ?? []), info]);
  }
  return new Map([...tree].filter(([, found]) => found.length));
}

/**
 * The column that Enter takes: the one that is called as the search says, else the first that it finds.
 * @param {Map<string, ColumnInfo[]>} tree
 * @param {string} search
 */
export function firstFound(tree, search) {
  const all = [...tree.values()].flat();
  const wanted = search.trim().toLowerCase();
  if (!wanted) return null;
  return all.find(({ id, label }) => [id, label].some((text) => text.toLowerCase() === wanted)) ?? all[0] ?? null;
}

/**
 * @param {string[]} ids
 * @param {number} from
 * @param {number} to
 */
export function movedItem(ids, from, to) {
  const result = ids.slice();
  const [item] = result.splice(from, 1);
  result.splice(Math.max(0, Math.min(to, result.length)), 0, item);
  return result;
}

/**
 * The metric that a column is a summary of.
 * @param {ColumnInfo} info
 */
export function metricOf({ id }) {
  return id.replace(/\.(last|min|max|count)$/, "");
}
