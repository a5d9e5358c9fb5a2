"""Reads the columns of a run out of the database: all of them, or those that are new.

What is in memory and what was read on must add up to the run's summary. If they do not, older rows have changed, and
reading begins further back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from sqlalchemy import FromClause, Select, bindparam, cast, null, select, type_coerce, union_all
from sqlalchemy.types import NullType

from trainstore.backends import Backend
from trainstore.dashboard.buckets import Floats
from trainstore.dashboard.joining import appended, first_difference, joined
from trainstore.dashboard.run_columns import ATTEMPT, RunColumns, Summary
from trainstore.dashboard.sums import adds_up, adds_up_with
from trainstore.models import Models
from trainstore.queries.frames import COUNT, NUMBER, TIME, times
from trainstore.queries.metric_columns import are_there, cells
from trainstore.queries.reader import IN_LIMIT, Reader, RunKey
from trainstore.queries.steps import Steps, read_steps

LOOK_BACK = 500  # rows that are read again if a late record was merged into one of the last
_FIXED = (("step", COUNT), ("epoch", NUMBER), ("step_time", NUMBER), ("logged_at", TIME))
_SUMMARY = ("run_id", "metric", "count", "nonfinite_count", "min", "min_step", "max", "max_step", "last", "last_step")


def read_run(
    reader: Reader,
    key: RunKey,
    summary: Summary,
    *,
    after: int | None = None,
    only: Sequence[int] | None = None,
    superseded: tuple[int, int] | None = None,
    started: float | None = None,
) -> RunColumns:
    """The current steps of a run, or superseded ones.

    Args:
        reader: Of one snapshot.
        key: The run.
        summary: That of the same snapshot.
        after: Only those from this step on, this one too.
        only: Only these.
        superseded: Instead those of this attempt that lie beyond this step.
        started: The time of its beginning, if it is known.
    """
    if after is not None:
        steps = _read_on(reader, key, summary, after)
    else:
        source = _source(reader, summary, only)
        if superseded is not None:
            log, (attempt, end_step) = reader.models.step_log, superseded
            source = select(log).where(log.c.attempt == attempt, log.c.step > end_step).subquery()
        steps = read_steps(reader, source, [key], _FIXED, None)
    step = np.asarray(steps.fixed["step"], dtype=np.float64) if steps.length else np.empty(0)
    time = times(steps.fixed["logged_at"]).as_unit("us").asi8 / 1e6 if steps.length else np.empty(0)
    epoch = np.asarray(steps.fixed["epoch"], dtype=np.float64) if steps.length else np.empty(0)
    columns, beside = {**steps.metrics}, frozenset[str]()
    if "step_time" not in columns:
        beside = frozenset({"step_time"})
        if steps.length:
            columns["step_time"] = np.asarray(steps.fixed["step_time"], dtype=np.float64)
    pairs = ((name, _numbers(column)) for name, column in columns.items())
    metrics = {name: pair for name, pair in pairs if pair is not None}
    if started is None:
        run = reader.models.run.c
        started = reader.connection.execute(select(run.started_at).where(run.id == key.id)).scalar_one().timestamp()
    axes = {"step": step, "epoch": epoch, "time": np.asarray(time, dtype=np.float64)}
    return RunColumns(step, axes, started, metrics, summary, beside)


def _source(reader: Reader, summary: Summary, only: Sequence[int] | None = None) -> FromClause:
    """The rows to read. If a run was never resumed, they need not be joined with its attempts."""
    attempts = [row for row in summary if row[0] == ATTEMPT]
    log, current = reader.models.step_log, reader.models.current_step_log
    if len(attempts) == 1:
        _, number, end_step = attempts[0]
        if only is None:
            return select(log).where(log.c.attempt == number, log.c.step <= end_step).subquery()
        # With a range beside the list, SQLite would take the range.
        listed = [step for step in only if step <= end_step]
        return select(log).where(log.c.attempt == number, log.c.step.in_(_literal(listed))).subquery()
    return current if only is None else select(current).where(current.c.step.in_(_literal(only))).subquery()


def _read_on(reader: Reader, key: RunKey, summary: Summary, after: int) -> Steps:
    """The current steps from one on: a few, each second, so the statements are made once."""
    attempts = [row for row in summary if row[0] == ATTEMPT]
    asked: dict[str, Any] = {"run": key.id, "after": after}
    if len(attempts) == 1:
        asked |= {"attempt": attempts[0][1], "end": attempts[0][2]}
    steps = Steps(_FIXED, None)
    for rows in reader.chunks(_rows_from(reader.models, reader.backend, len(attempts) == 1), asked):
        steps.add(rows)
    steps.finish()
    return steps


@lru_cache(maxsize=32)
def _rows_from(models: Models, backend: Backend, never_resumed: bool) -> Select[Any]:
    row = (models.step_log if never_resumed else models.current_step_log).c
    time = type_coerce(row.logged_at, NullType())  # as the driver returns it
    statement = (
        select(row.step, row.epoch, row.step_time, time, backend.json_text(row.metrics))
        .where(row.run_id == bindparam("run"), row.step >= bindparam("after"))
        .order_by(row.step, row.attempt)
    )
    if not never_resumed:
        return statement
    return statement.where(row.attempt == bindparam("attempt"), row.step <= bindparam("end"))


def _literal(steps: Sequence[int]) -> Any:
    """Steps in the text of a statement: databases take only so many parameters."""
    return bindparam(None, list(steps), expanding=True, literal_execute=True)


def _numbers(column: Any) -> tuple[Any, Floats] | None:
    """The rows that have a number, and the numbers; None if there are none. Texts are not drawn."""
    if isinstance(column, np.ndarray):
        rows = np.flatnonzero(are_there(column))
        return (rows, column[rows].astype(np.float64)) if len(rows) else None
    found = [
        (row, float(value))
        for row, value in enumerate(cells(column))
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]
    if not found:
        return None
    places, values = zip(*found, strict=True)
    return np.array(places, dtype=np.intp), np.array(values, dtype=np.float64)


def summaries_of(reader: Reader, ids: Sequence[int]) -> dict[int, Summary]:
    """For each run what changes whenever its current steps do, but for a value in the middle that is no extreme."""
    found: dict[int, set[tuple[Any, ...]]] = {number: set() for number in ids}
    statement = _summaries(reader.models)
    for start in range(0, len(ids), IN_LIMIT):
        for run, metric, *row in reader.rows(statement, {"ids": list(ids[start : start + IN_LIMIT])}):
            found[run].add((ATTEMPT, *row[:2]) if metric is None else (metric, *row))
    return {number: frozenset(rows) for number, rows in found.items()}


@lru_cache(maxsize=16)
def _summaries(models: Models) -> Select[Any]:
    """The summaries of runs, and in the same columns the number and the last current step of their attempts."""
    summary, attempt = models.metric_summary.c, models.attempt.c
    ids: Any = bindparam("ids", expanding=True)
    columns = [summary[name] for name in _SUMMARY]
    nothing = [cast(null(), column.type) for column in columns]
    # Of a summary with a count of 0 no row is current any more.
    both = union_all(
        select(*columns).where(summary.run_id.in_(ids), summary.count > 0),
        select(attempt.run_id, nothing[1], attempt.attempt, attempt.end_step, *nothing[4:]).where(
            attempt.run_id.in_(ids)
        ),
    )
    return select(*both.subquery("both").c)


def read_on(
    reader: Reader, key: RunKey, known: RunColumns, summary: Summary, *, most: int | None = None
) -> tuple[RunColumns, int | None] | None:
    """The columns of a run that has changed, and the first row that differs from those known; None if none does.

    Args:
        reader: Of one snapshot.
        key: The run.
        known: What is in memory.
        summary: That of the snapshot.
        most: If more known rows than this would have to be read anew, the answer is None.
    """
    for after in _starts(known, summary):
        if most is not None and after is None and len(known.step) > most:
            return None
        later = read_run(reader, key, summary, after=after, started=known.started)
        kept = 0 if after is None else int(np.searchsorted(known.step, after, "left"))
        row = first_difference(known, later, kept)
        # Nearly always rows have only come at the end: then it does not matter how many there are already.
        if after is not None and (row is None or row >= len(known.step)) and adds_up_with(known, later, kept):
            return appended(known, later, kept), row
        found = joined(known, later, kept)
        if after is None or adds_up(found):
            return found, row
    raise AssertionError("reading anew comes last")


def _starts(known: RunColumns, summary: Summary) -> Iterator[int | None]:
    """The steps from which to read on, until all adds up: last of all from the beginning.

    The last row is always read again, since what is logged later may be merged into it.
    """
    first = known.last_step
    old, new = _ends(known.summary), _ends(summary)
    cuts = [min(old[number], new[number]) for number in old.keys() & new.keys() if old[number] != new[number]]
    first = min([first, *(cut + 1 for cut in cuts)])
    if first >= 0 and len(known.step):
        yield first
        if len(known.step) > LOOK_BACK and known.step[-LOOK_BACK] < first:
            yield int(known.step[-LOOK_BACK])
    yield None


def _ends(summary: Summary) -> dict[int, int]:
    """The last current step of each attempt."""
    return {row[1]: row[2] for row in summary if row[0] == ATTEMPT}
