// Values that tell when they change.

/**
 * @template T
 * @typedef {Object} Signal
 * @property {() => T} get
 * @property {(value: T) => void} set
 * @property {(listener: (value: T) => void) => (() => void)} listen  Called on each change, not at once; returns how to stop.
 */

/**
 * @template T
 * @param {T} value
 * @param {(a: T, b: T) => boolean} [same]
 * @returns {Signal<T>}
 */
export function signal(value, same = Object.is) {
  /** @type {Set<(value: T) => void>} */
  const listeners = new Set();
  return {
    get: () => value,
    set(next) {
      if (same(value, next)) return;
      value = next;
      for (const listener of [...listeners]) listener(value);
    },
    listen(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/**
 * Call `act` now and whenever one of the signals changes, once for all changes of the same moment.
 * @param {Signal<any>[]} sources
 * @param {() => void} act
 * @returns {() => void} How to stop.
 */
export function effect(sources, act) {
  let waiting = false;
  let stopped = false;
  const later = () => {
    if (waiting) return;
    waiting = true;
    queueMicrotask(() => {
      waiting = false;
      if (!stopped) act();
    });
  };
  const stops = sources.map((source) => source.listen(later));
  act();
  return () => {
    stopped = true;
    for (const stop of stops) stop();
  };
}

/** What stops everything that was added, in the order in which it was added. */
export function disposables() {
  /** @type {(() => void)[]} */
  const all = [];
  return {
    /** @param {() => void} stop */
    add(stop) {
      all.push(stop);
    },
    dispose() {
      for (const stop of all.splice(0)) stop();
    },
  };
}

/**
 * `act`, as soon as no more call has come for so many milliseconds, with the last call's arguments.
 * @template {any[]} A
 * @param {number} milliseconds
 * @param {(...values: A) => void} act
 */
export function settled(milliseconds, act) {
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  let timer;
  const later = (/** @type {A} */ ...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...values), milliseconds);
  };
  later.cancel = () => clearTimeout(timer);
  return later;
}

/**
 * `act`, so many milliseconds after the first call; those until then are one with it. However often it is called, it
 * happens.
 * @param {number} milliseconds
 * @param {() => void} act
 */
export function gathered(milliseconds, act) {
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  let timer;
  const later = () => {
    timer ??= setTimeout(() => {
      timer = undefined;
      act();
    }, milliseconds);
  };
  later.cancel = () => {
    clearTimeout(timer);
    timer = undefined;
  };
  return later;
}
