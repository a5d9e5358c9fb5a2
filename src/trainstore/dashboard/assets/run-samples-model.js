// Text samples in the order in which they are read: sets, steps, prompts.
import { plainValue } from "./run-marks.js";

/** @typedef {{nr: number, prompt: string, completion: string, extra: [string, string][]}} Sample */
/** @typedef {{set: string, steps: number[], prompts: {nr: number, prompt: string}[], at: Map<number, Map<number, Sample>>}} SampleSet */

const SAMPLE_PLACES = new Set(["uid", "run", "step", "set", "nr", "attempt", "prompt", "completion"]);

/**
 * The sets of a table of samples, each with its steps and its prompts.
 * @param {import("./types.js").Table} table
 * @returns {SampleSet[]}
 */
export function sampleSets({ columns }) {
  const values = new Map(columns.map((column) => [column.id, column.values]));
  const cell = (/** @type {string} */ id, /** @type {number} */ row) => values.get(id)?.[row] ?? null;
  const fields = columns.map(({ id }) => id).filter((id) => !SAMPLE_PLACES.has(id));
  const rows = values.get("step")?.length ?? 0;
  /** @type {Map<string, SampleSet>} */
  const sets = new Map();
  for (let row = 0; row < rows; row += 1) {
    const name = String(cell("set", row) ?? "");
    const set = sets.get(name) ?? { set: name, steps: [], prompts: [], at: new Map() };
    sets.set(name, set);
    const [step, nr] = [Number(cell("step", row)), Number(cell("nr", row))];
    const extra = fields.filter((id) => cell(id, row) !== null);
    const at = set.at.get(step) ?? new Map();
    set.at.set(step, at);
    at.set(nr, {
      nr,
      prompt: plainValue(cell("prompt", row) ?? ""),
      completion: plainValue(cell("completion", row) ?? ""),
      extra: extra.map((id) => [id, plainValue(cell(id, row))]),
    });
  }
  return [...sets.values()].map(finishedSet).sort((a, b) => a.set.localeCompare(b.set));
}

/** @param {SampleSet} set */
function finishedSet(set) {
  const steps = [...set.at.keys()].sort((a, b) => a - b);
  /** @type {Map<number, string>} */
  const prompts = new Map();
  for (const step of steps) for (const [nr, { prompt }] of set.at.get(step) ?? []) prompts.set(nr, prompt);
  const ordered = [...prompts].sort(([a], [b]) => a - b).map(([nr, prompt]) => ({ nr, prompt }));
  return { ...set, steps, prompts: ordered };
}

/**
 * The steps that are shown side by side: those asked for, each moved to the nearest that has samples; else the first
 * and the last.
 * @param {number[]} steps  That have samples, growing.
 * @param {number[]} wanted
 * @returns {number[]}
 */
export function stepsSideBySide(steps, wanted) {
  if (!steps.length) return [];
  if (!wanted.length) return steps.length === 1 ? [steps[0]] : [steps[0], steps[steps.length - 1]];
  return wanted.map((step) => steps.reduce((best, one) => (Math.abs(one - step) < Math.abs(best - step) ? one : best)));
}
