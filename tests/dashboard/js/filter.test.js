// What the filter field proposes.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  filterTokens,
  looksWhole,
  proposalsAt,
  spelledValue,
} from "../../../src/trainstore/dashboard/assets/filter-words.js";

/** @param {string} id @param {any} kind */
const info = (id, kind) => ({ id, kind, group: "hp", label: id, filled: 3, distinct: 2, varies: true });
const infos = [
  info("name", "text"),
  info("status", "text"),
  info("started", "time"),
  info("hp.lr", "number"),
  info("hp.layers", "number"),
  info("hp.optim", "text"),
  info("metric.loss", "number"),
  info("metric.loss.min", "number"),
];
const valuesOf = (/** @type {string} */ id) =>
  id === "hp.optim" ? ["adamw", 'a "b"'] : id === "hp.lr" ? [0.1, 1e-4] : [];
/** @param {string} marked  "|" is the caret. */
const at = (marked) => proposalsAt(marked.replace("|", ""), marked.indexOf("|"), infos, valuesOf);
/** @param {string} marked */
const texts = (marked) => at(marked).items.map(({ text }) => text);

test("at the beginning, after and, or, not and (, names are proposed, those that begin with what is typed first", () => {
  for (const before of ["", "name ~ x and ", "name ~ x or ", "not ", "("]) {
    assert.deepEqual(texts(`${before}l|`).slice(0, 3), ["hp.lr", "hp.layers", "metric.loss"], before);
  }
  assert.equal(texts("hp.l|")[0], "hp.lr");
});

test("after a name come the operators of its kind", () => {
  assert.deepEqual(texts("hp.optim |").slice(0, 3), ["=", "!=", "~"]);
  assert.equal(texts("hp.lr |")[0], "<");
  assert.deepEqual(texts("started |"), [">", "<", ">=", "<="]);
});

test("after an operator come the field's values, spelled as the language wants them", () => {
  assert.deepEqual(texts("hp.optim = |"), ['"adamw"', '"a ""b"""']);
  assert.deepEqual(texts("hp.lr<|"), ["0.1", "0.0001"]);
  assert.deepEqual(texts("status = fi|"), ["finished"]);
  assert.ok(texts("started > |").includes("-7d"));
});

test("in a list come values and then the comma, and after the list what joins", () => {
  assert.deepEqual(texts("hp.optim in (|"), ['"adamw"', '"a ""b"""']);
  assert.deepEqual(texts('hp.optim not in ("adamw", |'), ['"adamw"', '"a ""b"""']);
  assert.deepEqual(texts('hp.optim in ("adamw" |'), [",", ")"]);
  assert.deepEqual(texts('hp.optim in ("adamw") |'), ["and", "or"]);
  assert.deepEqual(texts("hp.lr < 1 |"), ["and", "or"]);
});

test("an item replaces the whole word that the caret is in", () => {
  const { from, to } = at("name ~ x and hp.l|r < 1");
  assert.equal("name ~ x and hp.lr < 1".slice(from, to), "hp.lr");
});

test("a filter is tried while one types only if it may be whole", () => {
  for (const text of [
    "",
    "sweep",
    "hp.lr < 1e-3",
    "(a or b)",
    'hp.optim in ("a", "b")',
    "tag.x = y",
    "hp.lr is null",
  ]) {
    assert.ok(looksWhole(text), text);
  }
  for (const text of [
    "hp.lr",
    "hp.lr <",
    "a and",
    "not",
    "(a",
    'hp.optim in ("a",',
    '"open',
    "hp.lr is",
    "metric.loss.m",
  ]) {
    assert.ok(!looksWhole(text), text);
  }
});

test("tokens are those of the server's language", () => {
  assert.deepEqual(
    filterTokens(`hp."a b"!='it''s' and(x<=-1e3)`).map(({ text }) => text),
    ['hp."a b"', "!=", "'it''s'", "and", "(", "x", "<=", "-1e3", ")"],
  );
});

test("a value is spelled so that it is read as the same value", () => {
  assert.equal(spelledValue('say "hi"'), '"say ""hi"""');
  assert.equal(spelledValue("NaN"), "nan");
  assert.equal(spelledValue("-Infinity"), "-infinity");
  assert.equal(spelledValue(true), "true");
});

test("names that no run has come last", () => {
  const some = [{ ...info("notes", "text"), filled: 0 }, info("tag.keynote", "text"), info("name", "text")];
  const proposed = (/** @type {string} */ text) =>
    proposalsAt(text, text.length, some, () => []).items.map((item) => item.text);
  assert.deepEqual(proposed("note"), ["tag.keynote", "notes"]);
  assert.deepEqual(proposed("").slice(0, 3), ["tag.keynote", "name", "notes"]);
});
