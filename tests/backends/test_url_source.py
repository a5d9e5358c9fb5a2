"""Databases of others behind a URL are read as of one moment, in a transaction that cannot write."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from trainstore.backends.url_source import open_url_source
from trainstore.errors import SourceError


@pytest.fixture
def server_url(new_database: Callable[..., str]) -> str:
    """A PostgreSQL database with a table of someone else's."""
    url = new_database("postgresql", migrated=False)
    with psycopg.connect(plain(url), autocommit=True) as connection:
        connection.execute("CREATE TABLE metrics (key text, value float8)")
        connection.execute("INSERT INTO metrics VALUES ('loss', 1), ('loss', 'NaN')")
    return url


def plain(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_a_server_is_read_as_of_one_moment(server_url: str, scheme: str) -> None:
    """Rows that others commit meanwhile are not seen, and writing is refused by the server."""
    url = f"{scheme}://{plain(server_url).partition('://')[2]}"
    with open_url_source(url) as source, psycopg.connect(plain(server_url), autocommit=True) as other:
        assert source.exec_driver_sql("SELECT count(*) FROM metrics").scalar() == 2
        other.execute("INSERT INTO metrics VALUES ('loss', 3)")
        assert source.exec_driver_sql("SELECT count(*) FROM metrics").scalar() == 2
        with pytest.raises(SourceError, match="read-only transaction"):
            source.exec_driver_sql("INSERT INTO metrics VALUES ('loss', 4)")


def test_a_statement_on_a_server_has_an_end(server_url: str) -> None:
    """The deadline is the server's."""
    with open_url_source(server_url, deadline=0.1) as source, pytest.raises(SourceError, match="statement timeout"):
        source.exec_driver_sql("SELECT pg_sleep(60)")


def test_a_file_behind_a_url_is_read_as_a_file(tmp_path: Path) -> None:
    """sqlite:/// leads to the reader that writes nothing beside the file."""
    path = tmp_path / "foreign.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t AS SELECT 7 AS n")
    before = sorted(tmp_path.iterdir())
    with open_url_source(f"sqlite:///{path}") as source:
        assert source.exec_driver_sql("SELECT n FROM t").scalar() == 7
        assert sorted(tmp_path.iterdir()) == before
    with pytest.raises(SourceError, match="No such file"), open_url_source(f"sqlite:///{tmp_path}/missing.db"):
        pass


def test_a_url_that_leads_nowhere_is_said_without_its_password() -> None:
    """Each error names the URL and what to do; none has the password."""
    expected = {
        "postgresql://me:geheim7@127.0.0.1:1/db": "cannot be read: .*refused",
        "nodialect://me:geheim7@host/db": "nodialect.*install the package of the driver",
        "mysql+nodriver://me:geheim7@host/db": "mysql.*install the package of the driver",
        "sqlite://": "names no file",
        "sqlite:///x.db?mode=rw": "names no file",
        "postgresql://me:geheim7@host:port/db": "is not the URL of a database",
    }
    for url, message in expected.items():
        with pytest.raises(SourceError, match=message) as error, open_url_source(url):
            pass
        assert "geheim7" not in str(error.value)
