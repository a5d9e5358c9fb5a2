"""Whole runs as JSON Lines, to be read back: the form, and writing it.

A line is a row of a table, as it is stored; the lines of a run begin with its row of ``run`` and finish with an ``end``
that has their number and SHA-256. Ids that mean something in one database only are left out: rows belong to the run
before them, attempts are named by their numbers. Values are stored ones (values.py): NaN is "NaN" in a metric, an
integer beyond 64 bits ``{"$int": …}``; so what is read back is what was stored.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import IO, Any

import orjson
from sqlalchemy import JSON, Column, Connection, Table, select

from trainstore import __version__
from trainstore.backends import Backend
from trainstore.models import Models
from trainstore.schema import HEAD

FORMAT = 1
MARK = "trainstore"  # the first key of the first line
#: The tables of a run, in the order of their lines, each with what its rows are sorted by.
TABLES = {
    "attempt": ("opened_at", "uid"),
    "writer": ("started_at", "uid"),
    "hyperparam": ("namespace", "key"),
    "event": ("at", "writer_uid", "seq"),
    "notification": ("writer_uid", "seq", "target"),
    "metric_summary": ("metric",),
    "step_log": ("step", "attempt"),
}
_LOCAL = {"run": {"id", "parent_run_id"}, "event": {"id"}}
_CHUNK = 2_000  # rows


def columns_of(models: Models, name: str) -> list[Column[Any]]:
    """The columns of a table that lines have: without local ids."""
    table: Table = getattr(models, name)
    return [column for column in table.c if column.name not in _LOCAL.get(name, set()) | {"run_id"}]


def write_runs(
    file: IO[bytes], connection: Connection, models: Models, backend: Backend, runs: Sequence[tuple[int, str]]
) -> int:
    """Write whole runs.

    Args:
        file: Where to.
        connection: Its statements should all see the same moment.
        models: The store's.
        backend: The store's.
        runs: Id and uid of each.

    Returns:
        How many lines were written.
    """
    head = {MARK: "runs", "format": FORMAT, "schema": HEAD, "version": __version__, "exported_at": datetime.now(UTC)}
    file.write(orjson.dumps(head) + b"\n")
    count = 2
    parents_first = _parents_first(connection, models, runs)
    for run_id, uid in parents_first:
        rows, digest = 0, hashlib.sha256()
        for lines in _lines(connection, models, backend, run_id):
            text = b"".join(lines)
            digest.update(text)
            file.write(text)
            rows += len(lines)
        end = {"table": "end", "run": uid, "lines": rows, "sha256": digest.hexdigest()}
        file.write(orjson.dumps(end) + b"\n")
        count += rows + 1
    file.write(orjson.dumps({"table": "end of file", "runs": len(parents_first)}) + b"\n")
    return count


def _parents_first(
    connection: Connection, models: Models, runs: Sequence[tuple[int, str]]
) -> Sequence[tuple[int, str]]:
    """The runs in the order in which they began: a parent began before what continues it."""
    run = models.run.c
    began = {row[0]: row[1] for row in connection.execute(select(run.id, run.started_at))}
    return sorted((key for key in runs if key[0] in began), key=lambda key: (began[key[0]], key[1]))


def _lines(connection: Connection, models: Models, backend: Backend, run_id: int) -> Iterator[list[bytes]]:
    """The lines of one run."""
    for name, order in {"run": ("id",), **TABLES}.items():
        table: Table = getattr(models, name)
        columns = columns_of(models, name)
        as_text = [isinstance(column.type, JSON) for column in columns]
        chosen = [
            backend.json_text(column) if is_text else column for column, is_text in zip(columns, as_text, strict=True)
        ]
        key = table.c.id if name == "run" else table.c.run_id
        statement = select(*chosen).where(key == run_id).order_by(*(table.c[one] for one in order))
        found = connection.execute(statement.execution_options(stream_results=True, yield_per=_CHUNK))
        names = [column.name for column in columns]
        for part in found.partitions():
            rows = [_row(name, names, as_text, row) for row in part]
            if name == "attempt":
                rows = _ancestors_first(rows)
            yield [orjson.dumps(row) + b"\n" for row in rows]


def _row(table: str, names: Sequence[str], as_text: Sequence[bool], values: Sequence[Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"table": table}
    for name, is_text, value in zip(names, as_text, values, strict=True):
        if value is None:
            continue
        if is_text:
            row[name] = orjson.Fragment(value)
        elif type(value) is float and not math.isfinite(value):
            row[name] = "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
        else:
            row[name] = value
    return row


def _ancestors_first(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Attempts so that each stands behind the one that it resumed, whatever the clocks said."""
    by_number = {row["attempt"]: row for row in rows}
    sorted_rows: dict[int, dict[str, Any]] = {}
    for row in rows:
        line = [row]
        while (before := by_number.get(line[-1].get("resumed_from"))) is not None and before not in line:
            line.append(before)
        for one in reversed(line):
            sorted_rows.setdefault(one["attempt"], one)
    return list(sorted_rows.values())
