// The database's clock: by it times were recorded, and the reader's own may be wrong.

let ahead = 0;

/** @param {number} now  Seconds since 1970, by the database's clock. NaN: in a report, which tells dates. */
export function setClock(now) {
  ahead = now - Date.now() / 1000;
}

/** @returns {number} Seconds since 1970; NaN in a report. */
export function databaseNow() {
  return Date.now() / 1000 + ahead;
}
