// What a run's attempts and events look like on an axis of steps.
import { formatNumber } from "./format.js";

/** @typedef {import("./types.js").Attempt} Attempt */
/** @typedef {import("./types.js").RunEvent} RunEvent */
/** @typedef {{from: number, to: number, label: string, kind: "attempt"|"superseded"|"gap"}} Span */
/** @typedef {{step: number, label: string, kind: "checkpoint"|"event"|"resume"|"alert"}} Point */
/** @typedef {{spans: Span[], points: Point[]}} Marks */

const EDITS = new Set(["tag", "note", "rename"]); // of the run, not of the training
const MOST_POINTS = 400; // marks of one kind on one axis; more would hide the curves
const MOST_NUMBERS = 16; // of a list in an event; of more, the first and how many

/**
 * The attempts whose steps are shown, the first one first: the last opened of those that nobody resumed, and its
 * ancestors.
 * @param {Attempt[]} attempts  In the order in which they were opened.
 * @returns {Attempt[]}
 */
export function shownChain(attempts) {
  const byNumber = new Map(attempts.map((attempt) => [attempt.attempt, attempt]));
  const resumed = new Set(attempts.map((attempt) => attempt.resumed_from));
  /** @type {Attempt|undefined} */
  let attempt = attempts.filter(({ attempt: number }) => !resumed.has(number)).at(-1);
  /** @type {Attempt[]} */
  const chain = [];
  while (attempt && !chain.includes(attempt)) {
    chain.unshift(attempt);
    attempt = attempt.resumed_from === null ? undefined : byNumber.get(attempt.resumed_from);
  }
  return chain;
}

/**
 * The first and the last step of an attempt that are shown, and those that a later attempt trained again; null: none.
 * @param {Attempt} attempt
 * @returns {{kept: [number, number]|null, replaced: [number, number]|null}}
 */
export function stepsOf(attempt) {
  const { last_step: last, start_step: start } = attempt;
  if (last === null || last <= start) return { kept: null, replaced: null };
  const end = attempt.end_step === null ? last : Math.min(attempt.end_step, last);
  return {
    kept: end > start ? [start + 1, end] : null,
    replaced: last > end ? [Math.max(end, start) + 1, last] : null,
  };
}

/**
 * @param {Attempt} attempt
 * @returns {string}  "attempt 2, resumed at 1 200"
 */
export function attemptLabel(attempt) {
  const from = attempt.resumed_from === null ? "" : `, resumed at ${formatNumber(attempt.start_step)}`;
  return `attempt ${attempt.attempt}${from}`;
}

/**
 * @param {[number, number]} steps
 * @returns {string}
 */
export function stepsText([first, last]) {
  return first === last ? `step ${formatNumber(first)}` : `steps ${formatNumber(first)} to ${formatNumber(last)}`;
}

/**
 * Everything that is drawn on the axis of a run.
 * @param {{attempts: Attempt[], events: RunEvent[]}} detail
 * @returns {Marks}
 */
export function marksOfRun({ attempts, events }) {
  return {
    spans: [...attemptSpans(attempts), ...gapSpans(events)],
    points: [...resumePoints(attempts), ...eventPoints(events, attempts)],
  };
}

/**
 * @param {Attempt[]} attempts
 * @returns {Span[]}
 */
function attemptSpans(attempts) {
  if (attempts.length < 2) return []; // a run of one attempt is all of one shade
  /** @type {Span[]} */
  const spans = [];
  for (const attempt of shownChain(attempts)) {
    const { kept } = stepsOf(attempt);
    if (kept) {
      const from = Math.max(attempt.start_step, 0); // where the one before ends: no stripe between the two
      spans.push({ from, to: kept[1], label: attemptLabel(attempt), kind: "attempt" });
    }
  }
  for (const attempt of attempts) {
    const { replaced } = stepsOf(attempt);
    if (!replaced) continue;
    const label = `attempt ${attempt.attempt}, ${stepsText(replaced)}: trained again later`;
    spans.push({ from: replaced[0], to: replaced[1], label, kind: "superseded" });
  }
  return spans;
}

/**
 * @param {Attempt[]} attempts
 * @returns {Point[]}
 */
function resumePoints(attempts) {
  return shownChain(attempts)
    .filter((attempt) => attempt.resumed_from !== null)
    .map((attempt) => ({ step: Math.max(attempt.start_step, 0), label: attemptLabel(attempt), kind: "resume" }));
}

/**
 * The steps that an event says are missing.
 * @param {RunEvent} event
 * @returns {[number, number]|null}
 */
export function missingSteps({ kind, details }) {
  const pair = kind === "gap" ? details?.steps : kind === "lost_steps" ? [details?.first_step, details?.last_step] : null;
  return Array.isArray(pair) && pair.every((step) => Number.isFinite(step) && step >= 0) ? [pair[0], pair[1]] : null;
}

/**
 * @param {RunEvent[]} events
 * @returns {Span[]}
 */
function gapSpans(events) {
  /** @type {Span[]} */
  const spans = [];
  for (const event of events) {
    const steps = missingSteps(event);
    if (!steps) continue;
    const why = event.details.reason ?? event.details.error;
    const label = `${stepsText(steps)}: not recorded${why ? ` (${why})` : ""}`;
    spans.push({ from: steps[0], to: steps[1], label, kind: "gap" });
  }
  return spans;
}

/**
 * @param {RunEvent[]} events
 * @param {Attempt[]} attempts
 * @returns {Point[]}
 */
function eventPoints(events, attempts) {
  const ends = new Map(attempts.map((attempt) => [attempt.attempt, attempt.end_step ?? Infinity]));
  /** @type {Record<string, Point[]>} */
  const found = { checkpoint: [], alert: [], event: [] };
  for (const event of events) {
    if (event.step === null || EDITS.has(event.kind) || missingSteps(event)) continue;
    const kind = event.kind === "checkpoint" || event.kind === "alert" ? event.kind : "event";
    const replaced = event.attempt !== null && event.step > (ends.get(event.attempt) ?? Infinity);
    const text = eventText(event);
    const name = kind === "alert" ? "" : `${event.kind.replaceAll("_", " ")}${text ? ": " : ""}`;
    const of = replaced ? ` (of attempt ${event.attempt}, trained again later)` : "";
    found[kind].push({ step: event.step, label: `${name}${text}${of}`, kind });
  }
  return Object.values(found).flatMap((points) => thinnedMarks(points));
}

/**
 * Not more than can be told apart: evenly chosen, the last one among them.
 * @param {Point[]} points
 * @returns {Point[]}
 */
function thinnedMarks(points) {
  if (points.length <= MOST_POINTS) return points;
  const every = points.length / MOST_POINTS;
  return Array.from({ length: MOST_POINTS }, (_, place) => points[Math.ceil((place + 1) * every) - 1]);
}

/**
 * What an event is about, in a line.
 * @param {{kind: string, details: any}} event
 * @returns {string}
 */
export function eventText({ kind, details }) {
  if (details === null || details === undefined) return "";
  if (typeof details !== "object") return String(details);
  if (kind === "alert") return ["level", "title", "text"].map((part) => details[part]).filter(Boolean).join(": ");
  if (EDITS.has(kind)) return editText(details);
  if (kind === "import" && typeof details.points === "number") return importText(details);
  if (kind === "checkpoint" && typeof details.path === "string") return details.path;
  return Object.entries(details)
    .map(([name, value]) => `${name.replaceAll("_", " ")} ${listed(value)}`)
    .join(", ");
}

/** @param {unknown} value */
function listed(value) {
  const isPlain = Array.isArray(value) && value.every((one) => typeof one !== "object");
  if (isPlain && value.length > MOST_NUMBERS && value.every((one) => typeof one === "number"))
    return `${value.slice(0, 3).map(plainValue).join(" ")} … ${value.length} in all`;
  return isPlain ? value.map(plainValue).join(" ") : plainValue(value);
}

/**
 * Somebody's own event may have the same name, so anything may be in it.
 * @param {Record<string, any>} details
 */
function importText({ tool, source, points, left_out: leftOut, damage, status }) {
  const left = Object.entries(leftOut ?? {}).map(([what, count]) => `${plainValue(count)} × ${what}`);
  return [
    `${formatNumber(points)} point${points === 1 ? "" : "s"} from ${tool}: ${source}`,
    left.length ? `not kept: ${left.join(", ")}` : "",
    Array.isArray(damage) ? damage.map(plainValue).join("; ") : "",
    status === "assumed" ? "its end is assumed" : "",
  ]
    .filter(Boolean)
    .join("; ");
}

/** @param {{set?: Record<string, unknown>, removed?: string[], before?: Record<string, unknown>}} details */
function editText({ set = {}, removed = [], before = {} }) {
  const changed = Object.entries(set).map(([name, value]) => {
    const old = name in before ? `${plainValue(before[name])} → ` : "";
    return `${name} ${old}${plainValue(value)}`;
  });
  return [...changed, ...removed.map((name) => `${name} removed`)].join(", ");
}

/**
 * Any JSON as text: texts without quotation marks, the rest as it is written.
 * @param {unknown} value
 * @returns {string}
 */
export function plainValue(value) {
  if (typeof value === "string") return value;
  if (typeof value === "number") return formatNumber(value, 6);
  return value === undefined ? "" : JSON.stringify(value);
}
