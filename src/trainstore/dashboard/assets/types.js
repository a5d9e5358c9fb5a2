// The shapes that modules pass to each other; no code.

/** @typedef {"number"|"text"|"boolean"|"time"|"duration"|"json"} Kind */
/** @typedef {number|string|boolean|null} Cell  In a number column "NaN", "Infinity" and "-Infinity" are texts. */
/** @typedef {{id: string, kind: Kind, values: Cell[]}} Column */
/** @typedef {{count: number, version: string, columns: Column[]}} Table */
/** @typedef {{id: string, group: string, label: string, kind: Kind, filled: number, distinct: number, varies: boolean}} ColumnInfo */
/**
 * @typedef {Object} Meta
 * @property {string} version
 * @property {{uid: string, url: string, prefix: string, options?: string|null, code?: string}} store  `options`: with
 *   which a command finds it, after the command; null: they would have to hold a password. `code`: what opens it in Python.
 * @property {string} title
 * @property {{name: string, runs: number, running: number}[]} projects
 * @property {number} runs
 * @property {boolean} can_edit
 * @property {{runs: number, curves_runs: number, curves_metrics: number, points: number}} limits
 * @property {number} now  Seconds since 1970, by the database's clock.
 * @property {{journals: number, records: number, command: string}|null} waiting
 */
/**
 * A curve in buckets: `count` points each, with their mean, lowest and highest value.
 * @typedef {Object} Curve
 * @property {string} run
 * @property {string} metric
 * @property {boolean} [exact]
 * @property {number} [generation]
 * @property {number} [last_step]
 * @property {number} [total]
 * @property {number} [attempt]
 * @property {Cell[]} [group]
 * @property {string} [label]
 * @property {number} [runs]
 * @property {Float64Array} x
 * @property {Float64Array} mean
 * @property {Float64Array} low
 * @property {Float64Array} high
 * @property {Float64Array} count
 * @property {Float64Array} oddX  Where a value is NaN or infinite,
 * @property {Float64Array} odd   and which.
 */
/**
 * @typedef {Object} Attempt
 * @property {number} attempt
 * @property {number|null} resumed_from
 * @property {number} start_step
 * @property {number|null} end_step
 * @property {number|null} last_step
 * @property {number} opened
 * @property {number|null} closed
 * @property {string} status
 * @property {string|null} error
 * @property {string|null} git_commit
 * @property {boolean|null} git_dirty
 * @property {string|null} command
 * @property {string|null} host
 * @property {Record<string, string>|null} versions
 * @property {Record<string, [unknown, unknown]>|null} changed
 * @property {boolean} current
 */
/** @typedef {{at: number, step: number|null, kind: string, attempt: number|null, details: any}} RunEvent */
/** @typedef {{namespace: string, key: string, id: string, value: any, kind: Kind, usual?: boolean}} Fact  `usual`: a default. */
/** @typedef {{metric: string, count: number, nonfinite: number, min: Cell, min_step: number|null, max: Cell, max_step: number|null, last: Cell, last_step: number|null}} MetricSummary */
/** @typedef {{uid: string, name: string|null, step: number|null}} Relative  `name`: null if it is not in this store. */
/**
 * @typedef {Object} RunDetail
 * @property {{uid: string, id: number, name: string, project: string, status: string, started: number, ended: number|null, duration: number|null, last_step: number|null, notes: string|null, tags: Record<string, any>, source: string, error: string|null, model_name: string|null, parent: Relative|null, children: Relative[], steps_per_second?: number|null, step_interval?: number|null, last_step_at?: number|null}} run  `step_interval`: seconds between two logged steps, usually.
 * @property {string} etag
 * @property {Attempt[]} attempts
 * @property {RunEvent[]} events
 * @property {Fact[]} hyperparams
 * @property {MetricSummary[]} summary
 * @property {{rank: number, host: string, pid: number, attempt: number, started: number, closed: number|null, heartbeat: number|null, alive: boolean}[]} writers
 */
/** @typedef {{runs: string[], metrics: string[], x?: string, lo?: number|null, hi?: number|null, points?: number, attempts?: "current"|"superseded", exact?: 1}} CurvesQuery */
/** @typedef {{metric: string, x?: string, lo?: number|null, hi?: number|null, points?: number, band?: string, by?: string[], q?: string, project?: string, runs?: string[], groups?: string[][], exact?: 1}} GroupQuery */
/** @typedef {{project?: string, q?: string, columns?: string[], sort?: string[], offset?: number, limit?: number}} RunsQuery */
/** @typedef {{check: string, level: "ok"|"warning"|"error", text: string}} Finding */
/**
 * @typedef {Object} LiveQuery
 * @property {string|null} version
 * @property {string} [project]
 * @property {string} [q]
 * @property {string[]} [columns]  Of the table; without them there is none.
 * @property {Record<string, {generation: number|null, status: string|null}>} runs
 * @property {string[]} metrics
 * @property {string} x
 */
/**
 * What is new of a run: its points from `replaces_from` on, or that they are to be fetched anew.
 * @typedef {Object} LiveRun
 * @property {string} status
 * @property {boolean} anew
 * @property {Record<string, {x: Cell[], y: Cell[]}>} curves
 * @property {number} [generation]
 * @property {number} [last_step]
 * @property {number} [replaces_from]
 * @property {boolean} [gone]
 */
/**
 * @typedef {Object} LiveAnswer
 * @property {string} version
 * @property {number} names  How many metrics and hyperparameters there are; more of them may be more columns.
 * @property {number} running  How many runs are being recorded.
 * @property {number|null} count
 * @property {{anew?: boolean, columns?: Column[], gone?: string[]}|null} table
 * @property {Record<string, LiveRun>} runs
 */
/**
 * Where the pages get their data: a server (source-http.js), or the file that they lie in (source-file.js).
 * @typedef {Object} Source
 * @property {{filter: boolean, live: boolean, edit: boolean, export: boolean}} can
 * @property {() => Promise<Meta>} meta
 * @property {(query: RunsQuery) => Promise<{count: number, columns: ColumnInfo[]}>} columns
 * @property {(query: RunsQuery) => Promise<Table>} runs
 * @property {(uid: string) => Promise<RunDetail>} run
 * @property {(query: CurvesQuery) => Promise<Curve[]>} curves
 * @property {(query: GroupQuery) => Promise<Curve[]>} group
 * @property {(uids: string[], all: boolean) => Promise<Table>} compare
 * @property {(uids: string[], name: string|null) => Promise<Table>} samples
 * @property {(query: LiveQuery) => Promise<LiveAnswer>} live
 * @property {() => Promise<{findings: Finding[]}>} health
 * @property {(uid: string, change: {tags?: Record<string, any>, notes?: string, name?: string}, etag: string) => Promise<RunDetail>} edit
 * @property {(which: {runs?: string[], project?: string, q?: string}, table: string, format: string) => Promise<Blob>} exported
 */
/** @typedef {{uid: string, name: string, status: string, label: string, colour: number, dash: number}} ShownRun */
/** @typedef {{source: Source, meta: Meta, state: import("./router.js").State, route: import("./router.js").Route, live: import("./live.js").Live|null, list: import("./run-list.js").RunList}} Context */
/** @typedef {{element: HTMLElement, dispose: () => void}} Page */

export const TYPES_ONLY = true; // a module needs an export for its types to be imported
