// Smoothing over buckets: the numbers of buckets.py, and of the average of every single point.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { averageBefore, smoothedLine } from "../../../src/trainstore/dashboard/assets/ema.js";

const cases = JSON.parse(readFileSync(new URL("smoothing.json", import.meta.url), "utf8"));

test("the line is the one that Python computes", () => {
  for (const { mean, count, weight, line } of cases) {
    const found = smoothedLine(mean, count, weight);
    line.forEach((value, place) => assert.ok(Math.abs(found[place] - value) < 1e-12, `${weight} at ${place}`));
  }
});

test("a weight of 0 draws the curve itself, and one point is itself at any weight", () => {
  assert.deepEqual([...smoothedLine([3, -1, 4], [1, 5, 2], 0)], [3, -1, 4]);
  assert.deepEqual([...smoothedLine([3], [1], 0.999)].map((value) => Number(value.toFixed(9))), [3]);
});

test("a bucket of n equal points counts as n points", () => {
  const single = smoothedLine([1, 1, 1, 5, 5, 5, 5], [1, 1, 1, 1, 1, 1, 1], 0.9);
  const buckets = smoothedLine([1, 5], [3, 4], 0.9);
  assert.ok(Math.abs(buckets[0] - single[2]) < 1e-12);
  assert.ok(Math.abs(buckets[1] - single[6]) < 1e-12);
});

test("a zoomed part goes on from what the whole curve has seen", () => {
  const x = Array.from({ length: 200 }, (_, i) => i);
  const mean = x.map((i) => Math.sin(i / 9) + i / 50);
  const count = x.map(() => 1);
  const whole = smoothedLine(mean, count, 0.95);
  const start = averageBefore({ x, mean, count }, 0.95, 120);
  const part = smoothedLine(mean.slice(120), count.slice(120), 0.95, start);
  part.forEach((value, place) => assert.ok(Math.abs(value - whole[120 + place]) < 1e-12));
});
