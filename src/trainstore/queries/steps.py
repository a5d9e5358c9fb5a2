"""Step logs and metrics: every point, never a sample."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import Select, select, type_coerce
from sqlalchemy.types import NullType

from trainstore.errors import InvalidArgumentError
from trainstore.queries.columns import metric_names
from trainstore.queries.frames import (
    COUNT,
    INTEGER,
    NUMBER,
    TEXT,
    TIME,
    assemble,
    frame,
    is_numeric,
    number_series,
    parse,
    series,
)  # fmt: skip
from trainstore.queries.reader import Reader, RunKey, among, is_one_run, resolve_run, resolve_runs, rows_of_runs
from trainstore.values import restore

if TYPE_CHECKING:
    from pandas import DataFrame, Series

METRIC_COLUMNS = (
    ("uid", TEXT),
    ("metric", TEXT),
    ("count", COUNT),
    ("nonfinite_count", COUNT),
    ("min", NUMBER),
    ("min_step", INTEGER),
    ("max", NUMBER),
    ("max_step", INTEGER),
    ("last", NUMBER),
    ("last_step", INTEGER),
)
STEP_COLUMNS = (
    ("run", TEXT),
    ("step", COUNT),
    ("attempt", COUNT),
    ("epoch", NUMBER),
    ("step_time", NUMBER),
    ("logged_at", TIME),
    ("details", TEXT),
)
_FIXED = frozenset(name for name, _ in STEP_COLUMNS)


def list_step_logs(
    reader: Reader,
    runs: object,
    *,
    metrics: Iterable[str] | None = None,
    tidy: bool = False,
    attempts: str = "current",
    details: bool = False,
) -> DataFrame:
    """Step logs of a run or of several."""
    if not isinstance(attempts, str) or attempts not in ("current", "all"):
        raise InvalidArgumentError(f"attempts {attempts!r} is neither 'current' nor 'all'")
    names = metric_names(metrics)
    keys = resolve_runs(reader, runs)
    left_out = {"attempt"} if attempts == "current" else set()
    left_out |= set() if tidy or not is_one_run(runs) else {"run"}
    left_out |= set() if details else {"details"}
    steps = _read(reader, keys, names, attempts, details)
    fixed = _fixed(steps, keys, left_out)
    return _tidy(steps, fixed, names) if tidy else _wide(steps, fixed, names)


@dataclass
class _Steps:
    """Rows of a step log, column by column."""

    run: list[int] = field(default_factory=list)
    step: list[int] = field(default_factory=list)
    attempt: list[int] = field(default_factory=list)
    epoch: list[float | None] = field(default_factory=list)
    step_time: list[float | None] = field(default_factory=list)
    logged_at: list[Any] = field(default_factory=list)
    details: list[Any] = field(default_factory=list)
    metrics: dict[str, list[Any]] = field(default_factory=dict)

    def add_metrics(self, texts: Sequence[str], start: int, names: Sequence[str] | None) -> None:
        """Take in the JSON objects of the rows from ``start`` on; all in one text, they are parsed at once."""
        rows = orjson.loads(f"[{','.join(texts)}]")
        for name in set().union(*rows) if names is None else names:
            column = self.metrics.setdefault(name, [])
            column.extend([None] * (start - len(column)))
            column.extend([row.get(name) for row in rows])

    def finish(self) -> None:
        """Make all columns equally long, and their values Python's."""
        for name, column in self.metrics.items():
            column.extend([None] * (len(self.step) - len(column)))
            if not is_numeric(column):
                self.metrics[name] = [restore(value) for value in column]


def _read(reader: Reader, keys: Sequence[RunKey], names: list[str] | None, attempts: str, details: bool) -> _Steps:
    """The steps of the runs, by run id, step and attempt.

    The whole JSON is read even for one metric: to take it apart in the database was slower, on SQLite by a third.
    """
    table = (reader.models.current_step_log if attempts == "current" else reader.models.step_log).c
    text = reader.backend.json_text
    statement: Select[Any] = select(
        table.run_id, table.step, table.attempt, table.epoch, table.step_time,
        type_coerce(table.logged_at, NullType()), text(table.metrics), *([text(table.details)] if details else []),
    ).order_by(table.run_id, table.step, table.attempt)  # fmt: skip
    steps = _Steps()
    for condition in among(table.run_id, sorted(key.id for key in keys)):
        for rows in reader.chunks(statement.where(condition)):
            run, step, attempt, epoch, step_time, logged_at, metrics, *more = zip(*rows, strict=True)
            steps.add_metrics(metrics, len(steps.step), names)
            steps.run += run
            steps.step += step
            steps.attempt += attempt
            steps.epoch += epoch
            steps.step_time += step_time
            steps.logged_at += logged_at
            steps.details += map(parse, more[0]) if more else ()
    steps.finish()
    return steps


def _fixed(steps: _Steps, keys: Sequence[RunKey], left_out: set[str]) -> dict[str, Series[Any]]:
    uids = dict(keys)
    values = {**vars(steps), "run": [uids[run] for run in steps.run]}
    return {name: series(values[name], dtype) for name, dtype in STEP_COLUMNS if name not in left_out}


def _wide(steps: _Steps, fixed: dict[str, Series[Any]], names: list[str] | None) -> DataFrame:
    columns = dict(fixed)
    for name in sorted(steps.metrics) if names is None else names:
        if name in ("epoch", "step_time") and names is not None:
            continue  # asked for by name: they stand among the fixed columns
        # A name of our own prefix gets another one, so that no two metrics share a column.
        bare = name not in _FIXED and not name.startswith("metric__")
        columns[name if bare else f"metric__{name}"] = number_series(
            steps.metrics.get(name) or [None] * len(steps.step)
        )
    return assemble(columns, len(steps.step))


def _tidy(steps: _Steps, fixed: dict[str, Series[Any]], names: list[str] | None) -> DataFrame:
    import numpy as np
    import pandas as pd

    cells = dict(steps.metrics)
    for name in ("epoch", "step_time"):
        if names is not None and name in names:
            cells[name] = getattr(steps, name)
    ordered = sorted(cells) if names is None else [name for name in names if name in cells]
    dtype = NUMBER if all(map(is_numeric, cells.values())) else TEXT
    shape = (len(steps.step), len(ordered))
    values = np.empty(shape, dtype=dtype)
    there = np.empty(shape, dtype=np.bool_)
    for place, name in enumerate(ordered):
        values[:, place] = series(cells[name], dtype)
        there[:, place] = [value is not None for value in cells[name]]
    rows, places = np.nonzero(there)  # row by row
    columns = {
        name: column.take(rows).reset_index(drop=True)
        for name, column in fixed.items()
        if name in ("run", "step", "attempt")
    }
    metric = np.array(ordered, dtype=object)[places] if ordered else np.empty(0, dtype=object)
    columns |= {"metric": pd.Series(metric, dtype=TEXT), "value": pd.Series(values[there], dtype=dtype)}
    return assemble(columns, len(rows))


def list_metrics(reader: Reader, runs: object = None) -> DataFrame:
    """What every metric of a run, of several or of all comes to."""
    table = reader.models.metric_summary
    statement = select(*(table.c[name] for name, _ in METRIC_COLUMNS[1:])).where(table.c.count > 0)
    rows = rows_of_runs(reader, table, statement, runs)
    return frame(METRIC_COLUMNS, [row[1:] for row in sorted(rows, key=lambda row: (row[0], row[2]))])


def get_current_step(reader: Reader, run: object) -> int | None:
    """The highest current step."""
    table = reader.models.run.c
    step: int | None = reader.connection.execute(
        select(table.last_step).where(table.id == resolve_run(reader, run).id)
    ).scalar()
    return step
