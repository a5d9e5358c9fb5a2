// The page asks each second while it is in view, less often when no answer comes, and passes on what is new.
import assert from "node:assert/strict";
import test from "node:test";
import { startLive } from "../../../src/trainstore/dashboard/assets/live.js";

/** A clock that is set forward by hand, a page that is hidden and shown by hand, and a server with prepared answers. */
class World {
  constructor() {
    this.time = 0;
    /** @type {{at: number, act: () => void}[]} */
    this.timers = [];
    this.inView = true;
    /** @type {(() => void)|null} */
    this.changed = null;
    /** @type {any[]} */
    this.asked = [];
    /** @type {(query: any) => any} */
    this.answer = () => ({});
    this.around = {
      after: (/** @type {() => void} */ act, /** @type {number} */ ms) => {
        const timer = { at: this.time + ms, act };
        this.timers.push(timer);
        return timer;
      },
      stop: (/** @type {any} */ timer) => {
        this.timers = this.timers.filter((one) => one !== timer);
      },
      now: () => this.time,
      visible: () => this.inView,
      onVisible: (/** @type {() => void} */ act) => {
        this.changed = act;
        return () => {
          this.changed = null;
        };
      },
    };
    const source = {
      live: async (/** @type {any} */ query) => {
        this.asked.push({ at: this.time, ...query });
        const nothing = { version: "a.1", names: 1, running: 0, count: null, table: null, runs: {} };
        return { ...nothing, ...(await this.answer(query)) };
      },
    };
    const texts = { project: "p", q: "tag.good" };
    const state = { text: (/** @type {string} */ name) => texts[/** @type {"q"} */ (name)] ?? "" };
    this.live = startLive({ source, state }, this.around);
  }

  /** Let time pass, answers arrive included. @param {number} ms */
  async pass(ms) {
    const end = this.time + ms;
    await settle();
    for (;;) {
      this.timers.sort((a, b) => a.at - b.at);
      if (!this.timers.length || this.timers[0].at > end) break;
      const next = /** @type {{at: number, act: () => void}} */ (this.timers.shift());
      this.time = Math.max(this.time, next.at);
      next.act();
      await settle();
    }
    this.time = end;
  }

  /** @param {boolean} inView */
  show(inView) {
    this.inView = inView;
    this.changed?.();
  }

  times() {
    return this.asked.map(({ at }) => at);
  }
}

/** Until every answer that is there has been worked through. */
async function settle() {
  for (let i = 0; i < 20; i += 1) await null;
}

/** @param {World} world @param {{uid: string, generation: number|null}[]} runs */
function drawing(world, runs) {
  /** @type {any[]} */
  const told = [];
  const stop = world.live.watch({
    runs: () => runs,
    metrics: () => ["loss", "late"],
    x: () => "step",
    onPoints: (uid, points, state) => told.push(["points", uid, points, state.generation]),
    onAnew: (uid) => told.push(["anew", uid]),
  });
  return { told, stop };
}

test("a page in view asks each second, from question to question", async () => {
  const world = new World();
  await world.pass(3500);
  assert.deepEqual(world.times(), [0, 1000, 2000, 3000]);
  world.answer = () => new Promise((resolve) => world.around.after(() => resolve({}), 400));
  await world.pass(2000);
  assert.deepEqual(world.times().slice(4), [4000, 5000]);
  world.answer = () => new Promise((resolve) => world.around.after(() => resolve({}), 1500));
  await world.pass(4000);
  assert.deepEqual(world.times().slice(6), [6000, 7700, 9400]); // never two at once, and never without a rest
});

test("a hidden page asks nothing, and asks at once when it is shown again", async () => {
  const world = new World();
  await world.pass(500);
  world.show(false);
  assert.equal(world.live.status.get(), "paused");
  await world.pass(60_000);
  assert.deepEqual(world.times(), [0]);
  world.show(true);
  await world.pass(1500);
  assert.deepEqual(world.times(), [0, 60_500, 61_500]);
  assert.equal(world.live.status.get(), "idle");
});

test("a page that is hidden while it waits for an answer asks no more", async () => {
  const world = new World();
  world.answer = () => new Promise((resolve) => world.around.after(() => resolve({}), 400));
  await world.pass(100);
  world.show(false);
  await world.pass(5000);
  assert.deepEqual(world.times(), [0]);
  assert.equal(world.live.status.get(), "paused");
});

test("without answers it asks less and less often, but every half minute", async () => {
  const world = new World();
  world.answer = () => Promise.reject(Object.assign(new Error("away"), { status: 0 }));
  await world.pass(100_000);
  assert.equal(world.live.status.get(), "away");
  assert.deepEqual(world.times(), [0, 2000, 6000, 14_000, 30_000, 60_000, 90_000]);
  world.answer = () => ({ running: 2 });
  await world.pass(21_500);
  assert.deepEqual(world.times().slice(7), [120_000, 121_000]);
  assert.equal(world.live.status.get(), "live");
});

test("showing the page again does not wait for the end of a long pause", async () => {
  const world = new World();
  world.answer = () => Promise.reject(Object.assign(new Error("away"), { status: 0 }));
  await world.pass(31_000);
  world.answer = () => ({});
  world.show(false);
  world.show(true);
  await world.pass(0);
  assert.equal(world.times().at(-1), 31_000);
  assert.equal(world.live.status.get(), "idle");
});

test("points reach who draws, for every metric that was asked for", async () => {
  const world = new World();
  const { told, stop } = drawing(world, [{ uid: "a", generation: 5 }, { uid: "b", generation: null }]);
  world.answer = () => ({
    runs: {
      a: {
        status: "running", anew: false, generation: 6, last_step: 9, replaces_from: 8,
        curves: { loss: { x: [8, 9], y: [0.5, "NaN"] } },
      },
      b: { status: "finished", anew: false, curves: {} },
    },
  });
  await world.pass(0);
  assert.deepEqual(world.asked[0].runs, { a: { generation: 5, status: null }, b: { generation: null, status: null } });
  assert.deepEqual(world.asked[0].metrics, ["loss", "late"]);
  const points = { loss: { x: [8, 9], y: [0.5, "NaN"], replaces_from: 8 }, late: { x: [], y: [], replaces_from: 8 } };
  assert.deepEqual(told, [["points", "a", points, 6]]);
  world.answer = () => ({});
  await world.pass(1000);
  assert.deepEqual(world.asked[1].runs.b, { generation: null, status: "finished" });
  stop();
  await world.pass(1000);
  assert.deepEqual(world.asked[2].runs, {});
});

test("a run that is to be fetched anew is not fetched again while that goes on", async () => {
  const world = new World();
  const runs = [{ uid: "a", generation: 5 }];
  const { told } = drawing(world, runs);
  world.answer = () => ({ runs: { a: { status: "running", anew: true, curves: {} } } });
  await world.pass(9000);
  assert.deepEqual(told, [["anew", "a"]]);
  await world.pass(2000); // perhaps the answer was lost
  assert.equal(told.length, 2);
  runs[0] = { uid: "a", generation: 7 };
  await world.pass(1000); // it was fetched, and is out of date again
  assert.equal(told.length, 3);
});

test("of a run that was deleted nothing is told, and its status is forgotten", async () => {
  const world = new World();
  const { told } = drawing(world, [{ uid: "a", generation: 5 }]);
  world.answer = () => ({ runs: { a: { status: "running", anew: false, curves: {} } } });
  await world.pass(0);
  world.answer = () => ({ runs: { a: { gone: true } } });
  await world.pass(2000);
  assert.deepEqual(world.asked.map(({ runs }) => runs.a.status), [null, "running", null]);
  assert.deepEqual(told, []);
});

test("of more than fifty metrics none lags: each is asked for from the state that was drawn", async () => {
  const world = new World();
  const names = Array.from({ length: 120 }, (_, nr) => `m${nr}`);
  const run = { uid: "a", generation: 5 };
  /** @type {string[]} */
  const told = [];
  world.live.watch({
    runs: () => [{ ...run }],
    metrics: () => names,
    x: () => "step",
    onPoints(_uid, points, { generation }) {
      told.push(...Object.keys(points));
      run.generation = generation; // as if these were all that is drawn
    },
    onAnew() {},
  });
  world.answer = () => ({ runs: { a: { status: "running", anew: false, generation: 6, last_step: 9, curves: {} } } });
  await world.pass(0);
  assert.deepEqual(told, names);
  assert.deepEqual(world.asked.map(({ metrics }) => metrics.length), [50, 50, 20]);
  assert.deepEqual(world.asked.map(({ runs }) => runs.a.generation), [5, 5, 5]);
});

test("a refused token is told as such, and a fault of the page's own reaches the console", async (context) => {
  const world = new World();
  const said = context.mock.method(/** @type {any} */ (globalThis).console, "error", () => {});
  world.answer = () => Promise.reject(Object.assign(new Error("the token is wrong"), { status: 401 }));
  await world.pass(0);
  assert.equal(world.live.status.get(), "refused");
  world.answer = () => Promise.reject(Object.assign(new Error("away"), { status: 0 }));
  await world.pass(2000);
  assert.equal(world.live.status.get(), "away");
  assert.equal(said.mock.callCount(), 0);
  const fault = new TypeError("x is undefined");
  world.answer = () => Promise.reject(fault);
  await world.pass(4000);
  assert.deepEqual(said.mock.calls.map((/** @type {any} */ call) => call.arguments), [[fault]]);
});

test("an answer for another axis than the one shown is dropped", async () => {
  const world = new World();
  let x = "step";
  /** @type {string[]} */
  const told = [];
  world.live.watch({
    runs: () => [{ uid: "a", generation: 1 }],
    metrics: () => ["loss"],
    x: () => x,
    onPoints: (uid) => told.push(uid),
    onAnew: (uid) => told.push(uid),
  });
  world.answer = () => {
    x = "epoch";
    return { runs: { a: { status: "running", anew: false, generation: 2, curves: {} } } };
  };
  await world.pass(0);
  assert.deepEqual(told, []);
});

test("the table is asked for by the version that is held, and its change is passed on", async () => {
  const world = new World();
  /** @type {any} */
  let held = null;
  /** @type {any[]} */
  const told = [];
  const stop = world.live.onTable((...change) => told.push(change), () => held);
  await world.pass(0); // it is still being read
  assert.equal(world.asked[0].columns, undefined);
  held = { version: "a.3", columns: ["name"] };
  world.answer = () => ({ version: "a.4", count: 7, table: { columns: [], gone: ["x"] } });
  await world.pass(1000);
  assert.deepEqual(
    { ...world.asked[1], at: 0 },
    { at: 0, version: "a.3", columns: ["name"], project: "p", q: "tag.good", runs: {}, metrics: [], x: "step" },
  );
  assert.deepEqual(told.at(-1), [{ columns: [], gone: ["x"] }, 7, "a.4"]);
  held = { version: "a.4", columns: ["name"] };
  const before = told.length;
  await world.pass(1000);
  assert.equal(told.length, before); // nothing is new
  world.answer = (query) => {
    if (query.columns) held = { version: "a.9", columns: ["name"] }; // read anew meanwhile
    return { version: "a.5", count: 8, table: { columns: [], gone: ["y"] } };
  };
  await world.pass(1000);
  assert.equal(told.length, before);
  stop();
});

test("who shows no table learns that something has changed", async () => {
  const world = new World();
  /** @type {any[]} */
  const told = [];
  world.live.onTable((...change) => told.push(change));
  await world.pass(1000);
  assert.deepEqual(told, []); // the first version is no change
  world.answer = () => ({ version: "a.2" });
  await world.pass(2000);
  assert.deepEqual(told, [[null, null, null]]);
  assert.equal(world.live.version.get(), "a.2");
});

test("new names are told once each, and not those that were there at first", async () => {
  const world = new World();
  let told = 0;
  const stop = world.live.onNames(() => (told += 1));
  world.answer = () => ({ names: 3 });
  await world.pass(1000);
  assert.equal(told, 0);
  world.answer = () => ({ names: 5 });
  await world.pass(2000);
  assert.equal(told, 1);
  world.answer = () => ({ names: 2 }); // another server counts anew
  await world.pass(1000);
  assert.equal(told, 1);
  stop();
  world.answer = () => ({ names: 9 });
  await world.pass(1000);
  assert.equal(told, 1);
});

test("when the table was read anew, the status of every run is asked for again", async () => {
  const world = new World();
  const held = { version: "a.1", columns: [] };
  world.live.onTable((_change, _count, version) => Object.assign(held, { version }), () => held);
  drawing(world, [{ uid: "a", generation: 5 }]);
  world.answer = () => ({ version: "a.2", runs: { a: { status: "running", anew: false, curves: {} } } });
  await world.pass(1000);
  assert.equal(world.asked[1].runs.a.status, "running");
  held.version = "a.7";
  await world.pass(1000);
  assert.equal(world.asked[2].runs.a.status, null);
});

test("each that draws has its own axis", async () => {
  const world = new World();
  for (const x of ["step", "epoch"]) {
    world.live.watch({ runs: () => [{ uid: x, generation: 1 }], metrics: () => [], x: () => x, onPoints() {}, onAnew() {} });
  }
  await world.pass(0);
  assert.deepEqual(world.asked.map(({ x, runs }) => [x, Object.keys(runs)]), [["step", ["step"]], ["epoch", ["epoch"]]]);
});

test("after its end it asks nothing", async () => {
  const world = new World();
  await world.pass(500);
  world.live.dispose();
  await world.pass(5000);
  world.show(true);
  await world.pass(5000);
  assert.deepEqual(world.times(), [0]);
});
