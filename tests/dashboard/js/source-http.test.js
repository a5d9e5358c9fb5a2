// What the page does with the server's answers: it waits where it is told to, and passes errors on in their own words.
import assert from "node:assert/strict";
import test from "node:test";
import { httpSource, saveToken, takeToken } from "../../../src/trainstore/dashboard/assets/source-http.js";

/** @type {any} */
const everywhere = globalThis;
everywhere.sessionStorage = { getItem: () => null, setItem() {} };

/**
 * Let these be the answers, and every wait be over at once.
 * @param {import("node:test").TestContext} context
 * @param {[number, any, Record<string, string>?][]} answers  Status, body, headers.
 */
function serve(context, answers) {
  /** @type {{asked: string[], waits: number[]}} */
  const seen = { asked: [], waits: [] };
  context.mock.method(everywhere, "fetch", async (/** @type {string} */ address) => {
    seen.asked.push(address);
    const [status, body, headers] = answers.shift() ?? [500, {}];
    return new Response(JSON.stringify(body), { status, headers });
  });
  context.mock.method(everywhere, "setTimeout", (/** @type {() => void} */ act, /** @type {number} */ ms) => {
    seen.waits.push(ms);
    queueMicrotask(act);
  });
  return seen;
}

test("what the server is too busy for is asked again after as long as it says", async (context) => {
  const busy = /** @type {[number, any, Record<string, string>]} */ ([429, {}, { "Retry-After": "3" }]);
  const seen = serve(context, [busy, [429, {}], [200, { runs: 7 }]]);
  assert.deepEqual(await httpSource().meta(), { runs: 7 });
  assert.deepEqual(seen.waits, [3000, 1000]);
  assert.deepEqual(new Set(seen.asked), new Set(["api/v1/meta"]));
});

test("a server that stays busy is asked for a while, not forever", async (context) => {
  const error = { code: "busy", message: "8 reads are waiting already", hint: "try again in a second" };
  const seen = serve(context, Array(100).fill([429, { error }]));
  await assert.rejects(httpSource().health(), { status: 429, code: "busy", message: error.message });
  assert.equal(seen.asked.length, 20);
});

test("an error is passed on in the server's words, with its place", async (context) => {
  const error = { code: "filter", message: "there is no hp.nope", hint: "there is hp.lr", position: 4 };
  const seen = serve(context, [[400, { error }]]);
  await assert.rejects(httpSource().runs({ q: "not hp.nope" }), { status: 400, ...error });
  assert.deepEqual(seen.waits, []);
});

test("an answer that is no JSON is an error, too", async (context) => {
  serve(context, []);
  context.mock.method(everywhere, "fetch", async () => new Response("<html>", { status: 502 }));
  await assert.rejects(httpSource().meta(), { status: 502, message: "the server answered 502" });
});

test("an answer that breaks off is an error of the connection, not a fault of the page", async (context) => {
  const broken = () => new ReadableStream({ start: (stream) => stream.error(new TypeError("connection lost")) });
  context.mock.method(everywhere, "fetch", async () => new Response(broken()));
  const source = httpSource();
  for (const asked of [source.meta(), source.curves({ runs: ["a"], metrics: ["loss"] }), source.exported({ runs: ["a"] }, "steps", "csv")]) {
    await assert.rejects(asked, { name: "Error", status: 0, code: "away", message: /broke off/ });
  }
});

test("a request ends by itself if no answer comes, an export later than others", async (context) => {
  /** @type {number[]} */
  const limits = [];
  context.mock.method(AbortSignal, "timeout", (/** @type {number} */ ms) => {
    limits.push(ms);
    return AbortSignal.abort(new DOMException("too long", "TimeoutError"));
  });
  context.mock.method(everywhere, "fetch", async (/** @type {string} */ _address, /** @type {any} */ { signal }) => {
    signal.throwIfAborted();
  });
  await assert.rejects(httpSource().meta(), { status: 0, code: "away" });
  await assert.rejects(httpSource().exported({ runs: ["a"] }, "steps", "csv"), { status: 0, code: "away" });
  assert.deepEqual(limits, [45_000, 660_000]);
});

/** Take the token out of an address: what is left of it, and the token. @param {string} hash */
function taken(hash) {
  /** @type {any} */
  let left = null;
  /** @type {string[]} */
  const kept = [];
  everywhere.location = { hash, pathname: "/runs/", search: "" };
  everywhere.history = { replaceState: (/** @type {any} */ _state, /** @type {string} */ _title, /** @type {string} */ url) => (left = url) };
  everywhere.sessionStorage = { getItem: () => null, setItem: (/** @type {string} */ _key, /** @type {string} */ text) => kept.push(text) };
  return { found: takeToken(), left, token: kept[0] };
}

test("the token leaves the address, and all else stays there", () => {
  for (const [hash, rest] of [
    ["#token=a%2Fb", ""],
    ["#/runs?token=a%2Fb", "#/runs"],
    ["#/runs?token=a%2Fb&q=x", "#/runs?q=x"],
    ["#/runs?q=x&token=a%2Fb", "#/runs?q=x"],
    ["#/runs?q=x&token=a%2Fb&sort=y", "#/runs?q=x&sort=y"],
  ]) {
    assert.deepEqual(taken(hash), { found: true, left: `/runs/${rest}`, token: "a/b" });
  }
  assert.deepEqual(taken("#/runs?q=x"), { found: false, left: null, token: undefined });
});

test("a token that was cut off while it was copied is no fault of the page", () => {
  assert.deepEqual(taken("#token=%"), { found: true, left: "/runs/", token: "%" });
});

test("where the browser stores nothing, the token lasts as long as the page", async (context) => {
  const refuse = () => {
    throw new DOMException("storage is blocked", "SecurityError");
  };
  everywhere.sessionStorage = { getItem: refuse, setItem: refuse };
  saveToken("secret");
  /** @type {any[]} */
  const sent = [];
  context.mock.method(everywhere, "fetch", async (/** @type {string} */ _address, /** @type {any} */ { headers }) => {
    sent.push(headers.Authorization);
    return new Response("{}");
  });
  await httpSource().meta();
  assert.deepEqual(sent, ["Bearer secret"]);
});
