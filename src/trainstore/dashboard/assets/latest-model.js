// Which metrics of a run are the ones to watch.

/** @typedef {import("./types.js").MetricSummary} MetricSummary */

const EVALUATED = /(?:^|[_/.-])(?:eval|val|valid|validation|test|dev)(?:$|[_/.-])/;
const LESS_IS_BETTER = /(?:loss|error|err|perplexity|ppl|mse|rmse|rmsle|mae|mape|nll|bpc|bpb|wer|cer|ter|fid|kl)$/;
const MORE_IS_BETTER = /(?:^|[_/.-])(?:acc|accuracy|f1|precision|recall|auc|aucpr|auroc|bleu|rouge\w*|reward|score|iou|map|r2)$/;
const EFFORT = /(?:^|[_/.])(?:runtime|time|per_second|flos|tokens|tokens_seen|epoch|steps)$|^system\/|norm[_/]/;

/**
 * Whether small or large values of a metric are good, if its name says so.
 * @param {string} metric
 * @returns {"min"|"max"|null}
 */
export function directionOf(metric) {
  const name = metric.toLowerCase().replace(/(?:[_/.-](?:window|mean|avg|ema|epoch|step))+$/, "");
  if (LESS_IS_BETTER.test(name)) return "min";
  return MORE_IS_BETTER.test(name) ? "max" : null;
}

/**
 * Metrics in the order in which people look: results of evaluations, those of training, the rest, and what only says
 * how much work it was.
 * @param {MetricSummary[]} summary
 * @returns {MetricSummary[]}
 */
export function watchedFirst(summary) {
  const rank = (/** @type {MetricSummary} */ { metric }) => (EFFORT.test(metric) ? 4 : 0) + (directionOf(metric) ? 0 : 2) + (EVALUATED.test(metric) ? 0 : 1);
  return [...summary].sort((a, b) => rank(a) - rank(b) || a.metric.localeCompare(b.metric, "en", { numeric: true }));
}

/**
 * The best value of a metric and where it was.
 * @param {MetricSummary} one
 * @returns {{value: number, step: number}|null}
 */
export function bestOf({ metric, min, min_step: minStep, max, max_step: maxStep }) {
  const direction = directionOf(metric);
  const [value, step] = direction === "min" ? [min, minStep] : direction === "max" ? [max, maxStep] : [null, null];
  return typeof value === "number" && step !== null ? { value, step } : null;
}
