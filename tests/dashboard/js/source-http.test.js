// What the page does with the server's answers: it waits where it is told to, and passes errors on in their own words.
import assert from "node:assert/strict";
import test from "node:test";
import { httpSource } from "../../../src/trainstore/dashboard/assets/source-http.js";

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
