// On an axis of time a line does not lead across the time in which nothing ran.
import assert from "node:assert/strict";
import test from "node:test";
import { pausesIn, placesAfter } from "../../../src/trainstore/dashboard/assets/breaks.js";
import { paintChart, traceOf } from "../../../src/trainstore/dashboard/assets/chart-draw.js";
import { composePicture } from "../../../src/trainstore/dashboard/assets/chart-picture.js";

const array = (values) => Float64Array.from(values);
const options = { axis: "time", smooth: 0, logx: false, logy: false, ymin: null, ymax: null };
const look = { size: 11, font: "sans", bg: "#fff", runs: Array(8).fill("#000") };

function picture(x, { axis = "time", ends = new Map(), spans = [], width = 400 } = {}) {
  const values = array(x.map((_, i) => i));
  const whole = { run: "a", metric: "loss", x: array(x), mean: values, low: values, high: values,
    count: array(x.map(() => 1)), odd: array([]), oddX: array([]) };
  const run = { uid: "a", name: "a", label: "", colour: 0, dash: 0 };
  return composePicture({ curves: [{ whole, part: null, run, band: false, old: false }], options: { ...options, axis },
    zoom: null, width, height: 220, head: 0, xLabel: axis, look, measure: (text) => 6 * text.length, spans, points: [],
    ends, ratio: 1 }).picture;
}

const breaksOf = (...given) => picture(...given).lines[0].breaks;

test("a gap of more than 20 times the usual one is a pause", () => {
  assert.deepEqual(pausesIn(array([0, 1, 2, 22, 23, 24, 45])), [6]);
  assert.deepEqual(pausesIn(array([0, 100])), []);
  assert.deepEqual(pausesIn(array([])), []);
  assert.deepEqual(pausesIn(array([5, 5, 5, 5, 9])), []); // nothing is usual there
});

test("a line is broken at a pause, on axes of time alone", () => {
  const x = [0, 1, 2, 3, 100, 101, 102, 103];
  assert.deepEqual(breaksOf(x), [4]);
  assert.deepEqual(breaksOf(x, { axis: "relative" }), [4]);
  for (const axis of ["step", "epoch", "lr"]) assert.deepEqual(breaksOf(x, { axis }), []);
});

test("where the attempts are known, a line is broken where one begins and nowhere else", () => {
  const x = [0, 1, 2, 3, 100, 101, 104, 105];
  assert.deepEqual(breaksOf(x, { ends: new Map([["a", [102.5]]]) }), [6]);
  assert.deepEqual(breaksOf(x, { ends: new Map([["a", []]]) }), []);
  assert.deepEqual(placesAfter(array([1, 2, 3]), [0, 2.5, 2.6, 9, NaN]), [2]);
});

test("a broken line is drawn in as many strokes, also where many points share a pixel", () => {
  for (const count of [4, 4000]) {
    const half = Array.from({ length: count }, (_, i) => i);
    const shown = picture([...half, ...half.map((at) => at + 30 * count)]);
    const trace = traceOf(shown.lines[0], shown.lines[0].mean, shown, shown.y);
    assert.equal(trace.starts.size, 1);
    const pen = new Pen();
    paintChart(pen, shown);
    assert.equal(pen.leaps(shown.plot.right - shown.plot.left), 0);
  }
});

test("each attempt has its name where there is room, as much of it as fits", () => {
  const spans = [[0, 40], [40, 80], [80, 90], [90, 91]].map(([from, to], place) =>
    ({ from, to, label: `attempt ${place + 1}, resumed at ${from}`, kind: "attempt" }));
  const pen = new Pen();
  paintChart(pen, picture(Array.from({ length: 92 }, (_, i) => i), { axis: "step", spans }));
  assert.deepEqual(pen.texts.filter((text) => /attempt|^3$/.test(text)), ["attempt 1, resumed at 0", "attempt 2, resumed at 40", "3"]);
});

/** Writes down lines and texts; all else does nothing. */
class Pen {
  constructor() {
    this.lines = [];
    this.texts = [];
    for (const name of ["save", "restore", "beginPath", "rect", "clip", "stroke", "fill", "fillRect", "setLineDash", "arc", "closePath"]) {
      this[name] = () => {};
    }
  }
  measureText(text) {
    return { width: 6 * text.length };
  }
  fillText(text) {
    this.texts.push(text);
  }
  moveTo(x, y) {
    this.at = [x, y];
  }
  lineTo(x, y) {
    this.lines.push([...this.at, x, y]);
    this.at = [x, y];
  }
  /** How many slanting lines are longer than half the plot: those of the curve, not of the grid. */
  leaps(width) {
    return this.lines.filter(([x, y, toX, toY]) => toX - x > width / 2 && y !== toY).length;
  }
}
