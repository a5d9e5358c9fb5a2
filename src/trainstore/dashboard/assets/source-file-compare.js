// What differs between runs of a report: the rules of compare_runs, for the runs that are chosen.

const ABOUT_GROUPS = ["mth", "dbh", "env", "attempt"]; // of the model, the data, the machine
const EFFORT_GROUP = "effort"; // no two runs take the same time

/**
 * @typedef {Object} Facts
 * @property {string[]} keys
 * @property {string[]} groups  Of each key.
 * @property {Record<string, any[]>} values  Of each run: the value of each key, null where it has none.
 * @property {Record<string, number[]>} unset  Of each run: the keys, by number, that nobody set.
 */

/**
 * What differs between runs, or everything that is known of them.
 * @param {Facts} facts
 * @param {string[]} uids
 * @param {boolean} all
 * @returns {import("./types.js").Table}
 */
export function comparedFacts({ keys, groups, values, unset }, uids, all) {
  const runs = uids.filter((uid) => uid in values);
  const has = (/** @type {string} */ uid, /** @type {number} */ row) => values[uid][row] !== null;
  // Facts of the model, the data and the machine are compared among the runs that recorded such facts.
  const recorded = new Map(
    ABOUT_GROUPS.map((group) => [group, runs.filter((uid) => groups.some((one, row) => one === group && has(uid, row)))]),
  );
  const differs = (/** @type {number} */ row) => {
    const texts = new Set((recorded.get(groups[row]) ?? runs).map((uid) => JSON.stringify(values[uid][row])));
    const chosen = runs.some((uid) => has(uid, row) && !unset[uid]?.includes(row));
    return groups[row] !== EFFORT_GROUP && texts.size > 1 && chosen;
  };
  const rows = [...keys.keys()].filter((row) => runs.some((uid) => has(uid, row)) && (all || differs(row)));
  const columns = [
    { id: "key", kind: /** @type {const} */ ("text"), values: rows.map((row) => keys[row]) },
    ...runs.map((uid) => ({ id: uid, kind: /** @type {const} */ ("json"), values: rows.map((row) => values[uid][row]) })),
  ];
  return { count: rows.length, version: "", columns };
}
