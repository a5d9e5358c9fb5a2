"""Session settings of a database, a URL or the environment change nothing that is stored or read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import func, select, text

from fixtures.databases import PostgresServer
from trainstore import TrainStore
from trainstore.errors import PermissionDeniedError, StoreUnavailableError, StoreURLError

SETTINGS = {
    "DateStyle": "German, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Kathmandu",
    "client_encoding": "LATIN1",
    "extra_float_digits": "-10",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "default_transaction_isolation": "serializable",
}
EXACT = 0.1 + 0.2


def options(**settings: str) -> str:
    """The settings as libpq takes them in ``options`` and PGOPTIONS."""
    return " ".join(f"-c {name}={value.replace(' ', '')}" for name, value in settings.items())


def set_for(what: str, server: PostgresServer, monkeypatch: pytest.MonkeyPatch, url: str) -> str:
    """Make the settings where ``what`` says; the connection string to use then."""
    name = url.rpartition("/")[2].partition("?")[0]
    if what == "database":
        for setting, value in SETTINGS.items():
            server.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'")
    elif what == "environment":
        monkeypatch.setenv("PGCLIENTENCODING", SETTINGS["client_encoding"])
        monkeypatch.setenv("PGDATESTYLE", SETTINGS["DateStyle"])
        monkeypatch.setenv("PGTZ", SETTINGS["TimeZone"])
        monkeypatch.setenv("PGOPTIONS", options(**SETTINGS))
    else:
        url += f"{'&' if '?' in url else '?'}client_encoding=latin1&options={quote(options(**SETTINGS))}"
    return url


@pytest.mark.parametrize("what", ["database", "URL", "environment"])
def test_settings_change_nothing(
    new_database: Any, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Every text is stored, every number and time is read exactly, on each kind of connection."""
    url = set_for(what, postgres_server, monkeypatch, new_database("postgresql"))
    begun = datetime.now(UTC) - timedelta(seconds=60)
    with TrainStore(url) as store:
        run = store.start_run(name="run \U0001f680", hyperparams={"rate": EXACT, "path": "C:\\new"}, tags=["é"])
        for step in range(3):
            run.log({"loss": EXACT + step}, step=step, epoch=step * EXACT)
        assert run.flush(60)
        run.log({"loss": EXACT + 3}, step=3)  # the writer reads the summaries, and writes them again
        assert run.finish(timeout=60)
        store.set_notes(run, "\U0001f680")

        (row,) = store.list_runs().to_dict("records")
        assert (row["name"], row["hp__rate"], row["hp__path"]) == ("run \U0001f680", EXACT, "C:\\new")
        assert begun < row["started_at"] < begun + timedelta(seconds=180)
        assert str(row["started_at"].tzinfo) == "UTC"
        assert list(store.list_step_logs(run)["epoch"].dropna()) == [0.0, EXACT, 2 * EXACT]
        (summary,) = store.list_metrics(run).to_dict("records")
        assert (summary["min"], summary["max"], summary["last"]) == (EXACT, EXACT + 3, EXACT + 3)
        best = store.get_best_run(metric_name="loss", metric_direction="min", by="best")
        assert (best.name, best.notes) == ("run \U0001f680", "\U0001f680")

        ask = store.connection.execute
        assert ask(text("SELECT CAST(:x AS double precision), bytea '\\x00ff'"), {"x": EXACT}).one() == (
            EXACT,
            b"\0\xff",
        )
        assert ask(text("SELECT interval '1 day 01:00'")).scalar() == timedelta(days=1, hours=1)
        assert ask(select(func.max(store.table.run.c.started_at))).scalar() == row["started_at"]
        assert ask(text("SELECT CAST('01/02/2026' AS date)::text")).scalar() == "2026-01-02"
        with store.engine.begin() as connection:
            assert connection.execute(text("SHOW transaction_isolation")).scalar() == "read committed"


def test_settings_that_limit_are_respected(new_database: Any, postgres_server: PostgresServer) -> None:
    """A database that its owner made read-only, or whose statements he bounds, says so by name."""
    url = new_database("postgresql")
    name = url.rpartition("/")[2].partition("?")[0]
    with TrainStore(url) as store:
        store.start_run(name="r").finish(timeout=60)
    postgres_server.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    postgres_server.execute(f"ALTER DATABASE {name} SET statement_timeout = '1s'")
    with TrainStore(url) as store:
        assert list(store.list_runs()["name"]) == ["r"]
        with pytest.raises(PermissionDeniedError, match="default_transaction_read_only is set"):
            store.set_notes("r", "text")
        with pytest.raises(StoreUnavailableError, match="statement_timeout"):
            store.list_runs(where=func.pg_sleep(60).is_not(None))


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_hold_utf_8(postgres_server: PostgresServer, encoding: str) -> None:
    """It is refused at opening, by its name and its encoding, with the command that makes a good one."""
    name = f"trainstore_test_{encoding.lower()}"
    postgres_server.execute(
        f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    try:
        for options in ({}, {"offline_ok": True}):
            with pytest.raises(StoreURLError, match=f"'{name}' has the encoding {encoding}.*createdb --encoding=UTF8"):
                TrainStore(postgres_server.url_of(name), **options)
    finally:
        postgres_server.execute(f"DROP DATABASE {name}")


def test_a_setting_that_the_server_refuses(new_database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says where such settings come from."""
    url = new_database("postgresql")
    with monkeypatch.context() as environment:
        environment.setenv("PGTZ", "Nowhere/At/All")
        with pytest.raises(StoreUnavailableError, match="PGTZ"):
            TrainStore(url)
