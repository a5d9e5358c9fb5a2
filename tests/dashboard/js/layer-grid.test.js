// Layers over steps: which metrics are layers, and the grid that is drawn.
import assert from "node:assert/strict";
import test from "node:test";
import {
  layerFamilies,
  layerGrid,
  layerOf,
  placeOnRamp,
  heatColour,
} from "../../../src/trainstore/dashboard/assets/layer-grid.js";

/** A curve of single points. */
function curve(metric, points, odd = []) {
  return {
    run: "r", metric, x: Float64Array.from(points, ([x]) => x), mean: Float64Array.from(points, ([, y]) => y),
    low: new Float64Array(), high: new Float64Array(), count: Float64Array.from(points, () => 1),
    oddX: Float64Array.from(odd, ([x]) => x), odd: Float64Array.from(odd, ([, y]) => y),
  }; // prettier-ignore
}

test("a layer is known by its metric's name", () => {
  assert.deepEqual(layerOf("grad_norm/transformer.h.0"), ["grad_norm", "transformer.h.0"]);
  assert.deepEqual(layerOf("grad_norm/lm_head"), ["grad_norm", "lm_head"]);
  assert.deepEqual(layerOf("param_norm_layers.0.weight"), ["param_norm", "layers.0.weight"]);
  assert.deepEqual(layerOf("activation/encoder.layers.3"), ["activation", "encoder.layers.3"]);
  for (const name of ["loss", "grad_norm", "grad_norm_total", "grad_norm_max", "eval/loss", "system/gpu0/power_watts"]) {
    assert.equal(layerOf(name), null, name);
  }
});

test("layers are in the order in which the run named them, else by their numbers", () => {
  const metrics = ["loss", "grad_norm/h.10", "grad_norm/h.2", "grad_norm/emb", "param_norm/x.10", "param_norm/x.9"];
  const events = [{ at: 0, step: 1, kind: "gradient_layers", attempt: 1, details: { layers: ["emb", "h.2", "h.10"] } }];
  const names = (families) => families.map(({ name, layers }) => [name, layers.map(({ label }) => label)]);
  assert.deepEqual(names(layerFamilies(metrics, events)), [
    ["grad_norm", ["emb", "h.2", "h.10"]],
    ["param_norm", ["x.9", "x.10"]],
  ]);
  assert.deepEqual(names(layerFamilies(["grad_norm/h.10", "grad_norm/h.2"], [])), [["grad_norm", ["h.2", "h.10"]]]);
});

test("one layer alone is no family", () => {
  assert.deepEqual(layerFamilies(["grad_norm/h.0", "loss"], []), []);
});

test("each step is a column, and what was not measured is empty", () => {
  const family = { name: "grad_norm", layers: [{ metric: "a", label: "A" }, { metric: "b", label: "B" }] };
  const grid = layerGrid(family, [curve("b", [[10, 2], [30, 8]]), curve("a", [[10, 0], [20, 4]], [[30, NaN]])], 100);
  assert.deepEqual([...grid.steps], [10, 20, 30]);
  assert.deepEqual([...grid.values], [0, 4, NaN, 2, NaN, 8]);
  assert.deepEqual([...grid.odd], [[2, NaN]]);
  assert.deepEqual([grid.low, grid.high], [2, 8]);
  assert.deepEqual(grid.labels, ["A", "B"]);
});

test("more steps than columns share them, by their mean", () => {
  const family = { name: "n", layers: [{ metric: "a", label: "A" }] };
  const points = Array.from({ length: 1000 }, (_, step) => [step, step]);
  const grid = layerGrid(family, [curve("a", points)], 10);
  assert.equal(grid.steps.length, 10);
  assert.ok(Math.abs(grid.values[0] - 49.5) < 1 && Math.abs(grid.values[9] - 949.5) < 1);
});

test("a grid without any number above zero can be drawn", () => {
  const family = { name: "n", layers: [{ metric: "a", label: "A" }] };
  const grid = layerGrid(family, [curve("a", [[1, 0], [2, 0]])], 10);
  assert.deepEqual([grid.low, grid.high], [1, 1]);
  const empty = layerGrid(family, [], 10);
  assert.equal(empty.steps.length, 0);
});

test("the ramp goes by the logarithm, and zero has no place on it", () => {
  assert.ok(Math.abs(placeOnRamp(1, 0.01, 100) - 0.5) < 1e-12);
  assert.equal(placeOnRamp(0, 0.01, 100), null);
  assert.equal(placeOnRamp(NaN, 0.01, 100), null);
  assert.equal(placeOnRamp(1e9, 0.01, 100), 1);
  assert.equal(placeOnRamp(5, 5, 5), 0.5);
});

test("the ramp grows lighter from its beginning to its end", () => {
  const light = (place) => {
    const [red, green, blue] = heatColour(place).match(/\d+/g).map(Number);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  for (let place = 0; place < 32; place += 1) assert.ok(light((place + 1) / 32) > light(place / 32), `at ${place}`);
});
