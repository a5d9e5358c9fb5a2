"""Step logs and metrics: every point, never a sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, select

from trainstore.errors import InvalidArgumentError
from trainstore.queries.frames import INTEGER, NUMBER, TEXT, TIME, frame, sparse
from trainstore.queries.reader import Reader, RunKey, resolve_run, resolve_runs
from trainstore.values import metric_name, restore

if TYPE_CHECKING:
    from pandas import DataFrame

# Reading so few metrics, the database extracts them; reading more, the whole JSON is parsed here.
EXTRACTED = 3
METRIC_COLUMNS = (
    ("uid", TEXT),
    ("metric", TEXT),
    ("count", "int64"),
    ("nonfinite_count", "int64"),
    ("min", NUMBER),
    ("min_step", INTEGER),
    ("max", NUMBER),
    ("max_step", INTEGER),
    ("last", NUMBER),
    ("last_step", INTEGER),
)


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
    if attempts not in ("current", "all"):
        raise InvalidArgumentError(f"attempts {attempts!r} is neither 'current' nor 'all'")
    if isinstance(metrics, str):
        raise InvalidArgumentError(f"metrics {metrics!r} is one text; pass a list of names")
    names = None if metrics is None else [metric_name(name) for name in metrics]
    several = not isinstance(runs, (str, int)) and not hasattr(runs, "uid")
    keys = resolve_runs(reader, runs)
    fixed: list[tuple[str, str]] = [("run", TEXT)] if several or tidy else []
    fixed += [("step", "int64")]
    fixed += [("attempt", "int64")] if attempts == "all" else []
    rows = [row for key in keys for row in _rows(reader, key, names, attempts, details)]
    if tidy:
        return _tidy(fixed, rows)
    fixed += [("epoch", NUMBER), ("step_time", NUMBER), ("logged_at", TIME)] + ([("details", TEXT)] if details else [])
    return _wide(fixed, rows, names)


# A row: run uid, step, attempt, epoch, step_time, logged_at, metrics, details.
Row = tuple[str, int, int, float | None, float | None, Any, dict[str, Any], Any]
_PLACES = {"run": 0, "step": 1, "attempt": 2, "epoch": 3, "step_time": 4, "logged_at": 5, "details": 7}


def _rows(reader: Reader, run: RunKey, names: list[str] | None, attempts: str, details: bool) -> Iterator[Row]:
    source = reader.models.current_step_log if attempts == "current" else reader.models.step_log
    table = source.c
    extract = names is not None and len(names) <= EXTRACTED and all(map(reader.backend.json_path_reaches, names))
    values: list[ColumnElement[Any]] = [table.metrics]
    if extract and names is not None:
        values = [reader.backend.json_value(table.metrics, name) for name in names]
    columns = (table.step, table.attempt, table.epoch, table.step_time, table.logged_at)
    statement = (
        select(*columns, *values, *([table.details] if details else []))
        .where(table.run_id == run.id)
        .order_by(table.step, table.attempt)
    )
    for row in reader.rows(statement):
        step, attempt, epoch, step_time, logged_at, *found = row
        kept = restore(found.pop()) if details else None
        if extract and names is not None:
            # A key that is absent and one that is null look alike here; neither is a value.
            stored = {name: value for name, value in zip(names, found, strict=True) if value is not None}
        elif names is not None:
            stored = {name: found[0][name] for name in names if found[0].get(name) is not None}
        else:
            stored = found[0]
        yield (run.uid, step, attempt, epoch, step_time, logged_at, stored, kept)


def _wide(fixed: list[tuple[str, str]], rows: Sequence[Row], names: list[str] | None) -> DataFrame:
    import pandas as pd

    cells: dict[str, tuple[list[int], list[Any]]] = {name: ([], []) for name in names or ()}
    for index, row in enumerate(rows):
        for name, value in row[6].items():
            if name not in cells:
                cells[name] = ([], [])
            positions, values = cells[name]
            positions.append(index)
            values.append(value if type(value) is float else restore(value))
    table = frame(fixed, [tuple(row[_PLACES[name]] for name, _ in fixed) for row in rows])
    taken = {name for name, _ in fixed}
    ordered = names if names is not None else sorted(cells)
    columns = {(f"metric__{name}" if name in taken else name): sparse(len(rows), *cells[name]) for name in ordered}
    return pd.concat([table, pd.DataFrame(columns, index=table.index)], axis=1) if columns else table


def _tidy(fixed: list[tuple[str, str]], rows: Sequence[Row]) -> DataFrame:
    places = [_PLACES[name] for name, _ in fixed]
    long = [(*(row[place] for place in places), name, restore(row[6][name])) for row in rows for name in sorted(row[6])]
    values = [row[-1] for row in long]
    table = frame([*fixed, ("metric", TEXT)], [row[:-1] for row in long])
    table["value"] = sparse(len(values), range(len(values)), values)
    return table


def list_metrics(reader: Reader, runs: object = None) -> DataFrame:
    """What every metric of a run, of several or of all comes to."""
    run, table = reader.models.run.c, reader.models.metric_summary.c
    columns = (run.uid, *(table[name] for name, _ in METRIC_COLUMNS[1:]))
    statement = select(*columns).join_from(reader.models.metric_summary, reader.models.run).where(table.count > 0)
    if runs is not None:
        statement = statement.where(table.run_id.in_([key.id for key in resolve_runs(reader, runs)]))
    return frame(METRIC_COLUMNS, reader.rows(statement.order_by(run.id, table.metric)))


def get_current_step(reader: Reader, run: object) -> int | None:
    """The highest current step."""
    key = resolve_run(reader, run)
    table = reader.models.run.c
    rows = reader.rows(select(table.last_step).where(table.id == key.id))
    step: int | None = rows[0][0] if rows else None
    return step
