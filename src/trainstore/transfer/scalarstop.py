"""ScalarStop's tables: rows that have names and no history. Of two rows that differ, the one modified later counts.

The order is that of the foreign keys: data sets and model templates, models, their epochs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import JSON, Connection, Table, select

from trainstore.backends import Backend
from trainstore.models import SCALARSTOP_TABLES, Models
from trainstore.recording.statements import Statements
from trainstore.transfer.reading import parts_of
from trainstore.transfer.reports import Merged
from trainstore.transfer.sources import Source
from trainstore.transfer.transactions import in_transaction, why_refused
from trainstore.values import canonical

_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)

#: What identifies a row of each table everywhere; `model_epoch_id` is local.
KEYS: dict[str, tuple[str, ...]] = {
    "datablob": ("datablob_name",),
    "model_template": ("model_template_name",),
    "model": ("model_name",),
    "model_epoch": ("model_name", "model_epoch_num"),
}


class RowsBrought(NamedTuple):
    """How many rows a merge brought into one of the tables."""

    new: int = 0
    updated: int = 0


def merge_scalarstop(
    source: Source, connection: Connection, models: Models, backend: Backend, *, dry_run: bool = False
) -> dict[str, RowsBrought]:
    """Bring the rows that the target lacks, or has in an older state; how many, for each table that has some.

    Args:
        source: Where they are read.
        connection: Of the target, in a transaction that writes.
        models: The target's.
        backend: The target's.
        dry_run: Count them, and change nothing.

    Raises `DamagedRunError` if a value cannot be read; then the transaction is to be rolled back.
    """
    done: dict[str, RowsBrought] = {}
    for name in SCALARSTOP_TABLES:
        table: Table = getattr(models, name)
        there = _times(connection, table, name)
        new = updated = 0
        for rows in _newer(source, name, there):
            known = sum(_key(row, name) in there for row in rows)
            new, updated = new + len(rows) - known, updated + known
            if not dry_run:
                backend.upsert(connection, table, KEYS[name], rows)
        if new or updated:
            done[name] = RowsBrought(new, updated)
    return done


def bring_scalarstop(source: Source, connection: Connection, statements: Statements, report: Merged) -> None:
    """Merge these tables in one transaction, and say in the report what was brought, or why nothing was."""
    backend = statements.backend

    def bring() -> None:
        brought = merge_scalarstop(source, connection, statements.models, backend, dry_run=report.dry_run)
        report.scalarstop = {name: (rows.new, rows.updated) for name, rows in brought.items()}

    try:
        in_transaction(source, connection, backend, bring)
    except Exception as error:
        why = why_refused(backend, error)
        if why is None:
            raise
        report.scalarstop, report.scalarstop_refused = {}, why


def _newer(source: Source, name: str, there: Mapping[tuple[Any, ...], datetime]) -> Iterator[list[dict[str, Any]]]:
    """The rows of the source that the target lacks or has in an older state, in chunks."""
    table: Table = getattr(source.models, name)
    names = [column.name for column in table.c if column.name != "model_epoch_id"]
    texts = [key for key in names if isinstance(table.c[key].type, JSON)]
    modified = f"{name}_last_modified"
    for part in parts_of(source, name, names):
        rows = []
        for values in zip(*part.columns, strict=True):
            row = dict(zip(names, values, strict=True))
            before = there.get(_key(row, name))
            if before is not None and (row[modified] or _LONG_AGO) <= before:
                continue
            # ScalarStop itself wrote NaN as it is, which is no JSON for PostgreSQL.
            row |= {key: canonical(row[key]) for key in texts if row[key] is not None}
            rows.append(row)
        if rows:
            yield rows


def _times(connection: Connection, table: Table, name: str) -> dict[tuple[Any, ...], datetime]:
    """When each row was modified, by its key."""
    columns = [table.c[key] for key in KEYS[name]]
    rows = connection.execute(select(*columns, table.c[f"{name}_last_modified"]))
    return {tuple(row[:-1]): row[-1] or _LONG_AGO for row in rows}


def _key(row: Mapping[str, Any], name: str) -> tuple[Any, ...]:
    return tuple(row[key] for key in KEYS[name])
