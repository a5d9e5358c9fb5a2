// Which runs the address means, and what they are called in the charts.
import assert from "node:assert/strict";
import { test } from "node:test";
import { heldRows } from "../../../src/trainstore/dashboard/assets/rows.js";
import { chosenFilter, meantUids, runLabels, shortUids } from "../../../src/trainstore/dashboard/assets/selection.js";

const uids = ["aaaaaaaa-1", "bbbbbbbb-1", "bbbbbbbb-2"];

test("eight characters stand for a run where no other begins with them", () => {
  assert.deepEqual(shortUids(uids, uids), ["aaaaaaaa", "bbbbbbbb-1", "bbbbbbbb-2"]);
  assert.deepEqual(meantUids(shortUids(uids, uids), uids), { found: uids, unknown: [] });
});

test("what means no run here, or two, is told apart", () => {
  assert.deepEqual(meantUids(["bbbbbbbb", "cccccccc", "aaaaaaaa"], uids), {
    found: ["aaaaaaaa-1"],
    unknown: ["bbbbbbbb", "cccccccc"],
  });
});

test("chosen runs are asked for by their uids, those that are not known by a part of it", () => {
  assert.equal(chosenFilter(["aaaaaaaa", "bbbbbbbb-2"], uids), 'uid in ("aaaaaaaa-1", "bbbbbbbb-2")');
  assert.equal(chosenFilter(['cc"', "aaaaaaaa"], uids), 'uid ~ "cc""" or uid in ("aaaaaaaa-1")');
  assert.equal(chosenFilter(["none"], uids), 'uid in ("none")');
  assert.equal(chosenFilter(Array.from({ length: 30 }, (_, i) => `unknown-${i}`), uids), "");
});

test("nobody chosen is no unknown run", () => {
  assert.deepEqual(meantUids(["none"], uids), { found: [], unknown: [] });
});

test("runs of the same name have a part of their uid beside it", () => {
  const rows = heldRows({
    count: 3,
    version: "1",
    columns: [
      { id: "uid", kind: "text", values: uids },
      { id: "name", kind: "text", values: ["same", "other", "same"] },
    ],
  });
  assert.deepEqual(runLabels(rows, uids), ["same · aaaa", "other", "same · bbbb"]);
});
