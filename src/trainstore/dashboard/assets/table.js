// A grid of which only the rows and columns in view exist: thousands of both scroll as smoothly as ten.
import { h, setProperties } from "./dom.js";
import { CONTROLS_OF_KEYS, cursorAfter, rowOfKey } from "./table-keys.js";

/**
 * @typedef {Object} GridColumn
 * @property {string} id
 * @property {number} width  In pixels.
 * @property {boolean} [frozen]  Stays at the left; such columns come first.
 * @property {boolean} [number]  At the right edge of its column.
 * @property {"ascending"|"descending"|""} [sorted]
 */
/**
 * @typedef {Object} GridModel
 * @property {GridColumn[]} columns
 * @property {number} length
 * @property {(row: number) => string} key  Of a row, wherever it is.
 * @property {(row: number) => boolean} selected
 * @property {(cell: HTMLElement, column: GridColumn, row: number) => void} fill
 * @property {(cell: HTMLElement, column: GridColumn) => void} head
 */
/**
 * @typedef {Object} GridActions
 * @property {(row: number, extend: boolean) => void} toggle  Space, or a click on the first column.
 * @property {() => void} all  Ctrl and a.
 * @property {(row: number) => void} open  Enter, where no link or button has it.
 */
/** @typedef {{row: number, column: number}} GridCursor  Row −1 is the heading. */

/** @typedef {{element: HTMLElement, pinned: HTMLElement, role: string, cells: Map<number, HTMLElement>}} GridLine */

const BEYOND = 6; // rows that exist above and below those in view

/**
 * @param {string} label
 * @param {GridActions} act
 */
export function virtualTable(label, act) {
  const headGroup = h("div", { role: "rowgroup", class: "grid-head" });
  const head = newLine(headGroup, "columnheader");
  head.element.setAttribute("aria-rowindex", "1");
  const body = h("div", { role: "rowgroup", class: "grid-body" });
  const element = h(
    "div",
    { role: "grid", class: "grid", "aria-label": label, "aria-multiselectable": "true" },
    headGroup,
    body,
  );
  /** @type {GridModel} */
  let model = { columns: [], length: 0, key: () => "", selected: () => false, fill() {}, head() {} };
  /** @type {number[]} */
  let lefts = [0];
  /** @type {Map<number, GridLine>} */
  let rows = new Map();
  /** @type {HTMLElement|undefined} */
  let marked;
  /** @type {number[]} */
  let shown = [];
  /** @type {GridCursor} */
  let cursor = { row: 0, column: 0 };
  let rowHeight = 28;
  let frozen = 0; // columns at the left that stay
  let frame = 0;

  const rowsInView = () => {
    const first = Math.floor(element.scrollTop / rowHeight);
    return { first, count: Math.max(1, Math.floor(element.clientHeight / rowHeight) - 1) };
  };

  /** The columns that exist: the frozen, those in view, and that of the cursor. */
  const columnsInView = () => {
    const from = element.scrollLeft + lefts[frozen];
    const to = element.scrollLeft + element.clientWidth;
    return model.columns.flatMap((_, place) => {
      const inView = lefts[place + 1] > from && lefts[place] < to;
      return place < frozen || inView || place === cursor.column ? place : [];
    });
  };

  const rowsToShow = () => {
    const { first, count } = rowsInView();
    const wanted = new Set(model.length > cursor.row && cursor.row >= 0 ? [cursor.row] : []);
    const end = Math.min(model.length, first + count + 2 + BEYOND);
    for (let row = Math.max(0, first - BEYOND); row < end; row += 1) wanted.add(row);
    return wanted;
  };

  /** @param {boolean} all  Whether the cells that stay are filled again. */
  const paint = (all) => {
    const places = columnsInView();
    const moved = all || places.length !== shown.length || places.some((place, index) => place !== shown[index]);
    shown = places;
    element.classList.toggle("is-scrolled", element.scrollLeft > 0);
    const focused = element.contains(document.activeElement);
    if (moved) fillCells(head, all, putHead);
    const wanted = rowsToShow();
    const spare = [...rows].filter(([row]) => !wanted.has(row));
    for (const [row] of spare) rows.delete(row);
    for (const row of wanted) {
      const there = rows.get(row);
      if (there && !moved) continue;
      const line = there ?? spare.pop()?.[1] ?? newLine(body, "gridcell");
      rows.set(row, line);
      if (!there || all) placeLine(line, row);
      fillCells(line, !there || all, (cell, column) => model.fill(cell, column, row));
    }
    for (const [, { element: old }] of spare) old.remove();
    markCursor();
    if (focused && !element.contains(document.activeElement)) target()?.focus({ preventScroll: true });
  };

  const putHead = (/** @type {HTMLElement} */ cell, /** @type {GridColumn} */ column) => {
    setProperties(cell, { "aria-sort": column.sorted || null });
    model.head(cell, column);
  };

  const placeLine = (/** @type {GridLine} */ { element: line }, /** @type {number} */ row) => {
    line.style.transform = `translateY(${row * rowHeight}px)`;
    line.setAttribute("aria-rowindex", String(row + 2));
    line.setAttribute("aria-selected", String(model.selected(row)));
    line.dataset.row = String(row);
  };

  /**
   * Cells of the columns in view. Those that were there keep what they show unless all are filled again.
   * @param {GridLine} line
   * @param {boolean} all
   * @param {(cell: HTMLElement, column: GridColumn) => void} put
   */
  const fillCells = (line, all, put) => {
    const spare = [...line.cells].filter(([place]) => !shown.includes(place));
    for (const [place] of spare) line.cells.delete(place);
    line.pinned.style.width = `${lefts[frozen]}px`;
    for (const place of shown) {
      const there = line.cells.get(place);
      if (there && !all) continue;
      const cell = there ?? spare.pop()?.[1] ?? h("div", { role: line.role });
      const parent = place < frozen ? line.pinned : line.element;
      if (cell.parentElement !== parent) parent.append(cell);
      line.cells.set(place, cell);
      placeCell(cell, place);
      put(cell, model.columns[place]);
      for (const control of cell.querySelectorAll("a, button, input")) control.setAttribute("tabindex", "-1");
    }
    for (const [, cell] of spare) cell.remove();
  };

  const placeCell = (/** @type {HTMLElement} */ cell, /** @type {number} */ place) => {
    const { number, width } = model.columns[place];
    cell.className = number ? "cell number" : "cell";
    cell.setAttribute("aria-colindex", String(place + 1));
    cell.setAttribute("tabindex", "-1");
    cell.dataset.column = String(place);
    cell.style.width = `${width}px`;
    cell.style.left = `${lefts[place]}px`;
  };

  /** The element that has the focus when the cursor is in its cell: the one control in it, or the cell itself. */
  const target = () => {
    const cell = (cursor.row < 0 ? head : rows.get(cursor.row))?.cells.get(cursor.column);
    return /** @type {HTMLElement|undefined} */ (cell?.querySelector("a, button, input") ?? cell);
  };

  const markCursor = () => {
    marked?.setAttribute("tabindex", "-1");
    marked = target();
    marked?.setAttribute("tabindex", "0");
  };

  const scrollToCursor = () => {
    const top = cursor.row * rowHeight;
    const view = element.clientHeight - rowHeight;
    if (cursor.row >= 0) {
      if (top < element.scrollTop) element.scrollTop = top;
      else if (top + rowHeight > element.scrollTop + view) element.scrollTop = top + rowHeight - view;
    }
    if (cursor.column < frozen || cursor.column >= model.columns.length) return;
    const [left, right] = [lefts[cursor.column], lefts[cursor.column + 1]];
    if (left - lefts[frozen] < element.scrollLeft) element.scrollLeft = left - lefts[frozen];
    else if (right > element.scrollLeft + element.clientWidth) element.scrollLeft = right - element.clientWidth;
  };

  /** @param {GridCursor} next */
  const moveTo = (next) => {
    cursor = next;
    scrollToCursor();
    paint(false);
    target()?.focus({ preventScroll: true });
  };

  const keydown = (/** @type {KeyboardEvent} */ event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "a") {
      event.preventDefault();
      act.all();
      return;
    }
    const controls = CONTROLS_OF_KEYS[event.key];
    if (controls && cursor.row >= 0 && !(/** @type {Element} */ (event.target).matches(controls))) {
      event.preventDefault();
      if (event.key === " ") act.toggle(cursor.row, event.shiftKey);
      else act.open(cursor.row);
      return;
    }
    const size = { rows: model.length, columns: model.columns.length, page: rowsInView().count };
    const next = cursorAfter(cursor, event.key, event.ctrlKey || event.metaKey, size);
    if (!next || event.altKey) return;
    event.preventDefault();
    moveTo(next);
  };

  const placeOf = (/** @type {Event} */ event) => {
    const cell = /** @type {HTMLElement|null} */ (/** @type {Element} */ (event.target).closest("[data-column]"));
    const line = /** @type {HTMLElement|null} */ (cell?.closest("[role=row]") ?? null);
    if (!cell || !line) return null;
    return { row: line === head.element ? -1 : Number(line.dataset.row), column: Number(cell.dataset.column) };
  };

  element.addEventListener("keydown", keydown);
  element.addEventListener("focusin", (/** @type {FocusEvent} */ event) => {
    const place = placeOf(event);
    if (!place) return;
    cursor = place;
    markCursor();
  });
  body.addEventListener("mousedown", (/** @type {MouseEvent} */ event) => {
    if (event.shiftKey) event.preventDefault(); // selects runs, not text
  });
  body.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const place = placeOf(event);
    if (!place) return;
    const control = /** @type {Element} */ (event.target).closest("a, button, input");
    if (place.column === 0) act.toggle(place.row, event.shiftKey);
    if (!control || place.column === 0) moveTo(place);
  });
  element.addEventListener(
    "scroll",
    () => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        paint(false);
      });
    },
    { passive: true },
  );
  const observer = new ResizeObserver(() => paint(false));
  observer.observe(element);

  return {
    element,
    /** @param {GridModel} next  The place of the cursor stays on its row's key. */
    show(next) {
      const key = cursor.row >= 0 && cursor.row < model.length ? model.key(cursor.row) : null;
      const column = model.columns[cursor.column]?.id;
      model = next;
      rowHeight = parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row")) || 28;
      frozen = model.columns.filter((one) => one.frozen).length;
      lefts = [0];
      for (const { width } of model.columns) lefts.push(lefts[lefts.length - 1] + width);
      cursor = {
        row: rowOfKey(model, key, cursor.row),
        column: Math.max(
          0,
          model.columns.findIndex(({ id }) => id === column),
        ),
      };
      setProperties(element, { "aria-rowcount": model.length + 1, "aria-colcount": model.columns.length });
      body.style.height = `${model.length * rowHeight}px`;
      for (const part of [body, headGroup]) part.style.width = `${lefts[lefts.length - 1]}px`;
      paint(true);
    },
    refresh: () => paint(true),
    /** The key of the row that has the focus. */
    focused: () => (element.contains(document.activeElement) && cursor.row >= 0 ? model.key(cursor.row) : null),
    /** @param {string} key  Of a row: to it, if it is there. */
    focusRow(key) {
      const row = rowOfKey(model, key, -1);
      if (row >= 0) moveTo({ ...cursor, row });
    },
    focus: () => moveTo({ ...cursor, row: Math.min(Math.max(cursor.row, 0), model.length - 1) }),
    dispose() {
      cancelAnimationFrame(frame);
      observer.disconnect();
      rows = new Map();
    },
  };
}

/**
 * @param {HTMLElement} parent
 * @param {string} role  Of its cells.
 * @returns {GridLine}
 */
function newLine(parent, role) {
  const pinned = h("div", { role: "presentation", class: "grid-pinned" }); // one that sticks, as each costs a layer
  const element = h("div", { role: "row", class: "grid-row" }, pinned);
  parent.append(element);
  return { element, pinned, role, cells: new Map() };
}
