"""Step logs and metrics: every point, never a sample."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from math import nan
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import FromClause, Select, Table, select, type_coerce
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
    joined,
    parse,
    part,
    series,
)
from trainstore.queries.metric_columns import Column, MetricColumns, are_numbers, are_there, metric_series
from trainstore.queries.names import run_names
from trainstore.queries.reader import Reader, RunKey, among, is_one_run, resolve_run, resolve_runs, rows_of_runs
from trainstore.queries.run_source import run_source

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
    ("name", TEXT),
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
    check_attempts(attempts)
    names = metric_names(metrics)
    keys = resolve_runs(reader, runs)
    whose = tidy or not is_one_run(runs)
    asked = {"run": whose, "name": whose, "attempt": attempts == "all", "details": details}
    fixed = [(name, dtype) for name, dtype in STEP_COLUMNS if asked.get(name, True)]
    steps = read_steps(reader, step_source(reader, keys, attempts), keys, fixed, names)
    columns = {name: series(steps.fixed[name], dtype) for name, dtype in fixed}
    return _tidy(steps, columns, names) if tidy else _wide(steps, columns, names)


def check_attempts(attempts: object) -> None:
    """Raise `InvalidArgumentError` if it does not say which attempts' steps are meant."""
    if not isinstance(attempts, str) or attempts not in ("current", "all"):
        raise InvalidArgumentError(f"attempts {attempts!r} is neither 'current' nor 'all'")


def step_source(reader: Reader, keys: Sequence[RunKey], attempts: str) -> FromClause:
    """The rows to read. If a run was never resumed, its attempt is looked up once, not for each row."""
    log: Table = reader.models.step_log
    attempt = reader.models.attempt.c
    if attempts == "all":
        return log
    if len(keys) == 1:
        statement = select(attempt.attempt, attempt.end_step).where(attempt.run_id == keys[0].id)
        found = reader.rows(statement.limit(2))
        if len(found) == 1:
            number, end_step = found[0]
            return select(log).where(log.c.attempt == number, log.c.step <= end_step).subquery()
    current: FromClause = reader.models.current_step_log
    return current


class Steps:
    """Rows of a step log, column by column."""

    def __init__(self, fixed: Sequence[tuple[str, str]], names: Sequence[str] | None) -> None:
        self.length = 0
        self._fixed = fixed
        self._parts: list[list[Any]] = [[] for _ in fixed]
        self._metrics = MetricColumns(names)
        self.fixed: dict[str, Any] = {}
        self.metrics: dict[str, Column] = {}

    def add(self, rows: Sequence[Any]) -> None:
        """Add rows: the fixed columns, then the metrics as JSON text."""
        *values, texts = zip(*rows, strict=True)
        for parts, (_, dtype), more in zip(self._parts, self._fixed, values, strict=True):
            parts.append(part(more, dtype))
        self._metrics.add(texts)
        self.length += len(rows)

    def finish(self) -> None:
        """Make all columns complete and equally long, and restore the Python values of metrics."""
        self.fixed = {name: joined(parts) for (name, _), parts in zip(self._fixed, self._parts, strict=True)}
        self.metrics = self._metrics.finish()


def read_steps(
    reader: Reader,
    source: FromClause,
    keys: Sequence[RunKey],
    fixed: Sequence[tuple[str, str]],
    names: list[str] | None,
) -> Steps:
    """The steps of the runs, by run id, step and attempt.

    The whole JSON is read even for one metric: extracting it in the database was slower, on SQLite by a third.
    """
    text = reader.backend.json_text
    table: Any = source.c
    special = {
        "run": table.run_id,
        "logged_at": type_coerce(table.logged_at, NullType()),  # as the driver returns it
        "details": text(table.details),
    }
    stored = [column for column in fixed if column[0] != "name"]  # which is the same in all steps of a run
    statement: Select[Any] = select(*(special.get(name, table.get(name)) for name, _ in stored), text(table.metrics))
    statement = statement.order_by(table.run_id, table.step, table.attempt)
    steps = Steps(stored, names)
    for condition in among(table.run_id, sorted(key.id for key in keys)):
        for rows in reader.chunks(statement.where(condition)):
            steps.add(rows)
    steps.finish()
    if "run" in steps.fixed:
        uids, names_of, ids = dict(keys), run_names(reader, keys), steps.fixed["run"]
        steps.fixed["run"] = [uids[run] for run in ids]
        steps.fixed["name"] = [names_of.get(run) for run in ids]
    if "details" in steps.fixed:
        steps.fixed["details"] = [parse(details) for details in steps.fixed["details"]]
    return steps


def column_name(metric: str) -> str:
    """The column of a metric. One that begins with our prefix gets it again, so that no two metrics share a column."""
    return metric if metric not in _FIXED and not metric.startswith("metric__") else f"metric__{metric}"


def _wide(steps: Steps, fixed: dict[str, Series[Any]], names: list[str] | None) -> DataFrame:
    columns = dict(fixed)
    for name in sorted(steps.metrics) if names is None else names:
        if name in ("epoch", "step_time") and names is not None:
            continue  # asked for by name: they are among the fixed columns
        columns[column_name(name)] = metric_series(steps.metrics[name])
    return assemble(columns, steps.length)


def _tidy(steps: Steps, fixed: dict[str, Series[Any]], names: list[str] | None) -> DataFrame:
    import numpy as np
    import pandas as pd

    cells = dict(steps.metrics)
    for name in ("epoch", "step_time"):
        if names is not None and name in names:
            cells[name] = fixed[name].to_numpy()
    ordered = sorted(cells) if names is None else [name for name in names if name in cells]
    dtype = NUMBER if all(map(are_numbers, cells.values())) else TEXT
    shape = (steps.length, len(ordered))
    values = np.empty(shape, dtype=dtype)
    there = np.empty(shape, dtype=np.bool_)
    for place, name in enumerate(ordered):
        values[:, place] = metric_series(cells[name], dtype)
        there[:, place] = are_there(cells[name])
    rows, places = np.nonzero(there)  # row by row
    columns = {
        name: column.take(rows).reset_index(drop=True)
        for name, column in fixed.items()
        if name in ("run", "name", "step", "attempt")
    }
    metric = np.array(ordered, dtype=object)[places] if ordered else np.empty(0, dtype=object)
    columns |= {"metric": pd.Series(metric, dtype=TEXT), "value": pd.Series(values[there], dtype=dtype)}
    return assemble(columns, len(rows))


def list_metrics(reader: Reader, runs: object = None) -> DataFrame:
    """The summary of every metric of a run, of several or of all."""
    table = reader.models.metric_summary
    statement = select(*(table.c[name] for name, _ in METRIC_COLUMNS[1:])).where(table.c.count > 0)
    rows = sorted(rows_of_runs(reader, table, statement, runs), key=lambda row: (row[0], row[2]))
    return frame(METRIC_COLUMNS, [_summary(*row[1:]) for row in rows], exact=reader.exact)


def _summary(*row: Any) -> tuple[Any, ...]:
    """A row of `METRIC_COLUMNS`; a last value of NaN is stored as NULL."""
    *others, last, last_step = row
    return (*others, nan if last is None and last_step is not None else last, last_step)


def get_current_step(reader: Reader, run: object) -> int | None:
    """The highest current step."""
    table = reader.models.run.c
    step: int | None = reader.connection.execute(
        select(table.last_step).where(table.id == resolve_run(reader, run).id)
    ).scalar()
    return step


#: So many of the last steps tell what usually lies between two.
PACE_STEPS = 20


class Pace(NamedTuple):
    """How the attempt that is shown goes, by the steps that it logged.

    Attributes:
        steps_per_second: From its first to its last step; None below two steps.
        interval: Seconds between two logged steps, usually: the median of the last ones.
        last_at: When the last one was logged.
    """

    steps_per_second: float | None = None
    interval: float | None = None
    last_at: datetime | None = None


def steps_per_second(reader: Reader, run: object) -> float | None:
    """How fast the attempt that is shown went: from the first to the last step that it logged; None below two steps."""
    return pace(reader, run).steps_per_second


def pace(reader: Reader, run: object) -> Pace:
    """How the attempt that is shown goes."""
    models, key = reader.models, resolve_run(reader, run)
    source = run_source(models)
    head = source.statement.with_only_columns(source.head.c.attempt, maintain_column_froms=True)
    log = models.step_log.c
    own = select(log.step, log.logged_at).where(
        log.run_id == key.id, log.attempt == head.where(models.run.c.id == key.id).scalar_subquery()
    )
    latest = [tuple(row) for row in reader.rows(own.order_by(log.step.desc()).limit(PACE_STEPS))]
    if not latest:
        return Pace()
    [(first, began)] = reader.rows(own.order_by(log.step).limit(1))
    last, ended = latest[0]
    seconds = (ended - began).total_seconds()
    gaps = [(later - earlier).total_seconds() for (_, later), (_, earlier) in pairwise(latest)]
    return Pace(
        (last - first) / seconds if seconds > 0 and last > first else None, median(gaps) if gaps else None, ended
    )
