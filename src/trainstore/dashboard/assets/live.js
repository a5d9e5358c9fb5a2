// Asks the server each second what is new, while the page is in view, and passes it on.
import { signal } from "./signals.js";

/** @typedef {import("./types.js").LiveAnswer} LiveAnswer */
/**
 * @typedef {"live"|"paused"|"away"|"idle"|"refused"} LiveStatus  "idle": nothing is being recorded; "away": no answer
 *   came; "refused": the token is not the server's.
 */
/** @typedef {{generation: number, last_step: number, status: string}} RunState */
/** @typedef {Record<string, {x: import("./types.js").Cell[], y: import("./types.js").Cell[], replaces_from?: number}>} NewPoints  By metric. */
/** @typedef {{version: string, columns: string[]}} HeldTable */
/** @typedef {{anew?: boolean, columns?: import("./types.js").Column[], gone?: string[]}} TableChange */
/**
 * Who draws curves.
 * @typedef {Object} Watcher
 * @property {() => {uid: string, generation: number|null}[]} runs  What is drawn, and in which state: the lowest
 *   generation in the heads of a run's curves; null if nothing is.
 * @property {() => string[]} metrics
 * @property {() => string} x
 * @property {(uid: string, points: NewPoints, state: RunState) => void} onPoints  For every metric that was asked for:
 *   what is drawn from `replaces_from` on makes way for the points.
 * @property {(uid: string, generation: number|null) => void} onAnew  Its curves are to be fetched as at first.
 */
/**
 * Who shows a table.
 * @typedef {Object} TableWatcher
 * @property {() => HeldTable|null} held  Its version and columns; null while it is being read.
 * @property {(change: TableChange|null, count: number|null, version: string|null) => void} onChange  No change: nothing
 *   of this table. No version: something has changed, and this table was not asked about.
 */
/**
 * What the page tells: tests have their own.
 * @typedef {Object} Surroundings
 * @property {(act: () => void, milliseconds: number) => any} after
 * @property {(timer: any) => void} stop
 * @property {() => number} now  In milliseconds.
 * @property {() => boolean} visible
 * @property {(act: () => void) => (() => void)} onVisible  Called when that changes; returns how to stop.
 */

const POLL_EVERY = 1000; // ms, from one question to the next
const POLL_PAUSE = 200; // ms, at least, from an answer to the next question
const POLL_LONGEST = 30_000; // ms, between questions that get no answer
const TOLD_AGAIN = 10_000; // ms, until a run that was to be fetched anew, and still is as it was, is told so again
const POLL_RUNS = 500;
const POLL_METRICS = 50; // in one question
const UNAUTHORIZED = 401;

/** @type {Surroundings} */
const ownSurroundings = {
  after: (act, milliseconds) => setTimeout(act, milliseconds),
  stop: (timer) => clearTimeout(timer),
  now: () => performance.now(),
  visible: () => !document.hidden,
  onVisible(act) {
    document.addEventListener("visibilitychange", act);
    return () => document.removeEventListener("visibilitychange", act);
  },
};

/**
 * @param {{source: Pick<import("./types.js").Source, "live">, state: {text: (name: string) => string}}} context
 * @param {Surroundings} [surroundings]
 */
export function startLive({ source, state }, surroundings = ownSurroundings) {
  const { after, stop, now, visible } = surroundings;
  const status = signal(/** @type {LiveStatus} */ (visible() ? "idle" : "paused"));
  const version = signal(/** @type {string|null} */ (null));
  let names = Infinity;
  /** @type {Set<() => void>} */
  const awaiting = new Set();
  /** @type {Set<ReturnType<typeof liveQuestion>>} */
  const watchers = new Set();
  /** @type {Set<TableWatcher>} */
  const tables = new Set();
  let [timer, busy, disposed, wait] = [/** @type {any} */ (null), false, false, POLL_EVERY];

  const turn = async () => {
    timer = null;
    if (disposed || busy) return;
    if (!visible()) {
      status.set("paused");
      return;
    }
    busy = true;
    const begun = now();
    try {
      const running = await ask();
      wait = POLL_EVERY;
      if (visible() && running !== null) status.set(running ? "live" : "idle");
    } catch (error) {
      const code = /** @type {any} */ (error)?.status;
      if (code === undefined) console.error(error); // not of the network: a fault of the page's own
      wait = Math.min(2 * wait, POLL_LONGEST);
      if (visible()) status.set(code === UNAUTHORIZED ? "refused" : "away");
    }
    busy = false;
    later(Math.max(wait - (now() - begun), POLL_PAUSE));
  };

  const later = (/** @type {number} */ milliseconds) => {
    if (timer !== null) stop(timer);
    timer = disposed || !visible() ? null : after(turn, milliseconds);
    if (!visible()) status.set("paused");
  };

  /** One question, or those of each that draws curves; how many runs are being recorded. */
  const ask = async () => {
    const table = [...tables].find((one) => one.held()) ?? null;
    const held = table?.held() ?? null;
    if (held && held.version !== version.get()) for (const watcher of watchers) watcher.forget();
    const common = { version: held?.version ?? version.get(), runs: {}, metrics: [], x: "step" };
    const ofTable = held
      ? { columns: held.columns, project: state.text("project"), q: state.text("q") }
      : {};
    /** @type {number|null} */
    let running = null;
    const asked = [...watchers].flatMap((watcher) => watcher.questions().map((question) => ({ watcher, question })));
    for (let place = 0; place < Math.max(asked.length, 1); place += 1) {
      const { watcher, question } = asked[place] ?? {};
      const query = { ...common, ...(place ? {} : ofTable), ...question };
      const answer = await source.live(query);
      if (disposed) return null;
      running = answer.running;
      if (watcher && watchers.has(watcher)) watcher.take(answer, query);
      if (!place) take(answer, table, held);
    }
    return running;
  };

  /**
   * @param {LiveAnswer} answer
   * @param {TableWatcher|null} table
   * @param {HeldTable|null} held
   */
  const take = (answer, table, held) => {
    const known = version.get();
    version.set(answer.version);
    if (answer.names > names) for (const act of awaiting) act();
    names = answer.names;
    if (table && held && tables.has(table) && table.held()?.version === held.version) {
      if (answer.version !== held.version) table.onChange(answer.table, answer.count, answer.version);
    }
    if (known === null || known === answer.version) return;
    for (const other of tables) if (other !== table || !held) other.onChange(null, null, null);
  };

  const stopListening = surroundings.onVisible(() => {
    wait = POLL_EVERY;
    if (!busy) later(0);
    else if (!visible()) status.set("paused");
  });
  later(0);

  return {
    status,
    version,
    /**
     * Call `act` when a metric or hyperparameter appears that no run had before: there may be more columns and charts.
     * @param {() => void} act
     */
    onNames(act) {
      awaiting.add(act);
      return () => {
        awaiting.delete(act);
      };
    },
    /** @param {Watcher} watcher */
    watch(watcher) {
      const mine = liveQuestion(watcher, now);
      watchers.add(mine);
      return () => {
        watchers.delete(mine);
      };
    },
    /**
     * Follow the table, or only that some run has changed.
     * @param {TableWatcher["onChange"]} onChange
     * @param {TableWatcher["held"]} [held]
     */
    onTable(onChange, held = () => null) {
      const mine = { onChange, held };
      tables.add(mine);
      return () => {
        tables.delete(mine);
      };
    },
    dispose() {
      disposed = true;
      stopListening();
      if (timer !== null) stop(timer);
    },
  };
}

/**
 * What is asked for one that draws curves, and where the answer goes.
 * @param {Watcher} watcher
 * @param {() => number} now
 */
function liveQuestion(watcher, now) {
  /** @type {Map<string, string>} */
  const statuses = new Map();
  /** @type {Map<string, {generation: number|null, at: number}>} */
  const toldAnew = new Map();

  /** @param {string} uid @param {number|null} generation @param {number|null} newest */
  const tellAnew = (uid, generation, newest) => {
    const told = toldAnew.get(uid);
    if (told && told.generation === generation && now() - told.at < TOLD_AGAIN) return; // it is being fetched
    toldAnew.set(uid, { generation, at: now() });
    watcher.onAnew(uid, newest);
  };

  return {
    /** The table was read at another moment than the runs: their status may have changed between. */
    forget: () => statuses.clear(),
    /** All from the same state of the runs: an answer to one moves that on. */
    questions() {
      const drawn = watcher.runs().slice(0, POLL_RUNS);
      const runs = Object.fromEntries(
        drawn.map(({ uid, generation }) => [uid, { generation, status: statuses.get(uid) ?? null }]),
      );
      const [x, metrics] = [watcher.x(), watcher.metrics()];
      const count = Math.max(Math.ceil(metrics.length / POLL_METRICS), 1);
      return Array.from({ length: count }, (_, part) => {
        return { x, runs, metrics: metrics.slice(part * POLL_METRICS, (part + 1) * POLL_METRICS) };
      });
    },
    /**
     * @param {LiveAnswer} answer
     * @param {import("./types.js").LiveQuery} query
     */
    take(answer, query) {
      for (const [uid, news] of Object.entries(answer.runs)) {
        if (news.gone) {
          statuses.delete(uid);
          continue;
        }
        statuses.set(uid, news.status);
        if (query.x !== watcher.x()) continue; // what comes is for another axis
        if (news.anew) tellAnew(uid, query.runs[uid]?.generation ?? null, news.generation ?? null);
        else if (news.generation !== undefined) {
          toldAnew.delete(uid);
          watcher.onPoints(uid, newPointsOf(news, query.metrics), /** @type {RunState} */ (news));
        }
      }
    },
  };
}

/**
 * @param {LiveAnswer["runs"][string]} news
 * @param {string[]} metrics
 * @returns {NewPoints}
 */
function newPointsOf(news, metrics) {
  const from = news.replaces_from === undefined ? {} : { replaces_from: news.replaces_from };
  return Object.fromEntries(metrics.map((name) => [name, { ...(news.curves[name] ?? { x: [], y: [] }), ...from }]));
}

/** @typedef {ReturnType<typeof startLive>} Live */
