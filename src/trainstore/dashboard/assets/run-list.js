// The runs that the filter admits: first those in view, then all, then what changes while the page is open.
import { noRows, patchedRows, heldRows, withMoreColumns } from "./rows.js";
import { gathered, signal } from "./signals.js";
import { ApiError } from "./source-http.js";

/** @typedef {import("./types.js").ColumnInfo} ColumnInfo */
/**
 * @typedef {Object} ListStatus
 * @property {number|null} count  Of all runs that the filter admits.
 * @property {boolean} loading
 * @property {boolean} whole  Whether all of them are here.
 * @property {any} error  The last read's.
 */

const FIRST_ROWS = 200;
const MOST_CELLS = 500_000; // of a table that is read with all its columns; of a larger one, those shown
const EVERY = "*";
const COLUMNS_AGAIN = 2000; // ms after new runs, until their columns are read again, and
const COLUMNS_AGAIN_OF_MANY = 30_000;
const MANY_RUNS = 1000;
const ALWAYS = ["uid", "name", "status", "started"];

/**
 * @param {import("./types.js").Source} source
 * @param {import("./router.js").State} state
 * @param {number} mostRuns  How many the server sends at once.
 */
export function runList(source, state, mostRuns) {
  const rows = signal(noRows());
  /** @type {import("./signals.js").Signal<ColumnInfo[]>} */
  const infos = signal(/** @type {ColumnInfo[]} */ ([]));
  /** @type {import("./signals.js").Signal<string[]>} The server's choice, for who has made none. */
  const usual = signal(/** @type {string[]} */ ([]));
  const status = signal(/** @type {ListStatus} */ ({ count: null, loading: false, whole: false, error: null }));
  let round = 0;
  let asked = "";
  /** @type {Set<string>} */
  let wanted = new Set();
  let own = false;
  /** @type {string|null} Of the rows, once all are here. */
  let version = null;
  let every = false; // whether they have all columns

  const which = () => ({ project: state.text("project"), q: state.text("q") });
  const say = (/** @type {Partial<ListStatus>} */ news) => status.set({ ...status.get(), ...news });

  /** Read anew. Rows stay until there are others; those of the same filter are replaced at once, without a first part. */
  const load = async () => {
    const mine = (round += 1);
    const still = () => mine === round;
    const again = asked === JSON.stringify(which()) && status.get().whole;
    asked = JSON.stringify(which());
    version = null;
    say({ loading: true, whole: again });
    try {
      if (!again) await loadFirst(still);
      if (!still()) return;
      const found = await source.columns(which()); // not beside the first rows, which it would hold up
      if (!still()) return;
      infos.set(found.columns);
      await loadRest(found.count, found.columns.length, still);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error; // a fault of the page's own, for the console
      if (still()) say({ error, loading: false });
    }
  };

  /** The rows in view. @param {() => boolean} still */
  const loadFirst = async (still) => {
    const columns = own ? [...ALWAYS, ...wanted] : undefined;
    const query = { ...which(), limit: FIRST_ROWS };
    const sort = state.list("sort");
    const chosen = source.runs({ ...query, columns, sort });
    const first = await chosen.catch((error) => {
      if (error.code !== "filter" || !(columns || sort.length)) throw error;
      return source.runs(query); // a column or an order that is not there; the missing ones are told about below
    });
    if (!still()) return;
    if (!own) usual.set(usualOf(first));
    say({ count: first.count, error: null });
    rows.set(heldRows(first));
  };

  /**
   * All rows, with all columns if these are not too many.
   * @param {number} count
   * @param {number} width
   * @param {() => boolean} still
   */
  const loadRest = async (count, width, still) => {
    const small = count * width <= MOST_CELLS;
    const columns = small ? [EVERY] : [...new Set([...ALWAYS, ...usual.get(), ...wanted])];
    const table = await source.runs({ ...which(), columns, limit: mostRuns });
    if (!still()) return;
    every = small;
    version = table.version;
    say({ count: table.count, loading: false, whole: true, error: null });
    rows.set(heldRows(table));
    await readMissing();
  };

  const readInfos = async () => {
    const mine = round;
    const found = await source.columns(which()).catch(() => null); // the next read of the rows tells why
    if (found && mine === round) infos.set(found.columns);
  };
  const readUsual = async () => {
    const mine = round;
    const first = await source.runs({ ...which(), limit: FIRST_ROWS }).catch(() => null);
    if (first && mine === round) usual.set(usualOf(first));
  };
  const readColumns = () => Promise.all([readInfos(), readUsual()]);
  const soon = gathered(COLUMNS_AGAIN, readColumns);
  const late = gathered(COLUMNS_AGAIN_OF_MANY, readColumns);

  /** What was said about a column that could not be read is no longer so. */
  const noneMissing = () => {
    if (status.get().error?.elsewhere) say({ error: null });
  };
  const readMissing = async () => {
    const missing = [...wanted].filter((id) => !rows.get().columns.has(id));
    if (!missing.length) return noneMissing();
    if (!status.get().whole) return;
    const mine = round;
    try {
      const table = await source.runs({ ...which(), columns: ["uid", ...missing], limit: mostRuns });
      if (mine !== round) return;
      rows.set(withMoreColumns(rows.get(), table));
      noneMissing();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (mine === round) say({ error: Object.assign(error, { elsewhere: true }) });
    }
  };

  return {
    rows,
    infos,
    usual,
    status,
    load,
    /**
     * Columns that are shown, sorted or grouped by: those that are not here are read.
     * @param {string[]} ids
     * @param {boolean} chosen  Whether the user chose what is shown; else the server does.
     */
    need(ids, chosen) {
      wanted = new Set(ids);
      own = chosen;
      if (!own && !usual.get().length && status.get().whole) readUsual();
      return readMissing();
    },
    /** Read if the filter is another one than that of the rows here. */
    refresh: () => (asked === JSON.stringify(which()) ? Promise.resolve() : load()),
    /** What the live poller may bring up to date: nothing while the rows are being read. */
    held: () =>
      version !== null && asked === JSON.stringify(which())
        ? { version, columns: every ? [EVERY] : [...rows.get().columns.keys()] }
        : null,
    /**
     * What has changed since that version.
     * @param {import("./live.js").TableChange|null} change
     * @param {number|null} count
     * @param {string|null} now  null: the answer is not about these rows.
     */
    patch(change, count, now) {
      const { loading, error } = status.get();
      if (version === null) {
        if (error && !loading && !(error.status >= 400 && error.status < 500)) load(); // perhaps it works now
        return;
      }
      if (change?.anew) {
        load();
        return;
      }
      if (now === null) return; // the next question is about these rows, from their version on
      version = now;
      if (!change) return;
      const before = rows.get().uids;
      rows.set(patchedRows(rows.get(), change.columns ?? [], change.gone ?? []));
      if (count !== null) say({ count });
      if (rows.get().uids !== before) (before.length > MANY_RUNS ? late : soon)();
    },
    /** There are new names, so there may be new columns, and others that one wants to see. */
    readColumns,
    dispose() {
      soon.cancel();
      late.cancel();
    },
  };
}

/** @typedef {ReturnType<typeof runList>} RunList */

/** @param {import("./types.js").Table} table  That the server has chosen the columns of. */
function usualOf(table) {
  return table.columns.map(({ id }) => id).filter((id) => id !== "uid");
}
