"""Runs that the target does not have: their rows as they are, under new ids.

Runs are gathered, so that a table is read and written once for many small ones. Between two SQLite files rows pass as
they are stored; they are only checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, Table, TableClause, column, insert, select, table

from trainstore.backends.driver_rows import driver_rows
from trainstore.recording.statements import STEP_COLUMNS, Statements
from trainstore.transfer.sources import Source
from trainstore.transfer.stored_values import check_metrics, check_rows
from trainstore.transfer.vectors import Known
from trainstore.values import microseconds_of

CHUNK = 500  # rows: the garbage collector looks at objects that live longer
_LOCAL = {"run": ("id", "parent_run_id"), "event": ("id",)}  # columns that mean nothing in another store
_METRICS = STEP_COLUMNS.index("metrics") - 4  # among those after run, step, attempt and time
_OF_RUNS = ("attempt", "writer", "hyperparam", "event", "step_log", "metric_summary", "notification")


def copy_runs(source: Source, connection: Connection, statements: Statements, runs: Sequence[Known]) -> None:
    """Copy runs, inside the transaction of ``connection``.

    Raises `sqlalchemy.exc.IntegrityError` if one of them has just been stored by somebody else.
    """
    raw = source.backend.keeps_rows and source.backend.name == statements.backend.name
    ids = {known.run_id: known.uid for known in runs}
    _copy(source, connection, statements, "run", ids, None, raw)
    run = statements.models.run.c
    there = {row.uid: row.id for row in connection.execute(select(run.uid, run.id).where(run.uid.in_(ids.values())))}
    new_ids = {old: there[uid] for old, uid in ids.items()}
    for name in _OF_RUNS:
        _copy(source, connection, statements, name, ids, new_ids, raw)


def _copy(
    source: Source,
    connection: Connection,
    statements: Statements,
    name: str,
    ids: Mapping[int, str],
    new_ids: Mapping[int, int] | None,
    raw: bool,
) -> None:
    """The rows of one table that belong to the runs of ``ids``."""
    theirs: Table = getattr(source.models, name)
    ours: Table = getattr(statements.models, name)
    names = STEP_COLUMNS if name == "step_log" else [c.name for c in theirs.c if c.name not in _LOCAL.get(name, ())]
    read, write = (_untyped(theirs), _untyped(ours)) if raw else (theirs, ours)
    key = read.c.id if name == "run" else read.c.run_id
    wanted = select(*(read.c[n] for n in names)).where(key.in_(list(ids)))
    if name == "run":
        wanted = wanted.order_by(read.c.uid)  # in one order: two merges never wait for each other in a circle
    if name == "step_log" and not raw:
        assert new_ids is not None
        statements.append_steps(connection, _columns(_rows(source, wanted), new_ids))
        return
    place = None if new_ids is None else list(names).index("run_id")
    into = str(insert(write).compile(dialect=connection.dialect, column_keys=list(names)))
    for part in _driver_rows(source, wanted) if raw else _rows(source, wanted):
        rows: Sequence[Sequence[Any]] = part
        if raw:
            check_rows(theirs, list(names), part)
        if place is not None and new_ids is not None:
            rows = [(*row[:place], new_ids[row[place]], *row[place + 1 :]) for row in part]
        if raw:
            connection.exec_driver_sql(into, list(map(tuple, rows)))
        elif name == "run":
            # One statement: of many in a pipeline, one that fails leaves a complaint of the driver's behind.
            connection.execute(insert(write).values([dict(zip(names, row, strict=True)) for row in rows]))
        else:
            connection.execute(insert(write), [dict(zip(names, row, strict=True)) for row in rows])


def _untyped(made: Table) -> TableClause:
    """The table with columns without types: values pass as the database has them."""
    return table(made.name, *(column(c.name) for c in made.c))


def _rows(source: Source, statement: Select[Any]) -> Iterator[Sequence[Sequence[Any]]]:
    yield from source.connection.execute(statement.execution_options(yield_per=CHUNK)).partitions()


def _driver_rows(source: Source, statement: Select[Any]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """The rows as the driver gives them: SQLAlchemy would take as long for each as SQLite."""
    compiled = statement.compile(dialect=source.connection.dialect, compile_kwargs={"literal_binds": True})
    yield from driver_rows(source.connection.exec_driver_sql(str(compiled)), CHUNK)


def _columns(parts: Iterator[Sequence[Sequence[Any]]], new_ids: Mapping[int, int]) -> Iterator[Any]:
    """Rows of STEP_COLUMNS as `Backend.insert_new` takes them."""
    for part in parts:
        run_ids, steps, attempts, times, *others = zip(*part, strict=True)
        check_metrics(others[_METRICS])
        yield ([new_ids[i] for i in run_ids], steps, attempts, [microseconds_of(time) for time in times], *others)
