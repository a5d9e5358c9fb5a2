// Scales and ticks of axes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { makeScale, roomyRange, tickLabel, ticksOf } from "../../../src/trainstore/dashboard/assets/scale.js";

const labels = (...query) => ticksOf(...query).map((tick) => tick.label);

test("a scale and its inverse agree, on linear and on log axes", () => {
  for (const kind of ["linear", "log"]) {
    const scale = makeScale(kind, 0.5, 400, 30, 630);
    assert.equal(scale.pixel(0.5), 30);
    assert.ok(Math.abs(scale.pixel(400) - 630) < 1e-9);
    for (const value of [0.5, 1, 7.25, 399]) assert.ok(Math.abs(scale.value(scale.pixel(value)) - value) < 1e-9 * value);
  }
});

test("an axis of no width still has a middle", () => {
  assert.deepEqual(roomyRange(3, 3, false, 0.05), [2.7, 3.3]);
  assert.deepEqual(roomyRange(0, 0, false, 0.05), [-1, 1]);
  assert.deepEqual(roomyRange(5, 5, true, 0.05), [2.5, 10]);
  assert.deepEqual(roomyRange(Infinity, -Infinity, false, 0.05), [0, 1]);
  assert.deepEqual(roomyRange(Infinity, -Infinity, true, 0.05), [1, 10]);
});

test("the widest numbers make a finite range", () => {
  for (const log of [false, true]) {
    const [low, high] = roomyRange(log ? Number.MIN_VALUE : -Number.MAX_VALUE, Number.MAX_VALUE, log, 0.05);
    assert.ok(Number.isFinite(low) && Number.isFinite(high) && low < high);
    assert.ok(ticksOf(log ? "log" : "linear", low, high, 5).length > 1);
  }
});

test("an axis of steps has no fractions, unless it lies between two of them", () => {
  assert.deepEqual(labels("whole", 0, 2, 4), ["0", "1", "2"]);
  assert.deepEqual(labels("whole", 0, 1000, 4), labels("linear", 0, 1000, 4));
  assert.deepEqual(labels("whole", 1.2, 1.8, 3), labels("linear", 1.2, 1.8, 3));
});

test("linear ticks are 1, 2 or 5 apart and have the digits that tell them apart", () => {
  assert.deepEqual(labels("linear", 0, 1, 5), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
  assert.deepEqual(labels("linear", 3.051, 3.0562, 5), ["3.051", "3.052", "3.053", "3.054", "3.055", "3.056"]);
  assert.deepEqual(labels("linear", -2, 2, 4), ["−2", "−1", "0", "1", "2"]);
  assert.deepEqual(labels("linear", 0, 1_000_000, 4), ["0", "200k", "400k", "600k", "800k", "1M"]);
  assert.deepEqual(labels("linear", 0, 5000, 5), ["0", "1000", "2000", "3000", "4000", "5000"]);
});

test("log ticks are powers of ten, with 2 and 5 between where there is room", () => {
  assert.deepEqual(labels("log", 0.001, 1000, 6), ["0.001", "0.01", "0.1", "1", "10", "100", "1000"]);
  assert.deepEqual(labels("log", 1, 10, 6), ["1", "2", "5", "10"]);
  assert.deepEqual(labels("log", 3.1, 3.4, 3), ["3.1", "3.2", "3.3", "3.4"]);
  assert.ok(labels("log", 1e-300, 1e300, 6).length <= 8);
});

test("a log axis that begins at or below 0 has the ticks of a linear one", () => {
  for (const low of [0, -100]) assert.deepEqual(labels("log", low, 500, 5), labels("linear", low, 500, 5));
});

test("ticks of times stand at whole hours and days of the reader's clock", () => {
  const noon = new Date(2026, 2, 5, 12).getTime() / 1000;
  assert.deepEqual(labels("time", noon, noon + 3600, 4), ["12:00", "12:15", "12:30", "12:45", "13:00"]);
  assert.deepEqual(labels("time", noon - 12 * 3600, noon + 12 * 3600, 4), ["03-05", "06:00", "12:00", "18:00", "03-06"]);
  assert.deepEqual(labels("time", noon, noon + 4 * 86400, 4), ["2026-03-06", "2026-03-07", "2026-03-08", "2026-03-09"]);
  assert.deepEqual(labels("time", noon, noon + 10, 2), ["12:00:00", "12:00:05", "12:00:10"]);
});

test("ticks of durations are in seconds, minutes, hours and days", () => {
  assert.deepEqual(labels("duration", 0, 60, 4), ["0", "15s", "30s", "45s", "1m"]);
  assert.deepEqual(labels("duration", 0, 3 * 3600, 3), ["0", "1h", "2h", "3h"]);
  assert.deepEqual(labels("duration", 0, 200_000, 4), ["0", "12h", "1d", "1d 12h", "2d"]);
  assert.deepEqual(labels("duration", 0, 0.4, 2), ["0", "0.2 s", "0.4 s"]);
});

test("no two ticks have the same label, whatever the range", () => {
  let seed = 7;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  for (let round = 0; round < 3000; round += 1) {
    const middle = (random() - 0.5) * 10 ** (random() * 16 - 4);
    const width = Math.abs(middle || 1) * 10 ** (random() * 10 - 8);
    const kind = ["linear", "log", "duration", "time"][round % 4];
    const low = kind === "log" || kind === "time" ? Math.abs(middle) : middle;
    if (kind === "time" && low + width > 4e9) continue;
    const ticks = ticksOf(kind, low, low + width, 6);
    const said = ticks.map((tick) => tick.label);
    const told = kind === "time" ? ticks.map((tick) => tick.value) : said; // an hour comes on every day
    assert.equal(new Set(told).size, told.length, `${kind} ${low} ${low + width}: ${said}`);
    for (const { value } of ticks) assert.ok(value >= low - width * 1e-6 && value <= low + width * (1 + 1e-6));
  }
});

test("a tick's label keeps a minus that is as wide as a plus, and small numbers their exponent", () => {
  assert.equal(tickLabel(-0.25, 0.05), "−0.25");
  assert.equal(tickLabel(2e-7, 1e-7), "2e−7");
  assert.equal(tickLabel(1_500_000, 500_000), "1.5M");
});
