"""Another client that locks the database's tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
from sqlalchemy import make_url


@contextmanager
def locked(url: str) -> Iterator[Any]:
    """Nobody else can write (on PostgreSQL: nor read) for the length of the block; gives the client that sees to it."""
    parts = make_url(url)
    if parts.get_backend_name() == "sqlite":
        with closing(sqlite3.connect(str(parts.database), isolation_level=None, timeout=30)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            yield connection
        return
    plain = parts.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain) as client:
        client.execute("LOCK TABLE run, attempt, writer, step_log, metric_summary, event IN ACCESS EXCLUSIVE MODE")
        yield client
        client.rollback()
