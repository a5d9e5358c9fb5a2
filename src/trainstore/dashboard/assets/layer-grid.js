// Metrics of a model's layers as a grid of layers and steps.

/** @typedef {import("./types.js").Curve} Curve */
/** @typedef {{name: string, layers: {metric: string, label: string}[]}} Family */
/**
 * @typedef {Object} LayerGrid
 * @property {string[]} labels  Of the rows; the first is the model's first layer.
 * @property {Float64Array} steps  Of the columns, growing.
 * @property {Float64Array} values  Row after row; NaN where nothing was measured.
 * @property {Map<number, number>} odd  Place in `values` → a NaN or an infinity that was recorded there.
 * @property {number} low  The smallest value above zero,
 * @property {number} high  and the largest; 1 and 1 if there is none.
 */

const NORM_NAME = /^(.*?norm)([/_])(.+)$/;
const NORM_TOTALS = new Set(["total", "max", "min", "mean", "window"]); // over the layers, not of one
const FEWEST_LAYERS = 2;

/**
 * The family and the layer that a metric's name speaks of: `grad_norm/transformer.h.0`, `param_norm_layers.0.weight`.
 * @param {string} metric
 * @returns {[family: string, layer: string]|null}
 */
export function layerOf(metric) {
  const norm = NORM_NAME.exec(metric);
  if (norm && !NORM_TOTALS.has(norm[3]) && (norm[2] === "/" || /[./]/.test(norm[3]))) return [norm[1], norm[3]];
  const slash = metric.lastIndexOf("/");
  const layer = metric.slice(slash + 1);
  // any other group of metrics counts if its names are those of modules: `activation/encoder.layers.3`
  if (slash > 0 && /^[a-z_]\w*(\.\w+)*\.\d+(\.\w+)*$/i.test(layer)) return [metric.slice(0, slash), layer];
  return null;
}

/**
 * The families of layers among a run's metrics, each with its layers in the order of the model.
 * @param {string[]} metrics
 * @param {import("./types.js").RunEvent[]} events  `gradient_layers` has the order; else numbers in names decide.
 * @returns {Family[]}
 */
export function layerFamilies(metrics, events) {
  /** @type {Map<string, {metric: string, label: string}[]>} */
  const families = new Map();
  for (const metric of metrics) {
    const found = layerOf(metric);
    if (found) families.set(found[0], [...(families.get(found[0]) ?? []), { metric, label: found[1] }]);
  }
  const order = layerOrder(events);
  const last = order.size;
  return [...families]
    .filter(([, layers]) => layers.length >= FEWEST_LAYERS)
    .sort(([a], [b]) => Number(b.startsWith("grad_norm")) - Number(a.startsWith("grad_norm")) || a.localeCompare(b))
    .map(([name, layers]) => ({
      name,
      layers: layers.sort(
        (a, b) => (order.get(a.label) ?? last) - (order.get(b.label) ?? last) || byNumbers(a.label, b.label),
      ),
    }));
}

/** @param {import("./types.js").RunEvent[]} events */
function layerOrder(events) {
  /** @type {Map<string, number>} */
  const order = new Map();
  for (const { kind, details } of events) {
    if (kind !== "gradient_layers" || !Array.isArray(details?.layers)) continue;
    for (const layer of details.layers) if (!order.has(layer)) order.set(layer, order.size);
  }
  return order;
}

/**
 * @param {string} a
 * @param {string} b
 */
function byNumbers(a, b) {
  return a.localeCompare(b, "en", { numeric: true });
}

/**
 * The curves of a family as a grid. Layers are measured at the same steps, so that mostly each step is a column; if
 * there are more steps than columns, neighbours share one, by their mean.
 * @param {Family} family
 * @param {Curve[]} curves
 * @param {number} most  Columns.
 * @returns {LayerGrid}
 */
export function layerGrid(family, curves, most) {
  const byMetric = new Map(curves.map((curve) => [curve.metric, curve]));
  const steps = [...new Set(curves.flatMap((curve) => [...curve.x, ...curve.oddX]))].sort((a, b) => a - b);
  const columns = columnsOf(steps, most);
  const width = columns.steps.length;
  const values = new Float64Array(family.layers.length * width).fill(NaN);
  const odd = new Map();
  let [low, high] = [Infinity, 0];
  family.layers.forEach(({ metric }, row) => {
    const curve = byMetric.get(metric);
    if (!curve) return;
    const sums = new Float64Array(width);
    const counts = new Float64Array(width);
    curve.x.forEach((step, place) => {
      const column = columns.of(step);
      sums[column] += curve.mean[place] * curve.count[place];
      counts[column] += curve.count[place];
    });
    for (let column = 0; column < width; column += 1) {
      if (!counts[column]) continue;
      const value = sums[column] / counts[column];
      values[row * width + column] = value;
      if (value > 0) [low, high] = [Math.min(low, value), Math.max(high, value)];
    }
    curve.oddX.forEach((step, place) => odd.set(row * width + columns.of(step), curve.odd[place]));
  });
  if (high === 0) [low, high] = [1, 1];
  return { labels: family.layers.map(({ label }) => label), steps: columns.steps, values, odd, low, high };
}

/**
 * @param {number[]} steps  Growing.
 * @param {number} most
 * @returns {{steps: Float64Array, of: (step: number) => number}}
 */
function columnsOf(steps, most) {
  if (steps.length <= most) {
    const places = new Map(steps.map((step, place) => [step, place]));
    return { steps: Float64Array.from(steps), of: (step) => places.get(step) ?? 0 };
  }
  const first = steps[0];
  const size = (steps[steps.length - 1] - first) / most || 1;
  const of = (/** @type {number} */ step) => Math.min(most - 1, Math.floor((step - first) / size));
  return { steps: Float64Array.from({ length: most }, (_, place) => first + (place + 0.5) * size), of };
}

/**
 * Where on a ramp a value stands, from 0 to 1, by its logarithm.
 * @param {number} value
 * @param {number} low
 * @param {number} high
 * @returns {number|null}  null for zero and less, which have no place there.
 */
export function placeOnRamp(value, low, high) {
  if (!(value > 0)) return null;
  if (high <= low) return 0.5;
  return Math.min(1, Math.max(0, Math.log(value / low) / Math.log(high / low)));
}

// Viridis at nine places: grows in lightness, so that it reads without colours too.
const HEAT_RAMP = [
  [68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99],
  [170, 220, 50], [253, 231, 37],
]; // prettier-ignore

/**
 * @param {number} place  From 0 to 1.
 * @returns {string}  A colour.
 */
export function heatColour(place) {
  const at = Math.min(1, Math.max(0, place)) * (HEAT_RAMP.length - 1);
  const low = Math.min(HEAT_RAMP.length - 2, Math.floor(at));
  const part = at - low;
  const mixed = HEAT_RAMP[low].map((channel, index) => Math.round(channel + part * (HEAT_RAMP[low + 1][index] - channel)));
  return `rgb(${mixed.join(" ")})`;
}
