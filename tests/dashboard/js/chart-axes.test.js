// Signs on the foot of a chart.
import assert from "node:assert/strict";
import test from "node:test";
import { paintPoints } from "../../../src/trainstore/dashboard/assets/chart-axes.js";

test("no other sign of the same step is painted over an alert", () => {
  /** @type {string[]} */
  const painted = [];
  const pen = { fillStyle: "", beginPath() {}, moveTo() {}, lineTo() {}, closePath() {}, fill() { painted.push(this.fillStyle); } }; // prettier-ignore
  const points = ["event", "alert", "event", "checkpoint"].map((kind) => ({ at: 5, kind, label: "" }));
  const look = { bad: "red", text: "black" };
  paintPoints(pen, { x: { pixel: (at) => at }, plot: { left: 0, right: 10 }, points, look, lanes: { points: 0 } });
  assert.deepEqual(painted, ["black", "black", "black", "red"]);
});
