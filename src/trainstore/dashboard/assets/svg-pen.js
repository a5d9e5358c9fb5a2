// A pen that draws as a canvas's context does, into an SVG picture.
import { h } from "./dom.js";

/** The methods of a canvas's context that charts use. */
export class SvgPen {
  /**
   * @param {number} width
   * @param {number} height
   * @param {CanvasRenderingContext2D} ruler  Measures texts.
   */
  constructor(width, height, ruler) {
    this.ruler = ruler;
    this.root = h("svg", { xmlns: "http://www.w3.org/2000/svg", width, height, viewBox: `0 0 ${width} ${height}` });
    this.into = this.root;
    this.clips = 0;
    this.path = "";
    /** @type {number[]} */
    this.dashes = [];
    /** @type {any[]} */
    this.kept = [];
    this.strokeStyle = this.fillStyle = "#000";
    this.lineWidth = this.globalAlpha = 1;
    this.font = "11px sans-serif";
    this.textAlign = /** @type {CanvasTextAlign} */ ("left");
    this.textBaseline = /** @type {CanvasTextBaseline} */ ("alphabetic");
    this.lineJoin = /** @type {CanvasLineJoin} */ ("round");
  }

  beginPath() {
    this.path = "";
  }

  /** @param {number} x @param {number} y */
  moveTo(x, y) {
    this.path += `M${short(x)} ${short(y)}`;
  }

  /** @param {number} x @param {number} y */
  lineTo(x, y) {
    this.path += `L${short(x)} ${short(y)}`;
  }

  /**
   * A whole circle.
   * @param {number} x
   * @param {number} y
   * @param {number} radius
   * @param {number} _from
   * @param {number} _to
   */
  arc(x, y, radius, _from, _to) {
    const r = short(radius);
    this.path += `M${short(x + radius)} ${short(y)}a${r} ${r} 0 1 1 ${-2 * r} 0a${r} ${r} 0 1 1 ${2 * r} 0`;
  }

  /** @param {number} x @param {number} y @param {number} width @param {number} height */
  rect(x, y, width, height) {
    this.path += `M${short(x)} ${short(y)}h${short(width)}v${short(height)}h${short(-width)}z`;
  }

  closePath() {
    this.path += "z";
  }

  /** @param {number[]} dashes */
  setLineDash(dashes) {
    this.dashes = dashes;
  }

  stroke() {
    const dashes = this.dashes.length ? this.dashes.join(" ") : null;
    const pen = { fill: "none", stroke: this.strokeStyle, "stroke-width": this.lineWidth, "stroke-dasharray": dashes };
    this.add(h("path", { d: this.path, ...pen, "stroke-linejoin": this.lineJoin, opacity: this.alpha() }));
  }

  fill() {
    this.add(h("path", { d: this.path, fill: this.fillStyle, opacity: this.alpha() }));
  }

  /** @param {number} x @param {number} y @param {number} width @param {number} height */
  fillRect(x, y, width, height) {
    this.add(h("rect", { x, y, width, height, fill: this.fillStyle, opacity: this.alpha() }));
  }

  /** @param {string} text @param {number} x @param {number} y */
  fillText(text, x, y) {
    const anchor = { left: "start", center: "middle", right: "end", start: "start", end: "end" }[this.textAlign];
    const size = Number.parseFloat(this.font);
    const down = { top: 0.85 * size, middle: 0.35 * size, bottom: -0.2 * size }[String(this.textBaseline)] ?? 0;
    const font = { "font-size": size, "font-family": this.font.replace(/^[^ ]+ /, "") };
    this.add(h("text", { x: short(x), y: short(y + down), "text-anchor": anchor, fill: this.fillStyle, ...font }, text));
  }

  /** @param {string} text */
  measureText(text) {
    this.ruler.font = this.font;
    return this.ruler.measureText(text);
  }

  clip() {
    this.clips += 1;
    const id = `clip${this.clips}`;
    const clip = document.createElementNS("http://www.w3.org/2000/svg", "clipPath");
    clip.id = id;
    clip.append(h("path", { d: this.path }));
    const group = h("g", { "clip-path": `url(#${id})` });
    this.into.append(clip, group);
    this.into = group;
  }

  save() {
    this.kept.push([this.into, this.strokeStyle, this.fillStyle, this.lineWidth, this.globalAlpha, this.dashes]);
  }

  restore() {
    [this.into, this.strokeStyle, this.fillStyle, this.lineWidth, this.globalAlpha, this.dashes] = this.kept.pop();
  }

  /** @param {Element} element */
  add(element) {
    this.into.append(element);
  }

  alpha() {
    return this.globalAlpha < 1 ? short(this.globalAlpha) : null;
  }

  /** @returns {string} The picture as a file. */
  text() {
    return `<?xml version="1.0" encoding="UTF-8"?>\n${new XMLSerializer().serializeToString(this.root)}`;
  }
}

/** @param {number} pixels */
function short(pixels) {
  return Math.round(pixels * 100) / 100;
}
