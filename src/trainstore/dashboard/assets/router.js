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
 * @property {(changes: Record<string, any>, options?: {push?: boolean}) => void} set  null, "", false and [] take a
 *   name out. `push` makes a step for Back: for a decision, not for a slider on its way.
 * @property {(names: string[], act: () => void) => (() => void)} listen  Told when one of the names changes.
 * @property {(page: string, uid?: string, changes?: Record<string, any>) => string} link  The address of a page.
 */

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

  const tell = (/** @type {Map<string, string[]>} */ old) => {
    const changed = new Set([...old.keys(), ...values.keys()].filter((name) => !equal(old.get(name), values.get(name))));
    for (const { names, act } of [...listeners]) if (names.some((name) => changed.has(name))) act();
  };
  const read = () => {
    const old = values;
    ({ place, values } = parseHash(location.hash));
    const moved = route.get().page !== place.page || route.get().uid !== place.uid;
    route.set(place);
    if (!moved) tell(old);
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
    set(changes, { push = false } = {}) {
      const old = values;
      values = new Map(values);
      for (const [name, value] of Object.entries(changes)) {
        const texts = asTexts(value);
        if (texts.length) values.set(name, texts);
        else values.delete(name);
      }
      const hash = formatHash(place, values);
      if (hash !== location.hash) history[push ? "pushState" : "replaceState"](null, "", hash);
      tell(old);
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
  };
  return { route, state };
}

/**
 * @param {string[]|undefined} a
 * @param {string[]|undefined} b
 */
function equal(a = [], b = []) {
  return a.length === b.length && a.every((value, place) => value === b[place]);
}
