// Which columns the picker shows, and in which order they go.
import assert from "node:assert/strict";
import { test } from "node:test";
import { columnTree, firstFound, metricOf, movedItem } from "../../../src/trainstore/dashboard/assets/picker-tree.js";

/** @param {string} id @param {string} group @param {boolean} varies @returns {any} */
const info = (id, group, varies) => ({
  id,
  group,
  label: id,
  kind: "number",
  filled: 1,
  distinct: varies ? 2 : 1,
  varies,
});
const infos = [
  info("metric.loss", "metric", true),
  info("hp.model.depth", "hp", false),
  info("hp.lr", "hp", true),
  info("env.PATH", "env", true),
];
/** @param {string} search @param {boolean} differing */
const found = (search, differing) =>
  Object.fromEntries([...columnTree(infos, search, differing)].map(([group, all]) => [group, all.map(({ id }) => id)]));

test("groups come in their order, and those without a column not at all", () => {
  assert.deepEqual([...columnTree(infos, "", false).keys()], ["metric", "hp", "env"]);
});

test("each word of a search must be in the name, capitals or not", () => {
  assert.deepEqual(found("DEPTH mod", false), { hp: ["hp.model.depth"] });
  assert.deepEqual(found("depth lr", false), {});
});

test("only what differs leaves out what is the same in all runs", () => {
  assert.deepEqual(found("hp", true), { hp: ["hp.lr"] });
});

test("a moved column is where it was put, and never outside", () => {
  assert.deepEqual(movedItem(["a", "b", "c"], 0, 2), ["b", "c", "a"]);
  assert.deepEqual(movedItem(["a", "b", "c"], 2, -5), ["c", "a", "b"]);
  assert.deepEqual(movedItem(["a", "b", "c"], 1, 9), ["a", "c", "b"]);
});

test("the summaries of a metric belong to it, whatever dots its name has", () => {
  for (const id of ["metric.loss", "metric.loss.min", "metric.loss.count"]) {
    assert.equal(metricOf(info(id, "metric", true)), "metric.loss");
  }
  assert.equal(metricOf(info('metric."a.min".max', "metric", true)), 'metric."a.min"');
  assert.equal(metricOf(info('metric."a.min"', "metric", true)), 'metric."a.min"');
});

test("Enter takes the column that is called so, else the first that is found", () => {
  const label = (/** @type {string} */ id, /** @type {string} */ text) => ({ ...info(id, "hp", true), label: text });
  const tree = (/** @type {string} */ search) => columnTree([label("hp.lr_end", "lr_end"), label("hp.lr", "lr")], search, false);
  assert.equal(firstFound(tree("LR"), "LR")?.id, "hp.lr");
  assert.equal(firstFound(tree("l"), "l")?.id, "hp.lr_end");
  assert.equal(firstFound(tree("none"), "none"), null);
  assert.equal(firstFound(tree(""), ""), null);
});
