// What a chart asks its panel for: curves, whole and zoomed, marks on its axis, and a point's place on other axes.
import { formatAxisValue } from "./chart-tip.js";
import { carriedOver } from "./chart-picture.js";

/** @typedef {import("./types.js").Curve} Curve */
/** @typedef {import("./chart-picture.js").DrawnCurve} DrawnCurve */
/** @typedef {import("./chart-controls.js").Settings} Settings */
/** @typedef {[number, number]} Range */
/** @typedef {{spans: import("./chart-draw.js").Span[], points: {step: number, label: string, kind: string}[]}} Marks  In steps. */
/**
 * What a chart asks of its panel.
 * @typedef {Object} Host
 * @property {ReturnType<import("./curves.js").curveStore>} store
 * @property {import("./chart-hover.js").Sync} sync
 * @property {(metric: string) => Settings} settings
 * @property {(metric: string, changes: Partial<Settings>, push: boolean) => void} set
 * @property {(axis: string) => Range|null} zoomOf
 * @property {(axis: string, range: Range|null) => void} zoom
 * @property {(axis: string) => void} zoomBack
 * @property {(curve: import("./types.js").Curve) => import("./types.js").ShownRun|null} runOf
 * @property {() => import("./chart-draw.js").Look} look
 * @property {() => Record<string, Marks>} marks
 * @property {(metric: string) => boolean} pinned
 * @property {(metric: string) => void} togglePin
 * @property {() => string} full  The metric that fills the screen, or "".
 * @property {(metric: string) => void} setFull
 * @property {(metric: string) => string} linkTo
 * @property {() => string[]} metrics
 * @property {() => Settings} common  Those of all charts.
 * @property {() => boolean} grouped
 * @property {() => boolean} resumed  Whether a run has old stretches.
 * @property {(metric: string) => number} smoothing  The weight that is drawn.
 */

const AXES_TOLD = ["step", "epoch", "time"];
const MARKED_RUNS = 5;
const MOST_AHEAD = 50; // points

/**
 * Have it fetched.
 * @param {string} metric
 * @param {Host} host
 * @param {boolean} again  Also what was not there the last time.
 */
export function wantCurves(metric, host, again) {
  const { axis, old } = host.settings(metric);
  const range = host.zoomOf(axis);
  host.store.want({ metric, axis, range: null }, again);
  if (range) host.store.want({ metric, axis, range }, again);
  if (old) host.store.want({ metric, axis, range: null, old: true });
  if (axis !== "step" && Object.keys(host.marks()).length) host.store.want({ metric, axis: "step", range: null });
}

/**
 * @param {string} metric
 * @param {Host} host
 * @returns {{curves: DrawnCurve[], loading: boolean, preview: boolean, tooLong: boolean, error: any}}
 */
export function curvesToDraw(metric, host) {
  const { axis, old } = host.settings(metric);
  const range = host.zoomOf(axis);
  const whole = host.store.get({ metric, axis, range: null });
  const part = range ? host.store.get({ metric, axis, range }) : null;
  const nameOf = (/** @type {Curve} */ curve) => `${curve.label ?? curve.run}`; // a report's groups have an empty run
  const parts = new Map(part?.curves.map((curve) => [nameOf(curve), curve]));
  const of = (/** @type {Curve[]} */ curves, /** @type {boolean} */ dotted) =>
    curves.flatMap((curve) => {
      const run = host.runOf(curve);
      const zoomed = dotted ? null : (parts.get(nameOf(curve)) ?? null);
      if (!run) return [];
      const named = dotted ? { ...run, label: `${run.label || run.name}, attempt ${curve.attempt}` } : run;
      return [{ whole: curve, part: zoomed, run: named, band: curve.label !== undefined, old: dotted }];
    });
  const replaced = old ? host.store.get({ metric, axis, range: null, old: true }).curves : [];
  const error = whole.error ?? part?.error ?? null;
  return { ...whole, curves: [...of(replaced, true), ...of(whole.curves, false)], error };
}

/**
 * Why nothing is drawn: there are no values, or none of them has a place on this axis.
 * @param {string} metric
 * @param {Host} host
 */
export function whyEmpty(metric, host) {
  const { axis } = host.settings(metric);
  if (!["step", "time", "relative"].includes(axis)) {
    const wish = { metric, axis: "step", range: null };
    host.store.want(wish);
    const { curves, loading } = host.store.get(wish);
    if (loading) return "loading…";
    if (curves.some(({ x, oddX }) => x.length || oddX.length)) {
      return axis === "epoch" ? `these runs recorded no epoch with ${metric}` : `no step of these runs has both ${metric} and ${axis}`;
    }
  }
  return "no values in these runs";
}

/**
 * Attempts, checkpoints and so on, which are known by step, on the chart's own axis.
 * @param {string} metric
 * @param {Host} host
 * @param {DrawnCurve[]} curves
 */
export function marksToDraw(metric, host, curves) {
  const marks = host.marks();
  const { axis, old } = host.settings(metric);
  const shown = curves.filter((curve) => !curve.old && !curve.band);
  const steps = axis === "step" ? null : host.store.get({ metric, axis: "step", range: null }).curves;
  const look = host.look();
  const spans = [];
  const points = [];
  /** @type {Map<string, number[]>} By run: the x before which an attempt ended, of the runs whose attempts are known. */
  const ends = new Map();
  for (const { whole, run } of shown.slice(0, MARKED_RUNS)) {
    const of = marks[run.uid];
    const byStep = steps?.find((curve) => curve.run === run.uid);
    if (!of || (steps && !byStep)) continue;
    const place = (/** @type {number} */ step) => (byStep ? carriedOver(byStep.x, whole.x, step) : step);
    const attempts = of.spans.filter(({ kind }) => kind === "attempt").slice(1);
    ends.set(run.uid, attempts.map(({ from }) => place(from + 0.5)));
    const wanted = of.spans.filter(({ kind }) => kind !== "superseded" || old);
    if (shown.length === 1) spans.push(...wanted.map((span) => ({ ...span, from: place(span.from), to: place(span.to) })));
    const colour = shown.length > 1 ? look.runs[run.colour] : undefined;
    points.push(...of.points.map((point) => ({ at: place(point.step), label: point.label, kind: point.kind, colour })));
  }
  return { spans, points, ends };
}

/**
 * Where a point is on the other axes.
 * @param {string} metric
 * @param {Host} host
 * @param {import("./chart-tip.js").Reading} reading
 * @returns {[string, string][]}
 */
export function placesElsewhere(metric, host, { line, i }) {
  const { axis } = host.settings(metric);
  const others = line.band || line.old ? [] : AXES_TOLD.filter((name) => name !== axis);
  return others.flatMap((name) => {
    host.store.want({ metric, axis: name, range: null, aside: true }, false, [line.run.uid]);
    const of = (/** @type {string} */ over) =>
      host.store.get({ metric, axis: over, range: null }).curves.find((curve) => curve.run === line.run.uid);
    const [from, to] = [of(axis), of(name)];
    if (!from || !to || !agree(from, to)) return [];
    const value = carriedOver(from.x, to.x, line.x[i]);
    return [/** @type {[string, string]} */ ([name, formatAxisValue(name, name === "epoch" ? Number(value.toFixed(2)) : value)])];
  });
}

/**
 * Whether two curves have the same points at the same places. Those without an epoch are missing on that axis; of a run
 * that goes on one may have grown further than the other.
 * @param {Curve} one
 * @param {Curve} other
 */
function agree(one, other) {
  const n = Math.min(one.x.length, other.x.length);
  if (!n || Math.abs(one.x.length - other.x.length) > MOST_AHEAD) return false;
  return one.count[0] === other.count[0] && one.mean[0] === other.mean[0] && one.mean[n - 1] === other.mean[n - 1];
}
