import assert from "node:assert/strict";
import { test } from "node:test";

import { axisOf, axisText, filterOf, isDrawable, isInRange, judgeOf, placeOn, rankCorrelation, usualAxes, valueAt } from
  "../../../src/trainstore/dashboard/assets/axes.js";
import { againstText } from "../../../src/trainstore/dashboard/assets/diff.js";

const numbers = (values, id = "hp.lr") => axisOf({ id, kind: "number", values }, id);
const texts = (values) => axisOf({ id: "hp.optim", kind: "text", values }, "optim");

test("numbers over several sizes get a log axis, others a linear one", () => {
  assert.equal(numbers([1e-5, 1e-3]).log, true);
  assert.equal(numbers([1, 3]).log, false);
  assert.equal(numbers([0, 100]).log, false);
  assert.equal(axisOf({ id: "a", kind: "number", values: [1e-5, 1e-3] }, "a", false).log, false);
});

test("places go from 0 to 1 and back to the value", () => {
  for (const axis of [numbers([1e-5, 1e-3]), numbers([-2, 8])]) {
    assert.equal(placeOn(axis, axis.low), 0);
    assert.ok(Math.abs(placeOn(axis, axis.high) - 1) < 1e-12);
    for (const value of [axis.low, axis.high]) assert.ok(Math.abs(valueAt(axis, placeOn(axis, value)) - value) < 1e-9);
  }
});

test("categories stand in the middle of bands of the same height", () => {
  const axis = texts(["a", "b", "c", "d"]);
  assert.deepEqual([0, 1, 2, 3].map((value) => placeOn(axis, value)), [0.125, 0.375, 0.625, 0.875]);
  assert.equal(valueAt(axis, placeOn(axis, 2)), 2);
  assert.equal(placeOn(texts(["only"]), 0), 0.5);
});

test("what is missing or not finite has no place, a constant stands in the middle", () => {
  const axis = numbers([1, null, "NaN", "Infinity"]);
  assert.deepEqual([...axis.values], [1, NaN, NaN, Infinity]);
  assert.equal(placeOn(axis, 1), 0.5);
  assert.ok(Number.isNaN(placeOn(axis, NaN)));
  assert.ok(Number.isNaN(placeOn(axis, Infinity)));
  assert.equal(axisText(axis, 1), "none");
  assert.equal(axisText(axis, 3), "∞");
});

test("categories are in their order, numbers in texts by size", () => {
  assert.deepEqual(texts(["b10", "b2", null, "a", "b2"]).categories, ["a", "b2", "b10"]);
});

test("an axis of no number or of too many texts is not drawn", () => {
  assert.equal(isDrawable(numbers([null, "NaN"])), false);
  assert.equal(isDrawable(texts(Array.from({ length: 100 }, (_, i) => `t${i}`))), false);
  assert.equal(isDrawable(texts(["a", "b"])), true);
});

test("a brushed range becomes a filter that holds for what lies in it", () => {
  assert.equal(filterOf(numbers([0, 2.5, 4, 10]), [0.2, 0.5]), "hp.lr >= 2.5 and hp.lr <= 4");
  assert.equal(filterOf(texts(["a", "b", 'c"']), [0.4, 1]), 'hp.optim in ("b", "c""")');
  const either = axisOf({ id: "hp.amp", kind: "boolean", values: [true, false, null] }, "amp");
  assert.equal(filterOf(either, [0, 1]), "(hp.amp = false or hp.amp = true)");
  assert.equal(filterOf(either, [0.5, 1]), "hp.amp = true");
});

test("a filter of numbers holds for exactly the runs in the range", () => {
  const many = Array.from({ length: 100 }, (_, i) => 123_400 + i + (i % 7) / 30);
  for (const values of [many, many.map((value) => 1e-7 / value), [...many, 1e9, -3.5, "NaN", null], [2, 2, 2]]) {
    const axis = numbers(values);
    for (const range of [[0.2, 0.5], [0.5, 0.51], [0, 1], [0.99, 1]]) {
      const inside = values.filter((_, row) => isInRange(axis, row, range));
      if (!inside.length) continue;
      const [, low, high] = /^hp\.lr >= (\S+) and hp\.lr <= (\S+)$/.exec(filterOf(axis, range));
      assert.deepEqual(values.filter((value) => typeof value === "number" && value >= +low && value <= +high), inside);
    }
  }
});

test("times and durations are written to the microsecond", () => {
  const started = axisOf({ id: "started", kind: "time", values: [1_700_000_000.000001, 1_700_000_001.999999] }, "started");
  assert.equal(filterOf(started, [0, 1]),
    'started >= "2023-11-14T22:13:20.000001Z" and started <= "2023-11-14T22:13:21.999999Z"');
  const took = axisOf({ id: "duration", kind: "duration", values: [1_700_000_000.3 - 1_700_000_000.1, 5] }, "took");
  assert.equal(filterOf(took, [0, 0.5]), "duration >= 0.2 and duration <= 0.2");
});

test("a range that became values and places again has the same runs", () => {
  const axis = numbers([3e-5, 7e-4, 0.1]);
  const [from, to] = [0, 1].map((place) => placeOn(axis, valueAt(axis, place)));
  assert.deepEqual([0, 1, 2].map((row) => isInRange(axis, row, [from, to])), [true, true, true]);
});

test("rank correlation is Spearman's, with ties and missing values", () => {
  const of = (a, b) => rankCorrelation(Float64Array.from(a), Float64Array.from(b));
  assert.deepEqual(of([1, 2, 3, NaN], [10, 100, 1000, 5]), { rho: 1, n: 3 });
  assert.equal(of([1, 2, 3], [3, 2, 1]).rho, -1);
  // scipy.stats.spearmanr([1, 2, 2, 4], [1, 3, 2, 4]) = 0.9486832980505138
  assert.ok(Math.abs(of([1, 2, 2, 4], [1, 3, 2, 4]).rho - 0.9486832980505138) < 1e-12);
  assert.ok(Number.isNaN(of([1, 1, 1], [1, 2, 3]).rho));
});

test("the usual axes are what varies, and the metric by which runs are judged comes last", () => {
  const info = (id, group, more = {}) => ({
    id, group, label: id.split(".")[1], kind: "number", filled: 5, distinct: 5, varies: true, ...more });
  const infos = [info("hp.lr", "hp"), info("hp.seed", "hp", { varies: false }), info("metric.loss", "metric"),
    info("metric.eval_loss", "metric"), info("env.host", "env")];
  assert.deepEqual(usualAxes(infos, 4), ["hp.lr", "metric.eval_loss"]);
  assert.equal(judgeOf([info("metric.reward", "metric")])?.id, "metric.reward");
  assert.equal(judgeOf([]), undefined);
});

test("settings are told as multiples of the measure's, results as differences", () => {
  assert.equal(againstText(3e-4, 1e-4, "hp.lr"), "×3");
  assert.equal(againstText(2.5, 2, "metric.loss"), "+0.5");
  assert.equal(againstText(1.5, 2, "metric.loss"), "−0.5");
  assert.equal(againstText(-1, 2, "hp.bias"), "−3");
  assert.equal(againstText(NaN, 2, "metric.loss"), "");
});
