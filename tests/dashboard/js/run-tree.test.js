// Attempts as a tree, what they changed, and how fast a run goes.
import assert from "node:assert/strict";
import test from "node:test";
import {
  attemptRows,
  changedFacts,
  changedVersions,
  MOST_LANES,
  speedOf,
  withReading,
} from "../../../src/trainstore/dashboard/assets/run-tree.js";

/** An attempt with what a tree needs. */
function attempt(number, resumedFrom, more = {}) {
  return { attempt: number, resumed_from: resumedFrom, start_step: 0, end_step: null, last_step: 1, ...more };
}

const drawn = (rows) => rows.map(({ attempt: { attempt: number }, lane, parent }) => [number, lane, parent?.row ?? null]);

test("attempts that each resumed the one before are one line", () => {
  assert.deepEqual(drawn(attemptRows([attempt(1, null), attempt(2, 1), attempt(3, 2)])), [
    [1, 0, null],
    [2, 0, 0],
    [3, 0, 1],
  ]);
});

test("a branch that was given up has a lane of its own, and what continued it stays there", () => {
  const rows = attemptRows([attempt(1, null), attempt(2, 1), attempt(3, 2), attempt(4, 1)]);
  assert.deepEqual(drawn(rows), [
    [1, 0, null],
    [2, 1, 0],
    [3, 1, 1],
    [4, 0, 0],
  ]);
  assert.deepEqual(rows.map(({ shown }) => shown), [true, false, false, true]);
});

test("two branches of one branch do not share a lane", () => {
  const rows = attemptRows([attempt(1, null), attempt(2, 1), attempt(3, 2), attempt(4, 2), attempt(5, 1)]);
  assert.deepEqual(rows.map(({ lane }) => lane), [0, 1, 1, 2, 0]);
});

test("many branches stay within the drawing", () => {
  const many = [attempt(1, null), ...Array.from({ length: 40 }, (_, place) => attempt(place + 2, 1))];
  assert.equal(Math.max(...attemptRows(many).map(({ lane }) => lane)), MOST_LANES - 1);
});

test("an attempt whose parent is not there is a root", () => {
  assert.deepEqual(drawn(attemptRows([attempt(2, 1)])), [[2, 0, null]]);
});

test("a hyperparameter that was changed twice has both changes, in order", () => {
  const attempts = [
    attempt(1, null, { changed: null }),
    attempt(2, 1, { changed: { "hp.lr": [0.1, 0.05], "hp.seed": [null, 3] } }),
    attempt(3, 2, { changed: { "hp.lr": [0.05, 0.01], "hp.bad": "no pair" } }),
  ];
  const changes = changedFacts(attempts);
  assert.deepEqual(changes.get("hp.lr"), [
    { attempt: 2, old: 0.1, new: 0.05 },
    { attempt: 3, old: 0.05, new: 0.01 },
  ]);
  assert.deepEqual([...changes.keys()], ["hp.lr", "hp.seed"]);
});

test("only versions that differ from the attempt before are new", () => {
  const first = attempt(1, null, { versions: { python: "3.11", torch: "2.9" } });
  const second = attempt(2, 1, { versions: { python: "3.11", torch: "2.10", numpy: "2.3" } });
  assert.deepEqual(changedVersions(first, undefined), [["python", "3.11", null], ["torch", "2.9", null]]);
  assert.deepEqual(changedVersions(second, first), [["torch", "2.10", "2.9"], ["numpy", "2.3", null]]);
  assert.deepEqual(changedVersions(attempt(3, 2), second), []);
});

test("the speed is that of the last readings, and unknown while they are too few", () => {
  let readings = withReading([], [100, 50], 60);
  assert.equal(speedOf(readings, 5), null);
  readings = withReading(readings, [103, 80], 60);
  assert.equal(speedOf(readings, 5), null);
  readings = withReading(readings, [110, 150], 60);
  assert.equal(speedOf(readings, 5), 10);
});

test("readings from before a resume, and old ones, do not count", () => {
  let readings = [[100, 50], [110, 150]];
  readings = withReading(readings, [115, 120], 60);
  assert.deepEqual(readings, [[100, 50], [115, 120]]);
  assert.deepEqual(withReading(readings, [170, 200], 60), [[115, 120], [170, 200]]);
  assert.equal(speedOf([[0, 10], [9, 10]], 5), null);
});
