// Which of the curves that are wanted one request fetches.

/** @typedef {import("./types.js").Curve} Curve */
/** @typedef {[number, number]} Range */
/**
 * Which curves: of one metric over one axis, whole or in a range. `aside`: not to be drawn, only to tell where a point
 * of another axis is; they are not read again while nobody asks.
 * @typedef {{metric: string, axis: string, range: Range|null, old?: boolean, aside?: boolean}} Wish
 */
/**
 * @typedef {Object} Entry
 * @property {Curve[]} curves
 * @property {"asked"|"ready"|"failed"} state
 * @property {boolean} exact
 * @property {boolean} tooLong
 * @property {number} deadlines
 * @property {boolean} behind  The run has changed since; it is read again when it is wanted again.
 * @property {any} error
 * @property {Wish} wish
 * @property {string} uid
 * @property {number} used
 */

const POINTS_AT_ONCE = 200_000; // buckets in one answer: 8 MB
const MOST_METRICS = 50;
const MOST_RUNS = 500;
const MOST_DEADLINES = 3; // of several runs together: the server goes on with those that it has not read yet

/**
 * What one request fetches: runs × metrics of the same axis and range, the first metric that waits and others that lack
 * the same runs.
 * @param {Entry[]} queue  Not empty.
 * @param {number} points  Of a curve.
 * @returns {Entry[]}
 */
export function nextBatch(queue, points) {
  const same = (/** @type {Wish} */ a, /** @type {Wish} */ b) =>
    a.axis === b.axis && a.old === b.old && String(a.range) === String(b.range);
  const { wish, exact } = queue[0];
  const open = queue.filter((entry) => same(entry.wish, wish) && entry.exact === exact);
  /** @type {Map<string, Entry[]>} */
  const byMetric = new Map();
  for (const entry of open) byMetric.set(entry.wish.metric, [...(byMetric.get(entry.wish.metric) ?? []), entry]);
  /** @type {Entry[]} */
  const batch = [];
  const uids = (byMetric.get(wish.metric) ?? []).map((entry) => entry.uid).slice(0, MOST_RUNS);
  let metrics = 0;
  for (const found of byMetric.values()) {
    const own = found.slice(0, MOST_RUNS);
    if (metrics && ((metrics + 1) * uids.length * points > POINTS_AT_ONCE || metrics >= MOST_METRICS)) break;
    if (own.length !== uids.length || own.some((entry, i) => entry.uid !== uids[i])) continue;
    batch.push(...own);
    metrics += 1;
  }
  return batch;
}

/**
 * Whether the same question may find an answer later: not what the question itself is the reason for.
 * @param {any} error
 */
export function mayPass(error) {
  const status = error?.status ?? 0;
  return status < 400 || status >= 500 || status === 429;
}

/**
 * Whether to leave a curve as it is drawn, since the server cannot read its run in time. The entry remembers; one of
 * several runs is asked for once more, without waiting for all steps: its own may have been read meanwhile.
 * @param {Entry} entry
 * @param {any} error
 * @param {boolean} alone  One run was read.
 */
export function takesTooLong(entry, error, alone) {
  if (error?.code !== "deadline") return false;
  const known = entry.tooLong;
  entry.deadlines += 1;
  entry.tooLong = alone || entry.deadlines >= MOST_DEADLINES;
  return alone || known;
}

/**
 * @param {string} run
 * @param {string} metric
 * @returns {Curve}
 */
export function emptyCurve(run, metric) {
  const none = new Float64Array(0);
  return { run, metric, exact: true, x: none, mean: none, low: none, high: none, count: none, oddX: none, odd: none };
}
