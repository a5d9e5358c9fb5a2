// Scales of axes: from values to pixels and back, where the ticks stand and what they say.
import { formatNumber } from "./format.js";

/** @typedef {"linear"|"whole"|"log"|"time"|"duration"} ScaleKind  "whole": as linear, of whole numbers such as steps. */
/** @typedef {{value: number, label: string}} Tick */
/**
 * @typedef {Object} Scale
 * @property {ScaleKind} kind
 * @property {number} low
 * @property {number} high
 * @property {(value: number) => number} pixel
 * @property {(pixel: number) => number} value
 * @property {(count: number) => Tick[]} ticks  About so many.
 */

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86_400;
const TIME_STEPS = [
  ...[1, 2, 5, 10, 15, 30],
  ...[1, 2, 5, 10, 15, 30].map((minutes) => minutes * MINUTE),
  ...[1, 2, 3, 6, 12].map((hours) => hours * HOUR),
  ...[1, 2, 7, 14].map((days) => days * DAY),
];
/** @type {[number, string][]} */
const UNITS = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];

/**
 * @param {ScaleKind} kind  "log" needs both ends above 0.
 * @param {number} low
 * @param {number} high
 * @param {number} from  The pixel of low.
 * @param {number} to  The pixel of high.
 * @returns {Scale}
 */
export function makeScale(kind, low, high, from, to) {
  const log = kind === "log";
  const first = log ? Math.log10(low) : low;
  const last = log ? Math.log10(high) : high;
  const slope = last === first ? 0 : (to - from) / (last - first);
  return {
    kind,
    low,
    high,
    pixel: (value) => from + ((log ? Math.log10(value) : value) - first) * slope,
    value(pixel) {
      const at = slope === 0 ? first : first + (pixel - from) / slope;
      return log ? 10 ** at : at;
    },
    ticks: (count) => ticksOf(kind, low, high, count),
  };
}

/**
 * The ends of an axis for values between these: with room around them, and never of no width.
 * @param {number} low
 * @param {number} high
 * @param {boolean} log
 * @param {number} room  As a share of the width.
 * @returns {[number, number]}
 */
export function roomyRange(low, high, log, room) {
  if (!(low <= high)) return log ? [1, 10] : [0, 1];
  if (log) {
    const decades = Math.log10(high) - Math.log10(low);
    const factor = decades > 0 ? 10 ** (decades * room) : 2;
    return [Math.max(low / factor, Number.MIN_VALUE), Math.min(high * factor, Number.MAX_VALUE)];
  }
  const width = high - low;
  const more = width > 0 ? width * room : Math.abs(low) * 0.1 || 1;
  return width + 2 * more < Infinity ? [low - more, high + more] : [low, high];
}

/**
 * @param {ScaleKind} kind
 * @param {number} low
 * @param {number} high
 * @param {number} count  About so many.
 * @returns {Tick[]}
 */
export function ticksOf(kind, low, high, count) {
  if (!(low < high)) return [{ value: low, label: formatNumber(low) }];
  if (kind === "log") return logTicks(low, high, count);
  // Half of each: the difference of two float64 numbers may be infinite.
  if (high / 2 - low / 2 > Number.MAX_VALUE / 4) return [low, 0, high].map((value) => ({ value, label: formatNumber(value, 2) }));
  if (kind === "time") return timeTicks(low, high, count);
  if (kind === "duration") return durationTicks(low, high, count);
  const whole = kind === "whole" ? linearTicks(low, high, count, 1) : [];
  return whole.length ? whole : linearTicks(low, high, count); // none lies between two steps
}

/**
 * @param {number} width
 * @param {number} count
 * @returns {number} 1, 2 or 5 times a power of ten.
 */
function niceStep(width, count) {
  const raw = width / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(raw));
  const factor = raw / power;
  return power * (factor <= 1.5 ? 1 : factor <= 3.5 ? 2 : factor <= 7.5 ? 5 : 10);
}

/**
 * @param {number} low
 * @param {number} high
 * @param {number} step
 * @returns {number[]} The multiples of step from low to high.
 */
function multiples(low, high, step) {
  /** @type {number[]} */
  const values = [];
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  for (let n = first; n <= last && values.length < 100; n += 1) {
    const value = n * step;
    // In a range narrower than float64 can divide, a multiple would come twice.
    if (values.length && value <= values[values.length - 1]) break;
    values.push(value);
  }
  return values;
}

/**
 * @param {number} low
 * @param {number} high
 * @param {number} count
 * @param {number} [apart]  At least.
 * @returns {Tick[]}
 */
function linearTicks(low, high, count, apart = 0) {
  const step = Math.max(apart, niceStep(high - low, count));
  return multiples(low, high, step).map((value) => ({ value, label: tickLabel(value, step) }));
}

/**
 * @param {number} low
 * @param {number} high
 * @param {number} count
 * @returns {Tick[]}
 */
function logTicks(low, high, count) {
  if (!(low > 0)) return linearTicks(low, high, count); // powers of ten would begin at -Infinity
  const first = Math.floor(Math.log10(low));
  const last = Math.ceil(Math.log10(high));
  const decades = last - first;
  const factors = decades * 3 <= count ? [1, 2, 5] : [1];
  const every = Math.max(1, Math.ceil(decades / Math.max(1, count)));
  /** @type {Tick[]} */
  const ticks = [];
  for (let power = first; power <= last; power += 1) {
    if (power % every !== 0) continue;
    for (const factor of factors) {
      const value = Number(`${factor}e${power}`);
      if (value >= low * (1 - 1e-12) && value <= high * (1 + 1e-12)) ticks.push({ value, label: formatNumber(value) });
    }
  }
  // Less than a decade may hold none of them; then those of a linear axis say more.
  return ticks.length > 1 ? ticks : linearTicks(low, high, count);
}

/**
 * @param {number} width  Seconds.
 * @param {number} count
 * @returns {number} Seconds between ticks.
 */
function timeStep(width, count) {
  const raw = width / Math.max(1, count);
  if (raw < 1) return Math.max(0.001, niceStep(width, count));
  return TIME_STEPS.find((step) => step >= raw * 0.7) ?? DAY * niceStep(width / DAY, count);
}

/**
 * @param {number} low
 * @param {number} high
 * @param {number} count
 * @returns {Tick[]}
 */
function durationTicks(low, high, count) {
  const step = timeStep(high - low, count);
  return multiples(low, high, step).map((value) => ({ value, label: durationLabel(value, step) }));
}

/**
 * Ticks at whole hours, days and so on of the reader's clock.
 * @param {number} low
 * @param {number} high
 * @param {number} count
 * @returns {Tick[]}
 */
function timeTicks(low, high, count) {
  const step = timeStep(high - low, count);
  const shift = step > MINUTE ? new Date(low * 1000).getTimezoneOffset() * MINUTE : 0;
  const values = multiples(low - shift, high - shift, step).map((value) => value + shift);
  return values.map((value) => ({ value, label: timeLabel(value, step) }));
}

/**
 * @param {number} value  Seconds.
 * @param {number} step
 */
function durationLabel(value, step) {
  if (value === 0) return "0";
  const sign = value < 0 ? "−" : "";
  const all = Math.abs(value);
  if (step < 1) return `${sign}${tickLabel(all, step)} s`;
  /** @type {[number, string][]} */
  const parts = [
    [Math.floor(all / DAY), "d"],
    [Math.floor((all % DAY) / HOUR), "h"],
    [Math.floor((all % HOUR) / MINUTE), "m"],
    [Math.round(all % MINUTE), "s"],
  ];
  const shown = parts.filter(([number]) => number > 0);
  return sign + shown.map(([number, unit]) => `${number}${unit}`).join(" ");
}

/**
 * @param {number} at  Seconds since 1970.
 * @param {number} step
 */
function timeLabel(at, step) {
  const when = new Date(at * 1000);
  const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
  const day = `${when.getFullYear()}-${two(when.getMonth() + 1)}-${two(when.getDate())}`;
  if (step >= DAY) return day;
  const clock = `${two(when.getHours())}:${two(when.getMinutes())}`;
  if (step >= MINUTE) return clock === "00:00" ? day.slice(5) : clock;
  const seconds = at - Math.floor(at / MINUTE) * MINUTE;
  return `${clock}:${step < 1 ? seconds.toFixed(Math.min(3, decimalsOf(step))) : two(Math.round(seconds))}`;
}

/**
 * @param {number} step
 * @returns {number} How many decimals tell its multiples apart.
 */
function decimalsOf(step) {
  return Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
}

/**
 * A tick's label: as many digits as tell it from its neighbours.
 * @param {number} value
 * @param {number} step
 */
export function tickLabel(value, step) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e15 || size < 1e-4 || decimalsOf(step) > 6) {
    const digits = Math.floor(Math.log10(size)) - Math.floor(Math.log10(step) + 1e-9);
    return longMinus(value.toExponential(Math.min(Math.max(0, digits), 15)).replace("e+", "e"));
  }
  for (const [unit, name] of UNITS) {
    if (size < unit * (unit === 1e3 ? 10 : 1)) continue;
    const digits = decimalsOf(step / unit);
    if (digits <= 2) return longMinus(withoutZeros((value / unit).toFixed(digits))) + name;
  }
  return longMinus(value.toFixed(decimalsOf(step)));
}

/** @param {string} text */
function withoutZeros(text) {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** @param {string} text */
function longMinus(text) {
  return text.replaceAll("-", "−");
}
