// The order of the table, its groups, and which columns differ.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  differs,
  groupedRows,
  nextSort,
  sortKeys,
  sortTexts,
  sortedRows,
  summaryOf,
} from "../../../src/trainstore/dashboard/assets/order.js";
import { heldRows } from "../../../src/trainstore/dashboard/assets/rows.js";

const rows = heldRows({
  count: 6,
  version: "1",
  columns: [
    { id: "uid", kind: "text", values: ["a", "b", "c", "d", "e", "f"] },
    { id: "status", kind: "text", values: ["finished", "finished", "running", "failed", "finished", "lost"] },
    { id: "metric.loss", kind: "number", values: [2, "NaN", 0.5, null, "-Infinity", "Infinity"] },
    { id: "hp.lr", kind: "number", values: [0.1, 0.1, 0.2, 0.2, 0.1, null] },
    { id: "name", kind: "text", values: ["run-10", "run-9", "Run-9", "x", "", null] },
    { id: "hp.mixed", kind: "text", values: ["z", 3, "a", true, 10, null] },
    { id: "hp.same", kind: "number", values: [1, 1, 1, 1, 1, 1] },
  ],
});
const names = (/** @type {number[]} */ order) => order.map((row) => rows.uids[row]).join("");

test("what is missing or NaN is last both ways, and infinities have their places", () => {
  assert.equal(names(sortedRows(rows, sortKeys(["metric.loss"]))), "ecafbd");
  assert.equal(names(sortedRows(rows, sortKeys(["-metric.loss"]))), "face" + "bd");
});

test("a second column decides where the first is equal, and ties keep the server's order", () => {
  assert.equal(names(sortedRows(rows, sortKeys(["hp.lr", "-metric.loss"]))), "aebcdf");
  assert.equal(names(sortedRows(rows, sortKeys(["hp.same"]))), "abcdef");
});

test("numbers in texts count as numbers, and capitals do not part equal words", () => {
  assert.equal(names(sortedRows(rows, sortKeys(["name"]))), "ecbadf");
});

test("numbers come before texts", () => {
  assert.equal(names(sortedRows(rows, sortKeys(["hp.mixed"]))), "dbecaf");
});

test("running runs are on top where time leads, newest first, and nowhere else", () => {
  assert.equal(names(sortedRows(rows, [])), "cabdef");
  assert.equal(names(sortedRows(rows, sortKeys(["hp.same"]))), "abcdef");
});

test("a click sorts up, down and not at all; with shift beside at most two others", () => {
  let keys = nextSort([], "a", false);
  assert.deepEqual(sortTexts(keys), ["a"]);
  keys = nextSort(keys, "a", false);
  assert.deepEqual(sortTexts(keys), ["-a"]);
  assert.deepEqual(nextSort(keys, "a", false), []);
  keys = nextSort(nextSort(nextSort(keys, "b", true), "c", true), "b", true);
  assert.deepEqual(sortTexts(keys), ["-a", "-b", "c"]);
  assert.deepEqual(sortTexts(nextSort(keys, "d", true)), ["-b", "c", "d"]);
  assert.deepEqual(sortTexts(nextSort(keys, "b", true)), ["-a", "c"]);
});

test("groups have the runs of equal values, and come in the order of their means or values", () => {
  const keys = sortKeys(["-metric.loss"]);
  const byMean = groupedRows(rows, sortedRows(rows, keys), ["hp.lr"], keys);
  assert.deepEqual(
    byMean.map(({ values, members }) => [values[0], names(members)]),
    [
      [0.1, "aeb"],
      [0.2, "cd"],
      [null, "f"],
    ],
  );
  const byValue = groupedRows(rows, sortedRows(rows, []), ["hp.lr"], []);
  assert.deepEqual(
    byValue.map(({ values }) => values[0]),
    [0.1, 0.2, null],
  );
});

test("a group's mean and deviation are those of its finite numbers", () => {
  assert.deepEqual(summaryOf(rows, "metric.loss", [1, 3, 4]), { n: 0, mean: NaN, std: NaN, low: NaN, high: NaN });
  assert.deepEqual(summaryOf(rows, "metric.loss", [0, 1, 2]), {
    n: 2,
    mean: 1.25,
    std: Math.sqrt(1.125),
    low: 0.5,
    high: 2,
  });
});

test("a column differs if one run's value does, or one run has none", () => {
  assert.equal(differs(rows, "hp.same"), false);
  assert.equal(differs(rows, "hp.lr"), true);
  assert.equal(differs(rows, "no such column"), false);
});
