// Numbers and times as a reader wants them.
import assert from "node:assert/strict";
import test from "node:test";
import {
  formatAgo,
  formatCell,
  formatDuration,
  formatNumber,
  formatTime,
} from "../../../src/trainstore/dashboard/assets/format.js";

test("a number has the digits that a reader needs, and no more", () => {
  const expected = new Map([
    [0, "0"],
    [-0, "0"],
    [0.1 + 0.2, "0.3"],
    [1.23456789, "1.235"],
    [-1.5, "−1.5"],
    [123.456789, "123.5"],
    [98765.4321, "98765"],
    [0.000123456, "0.0001235"],
    [0.0000123456, "1.235e−5"],
    [12_345_678.9, "1.235e7"],
    [9999, "9999"],
    [9999.7, "10000"],
    [-99999.7, "−100000"],
    [999999.7, "1000000"],
    [0.99999, "1"],
    [474_000_000, "474 000 000"],
    [NaN, "NaN"],
    [Infinity, "∞"],
    [-Infinity, "−∞"],
  ]);
  for (const [value, text] of expected) assert.equal(formatNumber(value).replace(/\s/g, " "), text);
});

test("a number read back is the number, to its digits", () => {
  for (let exponent = -12; exponent <= 12; exponent++) {
    const value = -3.14159265 * 10 ** exponent;
    const read = Number(formatNumber(value, 6).replace(/−/g, "-").replace(/\s/g, ""));
    assert.ok(Math.abs(read / value - 1) < 1e-5, `${value} is ${read}`);
  }
});

test("a duration is told by its two largest units", () => {
  const expected = { 0.25: "250 ms", 3.04: "3 s", 42: "42 s", 72: "1 min 12 s", 7500: "2 h 5 min", 190_000: "2 d 4 h" };
  for (const [seconds, text] of Object.entries(expected)) assert.equal(formatDuration(Number(seconds)), text);
  assert.equal(formatDuration(null), "");
});

test("what is long ago is a day", () => {
  assert.equal(formatAgo(1000, 1005), "now");
  assert.equal(formatAgo(1000, 1000 + 7200), "2 h ago");
  assert.match(formatAgo(1_700_000_000, 1_800_000_000), /^2023-11-1[45]$/);
  assert.match(formatAgo(1_700_000_000, NaN), /^2023-11-1[45] \d\d:\d\d$/);
  assert.equal(formatTime(null), "");
});

test("a cell that is missing is empty, and one that is no finite number says which", () => {
  assert.equal(formatCell(null, "number"), "");
  assert.equal(formatCell("NaN", "number"), "NaN");
  assert.equal(formatCell("Infinity", "number"), "∞");
  assert.equal(formatCell("-Infinity", "number"), "−∞");
  assert.equal(formatCell("-9007199254740993", "number"), "−9007199254740993");
  assert.equal(formatCell(false, "boolean"), "false");
});
