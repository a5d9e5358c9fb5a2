// The attempts of a run as a tree, and what they changed.
import { shownChain } from "./run-marks.js";

/** @typedef {import("./types.js").Attempt} Attempt */
/**
 * A row of the drawing: one attempt, on a lane, below the one that it resumed.
 * @typedef {{attempt: Attempt, lane: number, parent: {row: number, lane: number}|null, shown: boolean}} TreeRow
 */

export const MOST_LANES = 8;

/**
 * One row an attempt, as logs of commits are drawn: the attempts that are shown on the first lane, each branch that was
 * given up on a lane of its own.
 * @param {Attempt[]} attempts  In the order in which they were opened.
 * @returns {TreeRow[]}
 */
export function attemptRows(attempts) {
  const chain = new Set(shownChain(attempts));
  /** @type {Map<number, {row: number, lane: number, shown: boolean, continued: boolean}>} */
  const placed = new Map();
  let lanes = 1;
  return attempts.map((attempt, row) => {
    const shown = chain.has(attempt);
    const parent = attempt.resumed_from === null ? undefined : placed.get(attempt.resumed_from);
    let lane = 0;
    if (!shown) {
      const goesOn = parent && !parent.shown && !parent.continued; // the branch of its parent, if it is free
      lane = goesOn ? parent.lane : Math.min(lanes++, MOST_LANES - 1);
      if (goesOn) parent.continued = true;
    }
    placed.set(attempt.attempt, { row, lane, shown, continued: false });
    return { attempt, lane, parent: parent ? { row: parent.row, lane: parent.lane } : null, shown };
  });
}

/**
 * The hyperparameters that attempts changed, by their id, in the order of the changes.
 * @param {Attempt[]} attempts
 * @returns {Map<string, {attempt: number, old: unknown, new: unknown}[]>}
 */
export function changedFacts(attempts) {
  /** @type {Map<string, {attempt: number, old: unknown, new: unknown}[]>} */
  const changes = new Map();
  for (const { attempt, changed } of attempts) {
    for (const [id, pair] of Object.entries(changed ?? {})) {
      if (!Array.isArray(pair)) continue;
      changes.set(id, [...(changes.get(id) ?? []), { attempt, old: pair[0], new: pair[1] }]);
    }
  }
  return changes;
}

/**
 * The versions that differ from those of the attempt before it; all of them for the first.
 * @param {Attempt} attempt
 * @param {Attempt|undefined} before
 * @returns {[name: string, version: string, old: string|null][]}
 */
export function changedVersions(attempt, before) {
  const now = attempt.versions ?? {};
  const old = before?.versions ?? {};
  return Object.entries(now)
    .filter(([name, version]) => old[name] !== version)
    .map(([name, version]) => [name, version, old[name] ?? null]);
}

/**
 * How fast it goes now: over the last readings of `[seconds, step]`; null if they say nothing yet.
 * @param {[number, number][]} readings
 * @param {number} shortest  Seconds that they must span.
 * @returns {number|null}
 */
export function speedOf(readings, shortest) {
  const last = readings.at(-1);
  const first = readings[0];
  if (!last || last[0] - first[0] < shortest || last[1] <= first[1]) return null;
  return (last[1] - first[1]) / (last[0] - first[0]);
}

/**
 * Add a reading, forget those from before a resume and those that are too old.
 * @param {[number, number][]} readings
 * @param {[number, number]} reading
 * @param {number} longest  Seconds that are kept.
 * @returns {[number, number][]}
 */
export function withReading(readings, reading, longest) {
  const kept = readings.filter(([at, step]) => step <= reading[1] && reading[0] - at <= longest && at < reading[0]);
  return [...kept, reading];
}
