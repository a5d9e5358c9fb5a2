"""SQLite files as other tools write them, made by hand."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

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


def copied_to(url: str, sample: Path, names: tuple[str, ...]) -> str:
    """Copy tables of an SQLite file into an empty PostgreSQL database; its URL."""
    kinds = {"FLOAT": "DOUBLE PRECISION", "DATETIME": "TIMESTAMP"}
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as there, closing(sqlite3.connect(f"file:{sample}?immutable=1", uri=True)) as here:
        for name in names:
            columns = here.execute(f"PRAGMA table_info({name})").fetchall()
            body = ", ".join(f'"{one[1]}" {kinds.get(one[2], one[2])}' for one in columns)
            there.execute(text(f"CREATE TABLE {name} ({body})"))
            insert = text(f"INSERT INTO {name} VALUES ({', '.join(f':{one[1]}' for one in columns)})")
            for row in here.execute(f"SELECT * FROM {name}"):
                values = dict(zip((one[1] for one in columns), row, strict=True))
                there.execute(insert, {k: bool(v) if k == "is_nan" else v for k, v in values.items()})
    engine.dispose()
    return url


def all_of(run: ForeignRun) -> list[Entry]:
    """All entries of a run that is a table: they have no positions."""
    return [entry for session in run.sessions for entry in session.entries()]


def steps(entries: list[Entry]) -> list[tuple[int, dict[str, Any]]]:
    """Steps and their metrics."""
    return [(entry.step, dict(entry.metrics)) for entry in entries if isinstance(entry, Step)]
