// Choose columns: a searchable tree of what there is, and the chosen ones in their order.
import { announce, fill, h } from "./dom.js";
import { GROUP_TITLES, columnTree, firstFound, metricOf, movedItem } from "./picker-tree.js";

/** @typedef {import("./types.js").ColumnInfo} ColumnInfo */

const MOST_LISTED = 200; // of one group; the search finds the rest
const SUMMARIES_OF_METRIC = ["last", "min", "max", "count"];

/**
 * @typedef {Object} PickerOptions
 * @property {string} label
 * @property {string} chosenLabel
 * @property {() => ColumnInfo[]} infos
 * @property {() => string[]} chosen
 * @property {(ids: string[]) => void} choose
 * @property {() => void} [reset]  Back to the usual choice.
 */

/** @param {PickerOptions} options */
export function columnPicker(options) {
  let search = "";
  let differing = false;
  const field = h("input", {
    type: "search",
    placeholder: "Search columns",
    title: "Enter takes the first that is found",
    "aria-label": "Search columns",
    on: {
      input: () => {
        search = field.value;
        draw();
      },
      keydown: (/** @type {KeyboardEvent} */ event) => event.key === "Enter" && takeFirst(),
    },
  });
  const only = h("input", {
    type: "checkbox",
    on: {
      change: () => {
        differing = only.checked;
        draw();
      },
    },
  });
  const tree = h("div", { class: "picker-tree" });
  const chosen = h("ol", { class: "picker-chosen", "aria-label": options.chosenLabel });
  const addAll = h(
    "button",
    {
      class: "plain small",
      on: {
        click: () => {
          const found = [...columnTree(options.infos(), search, differing).values()].flat().map(({ id }) => id);
          set([...new Set([...options.chosen(), ...found])]);
        },
      },
    },
    "Add all found",
  );
  const none = h("button", { class: "plain small", on: { click: () => set([]) } }, "Clear");
  const usual =
    options.reset &&
    h(
      "button",
      {
        class: "plain small",
        on: {
          click: () => {
            options.reset?.();
            draw();
          },
        },
      },
      "Usual columns",
    );
  const element = h(
    "div",
    { class: "popup picker", role: "dialog", "aria-label": options.label },
    h(
      "div",
      { class: "picker-side" },
      h("div", { class: "row" }, field, h("label", { class: "row small" }, only, "only what differs")),
      tree,
    ),
    h(
      "div",
      { class: "picker-side" },
      h("div", { class: "row" }, h("h2", { class: "grow" }, options.chosenLabel), usual, none),
      chosen,
      addAll,
    ),
  );

  const set = (/** @type {string[]} */ ids) => {
    options.choose(ids);
    draw();
  };

  const flip = (/** @type {string} */ id) => {
    const now = options.chosen();
    set(now.includes(id) ? now.filter((other) => other !== id) : [...now, id]);
  };

  const takeFirst = () => {
    const found = firstFound(columnTree(options.infos(), search, differing), search);
    if (!found) return;
    const there = options.chosen().includes(found.id);
    if (!there) flip(found.id);
    announce(`${found.id} ${there ? "is there already" : "added"}`);
    field.select(); // for the next one
  };

  const draw = () => {
    const active = /** @type {HTMLElement|null} */ (
      element.contains(document.activeElement) ? document.activeElement : null
    );
    const key = active?.dataset.key;
    const now = options.chosen();
    const groups = columnTree(options.infos(), search, differing);
    const closed = new Set([...tree.querySelectorAll("details:not([open])")].map((part) => part.dataset.group));
    const scroll = tree.scrollTop;
    fill(
      tree,
      [...groups].map(([group, found]) => groupPart(group, found, now, search === "" && closed.has(group))),
    );
    if (!groups.size)
      fill(
        tree,
        h(
          "p",
          { class: "muted small" },
          !options.infos().length
            ? "Reading the columns…"
            : differing
              ? "Nothing of that name differs."
              : "Nothing has that name.",
        ),
      );
    tree.scrollTop = scroll;
    fill(
      chosen,
      now.slice(0, MOST_LISTED).map((id, place) => chosenItem(id, place, now)),
      now.length > MOST_LISTED && h("li", { class: "muted small" }, `and ${now.length - MOST_LISTED} more`),
    );
    addAll.hidden = !search && !differing;
    if (key && document.activeElement !== active) {
      /** @type {HTMLElement|null} */ (element.querySelector(`[data-key="${CSS.escape(key)}"]`))?.focus();
    }
  };

  const groupPart = (
    /** @type {string} */ group,
    /** @type {ColumnInfo[]} */ found,
    /** @type {string[]} */ now,
    /** @type {boolean} */ closed,
  ) => {
    const title = GROUP_TITLES[/** @type {keyof typeof GROUP_TITLES} */ (group)] ?? group;
    const names =
      group === "metric"
        ? metricLines(found, now)
        : found.slice(0, MOST_LISTED).map((info) => box(info, info.label, now));
    const left = found.length - MOST_LISTED;
    return h(
      "details",
      { open: !closed, data: { group } },
      h(
        "summary",
        {},
        title,
        h("span", { class: "count" }, String(group === "metric" ? new Set(found.map(metricOf)).size : found.length)),
      ),
      names,
      group !== "metric" && left > 0 && h("p", { class: "muted small" }, `and ${left} more: search for them`),
    );
  };

  const box = (/** @type {ColumnInfo} */ info, /** @type {string} */ text, /** @type {string[]} */ now) =>
    h(
      "label",
      { class: "picker-line", title: `${info.id}: ${info.filled} runs have it, ${info.distinct} values` },
      h("input", {
        type: "checkbox",
        checked: now.includes(info.id),
        data: { key: `box ${info.id}` },
        on: { change: () => flip(info.id) },
      }),
      h("span", { class: "cut grow" }, text),
      info.varies
        ? h("span", { class: "muted small" }, `${info.distinct} values`)
        : h("span", { class: "muted small" }, "same"),
    );

  /** A line a metric, with a button for each of its summaries. */
  const metricLines = (/** @type {ColumnInfo[]} */ found, /** @type {string[]} */ now) => {
    const names = [...new Set(found.map(metricOf))];
    const known = new Map(found.map((info) => [info.id, info]));
    const button = (/** @type {string} */ name, /** @type {string} */ summary) => {
      const id = summary === "last" ? name : `${name}.${summary}`;
      return (
        known.has(id) &&
        h(
          "button",
          {
            class: "small",
            "aria-pressed": String(now.includes(id)),
            "aria-label": `${name}: ${summary}`,
            data: { key: `box ${id}` },
            on: { click: () => flip(id) },
          },
          summary,
        )
      );
    };
    const lines = names.slice(0, MOST_LISTED).map((name) =>
      h(
        "div",
        { class: "picker-line", title: name },
        h("span", { class: "cut grow" }, known.get(name)?.label ?? name),
        SUMMARIES_OF_METRIC.map((summary) => button(name, summary)),
      ),
    );
    return names.length > MOST_LISTED
      ? [...lines, h("p", { class: "muted small" }, `and ${names.length - MOST_LISTED} more: search for them`)]
      : lines;
  };

  const chosenItem = (/** @type {string} */ id, /** @type {number} */ place, /** @type {string[]} */ now) => {
    const move = (/** @type {number} */ to) => {
      if (to < 0 || to >= now.length) return;
      set(movedItem(now, place, to));
      announce(`${id} is now number ${to + 1} of ${now.length}`);
    };
    const keydown = (/** @type {KeyboardEvent} */ event) => {
      const step = event.key === "ArrowUp" ? -1 : event.key === "ArrowDown" ? 1 : 0;
      if (step) {
        event.preventDefault();
        if (event.altKey) move(place + step);
        else /** @type {HTMLElement|undefined} */ (chosen.children[place + step])?.focus();
      } else if (event.key === "Delete" || event.key === "Backspace") {
        flip(id);
        /** @type {HTMLElement} */ (chosen.children[Math.min(place, chosen.children.length - 1)] ?? field).focus();
      }
    };
    const drop = (/** @type {DragEvent} */ event) => {
      event.preventDefault();
      const from = Number(event.dataTransfer?.getData("text/plain"));
      if (Number.isInteger(from) && from >= 0 && from < now.length) set(movedItem(now, from, place));
    };
    return h(
      "li",
      {
        class: "picker-line",
        draggable: "true",
        tabindex: 0,
        data: { key: `item ${id}` },
        title: "Drag, or Alt and ↑ ↓, to move; Delete takes it out",
        on: {
          keydown,
          drop,
          dragover: (/** @type {DragEvent} */ event) => event.preventDefault(),
          dragstart: (/** @type {DragEvent} */ event) => event.dataTransfer?.setData("text/plain", String(place)),
        },
      },
      h("span", { class: "grip", "aria-hidden": "true" }, "⠿"),
      h("span", { class: "cut grow" }, id),
      h(
        "button",
        { class: "plain small", tabindex: -1, "aria-label": `Take out ${id}`, on: { click: () => flip(id) } },
        "×",
      ),
    );
  };

  draw();
  return { element, draw, focus: () => field.focus() };
}
