"""What is exported: step logs in pieces, as they may be larger than memory, and attempts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from sqlalchemy import Select, select

from trainstore.queries.frames import BOOLEAN, COUNT, EXACT, INTEGER, TEXT, TIME, frame, parse, same_number
from trainstore.queries.reader import Reader, RunKey, rows_of_runs
from trainstore.values import restore

if TYPE_CHECKING:
    from pandas import DataFrame

PIECE = 5_000  # rows in memory at a time


ATTEMPT_COLUMNS = (
    ("uid", TEXT),
    ("attempt", COUNT),
    ("attempt_uid", TEXT),
    ("resumed_from", INTEGER),
    ("start_step", COUNT),
    ("end_step", COUNT),
    ("last_step", INTEGER),
    ("opened_at", TIME),
    ("closed_at", TIME),
    ("status", TEXT),
    ("error", TEXT),
    ("git_commit", TEXT),
    ("git_dirty", BOOLEAN),
    ("command", TEXT),
    ("host", TEXT),
    ("versions", TEXT),
    ("changed_hyperparams", TEXT),
)


class Step(NamedTuple):
    """One row of a step log."""

    run: str
    step: int
    attempt: int
    epoch: float | None
    step_time: float | None
    logged_at: datetime
    metrics: dict[str, Any]
    details: Any


def stream_steps(reader: Reader, runs: Sequence[RunKey], *, attempts: str = "current") -> Iterator[list[Step]]:
    """The step logs of runs, run by run, by step and attempt; lists of at most `PIECE` rows.

    The reader's connection must be one whose transaction lasts (`Backend.snapshot`).
    """
    view = (reader.models.current_step_log if attempts == "current" else reader.models.step_log).c
    text = reader.backend.json_text
    names = ("step", "attempt", "epoch", "step_time", "logged_at")
    statement: Select[Any] = select(*(view[name] for name in names), text(view.metrics), text(view.details))
    statement = statement.order_by(view.step, view.attempt).execution_options(stream_results=True, yield_per=PIECE)
    for run_id, uid in runs:
        for rows in reader.connection.execute(statement.where(view.run_id == run_id)).partitions(PIECE):
            logged = orjson.loads(f"[{','.join(row[5] for row in rows)}]")
            yield [
                Step(uid, row[0], row[1], row[2], row[3], row[4], metrics, parse(row[6]))
                for row, metrics in zip(rows, logged, strict=True)
            ]


def list_attempts(reader: Reader, runs: object) -> DataFrame:
    """The attempts of runs, by run id and number, with the columns of `ATTEMPT_COLUMNS`."""
    table = reader.models.attempt
    text = reader.backend.json_text
    as_json = ("versions", "changed_hyperparams")
    names = ["uid" if name == "attempt_uid" else name for name, _ in ATTEMPT_COLUMNS[1:]]
    statement = select(*(text(table.c[name]) if name in as_json else table.c[name] for name in names))
    places = [names.index(name) + 1 for name in as_json]
    rows = []
    for run_id, *row in rows_of_runs(reader, table, statement, runs):
        for place in places:
            row[place] = parse(row[place])
        rows.append((run_id, row))
    return frame(ATTEMPT_COLUMNS, [row for _, row in sorted(rows, key=lambda entry: (entry[0], entry[1][1]))])


def metric_kinds(steps: Sequence[Step]) -> dict[str, set[str]]:
    """The kinds (`kinds_of`) of each metric's values; a null has none."""
    types: set[tuple[str, type]] = set()
    for step in steps:
        types.update(zip(step.metrics, map(type, step.metrics.values()), strict=True))
    kinds: dict[str, set[str]] = {name: set() for name, _ in types}
    for name, of in types:
        if of in (int, str, dict):
            # An int may be too large for a float64, a text a NaN, and a dict an int beyond 64 bits.
            values = (step.metrics.get(name) for step in steps)
            kinds[name].update(*(kinds_of(_value(value)) for value in values if type(value) is of))
        elif of is not type(None):
            kinds[name].add("number" if of is float else "other")
    return kinds


def kinds_of(value: Any) -> frozenset[str]:
    """Whether a value is a "number", "other" (a float64 does not hold it exactly), or both; None is neither."""
    if value is None:
        return frozenset()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return frozenset({"other"})
    return frozenset({"number"} if isinstance(value, float) or abs(value) <= EXACT else {"number", "other"})


def metric_value(value: Any) -> Any:
    """The Python value of a metric as stored."""
    return value if type(value) is float and -1e16 < value < 1e16 else _value(value)


def _value(value: Any) -> Any:
    return restore(same_number(value))
