// The beginning: where the data comes from, and which page is shown.
import { showBar } from "./bar.js";
import { setClock } from "./clock.js";
import { comparePage } from "./compare.js";
import { fill, h } from "./dom.js";
import { hasEmbeddedData } from "./embedded.js";
import { healthPage } from "./health.js";
import { startKeys } from "./keys.js";
import { startLive } from "./live.js";
import { latestPage } from "./latest.js";
import { startRouter } from "./router.js";
import { runPage } from "./run.js";
import { runList } from "./run-list.js";
import { runsPage } from "./runs.js";
import { fileSource } from "./source-file.js";
import { httpSource, saveToken, takeToken } from "./source-http.js";
import { startTheme } from "./theme.js";

/** @type {Record<string, (context: import("./types.js").Context) => import("./types.js").Page>} */
const PAGES = {
  compare: comparePage,
  health: healthPage,
  latest: latestPage,
  run: runPage,
  runs: runsPage,
};
const PAGE_TITLES = { compare: "Compare", health: "Health", latest: "Latest", run: "Run" }; // the first page has the store's
const RETRY_MS = 3000;
let retry = 0;
let isStarted = false;

async function begin() {
  clearTimeout(retry);
  const page = /** @type {HTMLElement} */ (document.getElementById("page"));
  let source;
  let meta;
  try {
    source = hasEmbeddedData() ? await fileSource() : httpSource();
    meta = await source.meta();
  } catch (error) {
    fill(page, trouble(error, begin));
    if (soonBack(error)) retry = setTimeout(begin, RETRY_MS);
    return;
  }
  start(source, meta, page);
}

/**
 * Whether an error goes away by itself.
 * @param {any} error
 */
function soonBack({ status }) {
  return status === 0 || status === 503;
}

/**
 * @param {import("./types.js").Source} source
 * @param {import("./types.js").Meta} meta
 * @param {HTMLElement} page
 */
function start(source, meta, page) {
  isStarted = true;
  setClock(source.can.live ? meta.now : NaN);
  const { route, state } = startRouter();
  const list = runList(source, state, meta.limits.runs);
  const live = source.can.live ? startLive({ source, state }) : null;
  const context = { source, meta, route, state, live, list };
  const pages = pagesOf(source);
  showBar(/** @type {HTMLElement} */ (document.getElementById("bar")), context, pages);
  startKeys();
  /** @type {import("./types.js").Page|null} */
  let shown = null;
  const show = () => {
    shown?.dispose();
    shown = null;
    const make = pages.includes(route.get().page) ? PAGES[route.get().page] : null;
    const title = PAGE_TITLES[/** @type {"run"} */ (route.get().page)];
    document.title = [title, meta.title || "trainstore"].filter(Boolean).join(" · "); // a run puts its name there
    try {
      shown = make ? make(context) : { element: noSuchPage(route.get().page), dispose() {} };
      fill(page, shown.element);
    } catch (error) {
      fill(page, trouble(error, show));
      throw error; // the console has the rest
    }
  };
  route.listen(() => {
    show();
    const isBusy = document.activeElement?.matches("#bar input, #bar select"); // a filter is being typed, say
    if (!isBusy) page.focus({ preventScroll: true }); // the link that was followed may be gone
  });
  show();
}

/**
 * A report has no page of what goes on now.
 * @param {import("./types.js").Source} source
 */
function pagesOf(source) {
  return Object.keys(PAGES).filter((name) => source.can.live || !["latest", "health"].includes(name));
}

/** @param {string} name */
function noSuchPage(name) {
  return h(
    "div",
    { class: "empty" },
    h("h1", {}, `There is no page “${name}”`),
    h("p", {}, h("a", { href: "#/runs" }, "To the runs")),
  );
}

/**
 * What went wrong, and what to do.
 * @param {any} error
 * @param {() => void} again
 */
function trouble(error, again) {
  if (error.status === 401) return tokenForm(again);
  const titles = {
    0: "The server does not answer",
    503: error.code === "schema" ? "The store needs an upgrade" : "The database is away",
  };
  const title =
    titles[/** @type {0|503} */ (error.status)] ?? (error.status ? "The store cannot be read" : "This page failed");
  return h(
    "div",
    { class: "empty" },
    h("h1", {}, title),
    h("p", {}, error.message),
    error.hint && h("p", {}, error.hint),
    h("p", {}, h("button", { on: { click: again } }, "Try again")),
    soonBack(error) && h("p", { class: "small" }, "The page also tries again by itself."),
  );
}

/** @param {() => void} again */
function tokenForm(again) {
  const field = h("input", { type: "password", "aria-label": "Token", autocomplete: "off", required: true });
  const send = (/** @type {Event} */ event) => {
    event.preventDefault();
    saveToken(field.value.trim());
    again();
  };
  return h(
    "div",
    { class: "empty" },
    h("h1", {}, "This dashboard asks for its token"),
    h("p", {}, "Open the link that ", h("code", {}, "trainstore ui"), " has printed, or paste the token from it:"),
    h("form", { class: "row token-form", on: { submit: send } }, field, h("button", { class: "primary" }, "Open")),
  );
}

/** The link with the token may also be opened in a tab that shows a page already. */
function takeLaterToken() {
  if (!takeToken()) return;
  if (isStarted) location.reload();
  else begin();
}

startTheme();
if (!hasEmbeddedData()) {
  takeToken();
  for (const kind of ["popstate", "hashchange"]) addEventListener(kind, takeLaterToken); // before the router reads it
}
begin();
