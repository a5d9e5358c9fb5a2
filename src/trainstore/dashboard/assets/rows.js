// The run table as it is held: by column, each value in the place of its run. Never changed, only replaced.

/**
 * @typedef {Object} Rows
 * @property {string[]} uids  In the server's order: newest first.
 * @property {Map<string, number>} place  Of each uid.
 * @property {Map<string, import("./types.js").Column>} columns
 */

/** @returns {Rows} */
export function noRows() {
  return { uids: [], place: new Map(), columns: new Map() };
}

/**
 * @param {import("./types.js").Table} table
 * @returns {Rows}
 */
export function heldRows(table) {
  const uids = /** @type {string[]} */ (table.columns.find((column) => column.id === "uid")?.values ?? []);
  return {
    uids,
    place: placesOf(uids),
    columns: new Map(table.columns.map((column) => [column.id, column])),
  };
}

/** @param {string[]} uids */
function placesOf(uids) {
  return new Map(uids.map((uid, place) => [uid, place]));
}

/**
 * With what has changed since: cells of some runs, new runs (at the front), runs that are gone. Cells that a change
 * does not name stay as they are; runs' other columns are null until they are read.
 *
 * @param {Rows} rows
 * @param {import("./types.js").Column[]} columns  With uid among them.
 * @param {string[]} gone
 * @returns {Rows}
 */
export function patchedRows(rows, columns, gone) {
  const changed = /** @type {string[]} */ (columns.find((column) => column.id === "uid")?.values ?? []);
  const dropped = new Set(gone);
  const added = changed.filter((uid) => !rows.place.has(uid) && !dropped.has(uid));
  const kept = rows.uids.filter((uid) => !dropped.has(uid));
  const moved = added.length > 0 || kept.length < rows.uids.length;
  const uids = moved ? [...added, ...kept] : rows.uids;
  const place = moved ? placesOf(uids) : rows.place;
  const sources = moved ? uids.map((uid) => rows.place.get(uid) ?? -1) : null;
  const news = new Map(columns.map((column) => [column.id, column]));
  /** @type {Rows["columns"]} */
  const result = new Map();
  for (const id of new Set([...rows.columns.keys(), ...news.keys()])) {
    const old = rows.columns.get(id);
    const fresh = news.get(id);
    let values = old && !sources ? old.values : uids.map((_, row) => old?.values[sources ? sources[row] : row] ?? null);
    if (id === "uid") values = uids;
    else if (fresh) {
      if (values === old?.values) values = values.slice();
      changed.forEach((uid, row) => {
        const to = place.get(uid);
        if (to !== undefined) values[to] = fresh.values[row];
      });
    }
    const told = fresh && (!old || fresh.values.some((value) => value !== null)) ? fresh : old; // empty is no kind
    result.set(id, { id, kind: told?.kind ?? "text", values });
  }
  return { uids, place, columns: result };
}

/**
 * With more columns of the same runs. Runs that only the new table has come at its place; those it lacks are gone.
 * @param {Rows} rows
 * @param {import("./types.js").Table} table
 * @returns {Rows}
 */
export function withMoreColumns(rows, table) {
  const fresh = heldRows(table);
  for (const [id, column] of rows.columns) {
    if (fresh.columns.has(id)) continue;
    const values = fresh.uids.map((uid) => column.values[rows.place.get(uid) ?? -1] ?? null);
    fresh.columns.set(id, { ...column, values });
  }
  return fresh;
}

/**
 * @param {Rows} rows
 * @param {string} id
 * @param {number} row
 * @returns {import("./types.js").Cell}
 */
export function cellAt(rows, id, row) {
  return rows.columns.get(id)?.values[row] ?? null;
}
