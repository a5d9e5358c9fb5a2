// The drawing of a chart, on a canvas or as SVG: whatever has the methods of a canvas's context.
import { paintAxes, paintOdd, paintPoints, paintSpanNames, paintSpans } from "./chart-axes.js";
import { DASHES } from "./colours.js";

/** @typedef {CanvasRenderingContext2D|import("./svg-pen.js").SvgPen} Pen */
/** @typedef {import("./scale.js").Scale} Scale */
/**
 * A curve as it is drawn.
 * @typedef {Object} Line
 * @property {import("./types.js").ShownRun} run
 * @property {Float64Array} x
 * @property {Float64Array} mean
 * @property {Float64Array} low
 * @property {Float64Array} high
 * @property {Float64Array} count
 * @property {Float64Array|null} smooth  null: it is drawn as it is.
 * @property {Float64Array} oddX
 * @property {Float64Array} odd
 * @property {boolean} band  low and high are those of a group, not of points.
 * @property {boolean} old  A stretch that a resume has taken the place of: dotted.
 * @property {number[]} [breaks]  The points that no line leads to, by their place.
 */
/** @typedef {{left: number, top: number, right: number, bottom: number}} Box */
/** @typedef {{size: number, font: string, text: string, muted: string, line: string, edge: string, shade: string, bad: string, bg: string, runs: string[]}} Look */
/** @typedef {{from: number, to: number, label: string, kind: string}} Span */
/** @typedef {{at: number, label: string, kind: string, colour?: string}} PointMark */
/**
 * All that a chart shows.
 * @typedef {Object} Picture
 * @property {number} width
 * @property {number} height
 * @property {Box} plot
 * @property {Scale} x
 * @property {Scale|null} y  null: there is no finite value.
 * @property {string} xLabel
 * @property {Line[]} lines
 * @property {Span[]} spans
 * @property {PointMark[]} points
 * @property {{top: number, odd: number, points: number, spans: number}} lanes  Where signs and names stand: y.
 * @property {Look} look
 * @property {number} ratio  Device pixels to a CSS pixel; 0: on paper, where time does not matter.
 */

const FADES_ABOVE = 10; // runs
const ONLY_SMOOTHED_ABOVE = 100;
const BANDS_AT_FULL = 4; // of strength
const DOTS_APART = 9; // pixels
const HAIR_APART = 0.7; // device pixels

/** @typedef {{px: number[], mid: number[], low: number[], high: number[], spread: boolean, starts: Set<number>}} Trace  `starts`: where a new stroke begins. */

/**
 * Draw it all.
 * @param {Pen} pen
 * @param {Picture} picture
 */
export function paintChart(pen, picture) {
  const { plot, y } = picture;
  paintSpans(pen, picture);
  paintAxes(pen, picture);
  paintSpanNames(pen, picture);
  pen.save();
  pen.beginPath();
  pen.rect(plot.left, plot.top - 2, plot.right - plot.left, plot.bottom - plot.top + 4);
  pen.clip();
  if (y) paintLines(pen, picture, y);
  paintPoints(pen, picture);
  pen.restore();
  paintOdd(pen, picture);
  pen.globalAlpha = 1;
}

/**
 * @param {Pen} pen
 * @param {Picture} picture
 * @param {Scale} y
 */
function paintLines(pen, picture, y) {
  const { lines, look, ratio } = picture;
  const many = lines.length > FADES_ABOVE;
  const bands = lines.reduce((sum, line) => sum + Number(line.band), 0);
  const bandAlpha = 0.16 * Math.min(1, BANDS_AT_FULL / bands); // many of them lie on each other
  pen.lineJoin = "round";
  for (const line of lines) {
    if (line.smooth && (line.old || lines.length > ONLY_SMOOTHED_ABOVE)) continue;
    const trace = traceOf(line, line.mean, picture, y);
    pen.strokeStyle = pen.fillStyle = look.runs[line.run.colour];
    if (trace.spread && (line.band || !many)) {
      paintEnvelope(pen, trace, line.band ? bandAlpha : line.smooth ? 0.13 : 0.18);
    }
    pen.globalAlpha = line.smooth ? (many ? 0.14 : 0.35) : 1;
    stroke(pen, line, trace, { width: line.smooth || many ? 1 : 1.5, dots: !many, hair: many ? ratio : 0 });
  }
  pen.globalAlpha = 1;
  for (const line of lines) {
    if (!line.smooth) continue;
    pen.strokeStyle = look.runs[line.run.colour];
    const width = many ? 1.5 : 1.75;
    stroke(pen, line, traceOf(line, line.smooth, picture, y), { width, dots: !many, hair: many ? ratio : 0 });
  }
  pen.setLineDash([]);
}

/**
 * One line above the others: that of the run which is pointed at.
 * @param {Pen} pen
 * @param {Line} line
 * @param {Picture} picture
 */
export function paintHighlight(pen, line, picture) {
  if (!picture.y) return;
  const { plot, look, lines, ratio } = picture;
  pen.save();
  pen.beginPath();
  pen.rect(plot.left, plot.top - 2, plot.right - plot.left, plot.bottom - plot.top + 4);
  pen.clip();
  pen.lineJoin = "round";
  const trace = traceOf(line, line.smooth ?? line.mean, picture, picture.y);
  pen.strokeStyle = look.bg;
  stroke(pen, { ...line, run: { ...line.run, dash: 0 } }, trace, { width: 5, dots: false, hair: ratio });
  pen.strokeStyle = pen.fillStyle = look.runs[line.run.colour];
  stroke(pen, line, trace, { width: 3, dots: lines.length <= FADES_ABOVE, hair: ratio });
  pen.restore();
}

/**
 * The pixels of a line. Where several points share one pixel across, one place stands for them: their mean by count,
 * the lowest and the highest.
 * @param {Line} line
 * @param {Float64Array} values
 * @param {Picture} picture
 * @param {Scale} y
 * @returns {Trace}
 */
export function traceOf(line, values, { x, plot }, y) {
  const [px, mid, low, high] = Array.from({ length: 4 }, () => /** @type {number[]} */ ([]));
  /** @type {Trace} */
  const trace = { px, mid, low, high, spread: false, starts: new Set() };
  const breaks = line.breaks ?? [];
  let nextBreak = 0;
  const [first, last] = visible(line.x, x.low, x.high);
  const packed = last - first > plot.right - plot.left;
  const positive = { x: x.kind === "log", y: y.kind === "log" };
  const raw = values === line.mean;
  let weight = 0;
  for (let i = first; i < last; i += 1) {
    if ((positive.x && line.x[i] <= 0) || (positive.y && values[i] <= 0)) continue;
    const broken = i >= breaks[nextBreak];
    while (i >= breaks[nextBreak]) nextBreak += 1;
    if (broken) trace.starts.add(px.length);
    const across = packed ? Math.round(x.pixel(line.x[i])) : x.pixel(line.x[i]);
    const at = y.pixel(values[i]);
    const bottom = raw ? y.pixel(positive.y && line.low[i] <= 0 ? values[i] : line.low[i]) : at;
    const top = raw ? y.pixel(line.high[i]) : at;
    const end = px.length - 1;
    if (packed && end >= 0 && px[end] === across && !broken) {
      const share = raw ? line.count[i] / (weight + line.count[i]) : 1; // of a smoothed line the last one
      mid[end] += (at - mid[end]) * share;
      low[end] = Math.max(low[end], bottom);
      high[end] = Math.min(high[end], top);
      weight += line.count[i];
    } else {
      px.push(across);
      mid.push(at);
      low.push(bottom);
      high.push(top);
      weight = line.count[i];
    }
    if (low[px.length - 1] - high[px.length - 1] > 0.5) trace.spread = true;
  }
  return trace;
}

/**
 * The part of ascending numbers that lies in a range, and one more on each side.
 * @param {Float64Array} x
 * @param {number} low
 * @param {number} high
 * @returns {[number, number]} From, and up to but without.
 */
export function visible(x, low, high) {
  return [Math.max(0, firstNotBelow(x, low) - 1), Math.min(x.length, firstAbove(x, high) + 1)];
}

/**
 * @param {ArrayLike<number>} x  Ascending.
 * @param {number} value
 */
export function firstNotBelow(x, value) {
  let [low, high] = [0, x.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (x[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * @param {ArrayLike<number>} x  Ascending.
 * @param {number} value
 */
export function firstAbove(x, value) {
  let [low, high] = [0, x.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (x[middle] <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * @param {Pen} pen
 * @param {Trace} trace
 * @param {number} alpha
 */
function paintEnvelope(pen, { px, low, high, starts }, alpha) {
  pen.globalAlpha = alpha;
  pen.beginPath();
  const ends = [...[...starts].filter((start) => start > 0), px.length];
  let from = 0;
  for (const end of ends) {
    if (end - from === 1) {
      pen.rect(px[from] - 3, high[from], 6, low[from] - high[from]);
    } else {
      for (let i = from; i < end; i += 1) pen[i > from ? "lineTo" : "moveTo"](px[i], Math.round(high[i] * 2) / 2);
      for (let i = end - 1; i >= from; i -= 1) pen.lineTo(px[i], Math.round(low[i] * 2) / 2);
      pen.closePath();
    }
    from = end;
  }
  pen.fill();
}

const ONE_LINE = [[0, 0]];

/**
 * Where lines of one device pixel make a wider one: one below the other, and from 2 pixels on also side by side.
 * @param {number} width
 * @param {number} hair  Device pixels to a CSS pixel.
 */
function hairsOf(width, hair) {
  const times = Math.max(1, Math.round(width * hair));
  const places = Array.from({ length: times }, (_, time) => ((time - (times - 1) / 2) * HAIR_APART) / hair);
  const below = places.map((place) => [0, place]);
  return width < 2 ? below : [...below, ...places.map((place) => [place, 0])];
}

/**
 * @param {Pen} pen
 * @param {Line} line
 * @param {Trace} trace
 * @param {Object} how
 * @param {number} how.width
 * @param {boolean} how.dots  Also each point by itself, where they lie far apart.
 * @param {number} how.hair  Above 0: draw in lines of one device pixel, one beside the other. A line that is wider than
 *   that by a little takes a canvas without GPU 20 times as long.
 */
function stroke(pen, line, { px, mid, starts }, { width, dots, hair }) {
  if (!px.length) return;
  const apart = px.length > 1 ? (px[px.length - 1] - px[0]) / (px.length - 1) : Infinity;
  // A dash on dense noise costs much and shows nothing; a smoothed line has one point for each pixel at most.
  const dashed = line.smooth !== null || apart > 4;
  pen.setLineDash(line.old ? [1.5, 3] : dashed ? DASHES[line.run.dash] : []);
  pen.lineWidth = hair ? 1 / hair : width;
  for (const [right, down] of hair ? hairsOf(width, hair) : ONE_LINE) {
    pen.beginPath();
    for (let i = 0; i < px.length; i += 1) {
      if (i && !starts.has(i)) pen.lineTo(px[i] + right, mid[i] + down);
      else pen.moveTo(px[i] + right, mid[i] + down);
    }
    pen.stroke();
  }
  if (apart < DOTS_APART || line.old || (!dots && px.length > 1)) return;
  pen.setLineDash([]);
  pen.fillStyle = pen.strokeStyle;
  pen.beginPath();
  for (let i = 0; i < px.length; i += 1) {
    pen.moveTo(px[i] + 2.25, mid[i]);
    pen.arc(px[i], mid[i], px.length === 1 ? 3 : 2.25, 0, 2 * Math.PI);
  }
  pen.fill();
}
