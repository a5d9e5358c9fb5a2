// Samples and hyperparameters in the order in which they are read.
import assert from "node:assert/strict";
import test from "node:test";
import { factsBySpace, textOf } from "../../../src/trainstore/dashboard/assets/run-facts-model.js";
import { sampleSets, stepsSideBySide } from "../../../src/trainstore/dashboard/assets/run-samples-model.js";

/** A table as the server sends it. */
function table(columns) {
  const list = Object.entries(columns).map(([id, values]) => ({ id, kind: "text", values }));
  return { count: list[0]?.values.length ?? 0, version: "", columns: list };
}

test("samples are grouped by their sets, steps and prompts", () => {
  const [code, story] = sampleSets(
    table({
      step: [20, 10, 10, 10],
      set: ["story", "story", "story", "code"],
      nr: [0, 1, 0, 0],
      prompt: ["Once", "The king", "Once", "def"],
      completion: ["there was", "said", "the", "f"],
      words: [2, 1, null, "NaN"],
    }),
  );
  assert.deepEqual([code.set, story.set], ["code", "story"]);
  assert.deepEqual(story.steps, [10, 20]);
  assert.deepEqual(story.prompts, [{ nr: 0, prompt: "Once" }, { nr: 1, prompt: "The king" }]);
  assert.equal(story.at.get(20).get(0).completion, "there was");
  assert.equal(story.at.get(20).get(1), undefined);
  assert.deepEqual(story.at.get(10).get(0).extra, []);
  assert.deepEqual(story.at.get(20).get(0).extra, [["words", "2"]]);
});

test("a run without samples has no sets", () => {
  assert.deepEqual(sampleSets(table({})), []);
  assert.deepEqual(sampleSets(table({ step: [], set: [] })), []);
});

test("the first and the last step stand side by side, or those that were asked for", () => {
  assert.deepEqual(stepsSideBySide([10, 20, 30], []), [10, 30]);
  assert.deepEqual(stepsSideBySide([10], []), [10]);
  assert.deepEqual(stepsSideBySide([], [3]), []);
  assert.deepEqual(stepsSideBySide([10, 20, 30], [19, 999, -5]), [20, 30, 10]);
});

const FACTS = [
  { namespace: "hp", key: "layers.10", id: "hp.layers.10", value: 1, kind: "number" },
  { namespace: "hp", key: "layers.2", id: "hp.layers.2", value: 1, kind: "number" },
  { namespace: "hp", key: "optim", id: "hp.optim", value: "AdamW", kind: "text" },
  { namespace: "mth", key: "n_layer", id: "mth.n_layer", value: 12, kind: "number" },
  { namespace: "env", key: "torch", id: "env.torch", value: "2.9", kind: "text" },
];

test("facts are in the order of their namespaces and of the numbers in their keys", () => {
  const spaces = factsBySpace(FACTS, ["mth", "hp", "dbh"], "");
  assert.deepEqual(spaces.map(({ title, facts }) => [title, facts.map(({ key }) => key)]), [
    ["Training", ["layers.2", "layers.10", "optim"]],
    ["Model", ["n_layer"]],
  ]);
});

test("a search finds all its words in keys and values, whatever their case", () => {
  const found = (search) => factsBySpace(FACTS, ["hp", "mth"], search).flatMap(({ facts }) => facts.map(({ id }) => id));
  assert.deepEqual(found("adamw OPT"), ["hp.optim"]);
  assert.deepEqual(found("layer 12"), ["mth.n_layer"]);
  assert.deepEqual(found("nothing"), []);
  assert.equal(factsBySpace(FACTS, ["hp"], "nothing")[0].of, 3);
});

test("defaults are left out until they are asked for", () => {
  const facts = [{ ...FACTS[0], usual: true }, FACTS[2]];
  const keys = (all) => factsBySpace(facts, ["hp"], "", all)[0].facts.map(({ key }) => key);
  assert.deepEqual(keys(false), ["optim"]);
  assert.deepEqual(keys(true), ["layers.10", "optim"]);
});

test("a mapping is shown in lines, and what is nested deeper under dotted names", () => {
  assert.equal(textOf({ class: "Adam", betas: [0.9, 0.999], schedule: { warmup: 10, decay: {} } }), [
    "class: Adam",
    "betas: [0.9,0.999]",
    "schedule.warmup: 10",
    "schedule.decay: {}",
  ].join("\n"));
  assert.deepEqual([textOf("Adam"), textOf([1, 2]), textOf(null), textOf({})], ["Adam", "[1,2]", "null", "{}"]);
});
