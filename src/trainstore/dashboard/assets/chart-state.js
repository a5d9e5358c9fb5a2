// The settings of charts in the page's address: those of all charts, what single charts have otherwise, and the zoom.
import { formatHash, parseHash } from "./router.js";

/** @typedef {import("./chart-controls.js").Settings} Settings */
/** @typedef {[number, number]} Range */

const NAMES = ["x", "smooth", "logx", "logy", "old", "chart", "zoom"];
const MOST_SMOOTH_WEIGHT = 0.999;

/**
 * @param {string|null} text
 * @returns {number|null}
 */
function numberOrNull(text) {
  const value = Number(text);
  return text === null || text.trim() === "" || !Number.isFinite(value) ? null : value;
}

/** @param {string|null} text */
function weightOf(text) {
  const value = numberOrNull(text);
  return value === null ? null : Math.min(Math.max(value, 0), MOST_SMOOTH_WEIGHT);
}

/**
 * @param {string} text
 * @returns {Range|null}
 */
export function rangeOf(text) {
  const [low, high] = text.split(",").map((part) => numberOrNull(part));
  return low !== null && high !== null && high !== undefined && low < high ? [low, high] : null;
}

/**
 * Ends with no more digits than a screen shows; a lower end that is near 0 keeps its own, which a log axis needs.
 * @param {Range} range
 */
function shortRange(range) {
  const finest = Math.min(range[1] - range[0], Math.abs(range[0]) || Infinity);
  const decimals = Math.min(20, Math.max(0, 4 - Math.floor(Math.log10(finest))));
  return range.map((end) => (Math.abs(end) < 1e15 ? Number(end.toFixed(decimals)) : end));
}

/**
 * One chart's own settings as a text, as a query of an address has them: `m=loss&logy=1`.
 * @param {string} metric
 * @param {Partial<Settings>} own
 */
function formatOwn(metric, own) {
  const query = new URLSearchParams({ m: metric });
  for (const [name, value] of Object.entries(own)) {
    query.set(name, typeof value === "boolean" ? String(Number(value)) : String(value));
  }
  return query.toString();
}

/**
 * @param {string} text
 * @returns {[string, Partial<Settings>]}
 */
function parseOwn(text) {
  const query = new URLSearchParams(text);
  /** @type {Partial<Settings>} */
  const own = {};
  const axis = query.get("axis");
  if (axis) own.axis = axis;
  if (weightOf(query.get("smooth")) !== null) own.smooth = weightOf(query.get("smooth"));
  for (const name of /** @type {const} */ (["logx", "logy", "old"])) if (query.has(name)) own[name] = query.get(name) === "1";
  for (const name of /** @type {const} */ (["ymin", "ymax"])) {
    const value = numberOrNull(query.get(name));
    if (value !== null) own[name] = value;
  }
  return [query.get("m") ?? "", own];
}

/** @param {import("./router.js").State} state */
export function chartState(state) {
  /** @type {Map<string, Range>} */
  const ownZooms = new Map(); // of axes that single charts have
  /** @type {Map<string, (Range|null)[]>} */
  const before = new Map();
  /** @type {Set<() => void>} */
  const listeners = new Set();

  const axisOfAll = () => state.text("x") || "step";
  const own = () => new Map(state.list("chart").map(parseOwn));

  /** @returns {Settings} */
  function common() {
    const band = state.text("band");
    return {
      axis: axisOfAll(),
      smooth: weightOf(state.text("smooth") || null),
      logx: state.flag("logx"),
      logy: state.flag("logy"),
      ymin: null,
      ymax: null,
      band: ["std", "sem", "range"].includes(band) ? band : "std",
      old: state.flag("old"),
    };
  }

  /**
   * @param {Partial<Settings>} changes
   * @param {boolean} push
   */
  function setCommon({ axis, smooth, logx, logy, band, old }, push) {
    /** @type {Record<string, any>} */
    const changed = {};
    if (axis !== undefined) Object.assign(changed, { x: axis === "step" ? "" : axis, zoom: "" });
    if (smooth !== undefined) changed.smooth = smooth === null ? "" : String(smooth);
    if (logx !== undefined) changed.logx = logx;
    if (logy !== undefined) changed.logy = logy;
    if (band !== undefined) changed.band = band === "std" ? "" : band;
    if (old !== undefined) changed.old = old;
    state.set(changed, { push });
  }

  /** @param {string} axis @returns {Range|null} */
  const zoomOf = (axis) => (axis === axisOfAll() ? rangeOf(state.text("zoom")) : ownZooms.get(axis) ?? null);

  /** @param {string} axis @param {Range|null} range */
  function put(axis, range) {
    if (axis === axisOfAll()) return state.set({ zoom: range ? shortRange(range).join(",") : "" }, { push: true });
    if (range) ownZooms.set(axis, range);
    else ownZooms.delete(axis);
    for (const act of listeners) act();
  }

  return {
    ...{ common, setCommon, zoomOf },
    points() {
      const points = state.number("points", 0);
      return points >= 10 ? Math.min(Math.round(points), 5000) : null;
    },
    /** Those of one chart. @param {string} metric @returns {Settings} */
    of: (metric) => ({ ...common(), ...own().get(metric) }),
    /**
     * Change one chart; what is as for all charts is not kept.
     * @param {string} metric
     * @param {Partial<Settings>} changes
     * @param {boolean} push
     */
    set(metric, changes, push) {
      const all = common();
      const charts = own();
      const { band, ...rest } = { ...charts.get(metric), ...changes };
      if (band !== undefined && band !== all.band) setCommon({ band }, push);
      const differs = Object.entries(rest).filter(([name, value]) => value !== all[/** @type {keyof Settings} */ (name)]);
      charts.delete(metric);
      const texts = [...charts].map(([name, settings]) => formatOwn(name, settings));
      if (differs.length) texts.push(formatOwn(metric, Object.fromEntries(differs)));
      state.set({ chart: texts }, { push });
    },
    /** @param {string} axis @param {Range|null} range */
    zoom(axis, range) {
      const old = zoomOf(axis);
      if (String(old) === String(range)) return;
      before.set(axis, [...(before.get(axis) ?? []), old].slice(-50));
      put(axis, range);
    },
    /** @param {string} axis */
    zoomBack(axis) {
      const stack = before.get(axis) ?? [];
      const range = stack.pop();
      if (range !== undefined) put(axis, range);
    },
    zoomed: () => state.text("zoom") !== "" || ownZooms.size > 0,
    resetZoom() {
      ownZooms.clear();
      put(axisOfAll(), null);
      for (const act of listeners) act();
    },
    /** The address of this page with one chart filling the screen. @param {string} metric */
    linkTo(metric) {
      const { place, values } = parseHash(state.hash());
      values.set("full", [metric]);
      return location.href.replace(/#.*$/s, "") + formatHash(place, values);
    },
    /** @param {() => void} act */
    listen(act) {
      listeners.add(act);
      const stop = state.listen(NAMES, act);
      return () => {
        listeners.delete(act);
        stop();
      };
    },
  };
}
