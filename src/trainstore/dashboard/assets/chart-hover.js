// Pointing at charts: the line across all of them, the tip with the nearest runs, dragging a range, keys.
import { segment } from "./chart-axes.js";
import { firstAbove, firstNotBelow, paintHighlight } from "./chart-draw.js";
import { formatAxisValue, reaches, readingsAt, readValue, showTip } from "./chart-tip.js";
import { announce, h } from "./dom.js";
import { formatNumber } from "./format.js";
import { signal } from "./signals.js";

/** @typedef {import("./chart-draw.js").Picture} Picture */
/** @typedef {import("./chart-draw.js").Line} Line */
/** @typedef {{axis: string, x: number, uid: string, chart: object}|null} Pointed  Where, and at which run. */
/** @typedef {{pointed: import("./signals.js").Signal<Pointed>, pinned: import("./signals.js").Signal<object|null>}} Sync */
/** @typedef {import("./chart-tip.js").Reading} Reading */

const DRAGGED = 4; // pixels: less is a click
const MARK_REACH = 5; // pixels
/** @type {Record<string, string>} */
const MARK_SIGNS = { checkpoint: "▲", event: "◆", resume: "▶", alert: "▼" };

/**
 * What the charts of a panel have in common.
 * @returns {Sync}
 */
export function makeSync() {
  return { pointed: signal(/** @type {Pointed} */ (null)), pinned: signal(/** @type {object|null} */ (null)) };
}

/**
 * @param {Object} chart
 * @param {HTMLElement} chart.plot  Takes the focus and the pointer.
 * @param {HTMLCanvasElement} chart.overlay
 * @param {HTMLCanvasElement} chart.marked  Below it: the line of the run that is pointed at, which stays longer.
 * @param {() => Picture|null} chart.picture
 * @param {() => string} chart.axis
 * @param {Sync} chart.sync
 * @param {(reading: Reading) => [string, string][]} chart.also  Other axes at a point: name and value.
 * @param {(range: [number, number]) => void} chart.zoomX
 * @param {(range: [number, number]) => void} chart.zoomY
 * @param {() => void} chart.reset
 * @param {(event: KeyboardEvent) => boolean} chart.key  Other keys; whether it was one.
 */
export function attachHover({ plot, overlay, marked, picture, axis, sync, also, zoomX, zoomY, reset, key }) {
  const self = {};
  const tip = h("div", { class: "chart-tip popup", hidden: true });
  plot.append(tip);
  let [frame, mouseX, mouseY, line] = [0, NaN, NaN, -1];
  let above = { line: /** @type {Line|null} */ (null), picture: /** @type {Picture|null} */ (null) };
  /** @type {{x: number, y: number, shift: boolean, moved: boolean}|null} */
  let drag = null;

  const own = () => sync.pointed.get()?.chart === self;
  const later = () => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      paint();
    });
  };

  function paint() {
    const shown = picture();
    const pointed = sync.pointed.get();
    const pen = cleared(overlay, shown);
    if (!shown || !shown.width) return;
    if (drag?.moved) paintDrag(pen, shown);
    if (!pointed || pointed.axis !== axis()) {
      tip.hidden = true;
      mark(null, shown);
      return;
    }
    const at = shown.x.pixel(pointed.x);
    const inside = at >= shown.plot.left - 1 && at <= shown.plot.right + 1;
    const nearest = inside ? readingsAt(shown.lines, shown.x, pointed.x, nearness(shown)) : [];
    const readings = nearest.filter((reading) => reaches(reading, shown.x, pointed.x));
    const chosen = own() && Number.isFinite(mouseY) && readings.length ? readings[0].line.run.uid : pointed.uid;
    const near = readings.find((reading) => reading.line.run.uid === chosen);
    if (own() && chosen !== pointed.uid) pointed.uid = chosen;
    mark(near && shown.lines.length > 1 ? near.line : null, shown);
    if (inside) {
      pen.strokeStyle = shown.look.muted;
      pen.lineWidth = 1;
      segment(pen, Math.round(at) + 0.5, shown.plot.top, Math.round(at) + 0.5, shown.plot.bottom);
    }
    for (const reading of readings.length > 10 ? [near] : readings) if (reading) dot(pen, shown, reading);
    if (own() && readings.length && !drag?.moved) {
      showTip(tip, shown, readings, axis(), [...also(readings[0]), ...marksAt(shown, pointed.x)]);
    }
    else tip.hidden = true;
  }

  /** @param {HTMLCanvasElement} canvas @param {Picture|null} shown */
  function cleared(canvas, shown) {
    const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    const ratio = shown ? canvas.width / shown.width : 1;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    return pen;
  }

  /** @param {Line|null} one @param {Picture} shown */
  function mark(one, shown) {
    if (one === above.line && shown === above.picture) return;
    above = { line: one, picture: shown };
    const pen = cleared(marked, shown);
    if (one) paintHighlight(pen, one, shown);
  }

  /** Checkpoints, events and so on. @param {Picture} shown @param {number} x @returns {[string, string][]} */
  function marksAt(shown, x) {
    const at = shown.x.pixel(x);
    const near = shown.points.filter((point) => Math.abs(shown.x.pixel(point.at) - at) <= MARK_REACH);
    return near.slice(0, 4).map((point) => [MARK_SIGNS[point.kind] ?? "◆", point.label]);
  }

  /** @param {Picture} shown */
  function nearness(shown) {
    return (/** @type {Line} */ one, /** @type {number} */ i) => {
      const y = shown.y ? shown.y.pixel((one.smooth ?? one.mean)[i]) : 0;
      const from = Number.isFinite(mouseY) ? mouseY : 0;
      const across = Math.max(0, Math.abs(shown.x.pixel(one.x[i]) - (Number.isFinite(mouseX) ? mouseX : 0)) - 12);
      return Math.hypot(y - from, across);
    };
  }

  /** @param {CanvasRenderingContext2D} pen @param {Picture} shown @param {Reading} reading */
  function dot(pen, shown, reading) {
    const [x, y] = [shown.x.pixel(reading.line.x[reading.i]), shown.y ? shown.y.pixel(readValue(reading)) : NaN];
    if (!(x >= shown.plot.left - 1 && x <= shown.plot.right + 1) || !Number.isFinite(y)) return;
    pen.fillStyle = shown.look.runs[reading.line.run.colour];
    pen.strokeStyle = shown.look.bg;
    pen.lineWidth = 1.5;
    pen.beginPath();
    pen.arc(x, y, 4, 0, 2 * Math.PI);
    pen.fill();
    pen.stroke();
  }

  /** @param {CanvasRenderingContext2D} pen @param {Picture} shown */
  function paintDrag(pen, { plot: box, look }) {
    if (!drag) return;
    pen.fillStyle = look.text;
    pen.globalAlpha = 0.12;
    if (drag.shift) pen.fillRect(box.left, Math.min(drag.y, mouseY), box.right - box.left, Math.abs(mouseY - drag.y));
    else pen.fillRect(Math.min(drag.x, mouseX), box.top, Math.abs(mouseX - drag.x), box.bottom - box.top);
    pen.globalAlpha = 1;
  }

  const stops = [
    sync.pointed.listen(later),
    sync.pinned.listen((chart) => tip.classList.toggle("pinned", chart === self)),
  ];
  const sizes = new ResizeObserver(later); // a tip that has grown may reach beyond its panel
  sizes.observe(tip);
  const at = (/** @type {PointerEvent|MouseEvent} */ event) => {
    const box = plot.getBoundingClientRect();
    [mouseX, mouseY] = [event.clientX - box.left, event.clientY - box.top];
  };
  const within = (/** @type {number} */ x, /** @type {Picture} */ { plot: box }) => Math.max(box.left, Math.min(box.right, x));

  function point() {
    const shown = picture();
    if (!shown || sync.pinned.get()) return;
    const x = shown.x.value(within(mouseX, shown));
    sync.pointed.set({ axis: axis(), x, uid: sync.pointed.get()?.uid ?? "", chart: self });
  }

  function finishDrag() {
    const shown = picture();
    if (!drag || !shown) return;
    const { x, y, shift, moved } = drag;
    drag = null;
    if (!moved) {
      sync.pinned.set(sync.pinned.get() ? null : self);
      point();
    } else if (shift && shown.y) {
      const [a, b] = [shown.y.value(y), shown.y.value(mouseY)];
      if (a !== b) zoomY([Math.min(a, b), Math.max(a, b)]);
    } else if (!shift) {
      const [a, b] = [shown.x.value(within(x, shown)), shown.x.value(within(mouseX, shown))];
      if (a !== b) zoomX([Math.min(a, b), Math.max(a, b)]);
    }
    later();
  }

  plot.addEventListener("pointermove", (event) => {
    if (sync.pinned.get() && !drag) return;
    at(event);
    if (drag && Math.hypot(mouseX - drag.x, mouseY - drag.y) > DRAGGED) drag.moved = true;
    point();
    later();
  });
  plot.addEventListener("pointerleave", () => {
    if (drag || sync.pinned.get()) return;
    [mouseX, mouseY] = [NaN, NaN];
    if (own()) sync.pointed.set(null);
  });
  plot.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || tip.contains(/** @type {Node} */ (event.target))) return;
    at(event);
    drag = { x: mouseX, y: mouseY, shift: event.shiftKey, moved: false };
    plot.setPointerCapture(event.pointerId);
  });
  plot.addEventListener("pointerup", (event) => {
    if (!drag) return; // in the tip
    at(event);
    finishDrag();
  });
  plot.addEventListener("pointercancel", () => {
    drag = null;
    later();
  });
  plot.addEventListener("dblclick", (event) => {
    if (!tip.contains(/** @type {Node} */ (event.target))) reset(); // there it chooses a word
  });
  plot.addEventListener("blur", () => {
    if (own() && !Number.isFinite(mouseX)) sync.pointed.set(null);
  });

  /** Along the points, and from run to run. @param {number} along @param {number} between */
  function read(along, between) {
    const shown = picture();
    const lines = shown ? shown.lines.filter((one) => one.x.length) : [];
    if (!shown || !lines.length) return announce("no values");
    const before = sync.pointed.get();
    if (!lines[line] || (before && lines[line].run.uid !== before.uid)) {
      const known = lines.map((one) => one.run.uid).lastIndexOf(before?.uid ?? ""); // its old stretches come before
      line = known >= 0 ? known : Math.max(0, lines.findIndex((one) => !one.old));
    }
    line = Math.min(lines.length - 1, Math.max(0, line + between));
    const one = lines[line];
    const [reading] = readingsAt([one], shown.x, before?.axis === axis() ? before.x : shown.x.low, () => 0);
    const from = firstNotBelow(one.x, shown.x.low);
    const to = Math.max(from, firstAbove(one.x, shown.x.high) - 1);
    const i = Math.min(Math.min(to, one.x.length - 1), Math.max(from, reading.i + (before ? along : 0)));
    [mouseX, mouseY] = [shown.x.pixel(one.x[i]), shown.y ? shown.y.pixel((one.smooth ?? one.mean)[i]) : NaN];
    sync.pinned.set(null);
    sync.pointed.set({ axis: axis(), x: one.x[i], uid: one.run.uid, chart: self });
    const signs = marksAt(shown, one.x[i]).map(([, label]) => label);
    const others = [...also({ line: one, i, distance: 0 }).map(([name, value]) => `${name} ${value}`), ...signs];
    const smooth = one.smooth ? `, smoothed ${formatNumber(one.smooth[i])}` : "";
    const place = [`${shown.xLabel} ${formatAxisValue(axis(), one.x[i])}`, ...others].join(", ");
    announce(`${one.run.label || one.run.name}: ${place}: ${formatNumber(one.mean[i])}${smooth}`);
  }

  function letGo() {
    sync.pinned.set(null);
    sync.pointed.set(null);
  }

  /** @type {Record<string, [number, number]>} */
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], Home: [-1e9, 0], End: [1e9, 0] };
  plot.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const move = moves[event.key];
    if (move) read(move[0] * (event.shiftKey ? 10 : 1), move[1]);
    else if (event.key === "Escape" && sync.pinned.get()) letGo();
    else if (!key(event)) {
      if (event.key !== "Escape" || !sync.pointed.get()) return;
      letGo();
    }
    event.preventDefault();
    event.stopPropagation();
  });

  return {
    repaint: later,
    dispose() {
      cancelAnimationFrame(frame);
      sizes.disconnect();
      for (const stop of stops) stop();
      if (sync.pinned.get() === self) sync.pinned.set(null); // it would keep the others from being pointed at
      if (own()) sync.pointed.set(null);
    },
  };
}
