// Editing a run: tags as lines of text, what changed, and what somebody else changed.
import assert from "node:assert/strict";
import test from "node:test";
import {
  changesOf,
  conflictText,
  tagsAsText,
  tagsOfText,
} from "../../../src/trainstore/dashboard/assets/run-edit-model.js";

test("tags that are written as text and read back are the same", () => {
  const tags = {
    draft: true, owner: "ann", seed: 3, off: false, empty: "", rate: 0.5, list: [1, "a"], "odd name": "a=b",
    number: "3", yes: "true", none: "null", quoted: '"x"', "ä</script>": "<b>",
  }; // prettier-ignore
  assert.deepEqual(tagsOfText(tagsAsText(tags)), tags);
  assert.equal(tagsAsText({ draft: true, owner: "ann" }), "draft\nowner=ann");
  assert.equal(tagsAsText({ number: "3" }), 'number="3"');
});

test("empty lines and blanks do not matter", () => {
  assert.deepEqual(tagsOfText("\n  draft \n\n owner = ann lee \n"), { draft: true, owner: "ann lee" });
});

test("a line without a name is refused", () => {
  assert.throws(() => tagsOfText("draft\n=5"), /“=5” has no name/);
});

const BEFORE = { name: "a", notes: "n", tags: { draft: true, owner: "ann" } };

test("only what was changed is sent, and a tag that was taken away is null", () => {
  assert.deepEqual(changesOf(BEFORE, { ...BEFORE, tags: { owner: "ann", draft: true } }), {});
  assert.deepEqual(changesOf(BEFORE, { name: "b", notes: "", tags: { owner: "ben", new: 1 } }), {
    name: "b",
    notes: "",
    tags: { owner: "ben", new: 1, draft: null },
  });
});

test("a conflict says what is there now", () => {
  assert.deepEqual(conflictText(BEFORE, { name: "b", notes: "", tags: { draft: true, owner: "ben" } }), [
    "The name is now “b”.",
    "The notes were removed.",
    "The tags are now: draft, owner=ben.",
  ]);
  assert.deepEqual(conflictText(BEFORE, { ...BEFORE, tags: {} }), ["The tags were removed."]);
  assert.deepEqual(conflictText(BEFORE, BEFORE), []);
});
