// How fast a run goes, and that no step comes any more.
import assert from "node:assert/strict";
import test from "node:test";
import { silenceText, speedReader } from "../../../src/trainstore/dashboard/assets/run-live.js";

const running = (more = {}) => ({ status: "running", last_step: 9, last_step_at: 1000, step_interval: 1, ...more });

test("a run without steps for a while says so, later if its steps are slow", () => {
  assert.equal(silenceText(running(), 1000, 1010), "");
  assert.equal(silenceText(running(), 1000, 1040), "no step for 40 s");
  assert.equal(silenceText(running({ step_interval: 30 }), 1000, 1140), "");
  assert.match(silenceText(running({ step_interval: 30 }), 1000, 1160), /^no step for 2/);
});

test("a run that does not run, one without steps, and a report say nothing of it", () => {
  assert.equal(silenceText(running({ status: "lost" }), 1000, 5000), "");
  assert.equal(silenceText(running(), null, 5000), "");
  assert.equal(silenceText(running(), 1000, NaN), "");
});

test("a wrong clock of the training does not matter once a step is seen to come", () => {
  const speed = speedReader();
  assert.equal(speed.since(), null);
  speed.read(running());
  assert.equal(speed.since(), 1000);
  speed.read(running({ last_step: 10, last_step_at: 1001 }));
  assert.ok(Math.abs(speed.since() - Date.now() / 1000) < 60);
});

test("the speed does not fall while no step comes", () => {
  const speed = speedReader();
  for (let second = 0; second <= 30; second += 1) speed.read(running({ last_step: 2 * second, last_step_at: 1000 + second }));
  const last = running({ last_step: 60, last_step_at: 1030, steps_per_second: 0.5 });
  assert.equal(speed.of(last), 2);
  for (let reading = 0; reading < 50; reading += 1) speed.read(last);
  assert.equal(speed.of(last), 2);
  assert.equal(speed.of({ ...last, status: "lost" }), 0.5);
});
