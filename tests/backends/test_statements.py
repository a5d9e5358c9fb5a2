"""The statements that a backend forms: the same outcome on both databases and by the base class's defaults."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, insert, select

import trainstore.backends as registry
from backends.third_party.src.trainstore_filelite import FileLiteBackend
from fixtures.databases import BACKENDS, Opened, migrate, opened
from trainstore.schema import prepare
from trainstore.values import canonical

AT = datetime(2026, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
RUN = {"id": 1, "uid": "r", "project": "p", "name": "n", "status": "running", "started_at": AT, "source": "python"}
ATTEMPT = {"run_id": 1, "attempt": 1, "uid": "a", "start_step": -1, "end_step": 9, "opened_at": AT, "status": "running"}


@pytest.fixture(params=[*BACKENDS, "filelite"])
def database(request, new_database, tmp_path, monkeypatch) -> Iterator[Opened]:
    """Both databases, and a third one that only has the defaults; with one run and one attempt."""
    if request.param == "filelite":
        monkeypatch.setitem(registry._registered, "filelite", FileLiteBackend)
        url = f"filelite:///{tmp_path}/lite"
        migrate(url)
    else:
        url = new_database(request.param)
    with opened(url) as database:
        with database.engine.begin() as connection:
            connection.execute(insert(database.models.run).values(RUN))
            connection.execute(insert(database.models.attempt).values(ATTEMPT))
        yield database


@pytest.fixture
def connection(database: Opened) -> Iterator[Connection]:
    with database.engine.begin() as connection:
        yield connection


def step(number: int, metrics: dict[str, object], **others: object) -> dict[str, object]:
    row = {"run_id": 1, "step": number, "attempt": 1, "logged_at": AT, "epoch": None, "step_time": None}
    return {**row, "metrics": canonical(metrics), "details": None, **others}


KEYS = ("run_id", "step", "attempt")


def test_upsert_inserts_and_replaces(database: Opened, connection: Connection):
    """upsert() inserts new rows and replaces whole rows that exist, null included; the others stay."""
    table = database.models.step_log
    first = [step(1, {"loss": 1.0}, epoch=0.5, details={"a": "b"}), step(2, {"loss": math.nan})]
    database.backend.upsert(connection, table, KEYS, first)
    later = AT + timedelta(microseconds=1)
    second = [step(1, {"x": "'; DROP TABLE run; -- é \\ \" %s :a"}, logged_at=later), step(3, {"big": 2**62})]
    database.backend.upsert(connection, table, KEYS, second)
    rows = connection.execute(select(table).order_by(table.c.step)).all()
    assert [row.step for row in rows] == [1, 2, 3]
    assert rows[0].metrics == second[0]["metrics"]
    assert rows[0].epoch is None
    assert rows[0].details is None
    assert rows[0].logged_at == later
    assert rows[1].metrics == {"loss": "NaN"}
    assert rows[2].metrics == {"big": 2**62}


def test_insert_missing_leaves_what_is_there(database: Opened, connection: Connection):
    """insert_missing() adds rows whose keys are new and changes no other."""
    table = database.models.step_log
    database.backend.insert_missing(connection, table, KEYS, [step(1, {"a": 1})])
    database.backend.insert_missing(connection, table, KEYS, [step(1, {"a": 2}), step(2, {"a": 3})])
    rows = connection.execute(select(table.c.metrics).order_by(table.c.step)).scalars().all()
    assert rows == [{"a": 1}, {"a": 3}]


def test_no_rows(database: Opened, connection: Connection):
    """Nothing to write is no statement."""
    database.backend.upsert(connection, database.models.step_log, KEYS, [])
    database.backend.insert_missing(connection, database.models.step_log, KEYS, [])
    assert connection.execute(select(database.models.step_log)).all() == []


def test_upsert_of_floats_and_infinities(database: Opened, connection: Connection):
    """Float columns take infinities and the extremes of float64 exactly, and None."""
    table = database.models.metric_summary
    names = ("min", "max", "last")
    values = [(-math.inf, math.inf, None), (5e-324, 1.7976931348623157e308, 0.1), (-0.5, 1e16, 123456789.123456789)]
    rows = [
        {"run_id": 1, "metric": f"m{place}", "count": 1, "nonfinite_count": 0, **dict(zip(names, value, strict=True))}
        for place, value in enumerate(values)
    ]
    database.backend.upsert(connection, table, ("run_id", "metric"), rows)
    read = connection.execute(select(*(table.c[name] for name in names)).order_by(table.c.metric)).all()
    assert [tuple(row) for row in read] == values


VALUES = {
    "int": 3, "float": 0.25, "zero": 0, "text": "3", "true": True, "null": None, "nan": math.nan, "inf": -math.inf,
    "list": [1], "object": {"int": 9}, "big": 2**80, "a.b": 1.5, "a b": 2.5, "$": 3.5, "é'": 4.5, "0": 5.5, "": 6.5,
}  # fmt: skip


def test_json_value(database: Opened, connection: Connection):
    """json_value() gives the value under a key, of whatever type, and None where there is no such key."""
    table = database.models.step_log
    stored = canonical(VALUES)
    database.backend.upsert(connection, table, KEYS, [step(1, VALUES)])
    read = {
        name: connection.execute(select(database.backend.json_value(table.c.metrics, name))).scalar() for name in stored
    }
    assert read == stored
    if database.backend.name == "filelite":
        read["true"] = bool(read["true"])  # SQLAlchemy's own extraction on SQLite knows no bool
    assert {name: type(value) for name, value in read.items()} == {name: type(value) for name, value in stored.items()}
    assert connection.execute(select(database.backend.json_value(table.c.metrics, "absent"))).scalar() is None


def test_json_number(database: Opened, connection: Connection):
    """json_number() gives finite numbers as floats and NULL for everything else, so a text breaks no query."""
    table = database.models.step_log
    database.backend.upsert(connection, table, KEYS, [step(1, VALUES)])
    for name, value in canonical(VALUES).items():
        number = connection.execute(select(database.backend.json_number(table.c.metrics, name))).scalar_one()
        expected = value if type(value) in (int, float) else None
        assert number == expected, name
    assert connection.execute(select(database.backend.json_number(table.c.metrics, "absent"))).scalar_one() is None


def test_json_number_in_comparisons(database: Opened, connection: Connection):
    """Comparing and ordering by a number ignores rows where the key holds something else."""
    table, backend = database.models.step_log, database.backend
    values = [2, "high", 0.5, None, True, math.inf, [9], 1]
    backend.upsert(connection, table, KEYS, [step(place, {"x": value}) for place, value in enumerate(values)])
    number = backend.json_number(table.c.metrics, "x")
    found = connection.execute(select(table.c.step).where(number > 0).order_by(number)).scalars().all()
    assert found == [2, 7, 0]


@pytest.mark.parametrize("name", ['a"b', "a\\b", "plain", "a%b", "a:b", "a'b", "{}", "[0]", "損失"])
def test_json_path_reaches(database: Opened, connection: Connection, name: str):
    """A name that json_path_reaches() admits is found in SQL, whatever it is made of."""
    table, backend = database.models.step_log, database.backend
    backend.upsert(connection, table, KEYS, [step(1, {name: 1.5})])
    found = connection.execute(select(table.c.metrics)).scalar_one()
    assert found == {name: 1.5}
    if backend.json_path_reaches(name):
        assert connection.execute(select(backend.json_value(table.c.metrics, name))).scalar() == 1.5


def test_json_text_is_equal_for_equal_values(database: Opened, connection: Connection):
    """json_text() is a text that can be compared and grouped by."""
    table, backend = database.models.step_log, database.backend
    backend.upsert(connection, table, KEYS, [step(1, {"a": 1}), step(2, {"a": 1}), step(3, {"a": 2})])
    texts = connection.execute(select(backend.json_text(table.c.metrics)).order_by(table.c.step)).scalars().all()
    assert texts[0] == texts[1] != texts[2]
    assert isinstance(texts[0], str)


def test_now_is_a_moment(database: Opened, connection: Connection):
    """now() is an aware time that stands beside stored ones in comparisons."""
    moment = connection.execute(select(database.backend.now())).scalar_one()
    assert moment.tzinfo is UTC
    assert moment > AT
    started = connection.execute(
        select(database.models.run.c.id).where(database.models.run.c.started_at < database.backend.now())
    ).all()
    assert started == [(1,)]


def test_lock_rows_gives_the_rows(database: Opened, connection: Connection):
    """lock_rows() changes nothing about what is selected."""
    statement = database.backend.lock_rows(select(database.models.run.c.uid))
    assert connection.execute(statement).scalars().all() == ["r"]


def test_a_locked_run_waits_for_its_writer(new_database):
    """On PostgreSQL a second writer of the same run waits until the first one's transaction ends."""
    with opened(new_database("postgresql")) as (_, backend, models):
        engine = backend.create_writer_engine()
        with engine.begin() as connection:
            connection.execute(insert(models.run).values(RUN))
        statement = backend.lock_rows(select(models.run.c.uid))
        with engine.begin() as first, engine.connect() as second:
            first.execute(statement)
            second.exec_driver_sql("SET lock_timeout = '100ms'")
            with pytest.raises(Exception, match="LockNotAvailable") as refused:
                second.execute(statement)
        assert refused.type.__name__ == "OperationalError"
        engine.dispose()


def test_writers_settings(new_database):
    """The writer's transactions are durable when they commit, and bound every wait on a server."""
    with opened(new_database("sqlite")) as (_, backend, _), backend.create_writer_engine().connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    with opened(new_database("postgresql")) as (_, backend, _):
        engine = backend.create_writer_engine()
        with engine.connect() as connection, backend.writing(connection):
            for setting in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
                assert connection.exec_driver_sql(f"SHOW {setting}").scalar() == "15s"
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
        with engine.begin() as connection:
            assert connection.exec_driver_sql("SHOW lock_timeout").scalar() == "0"
        engine.dispose()


def test_memory_is_shared_by_the_connections_of_a_store():
    """Each database in memory is one store's: all its connections see it, no other store does."""
    with opened(":memory:") as one, opened(":memory:") as other:
        for database in (one, other):
            prepare(*database)
        with one.engine.begin() as connection:
            connection.execute(insert(one.models.run).values(RUN))
        writer = one.backend.create_writer_engine()
        with writer.connect() as connection:
            assert connection.execute(select(one.models.run.c.uid)).scalars().all() == ["r"]
        with other.engine.connect() as connection:
            assert connection.execute(select(other.models.run.c.uid)).all() == []
