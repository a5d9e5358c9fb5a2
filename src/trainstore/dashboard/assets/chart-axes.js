// What stands around and behind the lines of a chart: grid, ticks, attempts, checkpoints, and where a value is NaN.

/** @typedef {import("./chart-draw.js").Picture} Picture */
/** @typedef {import("./chart-draw.js").Pen} Pen */

const TICK_GAP = 6;
const SIGN_WIDTH = 8;

/**
 * The grid and what its lines stand for.
 * @param {Pen} pen
 * @param {Picture} picture
 */
export function paintAxes(pen, { x, y, plot, look, xLabel }) {
  pen.font = `${look.size}px ${look.font}`;
  pen.lineWidth = 1;
  pen.strokeStyle = look.line;
  pen.fillStyle = look.muted;
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  for (const { value, label } of y ? y.ticks(Math.max(2, Math.floor((plot.bottom - plot.top) / 38))) : []) {
    const at = Math.round(/** @type {NonNullable<typeof y>} */ (y).pixel(value)) + 0.5;
    if (at < plot.top - 1 || at > plot.bottom + 1) continue;
    segment(pen, plot.left, at, plot.right, at);
    pen.fillText(label, plot.left - TICK_GAP, at);
  }
  pen.textBaseline = "top";
  pen.textAlign = "center";
  const room = pen.measureText(xLabel).width + 10;
  let free = plot.left - 30;
  for (const { value, label } of x.ticks(Math.max(2, Math.floor((plot.right - plot.left) / 70)))) {
    const at = Math.round(x.pixel(value)) + 0.5;
    if (at < plot.left - 1 || at > plot.right + 1) continue;
    segment(pen, at, plot.top, at, plot.bottom);
    const half = pen.measureText(label).width / 2;
    if (at - half < free || at + half > plot.right - room) continue; // the name of the axis stands there
    pen.fillText(label, at, plot.bottom + 4);
    free = at + half + 8;
  }
  pen.textAlign = "right";
  pen.fillText(xLabel, plot.right, plot.bottom + 4);
  pen.strokeStyle = look.edge;
  segment(pen, plot.left, plot.bottom + 0.5, plot.right, plot.bottom + 0.5);
}

/**
 * @param {Pen} pen
 * @param {number} x
 * @param {number} y
 * @param {number} toX
 * @param {number} toY
 */
export function segment(pen, x, y, toX, toY) {
  pen.beginPath();
  pen.moveTo(x, y);
  pen.lineTo(toX, toY);
  pen.stroke();
}

/**
 * Attempts shaded, gaps hatched: behind the lines.
 * @param {Pen} pen
 * @param {Picture} picture
 */
export function paintSpans(pen, { x, plot, spans, look }) {
  let dark = false;
  for (const { from, to, kind } of spans) {
    const left = Math.max(plot.left, x.pixel(from));
    const right = Math.min(plot.right, x.pixel(to));
    if (kind === "attempt") dark = !dark;
    if (!(right >= left) || right < plot.left || left > plot.right) continue;
    if (kind === "gap") {
      hatch(pen, left, plot.top, Math.max(right, left + 3), plot.bottom, look.muted);
      continue;
    }
    if (kind === "superseded") {
      // Above the attempt that trained these steps again.
      pen.strokeStyle = look.muted;
      pen.setLineDash([2, 3]);
      segment(pen, left, plot.top + 0.5, right, plot.top + 0.5);
      pen.setLineDash([]);
      continue;
    }
    pen.fillStyle = look.shade;
    if (dark) pen.fillRect(left, plot.top, right - left, plot.bottom - plot.top);
    if (kind !== "attempt") continue;
    pen.strokeStyle = look.edge;
    if (left > plot.left + 1) segment(pen, Math.round(left) + 0.5, plot.top, Math.round(left) + 0.5, plot.bottom);
  }
}

/**
 * The names of attempts, above the grid.
 * @param {Pen} pen
 * @param {Picture} picture
 */
export function paintSpanNames(pen, { x, plot, spans, look, lanes }) {
  pen.font = `${look.size}px ${look.font}`;
  pen.textBaseline = "top";
  pen.textAlign = "left";
  let dark = false;
  for (const { from, to, label, kind } of spans) {
    if (kind !== "attempt") continue;
    dark = !dark;
    const left = Math.max(plot.left, x.pixel(from)) + 4;
    const room = Math.min(plot.right, x.pixel(to)) - 2 - left;
    // The whole name, or as much as there is room for: "attempt 2, resumed at 1,200", "attempt 2", "2".
    const short = label.split(",")[0];
    const fitting = [label, short, short.replace(/\D+/, "")].find((text) => text && pen.measureText(text).width <= room);
    if (!fitting) continue;
    for (const colour of dark ? [look.bg, look.shade] : [look.bg]) {
      pen.fillStyle = colour;
      pen.fillRect(left - 1, lanes.spans - 1, pen.measureText(fitting).width + 2, look.size + 2);
    }
    pen.fillStyle = look.muted;
    pen.fillText(fitting, left, lanes.spans);
  }
}

/**
 * @param {Pen} pen
 * @param {number} left
 * @param {number} top
 * @param {number} right
 * @param {number} bottom
 * @param {string} colour
 */
function hatch(pen, left, top, right, bottom, colour) {
  pen.save();
  pen.beginPath();
  pen.rect(left, top, right - left, bottom - top);
  pen.clip();
  pen.globalAlpha = 0.35;
  pen.strokeStyle = colour;
  pen.lineWidth = 1;
  pen.beginPath();
  for (let at = left - (bottom - top); at < right; at += 6) {
    pen.moveTo(at, bottom);
    pen.lineTo(at + (bottom - top), top);
  }
  pen.stroke();
  pen.restore();
}

/**
 * Checkpoints, events, resumes and alerts: signs on the foot of the chart.
 * @param {Pen} pen
 * @param {Picture} picture
 */
export function paintPoints(pen, { x, plot, points, look, lanes }) {
  let [taken, raised] = [-Infinity, false];
  const alertsLast = (/** @type {{kind: string}} */ { kind }) => Number(kind === "alert"); // no other sign hides them
  for (const { at, kind, colour } of [...points].sort((a, b) => a.at - b.at || alertsLast(a) - alertsLast(b))) {
    const place = x.pixel(at);
    if (!(place >= plot.left && place <= plot.right)) continue;
    raised = place - taken < SIGN_WIDTH && !raised; // where two would lie on each other, one stands above
    taken = place;
    pen.fillStyle = kind === "alert" ? look.bad : colour ?? look.text;
    sign(pen, kind, place, lanes.points - (raised ? SIGN_WIDTH : 0));
  }
}

/**
 * What the signs on the foot of a chart say; a resume has its name above.
 * @param {{kind: string}[]} points
 * @returns {string}
 */
export function signsText(points) {
  const signs = { checkpoint: "▲", event: "◆", alert: "▼" };
  const there = new Set(points.map(({ kind }) => kind));
  return Object.entries(signs).filter(([kind]) => there.has(kind)).map(([kind, text]) => `${text} ${kind}`).join(", ");
}

/**
 * @param {Pen} pen
 * @param {string} kind
 * @param {number} x
 * @param {number} y
 */
function sign(pen, kind, x, y) {
  const corners = {
    checkpoint: [0, -4, 4, 3.5, -4, 3.5], // ▲
    event: [0, -4.5, 4, 0, 0, 4.5, -4, 0], // ◆
    resume: [-3.5, -4, 4, 0, -3.5, 4], // ▶
    alert: [-4, -4, 4, -4, 0, 4], // ▼
  }[kind] ?? [0, -4.5, 4, 0, 0, 4.5, -4, 0];
  polygon(pen, x, y, corners);
  pen.fill();
}

/**
 * @param {Pen} pen
 * @param {number} x
 * @param {number} y
 * @param {number[]} corners
 */
function polygon(pen, x, y, corners) {
  pen.beginPath();
  for (let i = 0; i < corners.length; i += 2) pen[i ? "lineTo" : "moveTo"](x + corners[i], y + corners[i + 1]);
  pen.closePath();
}

/**
 * Where values are not finite: × at the foot for NaN, ▼ there for −∞, ▲ at the head for ∞.
 * @param {Pen} pen
 * @param {Picture} picture
 */
export function paintOdd(pen, { x, plot, lines, look, lanes }) {
  pen.lineWidth = 1.25;
  for (const line of lines) {
    pen.strokeStyle = pen.fillStyle = look.runs[line.run.colour];
    let [foot, head] = [-Infinity, -Infinity];
    for (let i = 0; i < line.odd.length; i += 1) {
      const at = x.pixel(line.oddX[i]);
      if (!(at >= plot.left && at <= plot.right)) continue;
      const value = line.odd[i];
      if (value > 0) {
        if (at < head + 4) continue; // one sign for what would lie on top of each other
        head = at;
        polygon(pen, at, lanes.top, [0, -3.5, 3.5, 3, -3.5, 3]);
        pen.fill();
        continue;
      }
      if (at < foot + 4) continue;
      foot = at;
      const y = lanes.odd;
      if (value < 0) {
        polygon(pen, at, y, [-3.5, -3, 3.5, -3, 0, 3.5]);
        pen.fill();
      } else {
        segment(pen, at - 3, y - 3, at + 3, y + 3);
        segment(pen, at - 3, y + 3, at + 3, y - 3);
      }
    }
  }
}
