// Which runs are chosen for the curves, and how each is drawn.
import { runColours } from "./colours.js";
import { spelledValue } from "./filter-words.js";
import { cellAt } from "./rows.js";
import { signal } from "./signals.js";

/** @typedef {import("./rows.js").Rows} Rows */
/** @typedef {import("./types.js").ShownRun} ShownRun */

export const PRESELECTED = 10;
const NONE = "none"; // in the address: nobody is chosen, not even the newest
const SHORT_UID = 8;
const MOST_FILTER = 10_000; // characters of a filter
const MOST_UNKNOWN = 20; // each is looked for in all uids
const CHOICE = { push: true, together: "runs" }; // one step for Back, however many boxes are clicked in a row

/**
 * The uids that the address means, a part of one where it is that of one run alone; and the texts that mean none.
 * @param {string[]} texts
 * @param {string[]} uids
 * @returns {{found: string[], unknown: string[]}}
 */
export function meantUids(texts, uids) {
  const whole = new Set(uids);
  /** @type {Map<string, string|null>} */
  const short = new Map();
  for (const uid of uids) {
    const head = uid.slice(0, SHORT_UID);
    short.set(head, short.has(head) ? null : uid);
  }
  const meant = (/** @type {string} */ text) => (whole.has(text) ? text : (short.get(text) ?? null));
  return {
    found: texts.flatMap((text) => meant(text) ?? []),
    unknown: texts.filter((text) => text !== NONE && meant(text) === null),
  };
}

/**
 * Uids as the address has them: eight characters where they are those of one run.
 * @param {string[]} chosen
 * @param {string[]} uids
 */
export function shortUids(chosen, uids) {
  /** @type {Map<string, number>} */
  const uses = new Map();
  for (const uid of uids) uses.set(uid.slice(0, SHORT_UID), (uses.get(uid.slice(0, SHORT_UID)) ?? 0) + 1);
  return chosen.map((uid) => (uses.get(uid.slice(0, SHORT_UID)) === 1 ? uid.slice(0, SHORT_UID) : uid));
}

/**
 * A filter that finds the runs that the address means, and perhaps a few more; "" if it would be too long or slow.
 * @param {string[]} texts
 * @param {string[]} uids  Those that are known.
 */
export function chosenFilter(texts, uids) {
  const { found, unknown } = meantUids(texts, uids);
  const parts = unknown.map((text) => `uid ~ ${spelledValue(text)}`);
  if (found.length || !parts.length) parts.push(`uid in (${(found.length ? found : [NONE]).map(spelledValue).join(", ")})`);
  const filter = parts.join(" or ");
  return filter.length <= MOST_FILTER && unknown.length <= MOST_UNKNOWN ? filter : "";
}

/**
 * Names for a legend: with four characters of the run's uid where two have the same.
 * @param {Rows} rows
 * @param {string[]} uids
 */
export function runLabels(rows, uids) {
  const names = uids.map((uid) => String(cellAt(rows, "name", rows.place.get(uid) ?? -1) ?? uid.slice(0, SHORT_UID)));
  const twice = repeatedTexts(names);
  return names.map((name, place) => (twice.has(name) ? `${name}${uidMark(uids[place])}` : name));
}

/**
 * What tells a run from others of the same name.
 * @param {string} uid
 */
export function uidMark(uid) {
  return ` · ${uid.slice(0, 4)}`;
}

/** @param {import("./types.js").Cell[]} texts */
export function repeatedTexts(texts) {
  const once = new Set();
  return new Set(texts.filter((text) => once.size === once.add(text).size));
}

/**
 * @param {import("./router.js").State} state
 * @param {import("./run-list.js").RunList} list
 * @param {number} most  How many runs may have curves.
 */
export function runSelection(state, list, most) {
  /** @type {import("./signals.js").Signal<ShownRun[]>} */
  const shown = signal(/** @type {ShownRun[]} */ ([]), sameRuns);
  /** @type {import("./signals.js").Signal<Set<string>>} */
  const chosen = signal(/** @type {Set<string>} */ (new Set()));
  /** @type {Map<string, {colour: number, dash: number}>} */
  let styles = new Map();
  let tooMany = 0;
  let cut = { of: "", left: 0 }; // how many were left out, and of which address
  let anchor = "";

  const byHand = () => state.list("runs").length > 0;

  const update = () => {
    const rows = list.rows.get();
    if (!byHand() && state.list("sort").length && !list.status.get().whole) return; // not the newest, but the first
    const uids = byHand() ? meantUids(state.list("runs"), rows.uids).found : rows.uids.slice(0, PRESELECTED);
    const drawn = uids.slice(0, most);
    tooMany = uids.length > most ? uids.length - most : cut.of === state.list("runs").join() ? cut.left : 0;
    styles = runColours(drawn, styles);
    const labels = runLabels(rows, drawn);
    chosen.set(new Set(drawn));
    shown.set(
      drawn.map((uid, place) => {
        const row = rows.place.get(uid) ?? -1;
        const { colour, dash } = styles.get(uid) ?? { colour: 0, dash: 0 };
        const [name, status] = ["name", "status"].map((id) => String(cellAt(rows, id, row) ?? ""));
        return { uid, name, status, label: labels[place], colour, dash };
      }),
    );
  };

  /**
   * @param {string[]} uids
   * @param {string[]} [hidden]  Of the address, which the filter does not show now.
   */
  const choose = (uids, hidden = []) => {
    const kept = uids.slice(0, most);
    tooMany = uids.length - kept.length;
    const runs = [...shortUids(kept, list.rows.get().uids), ...hidden];
    cut = { of: runs.join(), left: tooMany };
    state.set({ runs: runs.length ? runs : [NONE] }, CHOICE);
  };

  const stops = [list.rows.listen(update), state.listen(["runs"], update), list.status.listen(update)];
  update();

  return {
    shown,
    chosen,
    /** Whether no more may be chosen. */
    full: () => chosen.get().size >= most,
    /** How many of the runs asked for are left out, because curves have a limit. */
    left: () => tooMany,
    /** @param {string[]} uids  These and no others. */
    choose: (uids) => choose(uids),
    /** Back to the newest. */
    usual: () => state.set({ runs: null }, CHOICE),
    /**
     * Choose or leave out some runs; with `extend` all between the last one and this.
     * @param {string[]} uids
     * @param {string[]} order  All, as the table shows them.
     * @param {boolean} extend
     */
    toggle(uids, order, extend) {
      const now = chosen.get();
      const on = extend && anchor ? true : !uids.every((uid) => now.has(uid));
      const between = extend && anchor ? uidsBetween(order, anchor, uids[uids.length - 1]) : uids;
      const rest = [...now].filter((uid) => !between.includes(uid));
      anchor = uids[0];
      choose(on ? [...rest, ...between] : rest, meantUids(state.list("runs"), list.rows.get().uids).unknown);
    },
    dispose: () => stops.forEach((stop) => stop()),
  };
}

/**
 * @param {string[]} order
 * @param {string} one
 * @param {string} other
 */
function uidsBetween(order, one, other) {
  const [from, to] = [order.indexOf(one), order.indexOf(other)];
  if (from < 0 || to < 0) return [other];
  return order.slice(Math.min(from, to), Math.max(from, to) + 1);
}

/**
 * @param {ShownRun[]} a
 * @param {ShownRun[]} b
 */
function sameRuns(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}
