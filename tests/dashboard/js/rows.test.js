// The run table as the page holds it, and how changes come into it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { cellAt, patchedRows, heldRows, withMoreColumns } from "../../../src/trainstore/dashboard/assets/rows.js";

/** @param {Record<string, any[]>} columns */
const table = (columns) => ({
  count: columns.uid.length,
  version: "1",
  columns: Object.entries(columns).map(([id, values]) => ({ id, kind: /** @type {const} */ ("text"), values })),
});
/** @param {import("../../../src/trainstore/dashboard/assets/rows.js").Rows} rows @param {string} id */
const byUid = (rows, id) => Object.fromEntries(rows.uids.map((uid, row) => [uid, cellAt(rows, id, row)]));

test("changed cells take their places, new runs come first, and gone ones leave", () => {
  const rows = heldRows(table({ uid: ["c", "b", "a"], name: ["C", "B", "A"], x: [3, 2, 1] }));
  const next = patchedRows(rows, table({ uid: ["a", "d"], x: [10, 4], y: ["new", "new"] }).columns, ["b"]);
  assert.deepEqual(next.uids, ["d", "c", "a"]);
  assert.deepEqual(byUid(next, "x"), { d: 4, c: 3, a: 10 });
  assert.deepEqual(byUid(next, "name"), { d: null, c: "C", a: "A" });
  assert.deepEqual(byUid(next, "y"), { d: "new", c: null, a: "new" });
  assert.deepEqual(byUid(next, "uid"), { d: "d", c: "c", a: "a" });
});

test("the rows from before a change stay as they were", () => {
  const rows = heldRows(table({ uid: ["b", "a"], x: [2, 1] }));
  patchedRows(rows, table({ uid: ["a"], x: [5] }).columns, []);
  assert.deepEqual(byUid(rows, "x"), { b: 2, a: 1 });
});

test("more columns join by run, whatever the order in which they come", () => {
  const rows = heldRows(table({ uid: ["b", "a"], x: [2, 1] }));
  const next = withMoreColumns(rows, table({ uid: ["a", "c", "b"], y: ["A", "C", "B"] }));
  assert.deepEqual(byUid(next, "x"), { a: 1, c: null, b: 2 });
  assert.deepEqual(byUid(next, "y"), { a: "A", c: "C", b: "B" });
});
