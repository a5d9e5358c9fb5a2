// Where the cursor of a grid goes: by a key, or with its row.

/**
 * Keys that do something with a row, but on these controls, which have them for themselves.
 * @type {Record<string, string>}
 */
export const CONTROLS_OF_KEYS = { " ": "button", Enter: "a, button" };

/** @type {Record<string, (cursor: import("./table.js").GridCursor, size: {rows: number, columns: number, page: number}) => import("./table.js").GridCursor>} */
const GRID_MOVES = {
  ArrowUp: ({ row, column }) => ({ row: row - 1, column }),
  ArrowDown: ({ row, column }) => ({ row: row + 1, column }),
  ArrowLeft: ({ row, column }) => ({ row, column: column - 1 }),
  ArrowRight: ({ row, column }) => ({ row, column: column + 1 }),
  PageUp: ({ row, column }, { page }) => ({ row: row < 0 ? row : Math.max(0, row - page), column }),
  PageDown: ({ row, column }, { page }) => ({ row: row + page, column }),
  Home: ({ row }) => ({ row, column: 0 }),
  End: ({ row }, { columns }) => ({ row, column: columns - 1 }),
  "Ctrl+Home": () => ({ row: 0, column: 0 }),
  "Ctrl+End": (_, { rows, columns }) => ({ row: rows - 1, column: columns - 1 }),
};

/**
 * The cell that a key leads to; null if it is no key of a grid. Row −1 is the heading.
 * @param {import("./table.js").GridCursor} cursor
 * @param {string} key
 * @param {boolean} control
 * @param {{rows: number, columns: number, page: number}} size
 * @returns {import("./table.js").GridCursor|null}
 */
export function cursorAfter(cursor, key, control, size) {
  const move = GRID_MOVES[control ? `Ctrl+${key}` : key];
  if (!move) return null;
  const next = move(cursor, size);
  return {
    row: Math.min(Math.max(next.row, -1), size.rows - 1),
    column: Math.min(Math.max(next.column, 0), Math.max(0, size.columns - 1)),
  };
}

/**
 * Where the row of a key is; the old place if it is gone.
 * @param {import("./table.js").GridModel} model
 * @param {string|null} key
 * @param {number} old
 */
export function rowOfKey(model, key, old) {
  if (key === null) return old < 0 ? -1 : Math.min(old, Math.max(0, model.length - 1));
  for (let row = 0; row < model.length; row += 1) if (model.key(row) === key) return row;
  return Math.min(old, Math.max(0, model.length - 1));
}
