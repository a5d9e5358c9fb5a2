// Data from the server that sent the page.
import { curvesOfFrame } from "./wire.js";

/** What the server refused, in its own words. */
export class ApiError extends Error {
  /**
   * @param {number} status  Of HTTP; 0 if no answer came.
   * @param {{code?: string, message?: string, hint?: string, position?: number}} error
   */
  constructor(status, error) {
    super(error.message || `the server answered ${status}`);
    this.status = status;
    this.code = error.code ?? "";
    this.hint = error.hint ?? "";
    this.position = error.position ?? null;
  }
}

const TOKEN_KEY = "trainstore.token";
const LONG_ADDRESS = 4000; // characters of a query; above it goes into the body

const BUSY = 429; // too many reads wait: this one is asked for again, as the server says
const MOST_TRIES = 20;
const ANSWER_MS = 45_000; // until an answer is whole; the server itself ends a read after 30 s,
const EXPORT_MS = 660_000; // and an export after 600 s

let heldToken = ""; // also where the browser stores nothing

/**
 * Take the token out of the address: it must not stay in the history, nor go along with a copied link.
 * @returns {boolean} Whether there was one.
 */
export function takeToken() {
  const found = /[#&?]token=([^&]*)/.exec(location.hash);
  if (!found) return false;
  saveToken(plainToken(found[1]));
  const rest = location.hash.replace(/([#&?])token=[^&]*&?/, "$1").replace(/[#&?]$/, "");
  history.replaceState(null, "", location.pathname + location.search + rest);
  return true;
}

/** @param {string} text */
function plainToken(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // cut off while it was copied: the server will ask for the right one
  }
}

/**
 * For as long as the tab is open.
 * @param {string} token
 */
export function saveToken(token) {
  heldToken = token;
  try {
    sessionStorage.setItem(TOKEN_KEY, token);
  } catch {
    // storage is blocked: the token lasts until the page is loaded again
  }
}

function knownToken() {
  try {
    return heldToken || sessionStorage.getItem(TOKEN_KEY);
  } catch {
    return "";
  }
}

/** @returns {import("./types.js").Source} */
export function httpSource() {
  return {
    can: { filter: true, live: true, edit: true, export: true },
    meta: () => getJson("meta", {}),
    columns: (query) => getJson("columns", query),
    runs: (query) => getJson("runs", query),
    run: (uid) => getJson(`runs/${encodeURIComponent(uid)}`, {}),
    curves: (query) => getFrame("series", query),
    group: (query) => getFrame("group", query),
    compare: (uids, all) => getJson("compare", { runs: uids, all: all ? 1 : null }),
    samples: (uids, name) => getJson("samples", { runs: uids, name }),
    live: (query) => sendJson("POST", "live", query),
    health: () => getJson("health", {}),
    edit: (uid, change, etag) => sendJson("PATCH", `runs/${encodeURIComponent(uid)}`, change, { "If-Match": etag }),
    exported: (which, table, format) => ask("export", { ...which, table, format }, (answer) => answer.blob()),
  };
}

/**
 * @param {string} route
 * @param {Record<string, any>} query
 */
function getJson(route, query) {
  return ask(route, query, (answer) => answer.json());
}

/**
 * @param {string} route
 * @param {Record<string, any>} query
 */
async function getFrame(route, query) {
  return curvesOfFrame(await ask(route, query, (answer) => answer.arrayBuffer()));
}

/**
 * @param {string} method
 * @param {string} route
 * @param {unknown} body
 * @param {Record<string, string>} [headers]
 */
function sendJson(method, route, body, headers = {}) {
  const sent = { method, body: JSON.stringify(body), headers: { "Content-Type": "application/json", ...headers } };
  return request(route, sent, (answer) => answer.json());
}

/**
 * @template T
 * @param {string} route
 * @param {Record<string, any>} query
 * @param {(answer: Response) => Promise<T>} read
 */
function ask(route, query, read) {
  const text = queryOf(query);
  if (text.length <= LONG_ADDRESS) return request(`${route}${text ? `?${text}` : ""}`, {}, read);
  const headers = { "Content-Type": "application/json" };
  return request(route, { method: "POST", body: JSON.stringify(query), headers }, read);
}

/**
 * @template T
 * @param {string} address
 * @param {RequestInit & {headers?: Record<string, string>}} options
 * @param {(answer: Response) => Promise<T>} read  Of the body, which may break off, too.
 * @returns {Promise<T>}
 */
async function request(address, options, read) {
  const token = knownToken();
  const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  const most = address.startsWith("export") ? EXPORT_MS : ANSWER_MS;
  for (let tries = 1; ; tries += 1) {
    let answer;
    try {
      answer = await fetch(`api/v1/${address}`, { ...options, headers, signal: AbortSignal.timeout(most) });
      if (answer.ok) return await read(answer);
    } catch {
      const message = answer ? "the answer broke off, or came from something else" : "the server does not answer";
      throw new ApiError(0, { code: "away", message, hint: "is trainstore ui running?" });
    }
    if (answer.status !== BUSY || tries === MOST_TRIES) {
      const body = await answer.json().catch(() => ({}));
      throw new ApiError(answer.status, body.error ?? {});
    }
    const seconds = Number(answer.headers.get("Retry-After")) || 1;
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }
}

/** @param {Record<string, any>} query */
function queryOf(query) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") parameters.append(name, String(one));
    }
  }
  return parameters.toString();
}
