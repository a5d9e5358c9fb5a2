"""Databases that cannot be opened: an error of ours, soon, which names the place and never the password."""

from __future__ import annotations

import logging
import socket
import sqlite3
import threading
import time
import traceback
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from fixtures.databases import migrate, opened
from trainstore import TrainStore
from trainstore.backends import open_backend, pg_connecting
from trainstore.errors import (
    InvalidArgumentError,
    NotADatabaseError,
    StoreUnavailableError,
    StoreURLError,
    TrainStoreError,
)

CANARY = "c4n4ry"


def everything_visible(error: BaseException) -> str:
    """What any traceback, log or repr of this error and of those behind it may show."""
    shown, seen = [], error
    while seen is not None:
        shown += [str(seen), repr(seen), repr(getattr(seen, "args", ""))]
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return "\n".join([*shown, *traceback.format_exception(error)])


@pytest.fixture
def closed_port() -> int:
    """A port of this machine where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def silent_port():
    """A port that takes connections and never says a word."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield int(server.getsockname()[1])


def test_unreachable_server(closed_port: int):
    """A server that is not there is an error within seconds that names the host, not the password."""
    begun = time.monotonic()
    with pytest.raises(StoreUnavailableError, match=rf"127\.0\.0\.1:{closed_port}.*refused") as failed:
        TrainStore(f"postgresql://me:{CANARY}@127.0.0.1:{closed_port}/db")
    assert time.monotonic() - begun < 30  # a hang would be minutes
    assert CANARY not in everything_visible(failed.value)


def test_silent_server(silent_port: int):
    """A server that never answers is given up after the connection timeout."""
    with pytest.raises(StoreUnavailableError, match=f"127.0.0.1:{silent_port}.*no answer in time") as failed:
        TrainStore(f"postgresql://me:{CANARY}@127.0.0.1:{silent_port}/db?connect_timeout=2")
    assert CANARY not in everything_visible(failed.value)


def test_unknown_host():
    """A host name that does not resolve is named."""
    with pytest.raises(StoreUnavailableError, match=r"no-such-host\.invalid") as failed:
        TrainStore(f"postgresql://me:{CANARY}@no-such-host.invalid/db")
    assert CANARY not in everything_visible(failed.value)


def test_missing_database(postgres_server):
    """A database that the server does not have is named, with the command that makes it."""
    url = postgres_server.url_of("nosuchdatabase")
    with pytest.raises(StoreUnavailableError, match=r"no database 'nosuchdatabase'|does not exist"):
        TrainStore(url)


def test_missing_user(postgres_server):
    """A user whom the server does not know is refused without the password."""
    url = postgres_server.url.set(username="nosuchuser", password=CANARY)
    with pytest.raises(StoreUnavailableError) as failed:
        TrainStore(url.render_as_string(hide_password=False))
    assert CANARY not in everything_visible(failed.value)


@pytest.fixture
def crowded(postgres_server, new_database) -> Iterator[str]:
    """The connection string of a user who may have one connection."""
    url, user = make_url(new_database("postgresql")), f"crowd_{uuid.uuid4().hex[:8]}"
    postgres_server.execute(f"CREATE ROLE {user} LOGIN CONNECTION LIMIT 1 IN ROLE pg_read_all_data, pg_write_all_data")
    yield url.set(username=user, password=None).render_as_string(hide_password=False)
    postgres_server.execute(f"DROP ROLE {user}")


def test_a_free_connection_is_waited_for(crowded: str):
    """Many jobs begin at the same moment: one that finds no connection free tries again for some seconds."""
    with psycopg.connect(crowded) as first:
        threading.Timer(1.0, first.close).start()
        with TrainStore(crowded) as store:
            assert len(store.list_runs()) == 0


def test_no_free_connection(crowded: str, monkeypatch: pytest.MonkeyPatch):
    """Where none becomes free, the error says so."""
    monkeypatch.setattr(pg_connecting, "CONNECT_TIMEOUT", 1)
    with psycopg.connect(crowded), pytest.raises(StoreUnavailableError, match="it has no free connection"):
        TrainStore(crowded)


def test_missing_folder(tmp_path: Path):
    """A file in a folder that does not exist: the folder is named and not made."""
    with pytest.raises(StoreUnavailableError, match="nofolder"):
        TrainStore(tmp_path / "nofolder" / "runs.db")
    assert not (tmp_path / "nofolder").exists()


def test_folder(tmp_path: Path):
    """A folder is no file."""
    with pytest.raises(StoreUnavailableError, match="is a folder"):
        TrainStore(tmp_path)


def test_no_database(tmp_path: Path):
    """A file of something else is refused and left as it is, without a journal beside it."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"\x10\x00\x00 not a database" * 100)
    before = path.read_bytes()
    with pytest.raises(NotADatabaseError, match=r"model\.safetensors"):
        TrainStore(path)
    assert path.read_bytes() == before


def test_damaged_database(new_database):
    """A damaged file is named together with what may help."""
    url = new_database("sqlite")
    path = Path(make_url(url).database)
    content = bytearray(path.read_bytes())
    content[4096 : 4096 * 12] = b"\xff" * (4096 * 11)
    path.write_bytes(content)
    with opened(url) as (engine, backend, models), pytest.raises(NotADatabaseError, match=r"damaged.*recover"):
        read_everything(engine, backend, models)


def read_everything(engine, backend, models) -> None:
    with backend.reading(engine) as connection:
        for name in models.metadata.tables:
            connection.execute(text(f"SELECT * FROM {name}")).all()


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{CANARY}@127.0.0.1:9/db",
        f"postgresql://me:x@{CANARY}@127.0.0.1:9/db",
        f"postgresql://me:{CANARY}%40%2F@127.0.0.1:9/db",
        f"postgresql://me@127.0.0.1:9/db?password={CANARY}",
        f"postgresql://me@127.0.0.1:9/db?sslpassword={CANARY}&sslmode=disable",
        f"postgresql://me:{CANARY}@127.0.0.1:9/db?nosuchoption=1",
        f"postgresql://me:{CANARY}@127.0.0.1:9/db?connect_timeout=soon",
        f"postgresql://me:{CANARY}@127.0.0.1:port/db",
        f"nosuch://me:{CANARY}@127.0.0.1/db",
    ],
)
def test_passwords_are_never_visible(url: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]):
    """No spelling of a password reaches an error, a traceback, a log, a repr or the standard streams."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(TrainStoreError) as failed:
        TrainStore(url, echo=True)
    assert CANARY not in everything_visible(failed.value)
    assert CANARY not in caplog.text
    assert CANARY not in "".join(capfd.readouterr())
    try:
        backend = open_backend(url)
    except StoreURLError:
        return
    engine = backend.create_engine()
    shown = [repr(backend), str(backend), backend.safe_url, backend.identity, backend.journal_key("")]
    assert CANARY not in "\n".join(shown)
    if "?" not in url:
        assert CANARY not in repr(engine)


def test_rows_are_not_in_errors(database_url: str, backend_name: str):
    """A statement that the server refuses shows no values of the row (they may be hyperparameters)."""
    with opened(database_url) as (engine, _, models), engine.begin() as connection:
        if backend_name == "postgresql":
            with pytest.raises(Exception, match=r"23502|null value") as failed:
                connection.execute(models.store.insert().values(uid=CANARY, created_at=None))
            assert "[SQL parameters hidden" in str(failed.value)
        else:
            with pytest.raises(Exception, match="NOT NULL"):
                connection.execute(models.store.insert().values(uid=CANARY, created_at=None))


def test_errors_of_the_driver_are_translated_by_code():
    """SQLite's result codes become our errors; what is no matter of reaching the file stays the driver's."""
    backend = open_backend("runs.db")

    def translated(code: int, message: str = "x"):
        cause = sqlite3.OperationalError(message)
        cause.sqlite_errorcode = code
        return backend.translate(OperationalError("SELECT 1", {}, cause))

    assert isinstance(translated(sqlite3.SQLITE_BUSY), StoreUnavailableError)
    assert isinstance(translated(sqlite3.SQLITE_FULL, "database or disk is full"), StoreUnavailableError)
    assert isinstance(translated(sqlite3.SQLITE_IOERR | (2 << 8)), StoreUnavailableError)
    assert isinstance(translated(sqlite3.SQLITE_NOTADB), NotADatabaseError)
    assert translated(sqlite3.SQLITE_ERROR, "no such table: x") is None
    assert translated(sqlite3.SQLITE_ERROR, "no such table: was deleted") is None


@pytest.mark.parametrize(
    ("state", "hint"),
    [
        ("28P01", "refused user 'me'"),
        ("3D000", "createdb --encoding=UTF8 --template=template0 db"),
        ("25P03", "idle_in_transaction_session_timeout"),
        ("53300", "not available now"),
        ("57P01", "not available now"),
        ("08006", "not available now"),
        ("55P03", "not available now"),
    ],
)
def test_errors_of_the_server_are_translated_by_sqlstate(state: str, hint: str):
    """SQLSTATEs become our errors, without the server's text."""
    backend = open_backend(f"postgresql://me:{CANARY}@host/db")
    cause = OSError(f"DETAIL: {CANARY}")
    cause.sqlstate = state
    error = backend.translate(OperationalError("SELECT 1", {}, cause))
    assert isinstance(error, StoreUnavailableError)
    assert hint in str(error)
    assert "host:5432" in str(error)
    assert CANARY not in str(error)


def test_lost_connection(new_database, postgres_server):
    """A connection that the server ends in the middle is an unavailable store, and the next query works."""
    url = new_database("postgresql")
    with opened(url) as (engine, backend, _):
        with backend.reading(engine) as connection:
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            postgres_server.execute(f"SELECT pg_terminate_backend({pid})")
            with pytest.raises(StoreUnavailableError), backend.translated():
                connection.execute(text("SELECT 1"))
        with backend.reading(engine) as connection:
            assert connection.execute(text("SELECT 1")).scalar_one() == 1


def test_password_with_every_character(new_database, postgres_server):
    """A password with all that URLs treat specially logs in when it is quoted, and is never shown."""
    url = make_url(new_database("postgresql", migrated=False))
    role = f"odd_{url.database[-12:]}"
    password = f"{CANARY}@:/?#[]%20&='\" é"
    quoted = password.replace("'", "''")
    postgres_server.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{quoted}'")
    postgres_server.execute(f"GRANT ALL ON SCHEMA public TO {role}", url.database)
    try:
        theirs = url.set(username=role, password=password)
        assert len(migrate(theirs.render_as_string(hide_password=False))) == 36
        assert CANARY not in repr(open_backend(theirs))
    finally:
        postgres_server.execute(f"DROP OWNED BY {role}", url.database)
        postgres_server.execute(f"DROP ROLE {role}")


def test_more_values_than_a_statement_takes(database_url: str):
    """A filter of too many names is refused for what it is, not as a database that cannot be reached."""
    limit = 65_535  # of PostgreSQL's protocol
    if database_url.startswith("sqlite"):
        with closing(sqlite3.connect(":memory:")) as connection:
            limit = connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
    with TrainStore(database_url) as store:
        with pytest.raises(InvalidArgumentError, match=r"too many values in one query for (SQLite|PostgreSQL)"):
            store.list_runs(name=[f"run-{number}" for number in range(limit + 1)])
        assert store.list_runs(name=["run-1"]).empty


def test_all_connections_in_use(database_url: str):
    """A query that gets no connection says what to change; it works again when one is given back."""
    with TrainStore(database_url) as store:
        store.engine.pool._timeout = 0.05  # instead of 30 s
        with ExitStack() as taken:
            with suppress(PoolTimeoutError):
                while True:
                    taken.enter_context(store.engine.connect())
            with pytest.raises(StoreUnavailableError, match=r"are in use.*close what store\.engine\.connect\(\)"):
                store.list_runs()
            with pytest.raises(StoreUnavailableError, match="are in use"), store.session() as session:
                session.connection()
        assert len(store.list_runs()) == 0
