// Curves in buckets that grow, and what becomes of them where a run goes back.
import assert from "node:assert/strict";
import { test } from "node:test";
import { halved, pointsOf, withLater } from "../../../src/trainstore/dashboard/assets/buckets.js";

const array = (values) => Float64Array.from(values);

function curve(x, y, { count = x.map(() => 1) } = {}) {
  return { run: "a", metric: "loss", exact: true, x: array(x), mean: array(y), low: array(y), high: array(y),
    count: array(count), oddX: array([]), odd: array([]) };
}

test("points from replaces_from on take the place of those before", () => {
  const { curve: grown, exact } = withLater(curve([0, 1, 2, 3], [0, 1, 2, 3]), [2, 3], [20, 30], 2, 100);
  assert.deepEqual([[...grown.x], [...grown.mean], exact], [[0, 1, 2, 3], [0, 1, 20, 30], true]);
});

test("the last row again takes the place of the last point", () => {
  const { curve: grown } = withLater(curve([0, 1], [0, 1]), [1, 2], [5, 6], undefined, 100);
  assert.deepEqual([[...grown.x], [...grown.mean]], [[0, 1, 2], [0, 5, 6]]);
});

test("a bucket of several points is not thrown away for its last one; a new read is asked for", () => {
  const { curve: grown, exact } = withLater(curve([0, 9], [1, 2], { count: [1, 9] }), [9, 10], [7, 8], 9, 100);
  assert.deepEqual([[...grown.x], [...grown.count], exact], [[0, 9, 10], [1, 9, 1], false]);
});

test("a curve that grows keeps its points, its extremes and its sum, in no more than twice the buckets", () => {
  let grown = curve([], []);
  let [low, high, sum] = [Infinity, -Infinity, 0];
  for (let i = 0; i < 1000; i += 1) {
    const y = Math.sin(i) * (i % 77);
    [low, high, sum] = [Math.min(low, y), Math.max(high, y), sum + y];
    grown = withLater(grown, [i], [y], undefined, 30).curve;
  }
  assert.ok(grown.x.length <= 60);
  assert.equal(pointsOf(grown), 1000);
  assert.deepEqual([Math.min(...grown.low), Math.max(...grown.high)], [low, high]);
  const total = grown.mean.reduce((all, mean, i) => all + mean * grown.count[i], 0);
  assert.ok(Math.abs(total - sum) < 1e-6);
  assert.equal(grown.x.at(-1), 999);
});

test("half of an odd number of buckets keeps the last one", () => {
  const half = halved(curve([0, 1, 2], [1, 3, 9], { count: [1, 3, 2] }));
  assert.deepEqual([[...half.x], [...half.mean], [...half.count]], [[0.75, 2], [2.5, 9], [4, 2]]);
});

test("a cut that may go through a bucket of several points asks for a new read", () => {
  const old = curve([0, 2.5, 5, 6], [0, 1, 2, 3], { count: [1, 4, 1, 1] });
  const through = withLater(old, [4], [9], 4, 100);
  assert.deepEqual([[...through.curve.x], through.exact], [[0, 2.5, 4], false]);
  const behind = withLater(old, [5], [9], 5, 100);
  assert.deepEqual([[...behind.curve.x], behind.exact], [[0, 2.5, 5], true]);
  const later = withLater(curve([0, 4], [0, 1], { count: [1, 4] }), [5], [9], 5, 100);
  assert.equal(later.exact, true, "the last bucket stands where its last point does");
});

test("points that are not finite are thinned evenly, with the first and the last of them", () => {
  let grown = curve([], []);
  for (let i = 0; i <= 1000; i += 1) grown = withLater(grown, [i], [NaN], undefined, 30).curve;
  assert.ok(grown.oddX.length <= 60 && grown.oddX.length >= 30);
  assert.deepEqual([grown.oddX[0], grown.oddX.at(-1)], [0, 1000]);
  assert.equal(grown.odd.length, grown.oddX.length);
  const once = withLater(curve([], []), array([...Array(101).keys()]), array(Array(101).fill(Infinity)), undefined, 11).curve;
  assert.deepEqual([...once.oddX], [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);
});
