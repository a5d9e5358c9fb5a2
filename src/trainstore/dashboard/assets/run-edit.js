// Edit a run's name, tags and notes, and say so if somebody else was faster.
import { announce, fill, h } from "./dom.js";
import { changesOf, conflictText, tagsAsText, tagsOfText } from "./run-edit-model.js";

/** @typedef {import("./types.js").RunDetail} RunDetail */

const CONFLICT = 412;

/**
 * @param {RunDetail} detail
 * @returns {import("./run-edit-model.js").Editable}
 */
function editableOf({ run }) {
  return { name: run.name, notes: run.notes ?? "", tags: run.tags };
}

/**
 * The form that edits a run.
 * @param {import("./types.js").Source} source
 * @param {RunDetail} detail
 * @param {(detail: RunDetail|null) => void} onDone  With the run as it is now; null if nothing was saved.
 * @returns {HTMLElement}
 */
export function editForm(source, detail, onDone) {
  let { etag } = detail;
  const before = editableOf(detail);
  const { uid } = detail.run;
  const name = h("input", { type: "text", value: before.name, id: "edit-name", autocomplete: "off" });
  const tags = h("textarea", { value: tagsAsText(before.tags), id: "edit-tags", rows: 3, spellcheck: "false" });
  const notes = h("textarea", { value: before.notes, id: "edit-notes", rows: 5 });
  const problem = h("div", { role: "alert", class: "edit-problem" });
  const saves = h("button", { class: "primary", type: "submit" }, "Save");

  const save = async () => {
    fill(problem);
    let change;
    try {
      change = changesOf(before, { name: name.value.trim(), notes: notes.value, tags: tagsOfText(tags.value) });
    } catch (error) {
      fill(problem, h("p", { class: "bad" }, String(/** @type {Error} */ (error).message)));
      return;
    }
    if (!Object.keys(change).length) return onDone(null);
    saves.disabled = true;
    try {
      const saved = await source.edit(uid, change, etag);
      announce("Saved");
      onDone(saved);
    } catch (error) {
      await showProblem(/** @type {any} */ (error));
    } finally {
      saves.disabled = false;
    }
  };

  const showProblem = async (/** @type {{status?: number, message: string, hint?: string}} */ error) => {
    if (error.status !== CONFLICT) {
      fill(problem, h("p", { class: "bad" }, `Not saved: ${error.message}`), error.hint ? h("p", {}, error.hint) : null);
      return;
    }
    const now = await source.run(uid).catch(() => null);
    if (!now) {
      fill(problem, h("p", { class: "bad" }, "Not saved: somebody else has edited this run. Please try again."));
      return;
    }
    const said = conflictText(before, editableOf(now));
    fill(
      problem,
      h("p", { class: "bad" }, "Not saved: somebody else has edited this run while you were writing."),
      said.map((text) => h("p", { class: "theirs" }, text)),
      h("p", {}, "Save again to put what you have changed in its place, or cancel to keep theirs."),
    );
    etag = now.etag;
  };

  const written = () => [name.value, tags.value, notes.value].join("\0");
  const begun = written();
  const leave = () => {
    if (written() === begun) onDone(null);
    else fill(problem, h("p", {}, "What you have written is not saved. Save it, or drop it with Cancel."));
  };

  const form = h(
    "form",
    {
      class: "edit-form", "aria-label": "Edit the run",
      on: {
        submit: (/** @type {Event} */ event) => {
          event.preventDefault();
          save();
        },
        keydown: (/** @type {KeyboardEvent} */ event) => event.key === "Escape" && leave(),
      },
    }, // prettier-ignore
    h("h1", { class: "cut" }, `Edit ${before.name}`),
    h("label", { for: "edit-name" }, "Name"),
    name,
    h("label", { for: "edit-tags" }, "Tags, one a line: ", h("code", {}, "draft"), " or ", h("code", {}, "owner=ann")),
    tags,
    h("label", { for: "edit-notes" }, "Notes"),
    notes,
    problem,
    h(
      "div",
      { class: "row" },
      saves,
      h("button", { type: "button", on: { click: () => onDone(null) } }, "Cancel"),
    ),
  );
  queueMicrotask(() => name.focus());
  return form;
}
