"""SQLite files as other tools write them, made by hand."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from trainstore.importing.foreign import Entry, ForeignRun, Step

Inserted = tuple[str, tuple[Any, ...]]  # a table, and the values of a row


def made(path: Path, script: str, *rows: Inserted) -> Path:
    """Run a script in a file, then insert rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(script)
        for table, values in rows:
            connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))})", values)
    return path


def all_of(run: ForeignRun) -> list[Entry]:
    """All entries of a run that is a table: they have no positions."""
    return [entry for session in run.sessions for entry in session.entries()]


def steps(entries: list[Entry]) -> list[tuple[int, dict[str, Any]]]:
    """Steps and their metrics."""
    return [(entry.step, dict(entry.metrics)) for entry in entries if isinstance(entry, Step)]
