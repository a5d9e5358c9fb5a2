// The runs that the filter admits: first those in view, then all, then what changes while the page is open.
import { noRows, patchedRows, heldRows, withMoreColumns } from "./rows.js";
import { signal } from "./signals.js";

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
    const known = source.columns(which()).catch(() => null); // its error is that of the rows, too
    try {
      if (!again) await loadFirst(still);
      const found = await known;
      if (!still()) return;
      if (found) infos.set(found.columns);
      await loadRest(found?.count ?? 0, found?.columns.length ?? 0, still);
    } catch (error) {
      if (error instanceof TypeError) reportError(error); // a mistake of ours: the console has the place
      const elsewhere = Boolean(await known); // the filter is right, so it is a column or the order
      if (still()) say({ error: Object.assign(/** @type {Error} */ (error), { elsewhere }), loading: false });
    }
  };

  /** The rows in view. @param {() => boolean} still */
  const loadFirst = async (still) => {
    const columns = own ? [...ALWAYS, ...wanted] : undefined;
    const first = await source.runs({ ...which(), columns, sort: state.list("sort"), limit: FIRST_ROWS });
    if (!still()) return;
    if (!own) usual.set(first.columns.map(({ id }) => id).filter((id) => id !== "uid"));
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
    const columns = small ? ["*"] : [...new Set([...ALWAYS, ...usual.get(), ...wanted])];
    const table = await source.runs({ ...which(), columns, limit: mostRuns });
    if (!still()) return;
    version = table.version;
    say({ count: table.count, loading: false, whole: true, error: null });
    rows.set(heldRows(table));
    await readMissing();
  };

  const readMissing = async () => {
    const missing = [...wanted].filter((id) => !rows.get().columns.has(id));
    if (!missing.length || !status.get().whole) return;
    const mine = round;
    try {
      const table = await source.runs({ ...which(), columns: ["uid", ...missing], limit: mostRuns });
      if (mine === round) rows.set(withMoreColumns(rows.get(), table));
    } catch (error) {
      if (mine === round) say({ error: Object.assign(/** @type {Error} */ (error), { elsewhere: true }) });
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
      return readMissing();
    },
    /** Read if the filter is another one than that of the rows here. */
    refresh: () => (asked === JSON.stringify(which()) ? Promise.resolve() : load()),
    /** What `live` may bring up to date: nothing while the rows are being read. */
    held: () =>
      version !== null && asked === JSON.stringify(which()) ? { version, columns: [...rows.get().columns.keys()] } : null,
    /**
     * What has changed since that version.
     * @param {import("./live.js").TableChange|null} change
     * @param {number|null} count
     * @param {string} now
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
      version = now;
      if (!change) return;
      rows.set(patchedRows(rows.get(), change.columns ?? [], change.gone ?? []));
      if (count !== null) say({ count });
    },
  };
}

/** @typedef {ReturnType<typeof runList>} RunList */
