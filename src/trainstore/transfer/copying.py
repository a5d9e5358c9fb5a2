"""Runs that the target does not have: their rows as they are, under new ids.

Runs are gathered, so that a table is read and written once for many small ones. Between two SQLite files rows pass as
they are stored; they are only checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, insert, select

from trainstore.recording.statements import STEP_COLUMNS, Statements
from trainstore.transfer.reading import TABLES, Part, names_of, parts_of, untyped
from trainstore.transfer.sources import Source
from trainstore.transfer.vectors import Known
from trainstore.values import microseconds_of


def copy_runs(source: Source, connection: Connection, statements: Statements, runs: Sequence[Known]) -> None:
    """Copy runs, inside the transaction of ``connection``.

    Raises `sqlalchemy.exc.IntegrityError` if one of them has just been stored by somebody else, `DamagedRunError` if a
    value cannot be read.
    """
    raw = source.backend.keeps_rows and source.backend.name == statements.backend.name
    ids = {known.run_id: known.uid for known in runs}
    _copy(source, connection, statements, "run", ids, None, raw)
    run = statements.models.run.c
    there = {row.uid: row.id for row in connection.execute(select(run.uid, run.id).where(run.uid.in_(ids.values())))}
    new_ids = {old: there[uid] for old, uid in ids.items()}
    for name in TABLES:
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
    ours: Table = getattr(statements.models, name)
    names = STEP_COLUMNS if name == "step_log" else names_of(ours, name)
    key = "id" if name == "run" else "run_id"
    # Runs in one order: two merges never wait for each other in a circle.
    order = "uid" if name == "run" else ""
    parts = parts_of(source, name, names, lambda c: c[key].in_(list(ids)), order, as_stored=raw)
    if name == "step_log" and not raw:
        assert new_ids is not None
        statements.append_steps(connection, _step_columns(parts, new_ids))
        return
    place = None if new_ids is None else list(names).index("run_id")
    write = untyped(ours) if raw else ours
    into = str(insert(write).compile(dialect=connection.dialect, column_keys=list(names)))
    for part in parts:
        rows: Sequence[Sequence[Any]] = part.rows if raw else list(zip(*part.columns, strict=True))
        if place is not None and new_ids is not None:
            rows = [(*row[:place], new_ids[row[place]], *row[place + 1 :]) for row in rows]
        if raw:
            connection.exec_driver_sql(into, list(map(tuple, rows)))
        elif name == "run":
            # One statement: of many in a pipeline, one that fails leaves a complaint of the driver's behind.
            connection.execute(insert(write).values([dict(zip(names, row, strict=True)) for row in rows]))
        else:
            connection.execute(insert(write), [dict(zip(names, row, strict=True)) for row in rows])


def _step_columns(parts: Iterator[Part], new_ids: Mapping[int, int]) -> Iterator[Any]:
    """Rows of STEP_COLUMNS as `Backend.insert_new` takes them."""
    for part in parts:
        run_ids, steps, attempts, times, *others = part.columns
        yield ([new_ids[i] for i in run_ids], steps, attempts, [microseconds_of(time) for time in times], *others)
