// A run that goes on: when to ask for it again, and how fast it goes.
import { databaseNow } from "./clock.js";
import { formatDuration } from "./format.js";
import { speedOf, withReading } from "./run-tree.js";

const REFRESH_PAUSE = 2000; // milliseconds between two requests, at least
const REFRESH_SHARE = 10; // so many times what the last one took
const REFRESH_LONGEST = 15_000;
const SHORTEST_SPEED = 5; // seconds over which the speed of now is measured, at least
const LONGEST_SPEED = 60; // and at most
const SILENT_AFTER = 10; // seconds without a step, at least
const SILENT_INTERVALS = 5; // and so many times what usually lies between two

/**
 * Call `load` when something in the store changed, and now and then while a run goes on: nothing is written when its
 * process disappears. Not again before it is done, and then at most every two seconds, less often if it takes long.
 * @param {import("./types.js").Context} context
 * @param {() => Promise<void>} load
 * @param {() => boolean} goesOn
 * @returns {() => void}
 */
export function followTable({ live }, load, goesOn) {
  if (!live) return () => {};
  let [isBusy, isDue, isGone] = [false, false, false];
  const act = async () => {
    if (isBusy) {
      isDue = true;
      return;
    }
    isBusy = true;
    const begun = performance.now();
    await load();
    const pause = Math.max(REFRESH_PAUSE, REFRESH_SHARE * (performance.now() - begun));
    await new Promise((resolve) => setTimeout(resolve, pause));
    isBusy = false;
    if (isDue && !isGone) {
      isDue = false;
      act();
    }
  };
  const stop = live.version.listen(act); // also of its first answer: something may have happened before it
  const timer = setInterval(() => goesOn() && !document.hidden && act(), REFRESH_LONGEST);
  return () => {
    isGone = true;
    stop();
    clearInterval(timer);
  };
}

/**
 * "no step for 40 s" of a run that is running, as far as anybody knows; "" while steps come.
 * @param {import("./types.js").RunDetail["run"]} run
 * @param {number|null} since  When its last step came.
 * @param {number} now
 */
export function silenceText({ status, step_interval: usual }, since, now) {
  if (status !== "running" || since === null) return "";
  const seconds = now - since;
  return seconds > Math.max(SILENT_AFTER, SILENT_INTERVALS * (usual ?? 0)) ? `no step for ${formatDuration(seconds)}` : "";
}

/** The speed of a run: of the last minute in which steps came while it runs, else that of its last attempt. */
export function speedReader() {
  /** @type {[number, number][]} */
  let readings = [];
  /** @type {number|null} */
  let since = null;
  return {
    /** @param {import("./types.js").RunDetail["run"]} run */
    read({ last_step: step, last_step_at: at }) {
      if (step === null || !at) {
        since = null; // nothing yet, or nothing since it was resumed
        return;
      }
      // `at` is told by the clock of the process that trains, which may be wrong; what is seen to come needs no clock.
      if (step !== readings.at(-1)?.[1]) since = readings.length ? databaseNow() : at;
      readings = withReading(readings, [at, step], LONGEST_SPEED);
    },
    /** When the last step came, by the database's clock; null: there is none. */
    since: () => since,
    /**
     * @param {import("./types.js").RunDetail["run"]} run
     * @returns {number|null}
     */
    of({ status, steps_per_second: whole }) {
      return (status === "running" ? speedOf(readings, SHORTEST_SPEED) : null) ?? whole ?? null;
    },
  };
}
