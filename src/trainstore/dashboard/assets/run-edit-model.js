// Tags as lines of text, and what an edit changes.
import { plainValue } from "./run-marks.js";

/** @typedef {{name: string, notes: string, tags: Record<string, any>}} Editable */

/**
 * Tags as text, a line each: `draft`, `owner=ann`. A text that would be read as something else has quotation marks.
 * @param {Record<string, any>} tags
 * @returns {string}
 */
export function tagsAsText(tags) {
  return Object.entries(tags)
    .map(([name, value]) => (value === true ? name : `${name}=${tagValueText(value)}`))
    .join("\n");
}

/** @param {unknown} value */
function tagValueText(value) {
  if (typeof value !== "string") return JSON.stringify(value);
  return tagValue(value) === value ? value : JSON.stringify(value);
}

/** @param {string} text */
function tagValue(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/**
 * @param {string} text
 * @returns {Record<string, any>}
 */
export function tagsOfText(text) {
  /** @type {Record<string, any>} */
  const tags = {};
  for (const line of text.split("\n").map((one) => one.trim())) {
    if (!line) continue;
    const [, name, value] = /** @type {RegExpExecArray} */ (/^([^=]*)(?:=(.*))?$/s.exec(line));
    if (!name.trim()) throw new Error(`“${line}” has no name before “=”`);
    tags[name.trim()] = value === undefined ? true : tagValue(value.trim());
  }
  return tags;
}

/**
 * What was changed in a form. Of the tags only those that differ; null takes one away.
 * @param {Editable} before
 * @param {Editable} now
 * @returns {Partial<Editable>}
 */
export function changesOf(before, now) {
  /** @type {Partial<Editable>} */
  const changes = {};
  if (now.name !== before.name) changes.name = now.name;
  if (now.notes !== before.notes) changes.notes = now.notes;
  const tags = changedTags(before.tags, now.tags);
  if (Object.keys(tags).length) changes.tags = tags;
  return changes;
}

/**
 * @param {Record<string, any>} before
 * @param {Record<string, any>} now
 */
function changedTags(before, now) {
  const isSame = (/** @type {string} */ name) => JSON.stringify(before[name]) === JSON.stringify(now[name]);
  const set = Object.keys(now).filter((name) => !(name in before) || !isSame(name)).map((name) => [name, now[name]]);
  const removed = Object.keys(before).filter((name) => !(name in now)).map((name) => [name, null]);
  return Object.fromEntries([...set, ...removed]);
}

/**
 * What somebody else changed since an edit began, as sentences.
 * @param {Editable} before
 * @param {Editable} theirs
 * @returns {string[]}
 */
export function conflictText(before, theirs) {
  const changes = changesOf(before, theirs);
  return [
    ...("name" in changes ? [`The name is now “${changes.name}”.`] : []),
    ...("notes" in changes ? [changes.notes ? `The notes are now: ${changes.notes}` : "The notes were removed."] : []),
    ...("tags" in changes ? [tagsSentence(theirs.tags)] : []),
  ];
}

/** @param {Record<string, any>} tags */
function tagsSentence(tags) {
  const names = Object.entries(tags).map(([name, value]) => (value === true ? name : `${name}=${plainValue(value)}`));
  return names.length ? `The tags are now: ${names.join(", ")}.` : "The tags were removed.";
}
