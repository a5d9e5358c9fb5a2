// What can be chosen for charts: for all of them above the grid, for one in its menu.
import { h } from "./dom.js";

/**
 * @typedef {Object} Settings
 * @property {string} axis  step, epoch, time, relative or a metric.
 * @property {number|null} smooth  Weight of the past; null: the usual.
 * @property {boolean} logx
 * @property {boolean} logy
 * @property {number|null} ymin
 * @property {number|null} ymax
 * @property {string} band  std, sem or range: what is drawn around the mean of a group.
 * @property {boolean} old  Stretches that a resume has taken the place of.
 */
/** @typedef {(changes: Partial<Settings>, push: boolean) => void} Change */

/** @type {[string, string][]} */
const AXES = [["step", "step"], ["epoch", "epoch"], ["time", "time"], ["relative", "time since the start"]];
/** @type {[string, string][]} */
const BANDS = [["std", "mean ± std"], ["sem", "mean ± sem"], ["range", "min to max"]];
const MOST_SMOOTH = 0.999;
const SLIDER_STEPS = 100;
const POINTS = ["", "100", "400", "1000", "2000", "5000"];

/**
 * A slider moves evenly over how many points the average looks back: 0, 0.5, 0.9, 0.99, 0.999.
 * @param {number} place  From 0 to SLIDER_STEPS.
 */
export function weightAt(place) {
  const weight = 1 - (1 - MOST_SMOOTH) ** (place / SLIDER_STEPS);
  return place <= 0 ? 0 : Number(weight.toFixed(weight < 0.9 ? 2 : 3));
}

/** @param {number} weight */
function placeOf(weight) {
  return (SLIDER_STEPS * Math.log(1 - Math.min(weight, MOST_SMOOTH))) / Math.log(1 - MOST_SMOOTH);
}

/**
 * @param {string} label
 * @param {HTMLElement} field
 */
function labelled(label, field) {
  return h("label", { class: "chart-field" }, h("span", { class: "muted" }, label), field);
}

/**
 * The fields of all settings.
 * @param {Object} of
 * @param {() => Settings} of.settings
 * @param {() => number} of.smoothing  The weight that is drawn, chosen or not.
 * @param {Change} of.change
 * @param {() => string[]} of.metrics
 * @param {() => boolean} of.grouped
 * @param {() => boolean} of.resumed  Whether there are old stretches at all.
 */
export function settingFields({ settings, smoothing, change, metrics, grouped, resumed }) {
  const axis = h("select", { on: { change: () => change({ axis: axis.value }, true) } });
  const slider = h("input", { type: "range", min: 0, max: SLIDER_STEPS, step: 1, class: "chart-slider" });
  const weight = h("input", { type: "number", min: 0, max: MOST_SMOOTH, step: "any", class: "chart-number" });
  const usual = h("button", { class: "plain small", title: "chosen by the number of points" }, "auto");
  slider.addEventListener("input", () => {
    weight.value = String(weightAt(Number(slider.value)));
    change({ smooth: weightAt(Number(slider.value)) }, false);
  });
  weight.addEventListener("change", () => {
    const value = Number(weight.value);
    const chosen = weight.value !== "" && value >= 0 ? Math.min(value, MOST_SMOOTH) : null;
    weight.value = String(chosen ?? settings().smooth ?? smoothing());
    if (chosen !== null) change({ smooth: chosen }, true);
  });
  usual.addEventListener("click", () => change({ smooth: null }, true));
  const toggle = (/** @type {"logx"|"logy"|"old"} */ name, /** @type {string} */ text) =>
    h("button", { on: { click: () => change({ [name]: !settings()[name] }, true) } }, text);
  const [logx, logy, old] = [toggle("logx", "log x"), toggle("logy", "log y"), toggle("old", "old attempts")];
  const options = BANDS.map(([value, text]) => h("option", { value }, text));
  const band = h("select", { on: { change: () => change({ band: band.value }, true) } }, options);
  const bandField = labelled("band", band);
  weight.setAttribute("aria-label", "smoothing, as a number");
  const smoothField = h("span", { class: "chart-field" }, labelled("smoothing", slider), weight, usual);

  function update() {
    const now = settings();
    const known = [...AXES, ...metrics().map((name) => /** @type {[string, string]} */ ([name, name]))];
    if (!known.some(([value]) => value === now.axis)) known.push([now.axis, now.axis]);
    if (axis.options.length !== known.length || axis.value !== now.axis) {
      axis.replaceChildren(...known.map(([value, text]) => h("option", { value, selected: value === now.axis }, text)));
    }
    const drawn = now.smooth ?? smoothing();
    if (document.activeElement !== weight) weight.value = String(drawn);
    if (document.activeElement !== slider) slider.value = String(placeOf(drawn));
    usual.setAttribute("aria-pressed", String(now.smooth === null));
    logx.setAttribute("aria-pressed", String(now.logx));
    logy.setAttribute("aria-pressed", String(now.logy));
    old.setAttribute("aria-pressed", String(now.old));
    old.hidden = !resumed();
    bandField.hidden = !grouped();
    band.value = now.band;
  }
  update();
  return { fields: [labelled("x", axis), smoothField, logx, logy, old, bandField], update };
}

/**
 * The ends of y, as two fields.
 * @param {() => Settings} settings
 * @param {Change} change
 */
function rangeFields(settings, change) {
  const one = (/** @type {"ymin"|"ymax"} */ name, /** @type {string} */ label) => {
    const field = h("input", { type: "number", step: "any", class: "chart-number", value: settings()[name] ?? "" });
    field.addEventListener("change", () => change({ [name]: field.value === "" ? null : Number(field.value) }, true));
    return labelled(label, field);
  };
  return h("div", { class: "row" }, one("ymin", "y from"), one("ymax", "to"));
}

/**
 * The menu of one chart: its data, its picture, and settings that differ from those of all charts.
 * @param {HTMLElement} button
 * @param {{metric: string, host: import("./chart-content.js").Host, act: (what: "data"|"csv"|"png"|"svg"|"link") => any, shown: () => boolean}} of
 */
export function openMenu(button, { metric, host, act, shown }) {
  const settings = () => host.settings(metric);
  const change = (/** @type {Partial<Settings>} */ changes, /** @type {boolean} */ push) => {
    host.set(metric, changes, push);
    fields.update();
  };
  const fields = settingFields({
    ...{ settings, change, metrics: host.metrics, grouped: host.grouped, resumed: host.resumed },
    smoothing: () => host.smoothing(metric),
  });
  const item = (/** @type {"data"|"csv"|"png"|"svg"|"link"} */ what, /** @type {string} */ text) =>
    h("button", { on: { click: () => choose(what) } }, text);
  const reset = h("button", { class: "plain", on: { click: () => change(host.common(), true) } }, "as all charts");
  const menu = h(
    "div",
    { class: "popup chart-menu", popover: "auto", role: "dialog", "aria-label": `settings of ${metric}` },
    h("div", { class: "row" }, item("data", shown() ? "show the chart" : "show the data"), item("link", "copy link")),
    h("div", { class: "row" }, item("csv", "CSV"), item("png", "PNG"), item("svg", "SVG")),
    h("h4", {}, "This chart only"),
    fields.fields,
    rangeFields(settings, change),
    reset,
  );
  const close = showMenu(button, menu);
  function choose(/** @type {"data"|"csv"|"png"|"svg"|"link"} */ what) {
    act(what);
    close();
  }
}

/**
 * What few need: how many points a curve is drawn with.
 * @param {import("./router.js").State} state
 */
export function moreButton(state) {
  const button = h("button", { "aria-label": "more settings", title: "more", "aria-haspopup": "dialog" }, "⋯");
  button.addEventListener("click", () => {
    const options = POINTS.map((points) => h("option", { value: points }, points || "as many as fit"));
    const select = h("select", { on: { change: () => state.set({ points: select.value }, { push: true }) } }, options);
    select.value = POINTS.includes(state.text("points")) ? state.text("points") : "";
    const about = "Where a run has more steps than that, a point stands for several: their mean, minimum and maximum.";
    const field = labelled("points of a curve", select);
    const look = { class: "popup chart-menu", popover: "auto", role: "dialog", "aria-label": "more settings" };
    showMenu(button, h("div", look, field, h("p", { class: "muted small" }, about)));
  });
  return button;
}

/**
 * Open a menu below its button.
 * @param {HTMLElement} button
 * @param {HTMLElement} menu
 * @returns {() => void} How to close it.
 */
function showMenu(button, menu) {
  const hide = () => menu.hidePopover(); // Back leads to another page
  addEventListener("popstate", hide);
  menu.addEventListener("toggle", (/** @type {any} */ event) => {
    if (event.newState !== "closed") return;
    removeEventListener("popstate", hide);
    menu.remove();
  });
  document.body.append(menu);
  menu.showPopover();
  const at = button.getBoundingClientRect();
  menu.style.left = `${Math.max(4, Math.min(at.right - menu.offsetWidth, innerWidth - menu.offsetWidth - 4))}px`;
  menu.style.top = `${Math.max(4, Math.min(at.bottom + 2, innerHeight - menu.offsetHeight - 4))}px`;
  /** @type {HTMLElement|null} */ (menu.querySelector("button, select"))?.focus();
  return () => {
    menu.hidePopover();
    button.focus();
  };
}
