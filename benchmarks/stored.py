"""What stores hold already when a query is measured. Made once, straight into the tables; each round reads a copy."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert, make_url

from benchmarks.cases import Size, is_sqlite, raw_connection
from benchmarks.sources import mlflow_database
from benchmarks.workload import METRICS, NarrowTable, metrics_of, points_of
from trainstore import TrainStore
from trainstore.backends import open_backend
from trainstore.models import OPEN_END, models_for
from trainstore.recording.summary import summarize

START = datetime(2026, 1, 1, tzinfo=UTC)
VARYING = 3  # of a run's hyperparameters; all others are the same in every run
AT_ONCE = 500  # runs
ROWS_AT_ONCE = 100_000  # PostgreSQL takes a statement of at most 256 MiB

Rows = list[dict[str, Any]]


def uid_of(index: int) -> str:
    """The uid of the run that was made as number ``index``, from 0."""
    return str(uuid.UUID(int=index + 1))


def best_of(runs: int) -> int:
    """The number of the run whose loss is the lowest: in the middle."""
    return runs // 2


def hyperparams_of(index: int, count: int) -> dict[str, Any]:
    """Numbers, bools and texts under names as long as those of training arguments; the first three vary."""
    dice = random.Random(index)
    values: dict[str, Any] = {f"varying_argument_{key}": dice.random() for key in range(VARYING)}
    for key in range(VARYING, count):
        values[f"training_argument_{key}"] = (key, key % 4 == 1, f"text {key}", key / 7)[key % 4]
    return values


def last_metrics(index: int, runs: int) -> dict[str, float]:
    """The metrics of a run without steps; the loss is lowest in the middle."""
    return metrics_of(abs(index - best_of(runs)), METRICS)


def fill_runs(url: str, runs: int, hyperparams: int) -> None:
    """Runs with hyperparameters and summaries; no query for the table of runs reads their steps."""
    _fill(url, range(runs), hyperparams, lambda index: {0: last_metrics(index, runs)}, keep_steps=False)


def fill_steps(url: str, runs: int, steps: int) -> None:
    """Runs with so many steps each; the lowest loss is the first one of the run in the middle."""

    def steps_of(index: int) -> Mapping[int, dict[str, float]]:
        return {step: metrics_of(step + abs(index - best_of(runs))) for step in range(steps)}

    _fill(url, range(runs), VARYING, steps_of, keep_steps=True)


def fill_dashboard(url: str, size: Size) -> None:
    """What a dashboard shows: many runs, some of them with curves, and the newest with very many steps."""
    first = size.shown_runs - size.curves - 1

    def steps_of(index: int) -> Mapping[int, dict[str, float]]:
        steps = size.long_steps if index == size.shown_runs - 1 else size.curve_steps
        return {step: metrics_of(step + index - first) for step in range(steps)}

    def no_steps(index: int) -> Mapping[int, dict[str, float]]:
        return {0: last_metrics(index, size.shown_runs)}

    _fill(url, range(first), 20, no_steps, keep_steps=False)
    _fill(url, range(first, size.shown_runs), 20, steps_of, keep_steps=True)


def fill_merged(url: str, size: Size) -> None:
    """A run of many steps, and many of a few."""

    def steps_of(index: int) -> Mapping[int, dict[str, float]]:
        return {step: metrics_of(step + index) for step in range(size.merged_steps if index else size.series_steps)}

    _fill(url, range(size.merged_runs + 1), 20, steps_of, keep_steps=True)


def fill_narrow(url: str, steps: int) -> None:
    """One run in the narrow table, with the key by which a series is found."""
    with raw_connection(url) as connection:
        table = NarrowTable(connection, url, keyed=True)
        table.create()
        table.write(points_of(map(metrics_of, range(steps))))


def fill_mlflow(url: str, size: Size) -> None:
    """An MLflow database: what is imported, not a store."""
    mlflow_database(Path(str(make_url(url).database)), size.imported_runs, size.imported_steps)


def _fill(
    url: str,
    indices: range,
    hyperparams: int,
    steps_of: Callable[[int], Mapping[int, dict[str, float]]],
    *,
    keep_steps: bool,
) -> None:
    TrainStore(url).close()  # makes the tables
    models, backend = models_for(""), open_backend(url)
    engine = backend.create_engine()
    for first in range(0, len(indices), AT_ONCE):
        rows = _rows(indices[first : first + AT_ONCE], hyperparams, steps_of, keep_steps)
        for name, part in rows:
            with engine.begin() as connection:
                if name in ("run", "attempt", "writer"):
                    connection.execute(insert(getattr(models, name)), part)
                elif part:
                    table = getattr(models, name)
                    keys = tuple(column.name for column in table.primary_key)
                    for start in range(0, len(part), ROWS_AT_ONCE):
                        backend.upsert(connection, table, keys, part[start : start + ROWS_AT_ONCE])
    engine.dispose()
    backend.close()
    if not is_sqlite(url):
        with raw_connection(url) as raw:  # what autovacuum does sooner or later
            raw.execute("SELECT setval(pg_get_serial_sequence('run', 'id'), max(id)) FROM run")
            raw.execute("VACUUM ANALYZE")


def _rows(
    indices: range, hyperparams: int, steps_of: Callable[[int], Mapping[int, dict[str, float]]], keep_steps: bool
) -> Iterator[tuple[str, Rows]]:
    """The rows of some runs, table by table; steps of one run at a time, as there may be many."""
    runs, attempts, writers, values, summaries = [], [], [], [], []
    for index in indices:
        key, started = index + 1, START + timedelta(minutes=index)
        runs.append({
            "id": key, "uid": uid_of(index), "project": "benchmark", "name": f"run-{index}", "status": "finished",
            "started_at": started, "ended_at": started + timedelta(seconds=50), "source": "python",
        })  # fmt: skip
        attempt = {
            "run_id": key,
            "attempt": 1,
            "uid": str(uuid.UUID(int=2**64 + index)),
            "start_step": -1,
            "end_step": OPEN_END,
            "opened_at": started,
            "status": "finished",
            "host": "node-1",
            "command": "train.py",
        }
        attempts.append(attempt)
        writers.append({
            "run_id": key, "attempt": 1, "uid": attempt["uid"], "rank": 0, "host": "node-1", "pid": 1,
            "started_at": started, "closed_at": started, "acked": 1,
        })  # fmt: skip
        for name, value in hyperparams_of(index, hyperparams).items():
            number = float(value) if type(value) in (int, float) else None
            values.append(
                {
                    "run_id": key,
                    "namespace": "hp",
                    "key": name,
                    "value": value,
                    "number": number,
                    "attempt": 1,
                }
            )
        steps = steps_of(index)
        runs[-1]["last_step"] = max(steps)
        summaries += [
            {"run_id": key, "metric": metric, **asdict(summary)} for metric, summary in summarize(steps.items()).items()
        ]
    yield "run", runs
    yield "attempt", attempts
    yield "writer", writers
    yield "hyperparam", values
    yield "metric_summary", summaries
    for index in indices if keep_steps else ():
        started = START + timedelta(minutes=index)
        yield "step_log", [
            {
                "run_id": index + 1, "step": step, "attempt": 1, "logged_at": started + timedelta(milliseconds=step),
                "epoch": step / 1000, "step_time": 0.1, "metrics": metrics, "details": None,
            }
            for step, metrics in steps_of(index).items()
        ]  # fmt: skip


STORES: dict[str, Callable[[str, Size], None]] = {
    "runs": lambda url, size: fill_runs(url, size.runs, 20),
    "many_runs": lambda url, size: fill_runs(url, size.many_runs, 20),
    "wide_runs": lambda url, size: fill_runs(url, size.runs, 190),
    "few_steps": lambda url, size: fill_steps(url, size.deep_runs, size.few_steps),
    "many_steps": lambda url, size: fill_steps(url, size.deep_runs, size.many_steps),
    "series": lambda url, size: fill_steps(url, 1, size.series_steps),
    "dashboard": fill_dashboard,
    "mlflow": fill_mlflow,
    "merged": fill_merged,
    "long_run": lambda url, size: fill_steps(url, 1, size.series_steps),
    "small_runs": lambda url, size: fill_steps(url, size.merged_runs, size.merged_steps),
    "narrow_series": lambda url, size: fill_narrow(url, size.series_steps),
}
