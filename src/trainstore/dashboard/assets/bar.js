// The bar at the top of each page: pages, project, filter, the lamp, theme and help.
import { fill, h } from "./dom.js";
import { filterField } from "./filter.js";
import { formatNumber, formatTime } from "./format.js";
import { helpWindow } from "./help.js";
import { addShortcut } from "./keys.js";
import { THEMES, chosenTheme, useTheme } from "./theme.js";

/** @typedef {import("./types.js").Context} Context */

const PAGE_LINKS = [
  ["runs", "Runs", "g r"],
  ["compare", "Compare", "g c"],
  ["latest", "Latest", "g l"],
  ["health", "Health", "g h"],
];
const LAMPS = {
  live: ["●", "live", "New steps and runs appear by themselves"],
  idle: ["●", "live", "Nothing is running; new runs appear by themselves"],
  paused: ["‖", "paused", "The page is hidden; it goes on when you look at it"],
  refused: ["⚠", "token refused", "trainstore ui was started again with another token: open the link that it printed"],
  away: ["⚠", "no answer", "The database, or trainstore ui, does not answer; the page tries again by itself"],
};

/**
 * @param {HTMLElement} place
 * @param {Context} context
 * @param {string[]} pages  Those that there are.
 */
export function showBar(place, context, pages) {
  const { state, route, meta, list, live, source } = context;
  const goTo = (/** @type {string} */ page) => {
    location.hash = state.link(page, "", page === "compare" ? { runs: state.list("runs") } : {});
  };
  const links = PAGE_LINKS.filter(([page]) => pages.includes(page));
  const nav = h("nav", { class: "bar-links", "aria-label": "Pages" });
  const drawLinks = () => {
    const now = route.get().page;
    fill(
      nav,
      links.map(([page, text]) =>
        h(
          "a",
          {
            href: state.link(page, "", page === "compare" ? { runs: state.list("runs") } : {}),
            "aria-current": page === now ? "page" : null,
          },
          text,
        ),
      ),
    );
  };

  let { projects } = meta;
  const readProjects = async () => {
    const now = await source.meta().catch(() => null); // the lamp tells of a database that is away
    if (!now || JSON.stringify(now.projects) === JSON.stringify(projects)) return;
    projects = now.projects;
    drawProjects();
  };
  const project = h("select", {
    "aria-label": "Project",
    class: "bar-project",
    on: {
      focus: readProjects,
      change: () => {
        if (route.get().page !== "runs" && route.get().page !== "latest")
          location.hash = state.link("runs", "", { project: project.value, q: null });
        else state.set({ project: project.value, runs: null, cols: null, sort: null, group: null }, { push: true });
      },
    },
  });
  const drawProjects = () => {
    const now = state.text("project");
    const known = projects.some(({ name }) => name === now) || !now;
    const names = [
      ...projects.map(({ name, runs }) => ({ name, text: `${name} (${formatNumber(runs)})` })),
      ...(known ? [] : [{ name: now, text: now }]),
    ];
    fill(
      project,
      h("option", { value: "" }, "All projects"),
      names.map(({ name, text }) => h("option", { value: name }, text)),
    );
    project.value = now;
    project.hidden = projects.length < 2 && known;
  };

  const count = h("span", { class: "bar-count muted", role: "status" });
  const drawCount = () => {
    const { count: found, loading } = list.status.get();
    const text = found === null ? "" : `${formatNumber(found)} run${found === 1 ? "" : "s"}`;
    count.textContent = text;
    count.classList.toggle("is-loading", loading);
    count.hidden = route.get().page !== "runs";
  };

  const filter = source.can.filter
    ? filterField(state, list, (q, decided) => {
        if (q && route.get().page !== "runs") {
          if (decided) location.hash = state.link("runs", "", { q });
        } else if (q !== state.text("q")) state.set({ q }, { push: true });
      })
    : null;

  const theme = h(
    "select",
    { "aria-label": "Theme", class: "bar-theme", on: { change: () => useTheme(theme.value) } },
    THEMES.map((name) =>
      h("option", { value: name }, name === "system" ? "System" : name === "dark" ? "Dark" : "Light"),
    ),
  );
  theme.value = chosenTheme();
  const help = helpWindow();
  const ask = h(
    "button",
    { class: "plain", "aria-label": "Help and keys", title: "Help and keys (?)", on: { click: help.open } },
    "?",
  );
  const skip = h(
    "a",
    {
      class: "skip",
      href: "#page",
      on: {
        click: (/** @type {Event} */ event) => {
          event.preventDefault();
          document.getElementById("page")?.focus();
        },
      },
    },
    "To the page",
  );

  fill(
    place,
    skip,
    h("a", { class: "bar-title", href: "#/runs", title: meta.store.url }, meta.title || "trainstore"),
    nav,
    project,
    h("div", { class: "bar-filter" }, filter?.element),
    count,
    source.can.live && live ? lamp(live.status) : null,
    theme,
    ask,
    help.element,
  );
  for (const draw of [drawLinks, drawProjects, drawCount]) draw();
  route.listen(() => {
    filter?.reset();
    drawLinks();
    drawCount();
  });
  state.listen(["runs", "project", "q"], drawLinks);
  state.listen(["project"], drawProjects);
  list.status.listen(drawCount);
  list.status.listen(({ count: found }) => !projects.length && found && readProjects()); // the store's first run

  if (filter) addShortcut("/", "to the filter", filter.focus);
  addShortcut("?", "this help", help.open);
  for (const [page, text, keys] of links) addShortcut(keys, `the page ${text}`, () => goTo(page));
}

/** @param {import("./signals.js").Signal<keyof typeof LAMPS>} status */
function lamp(status) {
  let since = 0;
  const sign = h("span", { "aria-hidden": "true" });
  const text = h("span", { class: "lamp-text" });
  const element = h("span", { class: "lamp", role: "status" }, sign, text);
  const draw = () => {
    const now = status.get();
    const [mark, word, title] = LAMPS[now];
    if (now === "away") since ||= Date.now() / 1000;
    else since = 0;
    sign.textContent = mark;
    text.textContent = since ? `${word} since ${formatTime(since).slice(11, 16)}` : word;
    element.title = title;
    element.dataset.lamp = now;
  };
  status.listen(draw);
  draw();
  return element;
}
