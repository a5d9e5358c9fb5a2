// The address is the state: what is set comes back, and nonsense is no error.
import assert from "node:assert/strict";
import test from "node:test";
import { formatHash, parseHash } from "../../../src/trainstore/dashboard/assets/router.js";

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
