// The run table: its columns, its rows and groups, and what a click or a key does in it.
import { fill, h } from "./dom.js";
import { formatCell } from "./format.js";
import { groupedRows, nextSort, sortKeys, sortTexts, sortedRows } from "./order.js";
import { heldWhilePressed } from "./pressed.js";
import {
  cellText,
  columnWidth,
  fillStatuses,
  fillSummary,
  fillValue,
  groupTitle,
  labelsOf,
  nameWidth,
  statusMark,
} from "./runs-cells.js";
import { cellAt } from "./rows.js";
import { runLine } from "./run-line.js";
import { repeatedTexts, uidMark } from "./selection.js";
import { virtualTable } from "./table.js";

/** @typedef {import("./order.js").RunGroup} RunGroup */
/** @typedef {{group: RunGroup|null, members: number[]}} Line  A run has one member. */
/** @typedef {import("./table.js").GridColumn & {label: string, kind: import("./types.js").Kind}} RunColumn */

const SAMPLE = 100; // rows whose texts a column's width is measured by
const WIDEST_NAME = 0.5; // of the table's width
/** @type {import("./types.js").Cell[]} */
const NO_VALUES = [];
const NARROW = 460; // pixels of a table in which names scroll along

/** The row from which one went to a run's page: Back leads to it again. @type {string|null} */
let leftRow = null;

/**
 * @param {Object} parts
 * @param {import("./router.js").State} parts.state
 * @param {import("./run-list.js").RunList} parts.list
 * @param {ReturnType<typeof import("./selection.js").runSelection>} parts.selection
 * @param {import("./chart-legend.js").GroupStyles} parts.groups  How the charts draw groups.
 * @param {() => string[]} parts.columns  The ids of those shown.
 * @param {() => number} parts.now  Seconds since 1970, by the database's clock.
 */
export function runsTable({ state, list, selection, groups, columns, now }) {
  let rows = list.rows.get(); // those that the lines are of
  /** @type {Line[]} */
  let lines = [];
  /** @type {string[]} */
  let order = [];
  /** @type {Map<string, {colour: number, dash: number}>} */
  let styles = new Map();
  /** Names that several runs have. @type {Set<import("./types.js").Cell>} */
  let repeated = new Set();
  /** @type {Set<string>} */
  const open = new Set();
  /** @type {WeakMap<import("./types.js").Cell[], {key: string, width: number}>} */
  const widths = new WeakMap();
  const grid = virtualTable("Runs", {
    toggle: (row, extend) => toggleLine(lines[row], extend),
    all: () => selection.choose(order),
    open: (place) => openLine(lines[place]),
  });
  const back = leftRow;
  leftRow = null;
  requestAnimationFrame(() => {
    const isFree = document.activeElement === null || document.activeElement.contains(grid.element); // not elsewhere
    if (back !== null && isFree) grid.focusRow(back);
  });

  const openLine = (/** @type {Line|undefined} */ line) => {
    if (line?.group) flipGroup(line.group);
    else if (line) location.hash = state.link("run", uidsOf(line)[0]);
  };
  const flipGroup = (/** @type {RunGroup} */ group) => {
    if (!open.delete(group.key)) open.add(group.key);
    show();
  };

  const uidsOf = (/** @type {Line} */ line) => line.members.map((row) => rows.uids[row]);
  const toggleLine = (/** @type {Line|undefined} */ line, /** @type {boolean} */ extend) => {
    if (line) selection.toggle(uidsOf(line), order, extend);
  };

  const arrange = () => {
    rows = list.rows.get();
    repeated = repeatedTexts(rows.columns.get("name")?.values ?? NO_VALUES);
    const keys = sortKeys(state.list("sort"));
    const by = state.list("group");
    const sorted = list.status.get().whole ? sortedRows(rows, keys) : rows.uids.map((_, row) => row);
    order = sorted.map((row) => rows.uids[row]);
    if (!by.length) {
      lines = sorted.map((row) => ({ group: null, members: [row] }));
      return;
    }
    const found = groupedRows(rows, sorted, by, keys);
    order = found.flatMap((group) => group.members.map((row) => rows.uids[row]));
    lines = found.flatMap((group) => [
      { group, members: group.members },
      ...(open.has(group.key) ? group.members.map((row) => ({ group: null, members: [row] })) : []),
    ]);
  };

  /**
   * A column's width by its texts; remembered for as long as its values are the same.
   * @param {string} id
   * @param {string} label
   * @param {import("./types.js").Kind} kind
   * @param {import("./types.js").Cell[]} values
   */
  const widthOf = (id, label, kind, values) => {
    const leads = id === leading();
    const key = `${label}\n${state.list("group").length > 0}\n${leads}`;
    const known = widths.get(values);
    if (known?.key === key) return known.width;
    const texts = values.slice(0, SAMPLE).map((value) => cellText(id, value, kind, now()));
    if (state.list("group").length && kind === "number")
      texts.push(leads ? "best 0.0000 0.0000 ± 0.0000" : "0.0000 ± 0.0000");
    const width = columnWidth(label, texts);
    widths.set(values, { key, width });
    return width;
  };

  /** @returns {RunColumn[]} */
  const gridColumns = () => {
    const keys = sortKeys(state.list("sort"));
    const labels = labelsOf(columns(), list.infos.get());
    const frozen = grid.element.clientWidth === 0 || grid.element.clientWidth > NARROW;
    const sorted = (/** @type {string} */ id) => {
      const key = keys.find((one) => one.id === id);
      return /** @type {"ascending"|"descending"|""} */ (!key ? "" : key.down ? "descending" : "ascending");
    };
    const column = (/** @type {string} */ id, /** @type {string} */ label) => {
      const { kind, values } = rows.columns.get(id) ?? { kind: /** @type {const} */ ("text"), values: NO_VALUES };
      const number = kind === "number" || kind === "duration";
      return { id, label, kind, number, width: widthOf(id, label, kind, values), sorted: sorted(id) };
    };
    const text = /** @type {const} */ ("text");
    const by = state.list("group");
    const titles = lines.flatMap(({ group }) => (group ? groupTitle(rows, by, group.values) : []));
    const name = { ...column("name", by.length ? "group" : "name"), frozen };
    const names = lines.filter(({ group }) => !group).slice(0, SAMPLE).map(({ members: [row] }) => nameOf(row).join(""));
    const room = Math.max(nameWidth(names) + (by.length ? 18 : 0), by.length ? columnWidth("", titles.slice(0, SAMPLE)) + 60 : 0);
    return [
      { id: "select", label: "", kind: text, width: 32, frozen: true },
      { id: "line", label: "", kind: text, width: 30, frozen: true },
      { ...name, width: Math.min(room, grid.element.clientWidth * WIDEST_NAME || room) },
      { ...column("status", "status"), width: 112 },
      ...columns()
        .filter((id) => id !== "name" && id !== "status")
        .map((id) => column(id, labels.get(id) ?? id)),
    ];
  };

  const head = (/** @type {HTMLElement} */ cell, /** @type {any} */ { id, label, sorted }) => {
    cell.removeAttribute("title");
    if (id === "line") return fill(cell, h("span", { class: "visually-hidden" }, "line"));
    if (id === "select") {
      const now = selection.chosen.get();
      const some = order.some((uid) => now.has(uid));
      const every = some && order.every((uid) => now.has(uid));
      const all = () => selection.choose(every || selection.full() ? [] : order);
      return fill(
        cell,
        h("input", {
          type: "checkbox",
          "aria-label": "All runs that the filter shows",
          checked: every,
          indeterminate: some && !every,
          on: { click: all },
        }),
      );
    }
    const place = sortKeys(state.list("sort")).findIndex((key) => key.id === id);
    const arrow = sorted === "" ? "" : sorted === "ascending" ? "▲" : "▼";
    const rank = state.list("sort").length > 1 && place >= 0 ? String(place + 1) : "";
    const sort = (/** @type {MouseEvent} */ event) => {
      state.set({ sort: sortTexts(nextSort(sortKeys(state.list("sort")), id, event.shiftKey)) }, { push: true });
    };
    const mark = h("span", { class: "sort-mark", "aria-hidden": "true" }, arrow, rank);
    fill(
      cell,
      h("button", { class: "plain head-button", on: { click: sort } }, h("span", { class: "cut" }, label), mark),
    );
    cell.title = `${id}: sort; with shift beside the other columns`;
  };

  const fillCell = (/** @type {HTMLElement} */ cell, /** @type {any} */ { id, kind }, /** @type {number} */ place) => {
    const line = lines[place];
    if (id === "select") return fillBox(cell, line);
    if (line.group) return fillGroup(cell, id, line.group);
    const [row] = line.members;
    const uid = rows.uids[row];
    const inGroup = state.list("group").length > 0;
    if (id === "line") return fillLine(cell, inGroup ? undefined : styles.get(uid)); // charts draw groups, not their runs
    if (id === "name") {
      const [name, mark] = nameOf(row);
      cell.title = mark ? `${name} · ${uid}` : name;
      cell.classList.toggle("in-group", inGroup);
      const text = [name, mark && h("span", { class: "muted" }, mark)];
      return fill(cell, h("a", { class: "cut", href: state.link("run", uid) }, text));
    }
    if (id === "status") {
      const status = String(cellAt(rows, "status", row) ?? "");
      cell.title = status;
      return fill(cell, statusMark(status));
    }
    fillValue(cell, id, cellAt(rows, id, row), kind, now());
  };

  /** A run's name, and what tells it from others of that name. */
  const nameOf = (/** @type {number} */ row) => {
    const name = cellAt(rows, "name", row);
    const uid = rows.uids[row];
    return [String(name || uid.slice(0, 8)), name && repeated.has(name) ? uidMark(uid) : ""];
  };

  const fillLine = (/** @type {HTMLElement} */ cell, /** @type {{colour: number, dash: number}|undefined} */ style) => {
    cell.title = style ? "shown in the charts" : "";
    fill(cell, style && runLine(style));
  };

  const fillBox = (/** @type {HTMLElement} */ cell, /** @type {Line} */ line) => {
    const now = selection.chosen.get();
    const uids = uidsOf(line);
    const some = uids.some((uid) => now.has(uid));
    const every = some && uids.every((uid) => now.has(uid));
    const label = line.group
      ? `Show the ${uids.length} runs of this group in the charts`
      : `Show ${cellAt(rows, "name", line.members[0])} in the charts`;
    fill(cell, h("input", { type: "checkbox", "aria-label": label, checked: every, indeterminate: some && !every }));
    cell.removeAttribute("title");
  };

  const fillGroup = (/** @type {HTMLElement} */ cell, /** @type {string} */ id, /** @type {RunGroup} */ group) => {
    if (id === "line") return fillLine(cell, groups.get().get(group.key));
    if (id === "status") return fillStatuses(cell, rows, group.members);
    if (id !== "name") return fillNumbers(cell, id, group);
    const is = open.has(group.key);
    const text = groupTitle(rows, state.list("group"), group.values);
    fill(
      cell,
      h(
        "button",
        { class: "plain group-button", "aria-expanded": String(is), on: { click: () => flipGroup(group) } },
        h("span", { "aria-hidden": "true" }, is ? "▾ " : "▸ "),
        h("span", { class: "cut" }, text),
        h("span", { class: "count" }, String(group.members.length)),
      ),
    );
    cell.title = `${text}: ${group.members.length} run${group.members.length === 1 ? "" : "s"}`;
  };

  /** In the column that leads the order also the group's best: that of the run which this order puts first. */
  const fillNumbers = (/** @type {HTMLElement} */ cell, /** @type {string} */ id, /** @type {RunGroup} */ group) => {
    fillSummary(cell, rows, id, group.members, now());
    const [first] = group.members;
    const value = cellAt(rows, id, first);
    const { kind } = rows.columns.get(id) ?? { kind: "text" };
    if (id !== leading() || kind !== "number" || value === null || group.members.length < 2) return;
    cell.prepend(h("span", { class: "best" }, `best ${formatCell(value, kind)} `));
    cell.title += `, best ${value} of ${cellAt(rows, "name", first)}`;
  };

  const leading = () => sortKeys(state.list("sort"))[0]?.id ?? "";

  const pressed = heldWhilePressed(grid.element);
  const show = () => pressed.act(showNow);
  const showNow = () => {
    arrange();
    styles = new Map(selection.shown.get().map((run) => [run.uid, run]));
    const held = lines; // the grid asks this model until it gets the next one
    grid.show({
      columns: gridColumns(),
      length: lines.length,
      key: (place) => held[place].group?.key ?? rows.uids[held[place].members[0]],
      selected: (place) => held[place].members.every((row) => selection.chosen.get().has(rows.uids[row])),
      head,
      fill: fillCell,
    });
  };

  const refreshNow = () => {
    styles = new Map(selection.shown.get().map((run) => [run.uid, run]));
    grid.refresh();
  };

  return {
    element: grid.element,
    show,
    refresh: () => pressed.act(refreshNow),
    focus: grid.focus,
    /** All runs, as the table shows them. */
    order: () => order,
    dispose() {
      pressed.dispose();
      leftRow = grid.focused();
      grid.dispose();
    },
  };
}
