// What processes that have ended left behind, for as long as it is worth a word.
import { signal } from "./signals.js";

const ASK_AGAIN_MS = 30_000;
const ASK_SOONEST_MS = 5000;

/** @typedef {NonNullable<import("./types.js").Meta["waiting"]>} Waiting */

/** What the tab remembers, as long as it may. */
const TAB_MEMORY = {
  /** @param {string} key */
  getItem(key) {
    try {
      return sessionStorage.getItem(key);
    } catch {
      return null;
    }
  },
  /** @param {string} key @param {string} value */
  setItem(key, value) {
    try {
      sessionStorage.setItem(key, value);
    } catch {
      // Storage is off: what was closed stays so as long as the page of the runs is open.
    }
  },
};

/**
 * @param {Pick<import("./types.js").Context, "source"|"meta"|"live">} context
 * @param {typeof TAB_MEMORY} [tab]  Remembers what was closed.
 */
export function waitingRecords({ source, meta, live }, tab = TAB_MEMORY) {
  const key = `trainstore.waiting.${meta.store.uid}`;
  const shown = signal(/** @type {Waiting|null} */ (null), (a, b) => JSON.stringify(a) === JSON.stringify(b));
  let closed = Number(tab.getItem(key)) || 0; // so many records were there when the reader closed the message
  let [asked, busy] = [Date.now(), false];

  const close = (/** @type {number} */ records) => {
    if (records === closed) return;
    closed = records;
    tab.setItem(key, String(records));
  };
  const take = (/** @type {Waiting|null} */ waiting) => {
    meta.waiting = waiting; // the page that is opened next begins with it
    const records = waiting?.records ?? 0;
    close(Math.min(closed, records)); // what is left behind after a delivery is new
    shown.set(records > closed ? waiting : null);
  };
  const ask = async () => {
    if (busy) return;
    busy = true;
    asked = Date.now();
    try {
      take((await source.meta()).waiting);
    } catch {
      // The database is away, which others say.
    }
    busy = false;
  };
  take(meta.waiting);
  const timer = live ? setInterval(() => document.visibilityState === "visible" && ask(), ASK_AGAIN_MS) : undefined;
  const stop = live?.version.listen(() => shown.get() && Date.now() - asked >= ASK_SOONEST_MS && ask());
  return {
    shown,
    ask,
    /** Until there are more. */
    close() {
      close(meta.waiting?.records ?? 0);
      shown.set(null);
    },
    dispose() {
      clearInterval(timer);
      stop?.();
    },
  };
}
