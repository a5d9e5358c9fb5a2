// The address is the state: what is set comes back, and nonsense is no error.
import assert from "node:assert/strict";
import test from "node:test";
import { formatHash, parseHash, startRouter } from "../../../src/trainstore/dashboard/assets/router.js";

const plain = (/** @type {Map<string, string[]>} */ values) => Object.fromEntries(values);

test("an empty address is the page of runs", () => {
  for (const hash of ["", "#", "#/", "/"]) assert.deepEqual(parseHash(hash).place, { page: "runs", uid: "" });
});

test("every value comes back, whatever it contains", () => {
  const odd = ["a b", "50% & more", "x=y", "#/runs?q=1", "損失", "a/b", "+", "'\"<>", "?", "\n"];
  for (const text of odd) {
    const values = new Map([["q", [text]], ["runs", [text, "b"]]]);
    const back = parseHash(formatHash({ page: "run", uid: text }, values));
    assert.deepEqual(back.place, { page: "run", uid: text });
    assert.deepEqual(plain(back.values), plain(values));
  }
});

test("the same state has one address", () => {
  const one = formatHash({ page: "runs", uid: "" }, new Map([["b", ["1"]], ["a", ["2"]]]));
  const other = formatHash({ page: "runs", uid: "" }, new Map([["a", ["2"]], ["b", ["1"]]]));
  assert.equal(one, other);
});

test("nonsense is read as far as it goes", () => {
  assert.deepEqual(plain(parseHash("#/runs?x=%00&q=a").values), { q: ["a"] });
  assert.equal(parseHash("#/run/%E0%A4%A").place.uid, "%E0%A4%A");
  assert.deepEqual(plain(parseHash("#/runs?%%%&&=&smooth").values).smooth, [""]);
  assert.equal(parseHash("#/run/a?b?c=d").values.get("b?c")?.[0], "d");
});

/**
 * A router in a browser with this address, where time stands still.
 * @param {import("node:test").TestContext} context
 * @param {string} hash
 */
function opened(context, hash) {
  /** @type {any} */
  const everywhere = globalThis;
  /** @type {Record<string, () => void>} */
  const events = {};
  const place = { hash };
  /** @type {string[]} */
  const written = [];
  const world = { time: 0, isStrict: false, timers: /** @type {any[]} */ ([]) };
  const write = (/** @type {string} */ how) => (/** @type {any} */ _state, /** @type {string} */ _title, /** @type {string} */ next) => {
    if (world.isStrict) throw new DOMException("too often", "SecurityError");
    written.push(`${how} ${next}`);
    place.hash = next;
  };
  everywhere.location = place;
  everywhere.history = { pushState: write("push"), replaceState: write("replace") };
  everywhere.addEventListener = (/** @type {string} */ name, /** @type {() => void} */ act) => (events[name] = act);
  context.mock.method(performance, "now", () => world.time);
  context.mock.method(everywhere, "setTimeout", (/** @type {any} */ act, /** @type {number} */ ms, /** @type {any[]} */ ...values) => {
    return world.timers.push({ at: world.time + ms, act: () => act(...values) });
  });
  context.mock.method(everywhere, "clearTimeout", (/** @type {number|undefined} */ nr) => nr && delete world.timers[nr - 1]);
  return {
    ...startRouter(),
    place,
    written,
    /** @param {number} ms */
    pass(ms) {
      world.time += ms;
      for (const [nr, timer] of Object.entries(world.timers)) {
        if (timer?.at > world.time) continue;
        delete world.timers[Number(nr)];
        timer.act();
      }
    },
    /** @param {string} next */
    goTo(next) {
      place.hash = next;
      events.popstate();
      events.hashchange();
    },
    /** @param {boolean} isStrict */
    refuse(isStrict) {
      world.isStrict = isStrict;
    },
  };
}

test("who listens on every page learns of a new page's state; the old page does not", (context) => {
  const { state, route, goTo } = opened(context, "#/runs?project=a&q=x");
  /** @type {string[]} */
  const told = [];
  state.listen(["project", "q"], () => told.push(`bar ${state.text("project")} ${state.text("q")}`));
  state.listen(["sort"], () => told.push("bar sort"));
  const stop = state.listen(["q"], () => told.push("old page"));
  route.listen(() => {
    stop();
    state.listen(["q"], () => told.push("new page")); // it has read the state already
  });
  goTo("#/run/1?project=b");
  assert.deepEqual(told, ["bar b "]);
});

test("an address that changes all the time is written now and then, and is right in the end", (context) => {
  const { state, written, pass } = opened(context, "#/runs");
  for (let smooth = 1; smooth <= 300; smooth += 1) {
    state.set({ smooth });
    assert.equal(state.number("smooth", 0), smooth); // whatever the address says
    assert.equal(state.hash(), `#/runs?smooth=${smooth}`);
    pass(100);
  }
  assert.equal(written[0], "replace #/runs?smooth=1"); // a single change, at once
  assert.ok(written.length < 100, `${written.length} in 30 seconds`);
  pass(1000);
  assert.equal(written.at(-1), "replace #/runs?smooth=300");
});

test("a step for Back is written at once, after what was still to be written", (context) => {
  const { state, written } = opened(context, "#/runs");
  for (let smooth = 1; smooth <= 50; smooth += 1) state.set({ smooth });
  assert.ok(written.length < 50);
  state.set({ q: "x" }, { push: true });
  assert.deepEqual(written.slice(-2), ["replace #/runs?smooth=50", "push #/runs?q=x&smooth=50"]);
});

test("what was still to be written is not written over another address", (context) => {
  const { state, written, place, pass, goTo } = opened(context, "#/runs");
  for (let smooth = 1; smooth <= 50; smooth += 1) state.set({ smooth });
  const before = [...written];
  place.hash = "#/health"; // a link was followed; the event comes later
  pass(1000);
  goTo("#/health");
  pass(1000);
  assert.deepEqual(written, before);
});

test("a browser that refuses to write the address is asked again, and who listens is told", (context) => {
  const { state, written, pass, refuse } = opened(context, "#/runs");
  let told = 0;
  state.listen(["q"], () => (told += 1));
  refuse(true);
  state.set({ q: "x" });
  assert.equal(told, 1);
  refuse(false);
  pass(1000);
  assert.deepEqual(written, ["replace #/runs?q=x"]);
});

test("quick changes of the same kind are one step for Back, and no others", (context) => {
  const { state, written, pass } = opened(context, "#/runs");
  const choose = (/** @type {string} */ run) => state.set({ runs: run }, { push: true, together: "runs" });
  choose("a");
  pass(500);
  choose("b");
  pass(1500);
  choose("c");
  state.set({ sort: "name" }, { push: true });
  choose("d");
  assert.deepEqual(written, [
    "push #/runs?runs=a",
    "replace #/runs?runs=b",
    "push #/runs?runs=c",
    "push #/runs?runs=c&sort=name",
    "push #/runs?runs=d&sort=name",
  ]);
});
