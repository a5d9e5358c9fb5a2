"""A look into PostgreSQL beside the store, on a connection of the test's own."""

from __future__ import annotations

import psycopg
from sqlalchemy import make_url


def connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    """A connection to the database that a store's connection string names."""
    return psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False))


def connections(url: str) -> dict[int, str]:
    """The connections of stores to this database: process id → state."""
    with connect(url) as connection:
        return connections_on(connection)


def connections_on(connection: psycopg.Connection[tuple[object, ...]]) -> dict[int, str]:
    """The same, asked on a connection that is there already."""
    rows = connection.execute(
        "SELECT pid, state FROM pg_stat_activity WHERE datname = current_database() AND pid != pg_backend_pid() "
        "AND application_name = 'trainstore'"
    ).fetchall()
    connection.rollback()
    return {int(str(pid)): str(state) for pid, state in rows}


def terminate(url: str) -> None:
    """End every connection of a store."""
    with connect(url) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name = 'trainstore'"
        )


def stored(url: str, run: str) -> int:
    """How many steps of a run are stored."""
    with connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM step_log JOIN run ON run.id = run_id WHERE run.uid = %s", (run,)
        ).fetchone()
    assert row is not None
    return int(str(row[0]))
