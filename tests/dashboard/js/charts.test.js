// What a chart shows, before anything is drawn: its lines, scales, notes, sections; and its points as CSV.
import assert from "node:assert/strict";
import { test } from "node:test";
import { traceOf, visible } from "../../../src/trainstore/dashboard/assets/chart-draw.js";
import { csvOf, csvText } from "../../../src/trainstore/dashboard/assets/chart-export.js";
import { metricNames, sectionsOf } from "../../../src/trainstore/dashboard/assets/chart-parts.js";
import { curvesToDraw } from "../../../src/trainstore/dashboard/assets/chart-content.js";
import { groupName } from "../../../src/trainstore/dashboard/assets/chart-legend.js";
import { carriedOver, composePicture } from "../../../src/trainstore/dashboard/assets/chart-picture.js";
import { chartState } from "../../../src/trainstore/dashboard/assets/chart-state.js";
import { reaches, readingsAt } from "../../../src/trainstore/dashboard/assets/chart-tip.js";
import { weightAt } from "../../../src/trainstore/dashboard/assets/chart-controls.js";

const look = { size: 11, font: "sans", runs: Array(8).fill("#000") };
const options = { axis: "step", smooth: 0, logx: false, logy: false, ymin: null, ymax: null };
const array = (values) => Float64Array.from(values);

function curve(y, { x = y.map((_, i) => i), count = y.map(() => 1), odd = [], oddX = [], ...rest } = {}) {
  const mean = array(y);
  return { run: "a", metric: "loss", x: array(x), mean, low: mean, high: mean, count: array(count),
    odd: array(odd), oddX: array(oddX), ...rest };
}

const drawn = (whole, more = {}) =>
  ({ whole, part: null, run: { uid: "a", name: "a", label: "", colour: 0, dash: 0 }, band: false, old: false, ...more });

function picture(curves, more = {}) {
  const measure = (text) => 6 * text.length;
  return composePicture({ curves, options: { ...options, ...more.options }, zoom: more.zoom ?? null, width: 400, height: 220,
    head: 0, xLabel: "step", look, measure, spans: [], points: [], ratio: 1 });
}

test("a value that is not finite takes no part in the scale, and a note says that it is there", () => {
  const { picture: shown, notes } = picture([drawn(curve([1, 3], { x: [0, 2], oddX: [1, 3], odd: [NaN, Infinity] }))]);
  assert.deepEqual([shown.y.low, shown.y.high], [0.9, 3.1]);
  assert.ok(shown.x.high >= 3, "the axis reaches to the last of them");
  assert.deepEqual(notes, ["× NaN, ▲▼ infinite"]);
});

test("a curve of NaN alone has no scale of values, and says why", () => {
  const { picture: shown, notes } = picture([drawn(curve([], { oddX: [0, 1, 2], odd: [NaN, NaN, NaN] }))]);
  assert.equal(shown.y, null);
  assert.deepEqual(notes, ["× NaN", "no value is finite"]);
});

test("one point, or one value only, stands in the middle", () => {
  for (const values of [[7], [7, 7, 7]]) {
    const { picture: shown } = picture([drawn(curve(values))]);
    const middle = shown.y.pixel(7);
    assert.ok(Math.abs(middle - (shown.y.pixel(shown.y.low) + shown.y.pixel(shown.y.high)) / 2) < 1e-9);
    assert.ok(shown.x.low < 0 && shown.x.high > values.length - 1);
  }
});

test("a log axis leaves out what is not positive, and counts it", () => {
  const { picture: shown, notes } = picture([drawn(curve([-1, 0, 1, 100]))], { options: { logy: true } });
  assert.ok(shown.y.low > 0 && shown.y.low < 1);
  assert.deepEqual(notes, ["2 values of 0 and below left out of the log axis"]);
  assert.equal(traceOf(shown.lines[0], shown.lines[0].mean, shown, shown.y).px.length, 2);
});

test("a log x axis begins at the first step above 0", () => {
  const { picture: shown } = picture([drawn(curve([5, 6, 7], { x: [0, 1, 100] }))], { options: { logx: true } });
  assert.ok(shown.x.low > 0.9 && shown.x.low < 1);
});

test("on a log x axis a zoom that begins at or below 0 begins at the first step above 0", () => {
  const curves = [drawn(curve([5, 6, 7], { x: [0, 1, 100] }))];
  const ends = (zoom, logx) => {
    const { x } = picture(curves, { options: { logx }, zoom }).picture;
    return [x.low, x.high];
  };
  const [low, high] = ends(null, true);
  assert.deepEqual(ends([0, 50], true), [low, 50]);
  assert.deepEqual(ends([-9, -1], true), [low, high]);
  assert.deepEqual(ends([2, 50], true), [2, 50]);
  assert.deepEqual(ends([0, 50], false), [0, 50]);
});

test("a zoom that begins near 0 begins there in the address too", () => {
  const changes = [];
  const settings = chartState({ text: () => "", set: (change) => changes.push(change) });
  settings.zoom("step", [0.001, 100]);
  settings.zoom("step", [0, 123.456789]);
  assert.deepEqual(changes, [{ zoom: "0.001,100" }, { zoom: "0,123.46" }]);
});

test("a curve of fewer than 64 points is drawn as it is, and the chart says so", () => {
  const few = drawn(curve(Array.from({ length: 63 }, (_, i) => i)));
  const many = drawn(curve(Array.from({ length: 64 }, (_, i) => i)));
  const { picture: shown, notes } = picture([few, many], { options: { smooth: 0.9 } });
  assert.deepEqual(shown.lines.map((line) => line.smooth !== null), [false, true]);
  assert.deepEqual(notes, ["1 of 2 curves have fewer than 64 points: not smoothed"]);
});

test("without a choice curves of more than 500 points are smoothed, and no others", () => {
  const points = (count) => [drawn(curve([1, 2, 3], { count: [count - 2, 1, 1] }))];
  assert.equal(picture(points(501), { options: { smooth: null } }).weight, 0.6);
  assert.equal(picture(points(500), { options: { smooth: null } }).weight, 0);
});

test("a zoomed part is smoothed on from where the whole curve was", () => {
  const values = Array.from({ length: 300 }, (_, i) => Math.sin(i / 5));
  const whole = curve(values);
  const part = curve(values.slice(100, 150), { x: whole.x.slice(100, 150) });
  const [line] = picture([drawn(whole, { part })], { options: { smooth: 0.95 }, zoom: [100, 149] }).picture.lines;
  const [all] = picture([drawn(whole)], { options: { smooth: 0.95 } }).picture.lines;
  line.smooth.forEach((value, i) => assert.ok(Math.abs(value - all.smooth[100 + i]) < 1e-9));
});

test("where several buckets share a pixel, the lowest and the highest of them are drawn", () => {
  const values = Array.from({ length: 5000 }, (_, i) => (i === 2500 ? 50 : i === 2501 ? -50 : 0));
  const { picture: shown } = picture([drawn(curve(values))]);
  const trace = traceOf(shown.lines[0], shown.lines[0].mean, shown, shown.y);
  assert.ok(trace.px.length <= 401);
  assert.equal(Math.min(...trace.high), shown.y.pixel(50));
  assert.equal(Math.max(...trace.low), shown.y.pixel(-50));
});

test("the visible part of a curve has one point more on each side", () => {
  assert.deepEqual(visible(array([0, 1, 2, 3, 4, 5]), 2, 3), [1, 5]);
  assert.deepEqual(visible(array([0, 1, 2]), 5, 6), [2, 3]);
  assert.deepEqual(visible(array([0, 1, 1, 1, 2, 3]), 0.5, 1), [0, 5]);
  assert.deepEqual(visible(array([]), 0, 1), [0, 0]);
});

test("a step has its place on another axis, between the points that are known", () => {
  assert.equal(carriedOver([0, 10, 20], [100, 200, 400], 15), 300);
  assert.equal(carriedOver([0, 10, 20], [100, 200, 400], -5), 100);
  assert.equal(carriedOver([0, 10, 20], [100, 200, 400], 99), 400);
  assert.ok(Number.isNaN(carriedOver([], [], 3)));
});

test("a reading takes the nearest point of each line, the nearest line first", () => {
  const { lines, x } = picture([drawn(curve([0, 0, 0])), drawn(curve([5, 6, 7], { x: [0, 10, 20] }))]).picture;
  const found = readingsAt(lines, x, 6, (line, i) => Math.abs(line.mean[i] - 6));
  assert.deepEqual(found.map(({ line, i }) => line.mean[i]), [6, 0]);
});

test("on a log axis the nearest point is the one that is drawn nearest", () => {
  const nearest = (logx) => {
    const { lines, x } = picture([drawn(curve([1, 2], { x: [1, 100] }))], { options: { logx } }).picture;
    return readingsAt(lines, x, 30, () => 0)[0].line.x[readingsAt(lines, x, 30, () => 0)[0].i];
  };
  assert.deepEqual([nearest(false), nearest(true)], [1, 100]);
});

test("a point that has no place on a log axis is the last of the readings", () => {
  const values = [[-1, -1, -1], [0, 0, 0], [5, 5, 5], [7, 7, 7]];
  const { lines, x, y } = picture(values.map((one) => drawn(curve(one))), { options: { logy: true } }).picture;
  const found = readingsAt(lines, x, 1, (line, i) => Math.abs(y.pixel(line.mean[i]) - y.pixel(7)));
  assert.deepEqual(found.map(({ line, i }) => line.mean[i]).slice(0, 2), [7, 5]);
  assert.deepEqual(found.slice(2).map(({ distance }) => distance), [Infinity, Infinity]);
});

test("a line reaches to its ends and a little further, and over any gap", () => {
  const [long, short, one] = [curve([1, 2, 3], { x: [0, 500, 1000] }), curve([1, 2], { x: [400, 450] }), curve([1], { x: [100] })];
  const { lines, x } = picture([long, short, one].map((whole) => drawn(whole))).picture;
  const reached = (at) => readingsAt(lines, x, at, () => 0).map((reading) => reaches(reading, x, at));
  assert.deepEqual(reached(100), [true, false, true]);
  assert.deepEqual(reached(110), [true, false, true]);
  assert.deepEqual(reached(300), [true, false, false]);
  assert.deepEqual(reached(425), [true, true, false]);
  assert.deepEqual(reached(900), [true, false, false]);
});

test("sections are by prefix, with what has none first, losses first, and pins above them", () => {
  const metrics = ["accuracy", "eval/accuracy", "eval/loss", "loss", "train_loss"];
  assert.deepEqual(sectionsOf(metrics, ["eval/loss", "gone"]).map((part) => part.metrics), [
    ["eval/loss"], ["loss", "train_loss", "accuracy"], ["eval/loss", "eval/accuracy"],
  ]);
});

test("a zoomed group is drawn with its own part, also where groups have no run", () => {
  const group = (label, y) => curve(y, { run: "", label });
  const kept = { whole: [group("a", [1, 2, 3]), group("b", [4, 5, 6])], part: [group("a", [2]), group("b", [5])] };
  const { curves } = curvesToDraw("loss", {
    settings: () => ({ axis: "step", old: false }),
    zoomOf: () => [1, 1],
    runOf: ({ label }) => ({ uid: label, name: label, label }),
    store: { get: ({ range }) => ({ curves: kept[range ? "part" : "whole"], loading: false, preview: false, error: null }) },
  });
  assert.deepEqual(curves.map(({ whole, part }) => [whole.label, part.label]), [["a", "a"], ["b", "b"]]);
});

test("a group has the name that it has in the table", () => {
  const curve = { group: [0.001, null, true, "adamw"], label: "as the server says it" };
  const by = ["hp.lr", "tag.owner", "hp.nested.on", "name"];
  assert.equal(groupName(by, curve), "lr = 0.001, owner = none, nested.on = true, name = adamw");
  assert.equal(groupName([], curve), "as the server says it");
});

test("columns name metrics: their last value, or the least of them, but not each twice", () => {
  const ids = ["metric.loss", "metric.loss.min", "metric.loss.max", 'metric."a.b"', 'metric."a.b".min', "hp.lr"];
  const columns = ids.map((id) => ({ id, group: id.split(".")[0] }));
  assert.deepEqual(metricNames(columns), ["a.b", "loss"]);
});

test("texts of CSV that a spreadsheet would take for a formula stay texts", () => {
  assert.deepEqual(["=1+1", "+1", "-1", "@x", "\tx"].map(csvText), ["'=1+1", "'+1", "'-1", "'@x", "'\tx"]);
  assert.equal(csvText('a "b", c'), '"a ""b"", c"');
});

test("CSV has every bucket and every value that is not finite, in the order of x", () => {
  const [line] = picture([drawn(curve([1, 2], { x: [0, 4], oddX: [3], odd: [NaN] }))]).picture.lines;
  assert.equal(csvOf("loss", "step", [line]),
    "run,uid,metric,step,mean,min,max,points,smoothed\r\na,a,loss,0,1,1,1,1,\r\na,a,loss,3,NaN,NaN,NaN,1,\r\na,a,loss,4,2,2,2,1,\r\n");
});

test("the slider of smoothing goes from none to 0.999, more finely the nearer to 1", () => {
  assert.equal(weightAt(0), 0);
  assert.equal(weightAt(100), 0.999);
  const weights = Array.from({ length: 101 }, (_, place) => weightAt(place));
  weights.slice(1).forEach((weight, place) => assert.ok(weight >= weights[place]));
  assert.ok(weights.some((weight) => Math.abs(weight - 0.9) < 0.01));
});
