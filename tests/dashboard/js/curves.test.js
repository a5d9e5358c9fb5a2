// Curves that a panel keeps: asked for once and together, grown by what a live run sends.
import assert from "node:assert/strict";
import { test } from "node:test";
import { curveStore } from "../../../src/trainstore/dashboard/assets/curves.js";

const array = (values) => Float64Array.from(values);

function curve(x, y, { run = "a", metric = "loss", count = x.map(() => 1), exact = true } = {}) {
  return { run, metric, exact, x: array(x), mean: array(y), low: array(y), high: array(y), count: array(count),
    oddX: array([]), odd: array([]) };
}

/** A store over a source that notes what it is asked for. */
function kept({ uids = ["a", "b"], points = 100, preview = false, answer = (run, metric) => curve([0, 1], [1, 2], { run, metric }) } = {}) {
  const asked = [];
  const changed = [];
  let group = null;
  const store = curveStore({
    source: {
      async curves(query) {
        asked.push(query);
        return query.runs.flatMap((run) => query.metrics.map((metric) => answer(run, metric, query))).filter(Boolean);
      },
      async group(query) {
        asked.push(query);
        const exact = !preview || Boolean(query.exact);
        return [{ ...curve([0], [1], { metric: query.metric, exact }), run: undefined, label: "lr = 1", runs: 2 }];
      },
    },
    runs: () => uids,
    points: () => points,
    grouping: () => group,
    onChange: (metrics) => changed.push([...metrics].join()),
  });
  return { store, asked, changed, setRuns: (more) => (uids = more), setGroup: (value) => (group = value) };
}

const wish = (metric, more = {}) => ({ metric, axis: "step", range: null, ...more });
const arrived = () => new Promise((done) => setTimeout(done, 20));

/** So much later, by mocked timers, and what was asked for then has come. */
async function after(context, milliseconds) {
  for (const time of [milliseconds, 1]) {
    context.mock.timers.tick(time);
    for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
  }
}

test("what several charts ask for in one moment is one request", async () => {
  const { store, asked } = kept();
  for (const metric of ["loss", "accuracy", "lr"]) store.want(wish(metric));
  await arrived();
  assert.deepEqual(asked.map(({ runs, metrics, x }) => [runs, metrics, x]), [[["a", "b"], ["loss", "accuracy", "lr"], "step"]]);
  assert.equal(store.get(wish("lr")).curves.length, 2);
});

test("what is there is not asked for again; another run alone is", async () => {
  const { store, asked, setRuns } = kept();
  store.want(wish("loss"));
  await arrived();
  setRuns(["a", "b", "c"]);
  store.want(wish("loss"));
  store.want(wish("loss"));
  await arrived();
  assert.deepEqual(asked.map((query) => query.runs), [["a", "b"], ["c"]]);
  assert.deepEqual(store.get(wish("loss")).curves.map(({ run }) => run), ["a", "b", "c"]);
});

test("a range and another axis are fetched for themselves", async () => {
  const { store, asked } = kept();
  store.want(wish("loss"));
  store.want(wish("loss", { range: [3, 9] }));
  store.want(wish("loss", { axis: "time" }));
  await arrived();
  assert.deepEqual(asked.map(({ x, lo, hi }) => [x, lo, hi]), [["step", null, null], ["step", 3, 9], ["time", null, null]]);
});

test("an answer of one request has a limit; the rest is asked for in others", async () => {
  const { store, asked } = kept({ uids: Array.from({ length: 100 }, (_, i) => `r${i}`), points: 1000 });
  for (let i = 0; i < 6; i += 1) store.want(wish(`m${i}`));
  await arrived();
  assert.deepEqual(asked.map((query) => query.metrics.length), [2, 2, 2]);
});

test("a run without the metric has no curve, and is not asked for again", async () => {
  const { store, asked } = kept({ answer: (run, metric) => (run === "a" ? curve([0], [1], { run, metric }) : null) });
  store.want(wish("loss"));
  await arrived();
  store.want(wish("loss"));
  await arrived();
  assert.equal(asked.length, 1);
  assert.deepEqual(store.get(wish("loss")).curves.map(({ run }) => run), ["a"]);
});

test("a preview is shown until the exact curve is there", async () => {
  const { store, asked } = kept({ uids: ["a"], answer: (run, metric, query) => curve([0], [query.exact ? 2 : 1], { run, metric, exact: Boolean(query.exact) }) });
  store.want(wish("loss"));
  await arrived();
  assert.equal(store.get(wish("loss")).preview, false);
  assert.deepEqual(asked.map((query) => query.exact), [undefined, 1]);
  assert.equal(store.get(wish("loss")).curves[0].mean[0], 2);
});

/** Nothing waits: what is to be done later is done at once. Returns how to let everything happen. */
function hurried(context) {
  const real = globalThis.setTimeout;
  context.mock.method(globalThis, "setTimeout", (act) => real(act, 0));
  return async () => {
    for (let i = 0; i < 10; i += 1) await new Promise((done) => real(done, 2));
  };
}

const late = Object.assign(new Error("reading took longer than 30 s"), { status: 503, code: "deadline" });

test("a run that cannot be read in time is left at its preview", async (context) => {
  const settled = hurried(context);
  const { store, asked } = kept({ uids: ["a"], answer(run, metric, query) {
    if (query.exact) throw late;
    return curve([0], [1], { run, metric, exact: false });
  } });
  store.want(wish("loss"));
  await settled();
  assert.deepEqual(asked.map((query) => query.exact), [undefined, 1]);
  const { preview, tooLong, error } = store.get(wish("loss"));
  assert.deepEqual([preview, tooLong, error], [true, true, null]);
  store.refresh("a", null); // it has changed: then its preview has, too
  await settled();
  assert.deepEqual(asked.map((query) => query.exact), [undefined, 1, undefined]);
  store.dispose();
});

test("of several runs those that were read in time become exact", async (context) => {
  const settled = hurried(context);
  const { store, asked } = kept({ answer(run, metric, query) {
    if (query.exact) throw late;
    return curve([0], [1], { run, metric, exact: run === "b" && asked.length > 3 });
  } });
  store.want(wish("loss"));
  await settled();
  assert.deepEqual(asked.map((query) => query.exact), [undefined, 1, 1, 1, undefined]);
  assert.deepEqual(store.get(wish("loss")).curves.map(({ exact }) => exact), [false, true]);
  store.dispose();
});

test("a failure is told, and tried again when asked", async () => {
  let broken = true;
  const { store } = kept({ uids: ["a"], answer(run, metric) {
    if (broken) throw new Error("database away");
    return curve([0], [1], { run, metric });
  } });
  store.want(wish("loss"));
  await arrived();
  assert.equal(store.get(wish("loss")).error.message, "database away");
  broken = false;
  store.retry();
  await arrived();
  assert.equal(store.get(wish("loss")).error, null);
  assert.equal(store.get(wish("loss")).curves.length, 1);
});

test("an answer that comes after everything was forgotten is not taken", async () => {
  const { store } = kept({ uids: ["a"] });
  store.want(wish("loss"));
  await Promise.resolve();
  await new Promise((done) => setTimeout(done, 0));
  store.clear();
  await arrived();
  assert.deepEqual(store.get(wish("loss")).curves, []);
});

test("groups are asked for by metric, of all runs that the filter finds", async () => {
  const { store, asked, setGroup } = kept();
  setGroup({ by: ["hp.lr"], band: "sem", q: "not tag.bad", project: "p" });
  store.want(wish("loss"));
  store.want(wish("accuracy"));
  await arrived();
  assert.deepEqual(asked.map(({ metric, by, band, q, project }) => [metric, by, band, q, project]), [
    ["loss", ["hp.lr"], "sem", "not tag.bad", "p"], ["accuracy", ["hp.lr"], "sem", "not tag.bad", "p"],
  ]);
  assert.equal(store.get(wish("loss")).curves[0].label, "lr = 1");
});

test("a group's preview is shown until the exact curve is there", async () => {
  const { store, asked, setGroup } = kept({ preview: true });
  setGroup({ by: ["hp.lr"], band: "std", q: "", project: "" });
  store.want(wish("loss"));
  await arrived();
  assert.deepEqual(asked.map((query) => query.exact), [undefined, 1]);
  assert.equal(store.get(wish("loss")).preview, false);
});

test("a live run's points are added to the curves of its axis, zoomed ones up to their end", async () => {
  const { store, asked, changed } = kept({ uids: ["a"] });
  store.want(wish("loss"));
  store.want(wish("loss", { range: [0, 3] }));
  await arrived();
  changed.length = 0;
  store.append("a", "step", { loss: { x: [2, 3, 4], y: [5, "NaN", 7] } });
  const whole = store.get(wish("loss")).curves[0];
  assert.deepEqual([[...whole.x], [...whole.mean], [...whole.oddX]], [[0, 1, 2, 4], [1, 2, 5, 7], [3]]);
  assert.deepEqual([...store.get(wish("loss", { range: [0, 3] })).curves[0].x], [0, 1, 2]);
  assert.deepEqual(changed, ["loss"]);
  assert.equal(asked.length, 2, "nothing was fetched again");
  store.dispose();
});

test("what only tells a point's place is of one run, and is not read again while nobody asks", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const { store, asked, setRuns } = kept({ uids: ["a", "b"] });
  const aside = wish("loss", { axis: "time", aside: true });
  store.want(aside, false, ["a"]);
  await after(context, 1);
  assert.deepEqual(asked.map(({ runs, x }) => [runs, x]), [[["a"], "time"]]);
  store.append("a", "step", { loss: { x: [2], y: [5] } });
  await after(context, 60_000);
  assert.equal(asked.length, 1);
  store.want(aside, false, ["a"]);
  await after(context, 60_000);
  assert.equal(asked.length, 2);
  setRuns(["a"]);
  store.want(wish("loss", { axis: "time" })); // now it is drawn
  store.append("a", "step", { loss: { x: [3], y: [5] } });
  await after(context, 60_000);
  assert.equal(asked.length, 3);
  store.dispose();
});

test("what was to be read again is not, once everything was forgotten", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const { store, asked } = kept({ uids: ["a"] });
  store.want(wish("loss", { axis: "time" }));
  await after(context, 1);
  store.append("a", "step", { loss: { x: [2], y: [5] } });
  store.clear();
  await after(context, 60_000);
  assert.equal(asked.length, 1);
  store.dispose();
});

test("a first point makes a curve", async () => {
  const { store } = kept({ uids: ["a"], answer: () => null });
  store.want(wish("loss"));
  await arrived();
  store.append("a", "step", { loss: { x: [0], y: [3] } });
  assert.deepEqual([...store.get(wish("loss")).curves[0].mean], [3]);
});

test("a run that has changed is read anew, and drawn as it was meanwhile", async () => {
  let value = 1;
  const { store, asked } = kept({ uids: ["a", "b"], answer: (run, metric) => curve([0], [value], { run, metric }) });
  store.want(wish("loss"));
  await arrived();
  value = 9;
  store.refresh("a");
  assert.equal(store.get(wish("loss")).curves[0].mean[0], 1);
  await arrived();
  assert.deepEqual(asked.map((query) => query.runs), [["a", "b"], ["a"]]);
  assert.deepEqual(store.get(wish("loss")).curves.map((one) => one.mean[0]), [9, 1]);
});

test("a run is drawn in the state of its oldest curve, of those that are shown", async () => {
  const states = { loss: 7, accuracy: 5, hidden: 2 };
  const { store } = kept({
    answer: (run, metric) =>
      run === "b" ? null : { ...curve([0, 1], [1, 2], { run, metric, exact: metric !== "preview" }), generation: states[metric] ?? 1 },
  });
  const drawn = () => store.drawn(["loss", "accuracy", "preview"], "step");
  assert.deepEqual(drawn(), [{ uid: "a", generation: null }, { uid: "b", generation: null }]);
  for (const metric of ["loss", "accuracy", "hidden", "preview"]) store.want(wish(metric));
  store.want(wish("loss", { axis: "epoch" }));
  await arrived();
  assert.deepEqual(drawn(), [{ uid: "a", generation: 5 }, { uid: "b", generation: null }]);
  const nothing = { x: [], y: [], replaces_from: 2 };
  store.append("a", "step", { loss: { x: [2], y: [3], replaces_from: 2 }, accuracy: nothing }, 9);
  assert.deepEqual(drawn()[0], { uid: "a", generation: 9 });
  assert.deepEqual([...store.get(wish("loss")).curves[0].x], [0, 1, 2]);
  assert.deepEqual([...store.get(wish("accuracy")).curves[0].x], [0, 1]);
});

test("what a resume has cut away is no longer drawn, in charts without new points too", async () => {
  const { store, changed } = kept({ uids: ["a"] });
  store.want(wish("loss"));
  await arrived();
  changed.length = 0;
  store.append("a", "step", { loss: { x: [], y: [], replaces_from: 2 } }, 3);
  assert.deepEqual(changed, []); // it has no point there
  store.append("a", "step", { loss: { x: [], y: [], replaces_from: 1 } }, 4);
  assert.deepEqual(changed, ["loss"]);
  assert.deepEqual([...store.get(wish("loss")).curves[0].x], [0]);
});

test("a chart that shows a part takes only the points within it", async () => {
  const { store } = kept({ uids: ["a"], answer: (run, metric) => curve([5, 6], [1, 2], { run, metric }) });
  const part = wish("loss", { range: [5, 8] });
  store.want(part);
  await arrived();
  store.append("a", "step", { loss: { x: [3, 6, 7, 9], y: [0, 1, 2, 3], replaces_from: 3 } }, 3);
  assert.deepEqual([...store.get(part).curves[0].x], [6, 7]);
});

test("groups are read again when one of their runs has changed, and learn its state", async () => {
  const { store, setGroup } = kept({ uids: ["a"] });
  setGroup({ by: ["hp.lr"], band: "std", q: "", project: "" });
  store.want(wish("loss"));
  await arrived();
  assert.deepEqual(store.drawn(["loss"], "step"), [{ uid: "a", generation: null }]);
  store.refresh("a", 4);
  assert.deepEqual(store.drawn(["loss"], "step"), [{ uid: "a", generation: 4 }]);
  store.append("a", "step", { loss: { x: [2], y: [3], replaces_from: 2 } }, 5);
  assert.deepEqual(store.drawn(["loss"], "step"), [{ uid: "a", generation: 5 }]);
  store.dispose();
});

test("groups in view are read again when any run has changed, others when they come into view", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const { store, asked, setGroup } = kept();
  setGroup({ by: ["hp.lr"], band: "std", q: "", project: "" });
  for (const metric of ["loss", "accuracy"]) store.want(wish(metric));
  await after(context, 1);
  store.groupsChanged(["loss"]);
  store.groupsChanged(["loss"]);
  await after(context, 60_000);
  assert.deepEqual(asked.map(({ metric }) => metric), ["loss", "accuracy", "loss"]);
  store.want(wish("accuracy"), true);
  await after(context, 60_000);
  assert.deepEqual(asked.map(({ metric }) => metric), ["loss", "accuracy", "loss", "accuracy"]);
  store.dispose();
});

test("a curve whose new read fails is drawn on as it was", async () => {
  let broken = false;
  const { store } = kept({ uids: ["a"], answer(run, metric) {
    if (broken) throw new Error("database away");
    return curve([0], [1], { run, metric });
  } });
  store.want(wish("loss"));
  await arrived();
  broken = true;
  store.refresh("a", 2);
  await arrived();
  const { curves, error } = store.get(wish("loss"));
  assert.deepEqual([curves.length, error], [1, null]);
  store.dispose();
});

test("what a run lacked is asked for again when its chart comes back into view", async () => {
  let there = false;
  const { store, asked } = kept({ uids: ["a"], answer: (run, metric) => (there ? curve([0], [1], { run, metric }) : null) });
  store.want(wish("loss"));
  await arrived();
  there = true;
  store.want(wish("loss"));
  await arrived();
  assert.equal(asked.length, 1);
  store.want(wish("loss"), true);
  store.want(wish("loss"), true);
  await arrived();
  assert.equal(asked.length, 2);
  assert.equal(store.get(wish("loss")).curves.length, 1);
});

test("two reads of a run that has changed twice are one", async () => {
  const { store, asked } = kept({ uids: ["a"] });
  store.want(wish("loss"));
  await arrived();
  store.refresh("a", 2);
  store.refresh("a", 3);
  await arrived();
  assert.equal(asked.length, 2);
});
