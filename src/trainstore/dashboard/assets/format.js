// Numbers, times and durations as text.

/**
 * A number with as many digits as a reader needs.
 * @param {number} value
 * @param {number} [digits]
 */
export function formatNumber(value, digits = 4) {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e15) return size < 10_000 ? minus(String(value)) : minus(grouped(value));
  if (size >= 1e6 || size < 1e-4) {
    const [mantissa, exponent] = value.toExponential(Math.max(0, digits - 1)).split("e");
    return minus(`${trimmed(mantissa)}e${exponent.replace("+", "")}`);
  }
  // By way of a number: 9999.7 has the text 1.000e+4 to four digits.
  return minus(String(Number(value.toPrecision(Math.max(digits, Math.ceil(Math.log10(size)))))));
}

/** @param {number} value */
function grouped(value) {
  return String(value).replace(/\B(?=(\d{3})+$)/g, " "); // a narrow space, as ISO 31 wants
}

/** @param {string} text */
function trimmed(text) {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** @param {string} text */
function minus(text) {
  return text.replace(/-/g, "−");
}

/**
 * A duration in seconds.
 * @param {number|null|undefined} seconds
 * @returns {string}
 */
export function formatDuration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "";
  if (seconds < 0) return `−${formatDuration(-seconds)}`;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds < 10 ? trimmed(seconds.toFixed(1)) : Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/**
 * How long ago, or the day when it is long ago.
 * @param {number|null} time  Seconds since 1970.
 * @param {number} now  NaN: the time itself.
 */
export function formatAgo(time, now) {
  if (time === null) return "";
  if (Number.isNaN(now)) return formatTime(time).slice(0, 16);
  const seconds = now - time;
  if (seconds < 10) return "now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  if (seconds < 7 * 86_400) return `${Math.floor(seconds / 86_400)} d ago`;
  return formatTime(time).slice(0, 10);
}

/**
 * The reader's local time: 2026-11-29 10:30:05.
 * @param {number|null} time  Seconds since 1970.
 */
export function formatTime(time) {
  if (time === null || !Number.isFinite(time)) return "";
  const date = new Date(time * 1000);
  const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/**
 * A cell of a table.
 * @param {import("./types.js").Cell} cell
 * @param {import("./types.js").Kind} kind
 */
export function formatCell(cell, kind) {
  if (cell === null || cell === undefined) return "";
  if (kind === "number") return /^(NaN|-?Infinity)$/.test(String(cell)) ? formatNumber(Number(cell)) : formatExact(cell);
  if (kind === "time") return formatTime(Number(cell)).slice(0, 16);
  if (kind === "duration") return formatDuration(Number(cell));
  if (kind === "boolean") return cell ? "true" : "false";
  return String(cell);
}

/**
 * @param {string|number|boolean} cell  A text is a whole number that would be rounded as a number.
 */
function formatExact(cell) {
  return typeof cell === "number" ? formatNumber(cell) : minus(String(cell));
}

/** Sign and word of each status; a sign alone or a colour alone says nothing to some eyes. */
export const STATUS_SIGNS = {
  running: "▶",
  finished: "✓",
  failed: "✕",
  interrupted: "■",
  pruned: "✂",
  lost: "?",
};

/**
 * @param {string} status
 * @returns {string}
 */
export function signOf(status) {
  return STATUS_SIGNS[/** @type {keyof typeof STATUS_SIGNS} */ (status)] ?? "·";
}
