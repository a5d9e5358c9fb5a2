// What ended processes left behind is told while it waits, and not again once the reader closed it.
import assert from "node:assert/strict";
import test from "node:test";
import { signal } from "../../../src/trainstore/dashboard/assets/signals.js";
import { waitingRecords } from "../../../src/trainstore/dashboard/assets/waiting.js";

const left = (records) => ({ journals: 1, records, command: "trainstore recover" });

/** A page of the runs: what the server says, what the tab remembers. */
function page(waiting, memory = new Map()) {
  const server = { waiting };
  const meta = { store: { uid: "s" }, waiting };
  const tab = { getItem: (key) => memory.get(key) ?? null, setItem: (key, value) => void memory.set(key, value) };
  const source = { meta: async () => ({ ...meta, waiting: server.waiting }) };
  const live = { version: signal("1") };
  return { server, meta, live, memory, records: waitingRecords({ source, meta, live }, tab) };
}

test("an empty journal is nothing to be told", () => {
  for (const waiting of [null, left(0)]) {
    const { records } = page(waiting);
    assert.equal(records.shown.get(), null);
    records.dispose();
  }
});

test("it is told until it has been delivered, and the next page knows", async () => {
  const { records, server, meta } = page(left(3));
  assert.equal(records.shown.get().records, 3);
  server.waiting = null;
  await records.ask();
  assert.equal(records.shown.get(), null);
  assert.equal(meta.waiting, null);
  records.dispose();
});

test("what changes in the store is a reason to ask again, a while after the last time", async (t) => {
  t.mock.timers.enable({ apis: ["Date", "setInterval"] });
  const { records, server, live } = page(left(3));
  server.waiting = null;
  live.version.set("2");
  await Promise.resolve();
  assert.equal(records.shown.get().records, 3);
  t.mock.timers.setTime(6000);
  live.version.set("3");
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(records.shown.get(), null);
  records.dispose();
});

test("a closed message stays closed in this tab until more is left behind", async () => {
  const { records, server, memory } = page(left(3));
  records.close();
  await records.ask();
  assert.equal(records.shown.get(), null);
  records.dispose();
  const again = page(left(3), memory);
  assert.equal(again.records.shown.get(), null);
  again.server.waiting = left(4);
  await again.records.ask();
  assert.equal(again.records.shown.get().records, 4);
  again.records.dispose();
});

test("after a delivery any record is news", async () => {
  const { records, server } = page(left(90));
  records.close();
  for (const waiting of [null, left(5)]) {
    server.waiting = waiting;
    await records.ask();
  }
  assert.equal(records.shown.get().records, 5);
  records.dispose();
});
