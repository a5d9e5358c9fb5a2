// The curves that a panel's charts draw: fetched in batches when a chart asks for them, kept, and grown while runs go on.
import { withLater } from "./buckets.js";
import { emptyCurve, mayPass, nextBatch, takesTooLong } from "./curve-batches.js";
import { numberOf } from "./wire.js";

/** @typedef {import("./types.js").Curve} Curve */
/** @typedef {import("./curve-batches.js").Entry} Entry */
/** @typedef {import("./curve-batches.js").Wish} Wish */
/** @typedef {{by: string[], band: string, q: string, project: string}|null} Grouping  Of all runs that a filter finds. */

const REQUESTS_AT_ONCE = 3;
const MOST_ENTRIES = 6000;
const MOST_METRICS_KEPT = 24; // of many runs, as many as a screen shows, whole and zoomed
const MOST_READ_ANEW = 200; // entries
const READ_LATER_AFTER = 5000; // ms
const RETRY_AFTER = 10_000; // ms
const ALL = "*"; // stands for the runs of a group query

/** Wait for what is asked for in the same moment. */
const soon = (/** @type {() => void} */ act) => setTimeout(act, 0);

/**
 * @param {Object} options
 * @param {import("./types.js").Source} options.source
 * @param {() => string[]} options.runs  The uids shown.
 * @param {() => number} options.points  Buckets a curve.
 * @param {() => Grouping} options.grouping  null: each run for itself.
 * @param {(metrics: Set<string>) => void} options.onChange  Something came for these.
 */
export function curveStore({ source, runs, points, grouping, onChange }) {
  /** @type {Map<string, Entry>} */
  const entries = new Map();
  /** @type {Entry[]} */
  let queue = [];
  /** @type {Set<Entry>} */
  const stale = new Set();
  /** @type {Map<string, number>} By uid the state that groups were last read in. */
  const grouped = new Map();
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  let timer;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  let retryLater;
  let [waiting, inFlight, age, stopped, clock] = [false, 0, 0, false, 0];

  const keyOf = (/** @type {Wish} */ wish, /** @type {string} */ uid) =>
    [wish.axis, wish.range ? wish.range.join("…") : "", wish.old ? "old" : "", wish.metric, uid].join("\n");

  /** @param {Entry[]} wanted @param {boolean} first */
  function ask(wanted, first = false) {
    queue = [...new Set(first ? [...wanted, ...queue] : [...queue, ...wanted])];
    if (waiting || !queue.length) return;
    waiting = true;
    soon(flush);
  }

  function flush() {
    waiting = false;
    while (queue.length && inFlight < REQUESTS_AT_ONCE && !stopped) {
      const batch = grouping() ? queue.slice(0, 1) : nextBatch(queue, points());
      const taken = new Set(batch);
      queue = queue.filter((entry) => !taken.has(entry));
      inFlight += 1;
      fetchBatch(batch).finally(() => {
        inFlight -= 1;
        if (!stopped) onChange(new Set(batch.map((entry) => entry.wish.metric)));
        flush();
      });
    }
  }

  /** @param {Entry[]} batch */
  async function fetchBatch(batch) {
    const { wish, exact } = batch[0];
    const asked = age;
    const byMetric = new Set(batch.map((entry) => entry.wish.metric));
    const byRun = [...new Set(batch.map((entry) => entry.uid))];
    const [lo, hi] = wish.range ?? [null, null];
    const group = grouping();
    const common = { x: wish.axis, lo, hi, points: points(), ...(exact ? { exact: /** @type {const} */ (1) } : {}) };
    try {
      const found = group
        ? await source.group({ ...common, ...group, metric: wish.metric })
        : await source.curves({
            ...common,
            runs: byRun,
            metrics: [...byMetric],
            ...(wish.old ? { attempts: /** @type {const} */ ("superseded") } : {}),
          });
      if (asked !== age || stopped) return; // for what is shown no more
      take(batch, found, group !== null);
    } catch (error) {
      if (asked !== age || stopped) return;
      for (const entry of batch) {
        if (!entry.curves.length) Object.assign(entry, { state: "failed", error });
        // What is drawn is not wrong, only old.
        else if (mayPass(error) && !takesTooLong(entry, error, byRun.length === 1 && !group)) readLater(entry);
      }
      if (mayPass(error)) retryLater ??= setTimeout(retry, RETRY_AFTER);
    }
  }

  /** Ask again for what failed. */
  function retry() {
    clearTimeout(retryLater);
    retryLater = undefined;
    const failed = [...entries.values()].filter((entry) => entry.state === "failed");
    for (const entry of failed) entry.state = "asked";
    ask(failed);
  }

  /** @param {Entry[]} batch @param {Curve[]} found @param {boolean} grouped */
  function take(batch, found, grouped) {
    /** @type {Map<string, Curve[]>} */
    const byKey = new Map();
    for (const curve of found) {
      const key = grouped ? `${curve.metric}\n${ALL}` : `${curve.metric}\n${curve.run}`;
      byKey.set(key, [...(byKey.get(key) ?? []), curve]);
    }
    const again = [];
    for (const entry of batch) {
      entry.curves = byKey.get(`${entry.wish.metric}\n${entry.uid}`) ?? [];
      entry.state = "ready";
      entry.error = null;
      const some = entry.curves.some((curve) => curve.exact === false);
      if (!some) Object.assign(entry, { tooLong: false, deadlines: 0 });
      if (some && !entry.exact && !entry.tooLong) again.push(Object.assign(entry, { exact: true }));
    }
    ask(again);
  }

  /**
   * What is drawn stays until the answer comes.
   * @param {Entry[]} old
   */
  function reread(old) {
    const shown = old.filter((entry) => entry.state === "ready").sort((a, b) => b.used - a.used);
    const forgotten = new Set(shown.splice(MOST_READ_ANEW));
    for (const [key, entry] of entries) if (forgotten.has(entry)) entries.delete(key);
    for (const entry of shown) entry.exact = !entry.tooLong;
    ask(shown, true);
  }

  /** @param {Entry} entry */
  function readLater(entry) {
    entry.behind = false;
    stale.add(entry);
    timer ??= setTimeout(() => {
      timer = undefined;
      reread([...stale]);
      stale.clear();
    }, READ_LATER_AFTER);
  }

  function prune() {
    const most = Math.max(MOST_ENTRIES, MOST_METRICS_KEPT * runs().length);
    if (entries.size <= most) return;
    const old = [...entries].filter(([, entry]) => entry.state !== "asked").sort(([, a], [, b]) => a.used - b.used);
    for (const [key] of old.slice(0, entries.size - most)) entries.delete(key);
  }

  return {
    /**
     * Fetch what is missing of this.
     * @param {Wish} wish
     * @param {boolean} [again]  Also what was not there the last time.
     * @param {string[]} [uids]  Of these runs only.
     */
    want(wish, again = false, uids = grouping() ? [ALL] : runs()) {
      const missing = [];
      for (const uid of uids) {
        const key = keyOf(wish, uid);
        const known = entries.get(key);
        clock += 1;
        if (known) {
          known.used = clock;
          if (!wish.aside) known.wish = wish;
          if (known.behind) readLater(known);
          if (again && known.state === "ready" && !known.curves.length) {
            missing.push(Object.assign(known, { state: "asked" }));
          }
          continue;
        }
        /** @type {Entry} */
        const entry = { curves: [], state: "asked", exact: false, tooLong: false, deadlines: 0, behind: false, ...{ error: null, wish, uid, used: clock } };
        entries.set(key, entry);
        missing.push(entry);
      }
      prune();
      ask(missing);
    },
    /**
     * What there is of this: by run, in the order of the runs, or by group.
     * @param {Wish} wish
     */
    get(wish) {
      const found = (grouping() ? [ALL] : runs()).map((uid) => entries.get(keyOf(wish, uid)));
      const curves = found.flatMap((entry) => entry?.curves ?? []);
      return {
        curves,
        loading: found.some((entry) => entry && entry.state === "asked"),
        preview: curves.some((curve) => curve.exact === false),
        tooLong: found.some((entry) => entry?.tooLong === true),
        error: found.find((entry) => entry?.state === "failed")?.error ?? null,
      };
    },
    retry,
    /** Forget everything: other buckets, other groups. */
    clear() {
      age += 1;
      entries.clear();
      stale.clear();
      queue = [];
    },
    /**
     * In which state each run is drawn: the lowest generation of its curves of these metrics; null if it has none. A
     * group is drawn from the states that the server told last.
     * @param {string[]} metrics
     * @param {string} axis
     */
    drawn(metrics, axis) {
      /** @type {Map<string, number|null>} */
      const found = new Map(runs().map((uid) => [uid, (grouping() && grouped.get(uid)) || null]));
      for (const { wish, uid, curves, state } of entries.values()) {
        const known = found.get(uid);
        const generation = curves[0]?.exact === false ? undefined : curves[0]?.generation;
        if (known === undefined || state !== "ready" || wish.old || wish.axis !== axis) continue;
        if (generation === undefined || !metrics.includes(wish.metric)) continue;
        found.set(uid, known === null ? generation : Math.min(known, generation));
      }
      return [...found].map(([uid, generation]) => ({ uid, generation }));
    },
    /**
     * Read a run anew; what is known of it is drawn meanwhile.
     * @param {string} uid
     * @param {number|null} generation
     */
    refresh(uid, generation) {
      if (grouping() && generation !== null) grouped.set(uid, generation);
      const changed = [...entries.values()].filter((entry) => entry.uid === uid || entry.uid === ALL);
      for (const entry of changed) entry.behind = entry.wish.aside === true;
      reread(changed.filter((entry) => !entry.behind));
    },
    /**
     * Some run has changed: groups may have other runs, or more points of them.
     * @param {string[]} metrics  Those in view; others are read when they come into view.
     */
    groupsChanged(metrics) {
      for (const entry of entries.values()) {
        if (entry.uid !== ALL || entry.state !== "ready") continue;
        if (metrics.includes(entry.wish.metric)) readLater(entry);
        else entry.behind = true;
      }
    },
    /**
     * A run's new points.
     * @param {string} uid
     * @param {string} axis
     * @param {import("./live.js").NewPoints} news
     * @param {number} generation  The state that they lead to.
     */
    append(uid, axis, news, generation) {
      if (grouping()) grouped.set(uid, generation);
      /** @type {Set<string>} */
      const changed = new Set();
      for (const entry of entries.values()) {
        const more = news[entry.wish.metric];
        if (!more || entry.state !== "ready" || entry.wish.old || ![uid, ALL].includes(entry.uid)) continue;
        if (entry.uid === ALL || entry.wish.axis !== axis) {
          if (entry.wish.aside) entry.behind = true;
          else readLater(entry);
          continue;
        }
        const old = entry.curves[0] ?? emptyCurve(uid, entry.wish.metric);
        if (old.exact === false) continue; // the exact one is on its way
        const [low, high] = entry.wish.range ?? [-Infinity, Infinity];
        const places = more.x.map(numberOf).flatMap((at, i) => (at >= low && at <= high ? [i] : []));
        const [x, y] = [more.x, more.y].map((values) => places.map((i) => numberOf(values[i])));
        const last = Math.max(old.x.at(-1) ?? -Infinity, old.oddX.at(-1) ?? -Infinity);
        if (!x.length && last < (more.replaces_from ?? Infinity)) {
          if (entry.curves.length) entry.curves = [{ ...old, generation }];
          continue;
        }
        const grown = withLater(old, x, y, more.replaces_from, points());
        entry.curves = [{ ...grown.curve, generation }];
        changed.add(entry.wish.metric);
        if (!grown.exact) readLater(entry);
      }
      if (changed.size) onChange(changed);
    },
    dispose() {
      stopped = true;
      clearTimeout(timer);
      clearTimeout(retryLater);
      entries.clear();
    },
  };
}
