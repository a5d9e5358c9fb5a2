// The rows follow what changes, and what was said about a column goes when it is true no more.
import assert from "node:assert/strict";
import test from "node:test";
import { runList } from "../../../src/trainstore/dashboard/assets/run-list.js";
import { gathered, settled } from "../../../src/trainstore/dashboard/assets/signals.js";
import { ApiError } from "../../../src/trainstore/dashboard/assets/source-http.js";

/** @type {any} */
const NAMES = { uid: "text", name: "text", status: "text", started: "time" };

/** A list over a server of one run; what was asked there. */
function listed() {
  /** @type {any[]} */
  const asked = [];
  /** @type {any} */
  const source = {
    columns: async () => ({ count: 1, columns: [] }),
    runs: async (/** @type {any} */ query) => {
      asked.push(query);
      if (query.columns?.includes("hp.nope")) throw new ApiError(400, { code: "filter", message: "there is no hp.nope" });
      const columns = Object.entries(NAMES).map(([id, kind]) => ({ id, kind, values: ["a"] }));
      return { count: 1, version: "a.1", columns };
    },
  };
  /** @type {any} */
  const state = { text: () => "", list: () => [] };
  return { list: runList(source, state, 100), asked };
}

test("a column that is not there is told about until it is wanted no more", async () => {
  const { list } = listed();
  await list.load();
  await list.need(["name", "hp.nope"], true);
  assert.equal(list.status.get().error?.elsewhere, true);
  await list.need(["name"], true);
  assert.equal(list.status.get().error, null);
});

test("an answer that is not about these rows leaves them at their version, so that nothing is missed", async () => {
  const { list, asked } = listed();
  await list.load();
  const before = asked.length;
  list.patch(null, null, null);
  assert.equal(list.held()?.version, "a.1");
  list.patch({ columns: [], gone: [] }, 1, "a.3");
  assert.equal(list.held()?.version, "a.3");
  assert.equal(asked.length, before);
});

test("what never settles still happens if it is gathered", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  let [settles, gathers] = [0, 0];
  const [afterAll, nowAndThen] = [settled(30_000, () => (settles += 1)), gathered(30_000, () => (gathers += 1))];
  for (let run = 0; run < 9; run += 1) {
    afterAll();
    nowAndThen();
    context.mock.timers.tick(20_000); // a sweep starts a run every 20 s
  }
  assert.deepEqual([settles, gathers], [0, 4]);
  context.mock.timers.tick(30_000);
  assert.deepEqual([settles, gathers], [1, 5]);
  nowAndThen();
  nowAndThen.cancel();
  nowAndThen();
  context.mock.timers.tick(30_000);
  assert.equal(gathers, 6);
});
