"""The rows of a source, each checked before anything of it is taken.

A column of an SQLite file may hold anything, whatever its type is, so its rows are read without types and then parsed:
those that pass into another file are written as they were read. PostgreSQL has checked what it stores, all but what its
JSON is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, Table, TableClause, column, select, table

from trainstore.backends import Backend
from trainstore.backends.driver_rows import driver_rows
from trainstore.models import SCALARSTOP_TABLES, Models
from trainstore.recording.deletion import Tombstone, deleted_runs
from trainstore.transfer.sources import Source, Waiting
from trainstore.transfer.stored_values import check_columns, check_metrics, read_columns
from trainstore.transfer.vectors import MANY, DamagedRunError, Known, check_attempts, known_runs
from trainstore.values import plain_text

CHUNK = 500  # rows: the garbage collector looks at objects that live longer
#: The tables of a run, in the order of their foreign keys.
TABLES = ("attempt", "writer", "hyperparam", "event", "step_log", "metric_summary", "notification")
STEP_ROW = ("step", "logged_at", "epoch", "step_time", "metrics", "details")
_LOCAL = {"run": ("id", "parent_run_id"), "event": ("id",)}  # columns that mean nothing in another store

Rows = Sequence[Sequence[Any]]


class Part(NamedTuple):
    """Some rows of a table, and the same as columns of Python values."""

    rows: Rows  # as the driver gives them, if the source's backend keeps rows
    columns: Sequence[Sequence[Any]]


def names_of(made: Table, name: str) -> list[str]:
    """The columns of a table that mean something in another store."""
    return [c.name for c in made.c if c.name not in _LOCAL.get(name, ())]


def untyped(made: Table) -> TableClause:
    """The table with columns without types: values pass as the database has them."""
    return table(made.name, *(column(c.name) for c in made.c))


def parts_of(
    source: Source,
    name: str,
    names: Sequence[str],
    where: Callable[[Any], ColumnElement[bool]] | None = None,
    order: str = "",
    as_stored: bool = False,
) -> Iterator[Part]:
    """Rows of a table, some at a time.

    Args:
        source: Where they are read.
        name: Of the table, without prefix.
        names: Of the columns.
        where: Which rows, said by the table's columns; None: all.
        order: The column by which they are sorted.
        as_stored: Only the rows are wanted, which another file gets.

    Raises:
        DamagedRunError: A value is not what its column is for.
    """
    made: Table = getattr(source.models, name)
    if source.backend.keeps_rows:
        for rows in _stored_rows(source, _selected(untyped(made), names, where, order)):
            if as_stored:
                check_columns(made, names, rows)
                yield Part(rows, ())
            else:
                yield Part(rows, read_columns(made, names, rows, of_scalarstop=name in SCALARSTOP_TABLES))
        return
    found = source.connection.execute(_selected(made, names, where, order).execution_options(yield_per=CHUNK))
    for rows in found.partitions():
        columns = list(zip(*rows, strict=True))
        if "metrics" in names:
            check_metrics(columns[names.index("metrics")])
        yield Part(rows, columns)


def damages_of(source: Source, runs: Sequence[Known]) -> dict[str, str]:
    """Why runs that are damaged cannot be taken, by their uids. Their steps are checked when they are read."""
    uids = {known.run_id: known.uid for known in runs}
    found: dict[int, str] = {}
    for start in range(0, len(runs), MANY):
        ids = [known.run_id for known in runs[start : start + MANY]]
        if source.backend.keeps_rows:
            for name in ("run", *TABLES):
                if name != "step_log":
                    found = _damages_in(source, name, ids) | found
        found = check_attempts(source.connection, source.models, [i for i in ids if i not in found]) | found
    return {uids[run_id]: why for run_id, why in found.items()}


def damages_in(
    connection: Connection, models: Models, backend: Backend, steps: int | None = None
) -> tuple[dict[str, str], bool]:
    """Why runs of a store are damaged, by their uids; and whether the steps of all runs were looked at.

    Args:
        connection: Of a snapshot.
        models: The store's.
        backend: The store's.
        steps: About how many steps are looked at, those of the newest runs; None: all.
    """
    with backend.any_text(connection):
        source = Source(connection, models, backend, "", Waiting())
        found = sorted(known_runs(connection, models).values(), key=lambda known: known.run_id, reverse=True)
        damages = damages_of(source, found)
        read = 0
        for known in found:
            if steps is not None and read >= steps:
                return damages, False
            if known.uid not in damages:
                try:
                    read += _count_sound_steps(source, known)
                except DamagedRunError as error:
                    damages[known.uid] = str(error)
    return damages, True


def _count_sound_steps(source: Source, known: Known) -> int:
    check_reached(source, known)
    parts = parts_of(source, "step_log", STEP_ROW, lambda c: c.run_id == known.run_id, as_stored=True)
    return sum(len(part.rows) for part in parts)


def check_reached(source: Source, known: Known) -> None:
    """Raise `DamagedRunError` if there are steps that are read neither by their numbers nor by their attempts."""
    if not source.backend.keeps_rows:
        return  # its types and foreign keys see to it
    step_log, attempt = source.models.step_log.name, source.models.attempt.name
    statement = (
        f"SELECT quote(step), quote(attempt) FROM \"{step_log}\" WHERE run_id = ? AND (typeof(step) <> 'integer' OR "
        f'attempt NOT IN (SELECT attempt FROM "{attempt}" WHERE run_id = ?)) LIMIT 1'
    )
    row = source.connection.exec_driver_sql(statement, (known.run_id, known.run_id)).first()
    if row is not None:
        raise DamagedRunError(f"it is damaged: {step_log} has a step {row[0][:40]!r} of an attempt {row[1][:40]!r}")


def deletions_of(source: Source) -> tuple[dict[str, Tombstone], dict[str, str]]:
    """What a source remembers of deleted runs, by their uids; and why of some it cannot be read."""
    if not source.backend.keeps_rows:
        return deleted_runs(source.connection, source.models), {}
    made: Table = source.models.deleted_run
    names = [field.name for field in fields(Tombstone)]
    found: dict[str, Tombstone] = {}
    damages: dict[str, str] = {}
    for rows in _stored_rows(source, _selected(untyped(made), names)):
        for row in rows:
            try:
                ((uid,), (deleted_at,), (revived_at,)) = read_columns(made, names, [row])
            except DamagedRunError as error:
                damages[plain_text(row[0], 100)] = str(error)
            else:
                found[uid] = Tombstone(uid, deleted_at, revived_at)
    return found, damages


def _damages_in(source: Source, name: str, ids: Sequence[int]) -> dict[int, str]:
    """The damages in one table, by the ids of the runs."""
    made: Table = getattr(source.models, name)
    key = "id" if name == "run" else "run_id"
    names = [key, *(one for one in names_of(made, name) if one != key)]
    found: dict[int, str] = {}
    for rows in _stored_rows(source, _selected(untyped(made), names, lambda c: c[key].in_(ids))):
        try:
            check_columns(made, names, rows)
        except DamagedRunError:
            found = {row[0]: str(why) for row in rows if (why := _damage_of(made, names, row)) is not None} | found
    return found


def _damage_of(made: Table, names: Sequence[str], row: Sequence[Any]) -> DamagedRunError | None:
    try:
        check_columns(made, names, [row])
    except DamagedRunError as error:
        return error
    return None


def _selected(
    made: Any, names: Sequence[str], where: Callable[[Any], ColumnElement[bool]] | None = None, order: str = ""
) -> Select[Any]:
    statement = select(*(made.c[name] for name in names))
    statement = statement if where is None else statement.where(where(made.c))
    return statement.order_by(made.c[order]) if order else statement


def _stored_rows(source: Source, statement: Select[Any]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Rows as the driver gives them: SQLAlchemy would take as long for each as SQLite."""
    compiled = statement.compile(dialect=source.connection.dialect, compile_kwargs={"literal_binds": True})
    yield from driver_rows(source.connection.exec_driver_sql(str(compiled)), CHUNK)
