// Notes: plain text in which addresses of the web are links.
import assert from "node:assert/strict";
import test from "node:test";
import { linkedParts } from "../../../src/trainstore/dashboard/assets/run-notes.js";

const links = (text) => linkedParts(text).filter(({ href }) => href !== null).map(({ href }) => href);

test("nothing of a text is lost or changed", () => {
  const texts = ["", "no link", "see https://a.example/x?y=1#z.", "(http://b.example) and\nhttps://c.example", "http://"];
  for (const text of texts) assert.equal(linkedParts(text).map((part) => part.text).join(""), text);
});

test("http and https addresses are links, without what ends the sentence", () => {
  assert.deepEqual(links("See https://a.example/x, then (http://b.example/c_(d)). Ok?"), [
    "https://a.example/x",
    "http://b.example/c_(d)",
  ]);
});

test("no other scheme becomes a link", () => {
  const texts = ["javascript:alert(1)", "data:text/html,<b>", "file:///etc/passwd", "//a.example", "ftp://a.example"];
  for (const text of [...texts, "http://", "https:///x y", "<a href='javascript:1'>x</a>"]) {
    assert.deepEqual(links(text).filter((href) => !/^https?:\/\/[^/]/.test(href)), [], text);
  }
  assert.deepEqual(links("javascript:alert(1) data:x file:///etc/passwd"), []);
});

test("markup around an address does not belong to it", () => {
  assert.deepEqual(links('<a href="https://a.example/">x</a>'), ["https://a.example/"]);
});
