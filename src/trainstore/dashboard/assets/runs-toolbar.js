// The line above table and charts: columns, groups, which runs are in the charts, and what is shown.
import { announce, download, fill, h } from "./dom.js";
import { formatNumber } from "./format.js";
import { columnPicker } from "./picker.js";
import { popupButton } from "./popups.js";
import { effect } from "./signals.js";

const VIEWS = [
  ["table", "Table", "The table alone (t)"],
  ["both", "Both", "Table and charts"],
  ["charts", "Charts", "The charts alone (c)"],
];

/**
 * @param {Object} parts
 * @param {import("./types.js").Source} parts.source
 * @param {import("./router.js").State} parts.state
 * @param {import("./run-list.js").RunList} parts.list
 * @param {ReturnType<typeof import("./selection.js").runSelection>} parts.selection
 * @param {import("./shown-columns.js").ShownColumns} parts.columns
 * @param {() => string[]} parts.order  All runs, as the table shows them.
 * @param {number} parts.limit  How many runs may have curves.
 */
export function runsToolbar({ source, state, list, selection, columns, order, limit }) {
  /** @type {ReturnType<typeof columnPicker>|null} */
  let open = null;
  const pick = (/** @type {import("./picker.js").PickerOptions} */ options) => {
    open = columnPicker(options);
    return open;
  };

  const columnButton = popupButton("Columns", () =>
    pick({
      label: "Columns of the table",
      chosenLabel: "Shown",
      infos: () => list.infos.get().filter(({ id }) => !["name", "status", "uid"].includes(id)),
      chosen: columns.get,
      choose: columns.choose,
      reset: columns.usual,
    }),
  );
  const groupButton = popupButton("Group", () =>
    pick({
      label: "Group runs by columns",
      chosenLabel: "Grouped by",
      infos: () => list.infos.get().filter(groupable),
      chosen: () => state.list("group"),
      choose: (ids) => state.set({ group: ids }, { push: true }),
    }),
  );
  const differ = h(
    "button",
    {
      title: "Show each column in which these runs differ, and no other hyperparameter",
      on: { click: () => columns.flipDiffering() },
    },
    "Only what differs",
  );
  const chosen = popupButton("", () => ({
    element: chosenMenu(),
    focus: () => chosen.element.querySelector("button.menu-item")?.focus(),
  }));

  const chosenMenu = () => {
    const item = (/** @type {string} */ text, /** @type {() => void} */ act, note = "") =>
      h(
        "button",
        {
          class: "plain menu-item",
          on: {
            click: () => {
              act();
              chosen.close();
              chosen.button.focus();
            },
          },
        },
        text,
        note && h("span", { class: "muted small" }, note),
      );
    const all = order().length;
    const uids = [...selection.chosen.get()];
    return h(
      "div",
      { class: "popup menu", role: "dialog", "aria-label": "Runs in the charts, and files" },
      item("The newest 10", selection.usual),
      item(
        all > limit ? `The first ${limit}` : "All",
        () => selection.choose(order()),
        all > limit ? `of ${formatNumber(all)}, as sorted; more curves than that are not drawn` : formatNumber(all),
      ),
      item("None", () => selection.choose([])),
      uids.length > 1 &&
        h(
          "a",
          {
            class: "menu-item",
            href: state.link("compare", "", { runs: state.list("runs").length ? state.list("runs") : uids }),
          },
          `Compare these ${formatNumber(uids.length)}`,
        ),
      source.can.export && all > 0 && item("Save the runs as CSV", () => save({ project: state.text("project"), q: state.text("q") }, "runs"), formatNumber(all)),
      source.can.export && uids.length > 0 && item("Save the steps as CSV", () => save({ runs: uids }, "steps"), `of these ${formatNumber(uids.length)}`),
    );
  };
  const problem = h("span", { class: "bad small", role: "alert", hidden: true });
  const saving = h("span", { class: "muted small", role: "status" });
  const save = async (/** @type {Parameters<import("./types.js").Source["exported"]>[0]} */ which, /** @type {string} */ table) => {
    problem.hidden = true;
    saving.textContent = `Saving ${table}.csv…`;
    try {
      download(`${table}.csv`, await source.exported(which, table, "csv"));
      announce(`Saved ${table}.csv`);
    } catch (error) {
      problem.hidden = false;
      problem.textContent = `${table}.csv could not be saved: ${/** @type {Error} */ (error).message}`;
    } finally {
      saving.textContent = "";
    }
  };

  const views = VIEWS.map(([name, text, title]) =>
    h(
      "button",
      {
        title,
        data: { view: name },
        on: {
          click: () => {
            state.set({ tab: name === "both" ? null : name }, { push: true });
          },
        },
      },
      text,
    ),
  );
  const tools = h("div", { class: "row toolbar-tools" }, columnButton.element, groupButton.element, differ);
  const segments = h("div", { class: "segments", role: "group", "aria-label": "What is shown" }, views);
  const element = h("div", { class: "toolbar" }, tools, chosen.element, saving, problem, h("span", { class: "grow" }), segments);

  const draw = () => {
    const groups = state.list("group").length;
    groupButton.label(groups ? `Grouped by ${groups}` : "Group");
    groupButton.button.setAttribute("aria-pressed", String(groups > 0));
    differ.setAttribute("aria-pressed", String(columns.differing()));
    const n = selection.chosen.get().size;
    const left = selection.left();
    const what = groups ? " selected ▾" : " in the charts ▾"; // of groups, the charts show all runs
    fill(chosen.button, h("b", {}, formatNumber(n)), left ? ` of ${formatNumber(n + left)}` : "", what);
    chosen.button.title = left
      ? `${limit} runs are the most for curves; ${formatNumber(left)} are left out`
      : groups
        ? "The charts show the groups of all runs; these can be compared"
        : "Which runs have curves";
  };
  const drawPicker = () => {
    if (open?.element.isConnected) open.draw();
    else open = null;
  };
  const stops = [
    effect([list.infos, list.rows, list.usual, list.status, selection.chosen, selection.shown], draw),
    state.listen(["group", "cols", "runs"], draw),
    effect([list.infos, list.usual], drawPicker),
    state.listen(["group", "cols"], drawPicker),
  ];

  return {
    element,
    /**
     * @param {string} now
     * @param {boolean} narrow
     */
    view(now, narrow) {
      for (const button of views) {
        button.setAttribute("aria-pressed", String(button.dataset.view === now));
        button.hidden = narrow && button.dataset.view === "both";
      }
    },
    dispose: () => stops.forEach((stop) => stop()),
  };
}

/** @param {import("./types.js").ColumnInfo} info */
function groupable({ id, group, kind }) {
  if (group === "metric" || kind === "time" || kind === "duration") return false;
  return !["name", "uid", "id", "last_step", "notes", "error"].includes(id);
}
