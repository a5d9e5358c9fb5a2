"""What is measured against what, and how good it must be: the rows of the table."""

from __future__ import annotations

from dataclasses import dataclass

SQLITE, POSTGRESQL = "sqlite", "postgresql"


@dataclass(frozen=True)
class Row:
    """One row: a figure of a case, what it is compared with, and the bounds that it must keep.

    A figure's name is "group.function.figure". ``limit`` bounds the figure itself, ``at_most`` and ``at_least`` its
    ratio to ``floor``.
    """

    what: str
    figure: str
    unit: str
    floor: str | None = None
    limit: float | None = None
    at_most: float | None = None
    at_least: float | None = None
    backend: str = SQLITE
    than: str = "floor"  # what the ratio is to, in a word

    @property
    def target(self) -> str:
        """The bounds in words."""
        bounds = []
        if self.limit is not None:
            bounds.append(f"≤ {self.limit:g} {self.unit}")
        if self.at_least is not None and self.at_most is not None:
            bounds.append(f"{self.at_least:g} to {self.at_most:g} × {self.than}")
        elif self.at_most is not None:
            bounds.append(f"≤ {self.at_most:g} × {self.than}")
        elif self.at_least is not None:
            bounds.append(f"≥ {self.at_least:g} × {self.than}")
        return ", ".join(bounds)

    def is_met(self, measured: float, ratio: float | None) -> bool:
        """Whether the bounds are kept."""
        if self.limit is not None and measured > self.limit:
            return False
        if self.at_most is not None and (ratio is None or ratio > self.at_most):
            return False
        return self.at_least is None or (ratio is not None and ratio >= self.at_least)


def _both(
    what: str, figure: str, unit: str, floor: str | None, **bounds: tuple[float | None, float | None]
) -> list[Row]:
    """The row on each database; bounds as (SQLite's, PostgreSQL's)."""
    return [
        Row(f"{what}, {name}", figure, unit, floor, backend=backend, **{key: two[at] for key, two in bounds.items()})
        for at, (backend, name) in enumerate(((SQLITE, "SQLite"), (POSTGRESQL, "PostgreSQL")))
    ]


ROWS = [
    Row("`run.log` of 6 metrics, median", "calls.six.median_us", "µs", "calls.six_floor.median_us", limit=5),
    Row("`run.log` of 6 metrics, p99", "calls.six.p99_us", "µs", "calls.six_floor.p99_us", limit=40),
    Row("`run.log` of 500 metrics, median", "calls.wide.median_us", "µs", "calls.wide_floor.median_us", limit=120),
    Row("`wandb.log` of 6 metrics, through us", "adapters.wandb.us", "µs", "calls.six_floor.median_us", limit=15),
    Row("the same with a step of `define_metric`", "adapters.wandb.axis_us", "µs", "calls.six_floor.median_us"),
    Row("XGBoost callback, an iteration", "adapters.xgboost.us", "µs", "adapters.xgboost.own_us", limit=25),
    Row("LightGBM callback, an iteration", "adapters.lightgbm.us", "µs", "adapters.lightgbm.own_us", limit=25),
    Row("Keras callback, a batch", "adapters.keras.us", "µs", "calls.six_floor.median_us", limit=60),
    Row("Ignite handler, an iteration", "adapters.ignite.us", "µs", "adapters.ignite.tensorboard_us"),
    Row("Optuna callback, a trial, stored", "adapters.optuna.ms", "ms", "adapters.optuna.own_ms"),
    Row("`Accelerator.log` of 6 metrics", "adapters.accelerate.us", "µs", "adapters.accelerate.tensorboard_us"),
    Row("Lightning's `log_metrics` of 6 metrics", "adapters.lightning.us", "µs", "adapters.lightning.csv_us"),
    *_both(
        "10,000 steps × 6 metrics logged and durable", "durable.finished.s", "s", "durable.finished_floor.s",
        at_most=(3, 3),
    ),
    *_both(
        "a run of 100 steps, from start to finish", "durable.short.ms", "ms", "durable.short_floor.ms", at_most=(3, 3)
    ),
    *_both(
        "a full queue of 10,000 steps drained", "durable.drained.rows_per_s", "rows/s",
        "durable.drained_floor.rows_per_s", at_least=(0.4, 0.5),
    ),
    Row("Hugging Face callback, a step", "callback.plain.us", "µs", "callback.plain.empty_us", limit=25),
    Row(
        "Hugging Face callback, a step of 4 micro-batches", "callback.accumulated.us", "µs",
        "callback.accumulated.empty_us", limit=35,
    ),
    Row("Hugging Face `logging_steps=1`, processor time a step", "callback.every_step_logged.more_us", "µs", limit=150),
    Row("`Trainer`, a step beyond a bare one", "trainers.small.ours_more_us", "µs", "trainers.small.bare_us", limit=35),
    Row("the same with a store", "trainers.small.stored_more_us", "µs", "trainers.small.bare_us", limit=130),
    Row(
        "`Trainer` with a store, a step of about 5 ms", "trainers.large.stored_us", "µs", "trainers.large.bare_us",
        at_most=1.05, than="a bare one",
    ),
    Row(
        "`TrainerModule`, a step beyond a bare one with its norms", "trainers.small_module.ours_more_us", "µs",
        "trainers.small_module.bare_us", limit=35,
    ),
    Row(
        "the same with a store", "trainers.small_module.stored_more_us", "µs", "trainers.small_module.bare_us",
        limit=130,
    ),
    Row(
        "`Trainer`, a small step", "trainers.small.ours_us", "µs", "trainers.small.accelerate_us", at_most=1,
        than="that of accelerate's loop",
    ),
    Row(
        "the same", "trainers.small.ours_us", "µs", "trainers.small.transformers_us", at_most=1,
        than="that of `transformers.Trainer`",
    ),
    Row(
        "the same, both recorded", "trainers.small.stored_us", "µs", "trainers.small.transformers_stored_us", at_most=1,
        than="that of `transformers.Trainer`",
    ),
    Row(
        "`GradLogger`, a step that it does not measure, beyond an empty callback", "callbacks.gradients.more_us", "µs",
        limit=3,
    ),
    Row(
        "`GradLogger`, a step that it measures, 5 M parameters", "callbacks.gradients.on_us", "µs",
        "callbacks.gradients.clip_us", at_most=1.5, than="`clip_grad_norm_`",
    ),
    Row("`TextgenCallback`, a step without samples, beyond it", "callbacks.text_samples.more_us", "µs", limit=3),
    Row("`SystemMetricsCallback`, a step, beyond it", "callbacks.system.more_us", "µs", limit=2),
    Row("`JsonLogger`, a log", "callbacks.json_lines.us", "µs", limit=60),
    Row(
        "`TBLogger`, a log", "callbacks.board.us", "µs", "callbacks.board.theirs_us", at_most=1,
        than="transformers' `TensorBoardCallback`",
    ),
    *_both(
        "8 processes × 2,000 steps × 6 metrics, one database", "processes.together.s", "s",
        "processes.together_floor.s", at_most=(3, 3),
    ),
    Row("run table of 2,000 runs × 20 hyperparameters", "reading.runs.ms", "ms", "reading.runs_floor.ms", at_most=1.5),
    Row("the same of 20,000 runs", "reading.many_runs.ms", "ms", "reading.runs.ms", at_most=11, than="that of 2,000"),
    Row(
        "run table of 2,000 runs × 190 hyperparameters", "reading.wide_runs.ms", "ms", "reading.wide_runs_floor.ms",
        at_most=1.5,
    ),
    Row(
        'the same with `hyperparams="varying"`', "reading.varying.ms", "ms", "reading.wide_runs.ms", at_most=0.7,
        than="that of all",
    ),
    *_both("best run of 2,000 by a metric", "reading.best.ms", "ms", "reading.best_floor.ms", limit=(5, 10)),
    Row(
        "best run, 10,000 steps stored of each run", "reading.best_of_many_steps.ms", "ms",
        "reading.best_of_few_steps.ms", limit=5, at_least=0.8, at_most=1.2, than="that at 100 steps",
    ),
    Row("one series of 100,000 steps", "reading.series.ms", "ms", "reading.series_floor.ms", at_most=2),
    Row("all 6 metrics of them", "reading.wide_series.ms", "ms", "reading.wide_series_floor.ms", at_most=2.5),
    *_both(
        "bytes on disk, a step of 6 metrics", "storage.disk.bytes_a_step", "B", "storage.disk_floor.bytes_a_step",
        at_most=(2.3, 0.75),
    ),
    *_both(
        "the same against a table with a primary key", "storage.disk.bytes_a_step", "B",
        "storage.disk_keyed_floor.bytes_a_step", at_most=(2.3, 0.75),
    ),
    Row("memory that a run of a million steps adds", "storage.memory.mib", "MiB", limit=50),
    Row("dashboard of 5,000 runs: the first rows on the screen", "dashboard_pages.pages.rows_ms", "ms", limit=500),
    Row("the whole table of 60 columns", "dashboard_pages.pages.whole_ms", "ms", limit=1_200),
    Row("a frame while it is scrolled, p95", "dashboard_pages.pages.scroll_p95_ms", "ms", limit=25),
    Row("sorted", "dashboard_pages.pages.sort_ms", "ms", limit=50),
    Row("only the columns that differ", "dashboard_pages.pages.differs_ms", "ms", limit=50),
    Row(
        "6 charts of 10 runs of 2,000 steps that nobody has seen yet", "dashboard_pages.pages.charts_cold_ms", "ms",
        limit=500,
    ),
    Row("a frame while the mouse moves over those of 50", "dashboard_pages.pages.hover_frame_ms", "ms", limit=20),
    Row("a run of a million steps: its page's first curves", "dashboard_pages.pages.long_run_ms", "ms", limit=1_000),
    *_both(
        "its server: 6 metrics of a million steps, a preview", "dashboard.answers.preview_ms", "ms", None,
        limit=(100, 100),
    ),
    *_both("the same, exactly", "dashboard.answers.exact_s", "s", None, limit=(6, 6)),
    *_both("a part of it more closely", "dashboard.answers.zoom_ms", "ms", None, limit=(50, 50)),
    *_both("a question about 50 runs when nothing is new", "dashboard.answers.poll_ms", "ms", None, limit=(5, 5)),
    Row("its answer", "dashboard.answers.poll_bytes", "B", limit=1_024),
    *_both("the server's memory after all this", "dashboard.answers.memory_mib", "MiB", None, limit=(450, 450)),
    Row("the page's scripts, compressed", "dashboard.scripts.gzip_kib", "KiB", limit=40),
    *_both(
        "a step on an open page after its `log()`, the median", "dashboard_live.watched.seen_s", "s", None,
        limit=(1.5, 1.5),
    ),
    *_both("the same, the longest", "dashboard_live.watched.seen_at_most_s", "s", None, limit=(3, 3)),
    *_both(
        "the dashboard's server while one page is open, processor time a minute", "dashboard_live.watched.server_s",
        "s", None, limit=(0.6, 0.6),
    ),
    *_both(
        "processor time that an open page adds to a training", "dashboard_live.trained.more_percent", "%", None,
        limit=(1, 1),
    ),
    Row("60,000 TensorBoard scalars imported", "importing.tensorboard.s", "s", None, limit=2),
    Row(
        "the same", "importing.tensorboard.s", "s", "importing.tensorboard_reader.s", at_most=1,
        than="`EventAccumulator` reading them",
    ),
    Row("the same again, nothing new", "importing.tensorboard.again_s", "s", limit=1),
    Row(
        "a million MLflow metrics of 100 runs imported", "importing.mlflow.s", "s", "importing.mlflow_floor.s",
        at_most=4,
    ),
    Row("the same again, nothing new", "importing.mlflow.again_s", "s", limit=1),
    Row("memory that an import of 10 million points adds", "importing.memory.mib", "MiB", limit=100),
    Row("a merge of 201 runs, nothing new", "merging.unchanged.s", "s", "merging.unchanged_floor.s", at_most=5),
    Row("the same of a file that is copied, as it was just written", "merging.unchanged.copied_s", "s"),
    Row(
        "a run of 100,000 steps merged, SQLite to SQLite", "merging.long.s", "s", "merging.long_floor.s", at_most=10
    ),
    Row("200 runs of 50 steps merged, SQLite to SQLite", "merging.small.s", "s", "merging.small_floor.s", at_most=20),
    Row("all of these merged, SQLite to PostgreSQL", "merging.to_server.s", "s", backend=POSTGRESQL),
    Row("and back", "merging.to_server.back_s", "s", backend=POSTGRESQL),
    Row("`import trainstore`", "startup.import_trainstore.s", "s", "startup.interpreter.s", limit=0.15),
    Row("`trainstore --help`", "startup.command_help.s", "s", "startup.interpreter.s", limit=0.4),
    Row("`trainstore runs`, the newest 50 of 2,000", "startup.command_runs.s", "s", "startup.interpreter.s", limit=1.2),
]  # fmt: skip
