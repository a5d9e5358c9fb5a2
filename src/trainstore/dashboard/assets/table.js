// A grid of which only the rows and columns in view exist: thousands of both scroll as smoothly as ten.
import { h, setProperties } from "./dom.js";
import { cursorAfter } from "./table-keys.js";

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
 */
/** @typedef {{row: number, column: number}} GridCursor  Row −1 is the heading. */

const BEYOND = 6; // rows that exist above and below those in view

/**
 * @param {string} label
 * @param {GridActions} act
 */
export function virtualTable(label, act) {
  const headRow = h("div", { role: "row", class: "grid-row", "aria-rowindex": 1 });
  const head = h("div", { role: "rowgroup", class: "grid-head" }, headRow);
  const body = h("div", { role: "rowgroup", class: "grid-body" });
  const element = h(
    "div",
    { role: "grid", class: "grid", "aria-label": label, "aria-multiselectable": "true" },
    head,
    body,
  );
  /** @type {GridModel} */
  let model = { columns: [], length: 0, key: () => "", selected: () => false, fill() {}, head() {} };
  /** @type {number[]} */
  let lefts = [0];
  /** @type {Map<number, HTMLElement>} */
  let rows = new Map();
  /** @type {number[]} */
  let shown = [];
  /** @type {GridCursor} */
  let cursor = { row: 0, column: 0 };
  let rowHeight = 28;
  let frame = 0;

  const rowsInView = () => {
    const first = Math.floor(element.scrollTop / rowHeight);
    return { first, count: Math.max(1, Math.floor(element.clientHeight / rowHeight) - 1) };
  };

  /** The columns that exist: the frozen, those in view, and that of the cursor. */
  const columnsInView = () => {
    const frozen = model.columns.filter((column) => column.frozen).length;
    const from = element.scrollLeft + lefts[frozen];
    const to = element.scrollLeft + element.clientWidth;
    return model.columns.flatMap((column, place) => {
      const inView = lefts[place + 1] > from && lefts[place] < to;
      return column.frozen || inView || place === cursor.column ? place : [];
    });
  };

  const rowsToShow = () => {
    const { first, count } = rowsInView();
    const wanted = new Set(model.length > cursor.row && cursor.row >= 0 ? [cursor.row] : []);
    const end = Math.min(model.length, first + count + 2 + BEYOND);
    for (let row = Math.max(0, first - BEYOND); row < end; row += 1) wanted.add(row);
    return wanted;
  };

  /** @param {boolean} all  Whether the cells of rows that stay are filled again. */
  const paint = (all) => {
    const places = columnsInView();
    const anew = all || places.length !== shown.length || places.some((place, index) => place !== shown[index]);
    shown = places;
    const focused = element.contains(document.activeElement);
    if (anew) fillHead();
    const wanted = rowsToShow();
    const spare = [...rows].filter(([row]) => !wanted.has(row));
    for (const [row] of spare) rows.delete(row);
    for (const row of wanted) {
      const there = rows.get(row);
      if (there && !anew) continue;
      const line = there ?? spare.pop()?.[1] ?? body.appendChild(h("div", { role: "row", class: "grid-row" }));
      rows.set(row, line);
      fillRow(line, row);
    }
    for (const [, line] of spare) line.remove();
    markCursor();
    if (focused && !element.contains(document.activeElement)) target()?.focus({ preventScroll: true });
  };

  const fillHead = () => {
    cellsOf(headRow, "columnheader", (cell, column) => {
      setProperties(cell, { "aria-sort": column.sorted || null });
      model.head(cell, column);
    });
  };

  const fillRow = (/** @type {HTMLElement} */ line, /** @type {number} */ row) => {
    line.style.transform = `translateY(${row * rowHeight}px)`;
    const selected = String(model.selected(row));
    setProperties(line, { "aria-rowindex": row + 2, "aria-selected": selected, data: { row: String(row) } });
    cellsOf(line, "gridcell", (cell, column) => model.fill(cell, column, row));
  };

  /**
   * @param {HTMLElement} line
   * @param {string} role
   * @param {(cell: HTMLElement, column: GridColumn) => void} put
   */
  const cellsOf = (line, role, put) => {
    while (line.children.length > shown.length) line.lastElementChild?.remove();
    let end = 0;
    shown.forEach((place, index) => {
      const column = model.columns[place];
      const cell = /** @type {HTMLElement} */ (line.children[index] ?? line.appendChild(h("div", { role })));
      cell.className = `cell${column.frozen ? " frozen" : ""}${column.number ? " number" : ""}`;
      cell.setAttribute("aria-colindex", String(place + 1));
      cell.dataset.column = String(place);
      cell.style.width = `${column.width}px`;
      cell.style.marginLeft = `${lefts[place] - end}px`;
      cell.style.left = column.frozen ? `${lefts[place]}px` : "";
      end = lefts[place + 1];
      put(cell, column);
    });
  };

  /** The element that has the focus when the cursor is in its cell: the one control in it, or the cell itself. */
  const target = () => {
    const line = cursor.row < 0 ? headRow : rows.get(cursor.row);
    const cell = line?.children[shown.indexOf(cursor.column)];
    return /** @type {HTMLElement|undefined} */ (cell?.querySelector("a, button, input") ?? cell);
  };

  const markCursor = () => {
    for (const other of element.querySelectorAll("[tabindex='0']")) other.setAttribute("tabindex", "-1");
    for (const control of element.querySelectorAll("a, button, input")) control.setAttribute("tabindex", "-1");
    target()?.setAttribute("tabindex", "0");
  };

  const scrollToCursor = () => {
    const top = cursor.row * rowHeight;
    const view = element.clientHeight - rowHeight;
    if (cursor.row >= 0) {
      if (top < element.scrollTop) element.scrollTop = top;
      else if (top + rowHeight > element.scrollTop + view) element.scrollTop = top + rowHeight - view;
    }
    const column = model.columns[cursor.column];
    if (!column || column.frozen) return;
    const frozen = lefts[model.columns.filter((other) => other.frozen).length];
    const [left, right] = [lefts[cursor.column], lefts[cursor.column + 1]];
    if (left - frozen < element.scrollLeft) element.scrollLeft = left - frozen;
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
    if (event.key === " " && cursor.row >= 0 && !(/** @type {Element} */ (event.target).matches("button"))) {
      event.preventDefault();
      act.toggle(cursor.row, event.shiftKey);
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
    return { row: line === headRow ? -1 : Number(line.dataset.row), column: Number(cell.dataset.column) };
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
      for (const part of [body, head]) part.style.width = `${lefts[lefts.length - 1]}px`;
      paint(true);
    },
    refresh: () => paint(true),
    focus: () => moveTo({ ...cursor, row: Math.min(Math.max(cursor.row, 0), model.length - 1) }),
    dispose() {
      cancelAnimationFrame(frame);
      observer.disconnect();
      rows = new Map();
    },
  };
}

/**
 * @param {GridModel} model
 * @param {string|null} key
 * @param {number} old
 */
function rowOfKey(model, key, old) {
  if (key === null) return old < 0 ? -1 : Math.min(old, Math.max(0, model.length - 1));
  for (let row = 0; row < model.length; row += 1) if (model.key(row) === key) return row;
  return Math.min(old, Math.max(0, model.length - 1));
}
