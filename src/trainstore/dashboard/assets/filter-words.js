// What a filter's text can go on with: names of fields, operators, values. The grammar is the server's; this only
// guesses what comes next, and the server's answer alone says whether a filter is right.

/** @typedef {{kind: "text"|"operator"|"mark"|"word"|"open", text: string, from: number, to: number}} FilterToken */
/** @typedef {{text: string, note: string, empty?: boolean}} Proposal  `empty`: no run has it. */
/** @typedef {{from: number, to: number, items: Proposal[]}} Proposals  Which part of the text an item replaces. */

const TOKENS = /'(?:[^']|'')*'|(?:[^\s()=!<>~,"']|"(?:[^"]|"")*")+|==|!=|<=|>=|[=<>~]|[(),]|["'].*|\S/gs;
const JOINERS = ["and", "or"];
const OPERATORS = {
  text: ["=", "!=", "~", "in (", "is null", "is not null"],
  number: ["<", "<=", "=", "!=", ">", ">=", "in (", "is null", "is not null"],
  time: [">", "<", ">=", "<="],
  boolean: ["=", "!=", "is null", "is not null"],
};
/** @type {Record<string, string>} */
const OPERATOR_NOTES = {
  "=": "equal",
  "!=": "other than",
  "~": "contains",
  "in (": "one of",
  "is null": "has none",
  "is not null": "has one",
  "<": "less than",
  "<=": "at most",
  ">": "more than",
  ">=": "at least",
};
const STATUSES = ["running", "finished", "failed", "interrupted", "pruned", "lost"];
const TIMES = ["-1h", "-1d", "-7d", "-30d"];
const SPANS = ["1m", "10m", "1h", "1d"];
const MOST_PROPOSALS = 50;
const NO_MATCH = 10;

/**
 * @param {string} text
 * @returns {FilterToken[]}
 */
export function filterTokens(text) {
  return [...text.matchAll(TOKENS)].map((match) => {
    const raw = match[0];
    const from = match.index ?? 0;
    return { kind: kindOfToken(raw), text: raw, from, to: from + raw.length };
  });
}

/**
 * @param {string} raw
 * @returns {FilterToken["kind"]}
 */
function kindOfToken(raw) {
  if (/^(==|!=|<=|>=|[=<>~])$/.test(raw)) return "operator";
  if (/^[(),]$/.test(raw)) return "mark";
  if (/^'(?:[^']|'')*'$/s.test(raw) || /^"(?:[^"]|"")*"$/s.test(raw)) return "text";
  return /^["']/.test(raw) || raw === "!" ? "open" : "word";
}

/**
 * What may stand at the caret.
 * @param {string} text
 * @param {number} caret
 * @param {import("./types.js").ColumnInfo[]} infos
 * @param {(id: string) => import("./types.js").Cell[]} valuesOf  Those that a field has, the most frequent first.
 * @returns {Proposals}
 */
export function proposalsAt(text, caret, infos, valuesOf) {
  const before = filterTokens(text.slice(0, caret));
  const last = before[before.length - 1];
  const typing = last && last.to === caret && last.kind !== "mark" && last.kind !== "operator" ? last : null;
  const from = typing ? typing.from : caret;
  const to = typing ? endOfToken(text, typing) : caret;
  const typed = text.slice(from, caret);
  const context = contextOf(typing ? before.slice(0, -1) : before, infos);
  const items = matching(candidates(context, infos, valuesOf), typed);
  return { from, to, items };
}

/**
 * @param {string} text
 * @param {FilterToken} token
 */
function endOfToken(text, token) {
  return filterTokens(text).find(({ from }) => from === token.from)?.to ?? token.to;
}

/** @typedef {{wants: "name"|"operator"|"value"|"joiner", field: import("./types.js").ColumnInfo|null, list: boolean}} FilterContext */

/**
 * What comes after these tokens.
 * @param {FilterToken[]} tokens
 * @param {import("./types.js").ColumnInfo[]} infos
 * @returns {FilterContext}
 */
function contextOf(tokens, infos) {
  const word = (/** @type {number} */ place) => tokens.at(place)?.text.toLowerCase() ?? "";
  const field = (/** @type {number} */ place) => infos.find(({ id }) => id === tokens.at(place)?.text) ?? null;
  const last = tokens.at(-1);
  if (!last || ([...JOINERS, "not"].includes(word(-1)) && last.kind === "word" && word(-2) !== "is")) {
    return { wants: "name", field: null, list: false };
  }
  if (last.kind === "operator") return { wants: "value", field: field(-2), list: false };
  const opened = openList(tokens);
  if (opened) {
    const separates = word(-1) === "(" || word(-1) === ",";
    return { wants: separates ? "value" : "joiner", field: infos.find(({ id }) => id === opened) ?? null, list: true };
  }
  if (word(-1) === "(") return { wants: "name", field: null, list: false };
  if (last.kind === "word" && field(-1) && tokens.at(-2)?.kind !== "operator") {
    return { wants: "operator", field: field(-1), list: false };
  }
  return { wants: "joiner", field: null, list: false };
}

/**
 * The field of a list `hp.lr in (…` that is not closed yet.
 * @param {FilterToken[]} tokens
 */
function openList(tokens) {
  for (let place = tokens.length - 1; place > 0; place -= 1) {
    if (tokens[place].text === ")") return null;
    if (tokens[place].text !== "(") continue;
    if (tokens[place - 1].text.toLowerCase() !== "in") return null;
    const negated = tokens[place - 2]?.text.toLowerCase() === "not";
    return tokens[place - (negated ? 3 : 2)]?.text ?? null;
  }
  return null;
}

/**
 * @param {FilterContext} context
 * @param {import("./types.js").ColumnInfo[]} infos
 * @param {(id: string) => import("./types.js").Cell[]} valuesOf
 * @returns {Proposal[]}
 */
function candidates({ wants, field, list }, infos, valuesOf) {
  if (wants === "joiner") {
    const next = list ? [",", ")"] : JOINERS;
    return next.map((text) => ({ text, note: text === "," ? "another value" : text === ")" ? "end of the list" : "" }));
  }
  if (wants === "operator" && field) return operatorsOf(field);
  if (wants === "value") return field ? valueProposals(field, valuesOf(field.id)) : [];
  const names = infos.map(({ id, kind, filled }) => ({
    text: id,
    note: `${kind}, ${filled} run${filled === 1 ? "" : "s"}`,
    empty: filled === 0,
  }));
  names.sort((a, b) => Number(a.empty) - Number(b.empty));
  return [...names, { text: "not", note: "the opposite" }];
}

/** @param {import("./types.js").ColumnInfo} field */
function operatorsOf({ kind }) {
  const known = kind === "duration" ? OPERATORS.number : kind === "json" ? OPERATORS.text : OPERATORS[kind];
  return known.map((text) => ({ text, note: OPERATOR_NOTES[text] ?? "" }));
}

/**
 * @param {import("./types.js").ColumnInfo} field
 * @param {import("./types.js").Cell[]} values
 * @returns {Proposal[]}
 */
function valueProposals({ id, kind }, values) {
  if (id === "status") return STATUSES.map((text) => ({ text, note: "" }));
  if (kind === "time") return TIMES.map((text) => ({ text, note: "ago" }));
  if (kind === "duration") return SPANS.map((text) => ({ text, note: "" }));
  if (kind === "boolean") return ["true", "false"].map((text) => ({ text, note: "" }));
  return values.slice(0, MOST_PROPOSALS).map((value) => ({ text: spelledValue(value), note: "" }));
}

/**
 * A value as the language spells it.
 * @param {import("./types.js").Cell} value
 */
export function spelledValue(value) {
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  const text = String(value);
  return /^(NaN|-?Infinity)$/.test(text) ? text.toLowerCase() : `"${text.replace(/"/g, '""')}"`;
}

/**
 * Those that contain what is typed: first those that begin with it, or whose last part does. What no run has is last.
 * @param {Proposal[]} all
 * @param {string} typed
 */
function matching(all, typed) {
  const wanted = typed.toLowerCase().replace(/^["']/, "");
  if (!wanted) return all.slice(0, MOST_PROPOSALS);
  const closeness = (/** @type {string} */ text) => {
    const plain = text.toLowerCase().replace(/^["']/, "");
    if (plain === wanted) return 0;
    if (plain.startsWith(wanted)) return 1;
    return plain.split(".").some((part) => part.startsWith(wanted)) ? 2 : plain.includes(wanted) ? 3 : NO_MATCH;
  };
  const rank = (/** @type {Proposal} */ { text, empty }) => closeness(text) + (empty ? NO_MATCH / 2 : 0);
  const found = all.map((item) => ({ item, at: rank(item) })).filter(({ at }) => at < NO_MATCH);
  return found
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item)
    .slice(0, MOST_PROPOSALS);
}

/**
 * Whether a text may be a whole filter, so that it can be tried while one types; "" is.
 * @param {string} text
 */
export function looksWhole(text) {
  const tokens = filterTokens(text);
  const last = tokens.at(-1);
  if (!last) return true;
  if (last.kind === "operator" || last.kind === "open") return false;
  if (/^(and|or|not|in|is)$/i.test(last.text) && last.kind === "word") return false;
  const depth = tokens.reduce((sum, { text: mark }) => sum + Number(mark === "(") - Number(mark === ")"), 0);
  if (depth !== 0 || last.text === ",") return false;
  const afterOperator = tokens.at(-2)?.kind === "operator" || tokens.at(-2)?.text === "(";
  return last.kind !== "word" || afterOperator || !/[."]/.test(last.text);
}
