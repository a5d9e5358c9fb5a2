// One chart: its head, its canvas, its notes, and when it fetches and paints.
import { signsText } from "./chart-axes.js";
import { curvesToDraw, marksToDraw, placesElsewhere, wantCurves, whyEmpty } from "./chart-content.js";
import { openMenu } from "./chart-controls.js";
import { paintChart } from "./chart-draw.js";
import { fillDataTable, saveCsv, savePng, saveSvg } from "./chart-export.js";
import { attachHover } from "./chart-hover.js";
import { composePicture } from "./chart-picture.js";
import { copyText } from "./copy.js";
import { announce, fill, h } from "./dom.js";

/** @typedef {import("./chart-draw.js").Picture} Picture */
/** @typedef {import("./chart-content.js").Host} Host */

/** @type {Record<string, string>} */
const AXIS_NAMES = { relative: "since the start" };

/**
 * @param {string} metric
 * @param {Host} host
 */
export function chart(metric, host) {
  const canvas = h("canvas", { "aria-hidden": "true" });
  const overlay = h("canvas", { "aria-hidden": "true", class: "overlay" });
  const marked = h("canvas", { "aria-hidden": "true", class: "overlay" });
  const layers = [canvas, marked, overlay];
  const plot = h("div", { class: "chart-plot", tabindex: 0, role: "group", "aria-roledescription": "chart" }, layers);
  const middle = h("p", { class: "chart-middle muted", hidden: true });
  const data = h("div", { class: "chart-data", hidden: true, tabindex: 0, role: "region", "aria-label": `points of ${metric}` });
  const notes = h("p", { class: "chart-notes muted small" });
  const pin = h("button", { class: "plain", on: { click: () => host.togglePin(metric) } });
  const full = h("button", { class: "plain", on: { click: () => host.setFull(host.full() === metric ? "" : metric) } });
  const more = h("button", { class: "plain", "aria-label": `more for ${metric}`, title: "more", "aria-haspopup": "true" }, "⋯");
  const title = h("h3", { class: "cut", title: metric }, metric);
  const head = h("header", {}, title, h("span", { class: "chart-tools" }, pin, full, more));
  const element = h("figure", { class: "chart", data: { metric } }, head, h("div", { class: "chart-body" }, plot, data, middle), notes);

  let [inView, frame, waitsForSize] = [false, 0, true];
  /** @type {Picture|null} */
  let picture = null;
  const axis = () => host.settings(metric).axis;
  const axisName = () => AXIS_NAMES[axis()] ?? axis();

  /**
   * @param {number} width
   * @param {number} height
   * @param {number} top
   * @param {number} [ratio]
   */
  function compose(width, height, top, ratio = 0) {
    const found = curvesToDraw(metric, host);
    const look = host.look();
    const pen = canvas.getContext("2d");
    pen.font = `${look.size}px ${look.font}`;
    const settings = host.settings(metric);
    const composed = composePicture({
      ...{ curves: found.curves, width, height, look, ratio, head: top },
      options: settings,
      zoom: host.zoomOf(settings.axis),
      xLabel: axisName(),
      measure: (text) => pen.measureText(text).width,
      ...marksToDraw(metric, host, found.curves),
    });
    return { ...composed, ...found };
  }

  function paint() {
    frame = 0;
    if (!inView || !data.hidden) return void (data.hidden || fillData());
    const [width, height] = [plot.clientWidth, plot.clientHeight];
    if (!width || !height) return;
    const ratio = Math.min(window.devicePixelRatio || 1, 3);
    if (waitsForSize || canvas.width !== Math.round(width * ratio)) {
      for (const one of layers) {
        one.width = Math.round(width * ratio);
        one.height = Math.round(height * ratio);
      }
      waitsForSize = false;
    }
    const composed = compose(width, height, 0, ratio);
    picture = composed.picture;
    const pen = canvas.getContext("2d");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (hasPoints(composed.curves)) paintChart(pen, picture);
    canvas.toggleAttribute("data-drawn", hasPoints(composed.curves));
    tell(composed);
    hover.repaint();
  }

  /** @param {ReturnType<typeof compose>} composed */
  function tell({ picture: shown, notes: said, weight, curves, loading, preview, tooLong, error }) {
    const empty = !hasPoints(curves);
    const failed = error ? `could not be read: ${error.message ?? error}` : "";
    const runs = new Set(curves.map(({ run }) => run.uid)).size;
    middle.hidden = !empty;
    if (empty) fill(middle, failed || (loading ? "loading…" : whyEmpty(metric, host)));
    const bands = curves.find(({ band }) => band);
    const words = [
      !empty && failed,
      preview && `preview; ${tooLong ? "the whole run takes too long to read" : "the exact curve is being read"}`,
      bands && `mean and ${host.settings(metric).band} of each group`,
      weight > 0 && shown.lines.some((line) => line.smooth) && `smoothed ${weight}`,
      ...said,
      signsText(shown.points),
    ].filter(Boolean);
    notes.textContent = words.join(" · ");
    const retry = h("button", { class: "plain", on: { click: () => host.store.retry() } }, "try again");
    if (error) (empty ? middle : notes).append(" ", retry);
    const what = `${metric} over ${axisName()}, ${runs} ${bands ? "group" : "run"}${runs === 1 ? "" : "s"}`;
    plot.setAttribute("aria-label", `${what}. Arrow keys read points, Enter fills the screen.`);
    element.setAttribute("aria-busy", String(loading || (preview && !tooLong)));
    setButtons();
  }

  function setButtons() {
    const [pinned, filled] = [host.pinned(metric), host.full() === metric];
    pin.textContent = pinned ? "★" : "☆";
    pin.setAttribute("aria-pressed", String(pinned));
    pin.setAttribute("aria-label", pin.title = `pin ${metric}`);
    full.textContent = filled ? "✕" : "⤢";
    full.setAttribute("aria-label", full.title = filled ? "leave full screen" : `${metric} in full screen`);
  }

  function fillData() {
    const { lines } = compose(600, 300, 0).picture;
    fillDataTable(data, metric, axis(), lines);
  }

  /** @param {"data"|"csv"|"png"|"svg"|"link"} what */
  function act(what) {
    const [width, height] = [Math.max(640, plot.clientWidth), Math.max(360, plot.clientHeight)];
    const sheet = compose(width, height, 20).picture;
    if (what === "csv") saveCsv(metric, axis(), sheet.lines);
    else if (what === "png") savePng(metric, sheet);
    else if (what === "svg") saveSvg(metric, sheet);
    else if (what === "link") copyLink();
    else {
      data.hidden = !data.hidden;
      plot.hidden = !data.hidden;
      if (!data.hidden) fillData();
      else invalidate();
    }
  }

  async function copyLink() {
    const done = await copyText(host.linkTo(metric));
    notes.textContent = done ? "the link is copied" : "the browser does not allow copying; the link is the page's address";
    announce(notes.textContent);
  }

  function reset() {
    host.set(metric, { ymin: null, ymax: null }, false);
    host.zoom(axis(), null);
  }

  /** @param {KeyboardEvent} event */
  function key(event) {
    if (event.key === "Enter") host.setFull(host.full() === metric ? "" : metric);
    else if (event.key === "Escape" && host.full() === metric) host.setFull("");
    else if (event.key === "0") reset();
    else if (event.key === "z") host.zoomBack(axis());
    else return false;
    return true;
  }

  const hover = attachHover({
    ...{ plot, marked, overlay, axis, reset, key },
    also: (reading) => placesElsewhere(metric, host, reading),
    sync: host.sync,
    picture: () => picture,
    zoomX: (range) => host.zoom(axis(), range),
    zoomY: ([ymin, ymax]) => host.set(metric, { ymin, ymax }, true),
  });
  more.addEventListener("click", () => openMenu(more, { metric, host, act, shown: () => !data.hidden }));
  const sizes = new ResizeObserver(() => {
    waitsForSize = true;
    invalidate();
  });
  sizes.observe(plot);

  function invalidate() {
    element.classList.toggle("chart-full", host.full() === metric);
    if (inView) frame ||= requestAnimationFrame(paint);
  }

  setButtons();
  return {
    element,
    /** Something changed: what is fetched, or how it is drawn. */
    change() {
      if (inView) wantCurves(metric, host, false);
      invalidate();
    },
    invalidate,
    /** @param {boolean} yes */
    show(yes) {
      inView = yes;
      if (!yes) return element.removeAttribute("aria-busy"); // what comes now is drawn when it is looked at again
      wantCurves(metric, host, true); // a live run's first value may have come while nobody looked
      invalidate();
    },
    visible: () => inView,
    focus: () => plot.focus(),
    dispose() {
      cancelAnimationFrame(frame);
      sizes.disconnect();
      hover.dispose();
    },
  };
}

/** @param {import("./chart-picture.js").DrawnCurve[]} curves */
function hasPoints(curves) {
  return curves.some(({ whole }) => whole.x.length || whole.oddX.length);
}
