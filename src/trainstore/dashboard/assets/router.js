// The page's address is its state: `#/runs?q=…&sort=…`. What has its usual value is left out.
import { signal } from "./signals.js";

/** @typedef {{page: string, uid: string}} Place */
/** @typedef {import("./signals.js").Signal<Place>} Route */
/**
 * @typedef {Object} State
 * @property {(name: string) => string} text  "" if it is not set.
 * @property {(name: string) => string[]} list
 * @property {(name: string, usual: number) => number} number
 * @property {(name: string) => boolean} flag
 * @property {(changes: Record<string, any>, options?: {push?: boolean, together?: string}) => void} set  null, "", false
 *   and [] take a name out. `push` makes a step for Back: for a decision, not for a slider on its way. Quick changes that
 *   have the same `together` are one step.
 * @property {(names: string[], act: () => void) => (() => void)} listen  Told when one of the names changes.
 * @property {(page: string, uid?: string, changes?: Record<string, any>) => string} link  The address of a page.
 * @property {() => string} hash  The address of all this; the one in the browser may be a moment behind.
 */

// Safari throws after the address was written 100 times in 30 s: so many times at once, then once in so many ms.
const ADDRESS_BURST = 20;
const ADDRESS_PAUSE = 400;
const TOGETHER_MS = 1000;

/**
 * @param {string} hash  Of an address, with "#" or without.
 * @returns {{place: Place, values: Map<string, string[]>}}
 */
export function parseHash(hash) {
  const [path, query = ""] = hash.replace(/^#?\/?/, "").split(/\?(.*)/s);
  const [page, uid = ""] = path.split("/");
  /** @type {Map<string, string[]>} */
  const values = new Map();
  for (const [name, value] of new URLSearchParams(query)) {
    if (!value.includes("\0")) values.set(name, [...(values.get(name) ?? []), value]); // no name and no text has a NUL
  }
  return { place: { page: page || "runs", uid: decoded(uid) }, values };
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a stray % in a typed address
  }
}

/**
 * @param {Place} place
 * @param {Map<string, string[]>} values
 */
export function formatHash(place, values) {
  const query = new URLSearchParams();
  for (const name of [...values.keys()].sort()) for (const value of values.get(name) ?? []) query.append(name, value);
  const text = query.toString();
  return `#/${place.page}${place.uid ? `/${encodeURIComponent(place.uid)}` : ""}${text ? `?${text}` : ""}`;
}

/**
 * @param {any} value
 * @returns {string[]}
 */
function asTexts(value) {
  if (value === null || value === undefined || value === "" || value === false) return [];
  if (value === true) return ["1"];
  return (Array.isArray(value) ? value : [value]).map(String);
}

/** @returns {{route: Route, state: State}} */
export function startRouter() {
  let { place, values } = parseHash(location.hash);
  const route = signal(place, (a, b) => a.page === b.page && a.uid === b.uid);
  /** @type {Set<{names: string[], act: () => void}>} */
  const listeners = new Set();
  let latest = { together: "", at: 0 }; // the last step that was made

  const address = addressWriter(() => formatHash(place, values));

  /** @param {Map<string, string[]>} old @param {{names: string[], act: () => void}[]} whom */
  const tell = (old, whom) => {
    const changed = new Set([...old.keys(), ...values.keys()].filter((name) => !equal(old.get(name), values.get(name))));
    for (const one of whom) if (listeners.has(one) && one.names.some((name) => changed.has(name))) one.act();
  };
  const read = () => {
    const old = values;
    const before = [...listeners]; // a new page has read the new state; the old one's listeners go with it
    address.isRead();
    latest = { together: "", at: 0 };
    ({ place, values } = parseHash(location.hash));
    route.set(place);
    tell(old, before);
  };
  addEventListener("hashchange", read);
  addEventListener("popstate", read);

  /** @type {State} */
  const state = {
    text: (name) => values.get(name)?.[0] ?? "",
    list: (name) => values.get(name) ?? [],
    number(name, usual) {
      const text = values.get(name)?.[0];
      const value = Number(text);
      return text === undefined || text === "" || !Number.isFinite(value) ? usual : value;
    },
    flag: (name) => values.get(name)?.[0] === "1",
    set(changes, { push = false, together = "" } = {}) {
      const old = values;
      const now = performance.now();
      const joins = together !== "" && together === latest.together && now - latest.at < TOGETHER_MS;
      const steps = push && !joins;
      if (steps) address.flush(); // Back leads to the state as it was
      values = new Map(values);
      for (const [name, value] of Object.entries(changes)) {
        const texts = asTexts(value);
        if (texts.length) values.set(name, texts);
        else values.delete(name);
      }
      address.write(steps);
      if (push) latest = { together, at: now };
      tell(old, [...listeners]);
    },
    listen(names, act) {
      const entry = { names, act };
      listeners.add(entry);
      return () => listeners.delete(entry);
    },
    link(page, uid = "", changes = {}) {
      /** @type {Map<string, string[]>} */
      const kept = new Map([...values].filter(([name]) => name === "project" || name === "q"));
      for (const [name, value] of Object.entries(changes)) {
        const texts = asTexts(value);
        if (texts.length) kept.set(name, texts);
        else kept.delete(name);
      }
      return formatHash({ page, uid }, kept);
    },
    hash: () => formatHash(place, values),
  };
  return { route, state };
}

/**
 * Writes the address at once, but while it changes all the time, as under a slider, only so often as browsers allow.
 * @param {() => string} wanted
 */
function addressWriter(wanted) {
  let [seen, room, at] = [location.hash, ADDRESS_BURST, performance.now()];
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  let timer;
  const stop = () => {
    clearTimeout(timer);
    timer = undefined;
  };
  const roomNow = () => {
    const before = at;
    at = performance.now();
    room = Math.min(room + (at - before) / ADDRESS_PAUSE, ADDRESS_BURST);
    return room;
  };
  const put = (/** @type {boolean} */ push) => {
    stop();
    const hash = wanted();
    if (location.hash !== seen || hash === seen) return; // another address was asked for, and is read in a moment
    room = Math.max(roomNow() - 1, 0);
    try {
      history[push ? "pushState" : "replaceState"](null, "", hash);
      seen = location.hash;
    } catch {
      later(); // too often, says the browser
    }
  };
  const later = () => {
    timer ??= setTimeout(put, ADDRESS_PAUSE, false);
  };
  const flush = () => {
    if (timer !== undefined) put(false);
  };
  addEventListener("pagehide", flush);
  return {
    flush,
    /** @param {boolean} push */
    write(push) {
      if (push || roomNow() >= 1) put(push);
      else later();
    },
    /** The browser has changed it: what was to be written belongs to the address before. */
    isRead() {
      stop();
      seen = location.hash;
    },
  };
}

/**
 * @param {string[]|undefined} a
 * @param {string[]|undefined} b
 */
function equal(a = [], b = []) {
  return a.length === b.length && a.every((value, place) => value === b[place]);
}
