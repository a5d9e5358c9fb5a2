// What attempts and events look like on the axis of a run.
import assert from "node:assert/strict";
import test from "node:test";
import {
  attemptLabel,
  eventText,
  marksOfRun,
  missingSteps,
  shownChain,
  stepsOf,
} from "../../../src/trainstore/dashboard/assets/run-marks.js";

/** An attempt with the usual values. */
export function attempt(number, resumedFrom, start, end, last, more = {}) {
  return {
    attempt: number, resumed_from: resumedFrom, start_step: start, end_step: end, last_step: last, opened: number,
    closed: null, status: "interrupted", error: null, git_commit: null, git_dirty: null, command: null, host: null,
    versions: null, changed: null, current: end !== start, ...more,
  }; // prettier-ignore
}

/** An event with the usual values. */
function event(kind, step, details = null, of = 1) {
  return { at: 0, step, kind, attempt: of, details };
}

const plain = (text) => text.replace(/\s/g, " ");
const short = ({ spans }) => spans.map(({ from, to, kind }) => [kind, from, to]);

test("the shown attempts are the last opened that nobody resumed, and its ancestors", () => {
  const tree = [attempt(1, null, -1, 100, 150), attempt(2, 1, 140, 140, 180), attempt(3, 1, 100, null, 300)];
  assert.deepEqual(shownChain(tree).map((one) => one.attempt), [1, 3]);
  assert.deepEqual(shownChain([]), []);
});

test("attempts that resume each other in a circle end the search", () => {
  const circle = [attempt(1, 2, 0, null, 5), attempt(2, 1, 0, null, 5), attempt(3, 2, 5, null, 9)];
  assert.deepEqual(shownChain(circle).map((one) => one.attempt), [1, 2, 3]);
});

test("an attempt's steps are those that count and those that were trained again", () => {
  assert.deepEqual(stepsOf(attempt(1, null, -1, 100, 150)), { kept: [0, 100], replaced: [101, 150] });
  assert.deepEqual(stepsOf(attempt(2, 1, 100, null, 300)), { kept: [101, 300], replaced: null });
  assert.deepEqual(stepsOf(attempt(2, 1, 100, 100, 130)), { kept: null, replaced: [101, 130] });
  assert.deepEqual(stepsOf(attempt(2, 1, 100, null, null)), { kept: null, replaced: null });
  assert.deepEqual(stepsOf(attempt(1, null, -1, 500, 150)), { kept: [0, 150], replaced: null });
});

test("a run of one attempt has no shades", () => {
  assert.deepEqual(marksOfRun({ attempts: [attempt(1, null, -1, null, 10)], events: [] }), { spans: [], points: [] });
});

test("a resume shades both attempts without a stripe between them, and marks what was replaced", () => {
  const marks = marksOfRun({
    attempts: [attempt(1, null, -1, 1200, 1260), attempt(2, 1, 1200, null, 1900)],
    events: [],
  });
  assert.deepEqual(short(marks), [
    ["attempt", 0, 1200],
    ["attempt", 1200, 1900],
    ["superseded", 1201, 1260],
  ]);
  assert.deepEqual(marks.spans.map(({ label }) => plain(label)), [
    "attempt 1",
    "attempt 2, resumed at 1200",
    "attempt 1, steps 1201 to 1260: trained again later",
  ]);
  assert.deepEqual(marks.points.map(({ step, kind, label }) => [step, kind, plain(label)]), [
    [1200, "resume", "attempt 2, resumed at 1200"],
  ]);
});

test("a branch that was given up is superseded whole", () => {
  const tree = [attempt(1, null, -1, 50, 100), attempt(2, 1, 90, 90, 120), attempt(3, 1, 50, null, 200)];
  assert.deepEqual(short(marksOfRun({ attempts: tree, events: [] })), [
    ["attempt", 0, 50],
    ["attempt", 50, 200],
    ["superseded", 51, 100],
    ["superseded", 91, 120],
  ]);
});

test("an attempt that has not recorded a step yet is marked where it goes on", () => {
  const marks = marksOfRun({ attempts: [attempt(1, null, -1, 50, 60), attempt(2, 1, 50, null, null)], events: [] });
  assert.deepEqual(short(marks), [["attempt", 0, 50], ["superseded", 51, 60]]);
  assert.deepEqual(marks.points.map(({ step, kind }) => [step, kind]), [[50, "resume"]]);
});

test("an attempt that starts again from nothing begins at step 0", () => {
  const marks = marksOfRun({ attempts: [attempt(1, null, -1, -1, 60), attempt(2, 1, -1, null, 80)], events: [] });
  assert.deepEqual(short(marks), [["attempt", 0, 80], ["superseded", 0, 60]]);
  assert.equal(marks.points[0].step, 0);
});

test("checkpoints, alerts and other events are told apart; edits and events without a step are left out", () => {
  const events = [
    event("checkpoint", 100, { path: "out/100" }),
    event("alert", 120, { level: "warn", title: "loss rises", text: "by 3" }),
    event("best_model", 100, { metric: "eval_loss", value: 0.25 }),
    event("tag", 5, { set: { a: 1 } }),
    event("push", null, null),
  ];
  const { points } = marksOfRun({ attempts: [attempt(1, null, -1, null, 200)], events });
  assert.deepEqual(points.map(({ step, kind, label }) => [step, kind, label]), [
    [100, "checkpoint", "checkpoint: out/100"],
    [120, "alert", "warn: loss rises: by 3"],
    [100, "event", "best model: metric eval_loss, value 0.25"],
  ]);
});

test("an event of a stretch that was trained again says so", () => {
  const attempts = [attempt(1, null, -1, 100, 150), attempt(2, 1, 100, null, 300)];
  const events = [event("checkpoint", 150, { path: "a" }, 1), event("checkpoint", 150, { path: "b" }, 2)];
  const labels = marksOfRun({ attempts, events }).points.filter(({ kind }) => kind === "checkpoint");
  assert.deepEqual(labels.map(({ label }) => label), [
    "checkpoint: a (of attempt 1, trained again later)",
    "checkpoint: b",
  ]);
});

test("steps that were not recorded are gaps, whoever says it", () => {
  const events = [
    event("gap", null, { reason: "full", lost: 8, steps: [10, 17] }),
    event("gap", null, { reason: "damage", records: [4, 9] }),
    event("lost_steps", 40, { count: 3, first_step: 38, last_step: 40, error: "OSError" }),
    event("gap", null, { reason: "odd", steps: [-1, 5] }),
  ];
  assert.deepEqual(missingSteps(events[1]), null);
  const { spans, points } = marksOfRun({ attempts: [attempt(1, null, -1, null, 50)], events });
  assert.deepEqual(spans.map(({ from, to, kind, label }) => [from, to, kind, label]), [
    [10, 17, "gap", "steps 10 to 17: not recorded (full)"],
    [38, 40, "gap", "steps 38 to 40: not recorded (OSError)"],
  ]);
  assert.deepEqual(points, []);
});

test("ten thousand checkpoints leave an axis that can be read, with the last one", () => {
  const events = Array.from({ length: 10_000 }, (_, step) => event("checkpoint", step + 1));
  const { points } = marksOfRun({ attempts: [attempt(1, null, -1, null, 10_000)], events });
  assert.equal(points.length, 400);
  assert.equal(points.at(-1).step, 10_000);
  assert.equal(new Set(points.map(({ step }) => step)).size, 400);
});

test("an event is a line of text, whatever its details are", () => {
  const texts = [
    [event("note", 1, null), ""],
    [event("mine", 1, "a text"), "a text"],
    [event("mine", 1, { a: [1, 2], b: "c", ok: true }), "a 1 2, b c, ok true"],
    [event("tag", null, { set: { owner: "ann" }, removed: ["draft"], before: { owner: "ben", draft: true } }),
      "owner ben → ann, draft removed"],
    [event("checkpoint", 1, { path: "<b>" }), "<b>"],
    [event("import", null, { tool: "wandb", source: "a/run.wandb", read_to: 640, points: 1 }), "1 point from wandb: a/run.wandb"],
    [event("import", null, { tool: "t", source: "b", points: 20, left_out: { image: 3 }, damage: ["torn"], status: "assumed" }),
      "20 points from t: b; not kept: 3 × image; torn; its end is assumed"],
    [event("import", null, { mine: true }), "mine true"],
    [event("alert", 1, { title: "only", text: "", level: "info" }), "info: only"],
  ]; // prettier-ignore
  for (const [one, text] of texts) assert.equal(eventText(one), text);
});

test("of a long list of numbers, such as a histogram's bins, the first are shown", () => {
  const bins = Array.from({ length: 65 }, (_, place) => place);
  assert.equal(eventText({ kind: "histogram", details: { bins } }), "bins 0 1 2 … 65 in all");
  assert.equal(eventText({ kind: "own", details: { few: [1, 2, 3, 4] } }), "few 1 2 3 4");
});

test("the label of a resumed attempt says where it went on", () => {
  assert.equal(attemptLabel(attempt(1, null, -1, null, 9)), "attempt 1");
  assert.equal(attemptLabel(attempt(3, 1, 500, null, 900)), "attempt 3, resumed at 500");
});
