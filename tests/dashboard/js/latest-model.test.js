// Which metrics are watched on the page of the newest run.
import assert from "node:assert/strict";
import test from "node:test";
import { bestOf, directionOf, watchedFirst } from "../../../src/trainstore/dashboard/assets/latest-model.js";

/** A summary with the usual values. */
function summary(metric, more = {}) {
  return { metric, count: 2, nonfinite: 0, min: 1, min_step: 10, max: 2, max_step: 20, last: 2, last_step: 20, ...more };
}

test("a metric's name says which values are good", () => {
  const expected = {
    loss: "min", eval_loss: "min", "val/perplexity": "min", loss_window: "min", eval_accuracy: "max", "test/f1": "max",
    "valid-auc": "max", "test-logloss-mean": "min",
    learning_rate: null, grad_norm_total: null, loss_weight: null, rouge1: "max",
  }; // prettier-ignore
  for (const [metric, direction] of Object.entries(expected)) assert.equal(directionOf(metric), direction, metric);
});

test("results of evaluations come first, and the effort last", () => {
  const names = ["tokens_per_second", "system/cpu_percent", "learning_rate", "loss", "eval_loss", "eval_runtime"];
  assert.deepEqual(watchedFirst(names.map((name) => summary(name))).map(({ metric }) => metric).slice(0, 3), [
    "eval_loss",
    "loss",
    "learning_rate",
  ]);
});

test("the boosting libraries' names, with a hyphen, are read in the same way", () => {
  const names = ["train-logloss", "valid-logloss", "validation_0-auc"];
  assert.deepEqual(watchedFirst(names.map((name) => summary(name))).map(({ metric }) => metric), ["valid-logloss", "validation_0-auc", "train-logloss"]);
});

test("the best value is the lowest loss, the highest accuracy, and none of what is neither", () => {
  assert.deepEqual(bestOf(summary("eval_loss")), { value: 1, step: 10 });
  assert.deepEqual(bestOf(summary("accuracy")), { value: 2, step: 20 });
  assert.equal(bestOf(summary("learning_rate")), null);
  assert.equal(bestOf(summary("loss", { min: null, min_step: null })), null);
});
