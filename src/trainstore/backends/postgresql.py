"""PostgreSQL 14 and newer, by psycopg 3: when training spreads over machines.

Nothing here needs a session of its own: no prepared statements, no settings except those of every connection
(`pg_session`) and SET LOCAL, only transaction-level locks. So PgBouncer may run in between, in transaction mode.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import random
import shlex
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from difflib import get_close_matches
from functools import lru_cache, partial
from importlib.util import find_spec
from math import isinf
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import (
    JSON,
    URL,
    ColumnElement,
    Connection,
    Double,
    Engine,
    Integer,
    NullPool,
    Numeric,
    QueuePool,
    Select,
    Table,
    Text,
    case,
    cast,
    create_engine,
    event,
    func,
    make_url,
    text,
    type_coerce,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, SQLAlchemyError

from trainstore.backends import pg_session
from trainstore.backends.base import (
    Backend,
    Columns,
    JsonType,
    Rows,
    driver_of,
    json_options,
    json_texts,
    on_connect,
    time_texts,
    too_many_values,
)
from trainstore.backends.health import Finding
from trainstore.backends.parameters import convert_parameters
from trainstore.backends.urls import safe_url
from trainstore.errors import (
    BackupError,
    InvalidArgumentError,
    PermissionDeniedError,
    StoreUnavailableError,
    StoreURLError,
    TrainStoreError,
)
from trainstore.models import Models, UTCDateTime

logger = logging.getLogger("trainstore")

MINIMUM_VERSION = 14_00_00
CONNECT_TIMEOUT = 5  # seconds, as libpq counts
PING_TIMEOUT = 5
WRITER_TIMEOUT = 15  # of one statement, of one wait for a lock, and of a transaction without any answer
PATIENT_TIMEOUT = 600  # of a migration, and of a transaction that recomputes summaries
FULL, STARTING = "it has no free connection", "it is starting up"


class PostgreSQLBackend(Backend):
    """A PostgreSQL database."""

    name = "postgresql"

    _clear_text_told = False

    @classmethod
    def from_url(cls, text: str, *, echo: bool = False) -> PostgreSQLBackend:
        """``postgresql://user:password@host:5432/database``; ``postgres://`` means the same."""
        scheme, _, rest = text.partition("://")
        _, _, driver = scheme.partition("+")
        if driver not in ("", "psycopg"):
            raise StoreURLError(
                f"{safe_url(text)!r} names the driver {driver!r}; trainstore uses psycopg 3: write postgresql://…"
            )
        if find_spec("psycopg") is None:
            raise StoreURLError("PostgreSQL needs psycopg 3: pip install 'trainstore[postgres]'")
        try:
            url = make_url(f"postgresql+psycopg://{rest}")
        except (ArgumentError, ValueError):
            raise StoreURLError(
                f"{safe_url(text)!r} is not a PostgreSQL URL: write postgresql://user:password@host:5432/database"
            ) from None
        _check_options(text, url)
        if "@" in (url.host or ""):  # else the rest of the password would be taken for a host and shown in errors
            raise StoreURLError(f"{safe_url(text)!r} has a password with an '@' in it: write that as %40")
        return cls(url, echo=echo)

    @property
    def safe_url(self) -> str:
        """As a person writes it: without the driver, without the password."""
        return safe_url(self.url.set(drivername="postgresql"))

    @property
    def identity(self) -> str:
        """Host, port and database."""
        host = self.url.host or self.url.query.get("host") or "localhost"
        return f"postgresql://{host}:{self.url.port or self.url.query.get('port') or 5432}/{self.url.database or ''}"

    # --- Engines ---------------------------------------------------------------------------------------------------

    def create_engine(self) -> Engine:
        """A small pool; each connection is tested before it is used."""
        engine = self._engine({"poolclass": QueuePool, "pool_size": 2, "max_overflow": 8})
        # Instead of SQLAlchemy's pool_pre_ping, which waits forever for a stopped server.
        event.listen(engine, "checkout", partial(_ping, engine.dialect))
        if self.read_only:
            event.listen(engine, "checkout", _make_read_only)
        convert_parameters(engine)
        return engine

    def create_writer_engine(self) -> Engine:
        """No pool: the writer thread keeps one connection and drops it after any error."""
        return self._engine({"poolclass": NullPool})

    def _engine(self, options: dict[str, Any]) -> Engine:
        defaults: dict[str, Any] = {
            "connect_timeout": CONNECT_TIMEOUT,
            "tcp_user_timeout": 10_000,  # milliseconds
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "application_name": "trainstore",
        }
        arguments = {key: value for key, value in defaults.items() if key not in self.url.query}
        arguments |= {"prepare_threshold": None, "client_encoding": pg_session.CLIENT_ENCODING}
        engine = create_engine(
            self.url,
            connect_args=arguments,
            isolation_level=pg_session.ISOLATION_LEVEL,
            echo=self.echo,
            hide_parameters=True,
            **json_options(),
            **options,
        )
        event.listen(engine, "do_connect", _connect)
        on_connect(engine, pg_session.settle)
        on_connect(engine, self._warn_of_clear_text)
        _watch_first_queries(engine)
        return engine

    def _warn_of_clear_text(self, driver: Any) -> None:
        """Warn once if a password was sent over the network without TLS. Sockets and loopback do not count."""
        if not self._clear_text_told and _is_clear_text(driver.pgconn):
            self._clear_text_told = True
            logger.warning(
                "the password of %s is sent over the network without TLS, and so is everything recorded; add "
                "?sslmode=verify-full (or at least sslmode=require) to the connection string",
                self.safe_url,
            )

    def release_idle(self, engine: Engine) -> None:
        """A recording process keeps one connection, not two: clusters have many processes, servers few connections."""
        engine.dispose()

    @contextmanager
    def reading(self, engine: Engine) -> Iterator[Connection]:
        """AUTOCOMMIT, so that a notebook that stops halfway leaves no open transaction on the server."""
        with self.translated(), engine.connect() as connection:
            if self.read_only:  # the transaction is what refuses to write
                yield connection
                return
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def asking(self, engine: Engine) -> Iterator[Connection]:
        """Like `reading`; if the server is silent for `WRITER_TIMEOUT`, the connection is shut down."""
        with self.reading(engine) as connection, _watched(connection.connection.driver_connection, WRITER_TIMEOUT):
            yield connection

    @contextmanager
    def snapshot(self, engine: Engine) -> Iterator[Connection]:
        """REPEATABLE READ, and read only."""
        with self.translated(), engine.connect() as connection:
            yield connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @contextmanager
    def writing(self, connection: Connection, *, patient: bool = False) -> Iterator[None]:
        """Limit every wait of the transaction: on the server, and here in case the server is silent."""
        seconds = PATIENT_TIMEOUT if patient else WRITER_TIMEOUT
        with _watched(connection.connection.driver_connection, seconds), connection.begin():
            connection.execute(pg_session.SET_LOCAL, {"timeout": f"{seconds}s"})
            yield

    # --- Statements ------------------------------------------------------------------------------------------------

    def lock_rows(self, statement: Select[Any]) -> Select[Any]:
        """FOR NO KEY UPDATE: other writers wait; inserting rows that refer to these does not."""
        return statement.with_for_update(key_share=True)

    def now(self) -> ColumnElement[datetime]:
        """The server's clock now, not at the start of the transaction."""
        return type_coerce(func.clock_timestamp(), UTCDateTime())

    def write_rows(
        self, connection: Connection, table: Table, keys: Sequence[str], rows: Rows, *, replace: bool
    ) -> None:
        """One statement for all rows, which travel as one JSON array: 4 × faster than executemany."""
        statement = _insert_statement(table, tuple(keys), tuple(rows[0]), replace)
        connection.execute(statement, {"batch": orjson.dumps(_jsonable(table, rows)).decode()})

    def insert_new(
        self,
        connection: Connection,
        table: Table,
        keys: Sequence[str],
        names: Sequence[str],
        batches: Iterable[Columns],
    ) -> None:
        """COPY: checks no conflicts, and the server reads the first rows while the others are being produced."""
        statement = _copy_sql(table, tuple(names))
        with driver_of(connection, statement) as driver, driver.cursor() as cursor, cursor.copy(statement) as copy:
            for batch in batches:
                columns = [_copied(table, name, column) for name, column in zip(names, batch, strict=True)]
                copy.write("".join([f"{row}\n" for row in map("\t".join, zip(*columns, strict=True))]))

    def json_value(self, column: ColumnElement[Any], name: str) -> ColumnElement[Any]:
        """``column -> 'name'``."""
        return type_coerce(column.op("->")(cast(name, Text())), JsonType)

    def json_number(self, column: ColumnElement[Any], name: str) -> ColumnElement[float]:
        """Guarded by the value's type: casting a text would fail the whole query."""
        value = column.op("->")(cast(name, Text()))
        return case((func.jsonb_typeof(value) == "number", cast(value, Double())), else_=None)

    # --- Schema ----------------------------------------------------------------------------------------------------

    @contextmanager
    def migration_transaction(self, engine: Engine, prefix: str) -> Iterator[Connection]:
        """One transaction under an advisory lock of this prefix in this schema."""
        with self.translated(), engine.begin() as connection:
            connection.execute(pg_session.SET_LOCAL, {"timeout": f"{PATIENT_TIMEOUT}s"})
            connection.execute(
                text("SELECT pg_advisory_xact_lock(hashtextextended(:name || coalesce(current_schema(), ''), 0))"),
                {"name": f"trainstore:{prefix}:"},
            )
            yield connection

    def back_up(self, target: Path, models: Models) -> None:
        """Only names the command: ``pg_dump`` comes with PostgreSQL and must match the server's version."""
        tables = f" --table={shlex.quote(f'{models.prefix}*')}" if models.prefix else ""
        url = self.safe_url.replace(":***@", "@")  # pg_dump asks for the password, or finds it in ~/.pgpass
        command = f"pg_dump --format=custom --file={shlex.quote(str(target))}{tables} {shlex.quote(url)}"
        raise BackupError(f"PostgreSQL makes its own backups; run: {command}")

    def resolved_schema(self, connection: Connection) -> str | None:
        """The first schema of the search path that exists."""
        schema: str | None = connection.execute(text("SELECT current_schema()")).scalar()
        return schema

    # --- Health ----------------------------------------------------------------------------------------------------

    def inspect_database(self, connection: Connection, models: Models) -> Iterator[Finding]:
        """The server's version, its durability, and whether this user may record."""
        version = str(connection.execute(text("SHOW server_version")).scalar())
        if int(str(connection.execute(text("SHOW server_version_num")).scalar())) < MINIMUM_VERSION:
            yield Finding("warning", "server", f"PostgreSQL {version} is too old", "upgrade the server to 14 or newer")
        else:
            yield Finding("ok", "server", f"PostgreSQL {version}")
        if pg_session.may_round(connection.connection.driver_connection):
            yield Finding(
                "warning", "server", "extra_float_digits is below 1: behind a pooler, numbers are read rounded",
                "ALTER ROLE … (or ALTER DATABASE …) RESET extra_float_digits",
            )  # fmt: skip
        if connection.execute(text("SHOW fsync")).scalar() == "off":
            yield Finding("problem", "server", "fsync is off: a crash of the server may corrupt it", "set fsync = on")
        rights = [
            right
            for right in ("SELECT", "INSERT", "UPDATE", "DELETE")
            if connection.execute(
                text("SELECT has_table_privilege(current_user, CAST(:name AS text), :right)"),
                {"name": f'"{models.run.name}"', "right": right},
            ).scalar()
        ]
        if {"SELECT", "INSERT", "UPDATE"} <= set(rights):
            yield Finding("ok", "rights", f"this user may {', '.join(rights)}")
        else:
            yield Finding(
                "warning", "rights", f"this user may only {', '.join(rights) or 'connect'}",
                "to record, get the right to INSERT and UPDATE",
            )  # fmt: skip

    # --- Errors ----------------------------------------------------------------------------------------------------

    def translate(self, error: SQLAlchemyError) -> TrainStoreError | None:
        """Failures by SQLSTATE, if there is one. Never includes the server's text, which may show a row."""
        if not isinstance(error, DBAPIError):
            return super().translate(error)
        state = getattr(error.orig, "sqlstate", None)
        where = self.identity.removeprefix("postgresql://").removesuffix(f"/{self.url.database or ''}")
        if state is None and "number of parameters" in str(error.orig):
            return InvalidArgumentError(too_many_values("PostgreSQL", 65_535))
        if state is None and str(error.orig).startswith("cannot adapt"):
            kind = str(error.orig).removeprefix("cannot adapt ").partition(" using")[0]
            return InvalidArgumentError(f"a value in this query cannot be used: {kind} is not supported")
        if state is None and type(error.orig).__name__ in ("OperationalError", "ConnectionTimeout"):
            reason = _connection_reason(str(error.orig))
            return StoreUnavailableError(f"PostgreSQL at {where} cannot be reached: {reason}")
        if state is None and error.statement is None and type(error.orig).__name__ == "ProgrammingError":
            return StoreURLError(
                f"an option in {self.safe_url!r} cannot be used; after the '?' write libpq's connection parameters"
            )
        if state is None:
            return super().translate(error)
        if state.startswith("28"):
            return StoreUnavailableError(f"PostgreSQL at {where} refused user {self.url.username!r} (SQLSTATE {state})")
        if state == "3D000":
            return StoreUnavailableError(
                f"PostgreSQL at {where} has no database {self.url.database!r}; "
                f"create it with: createdb --encoding=UTF8 --template=template0 {self.url.database}"
            )
        if state == "42501":
            return PermissionDeniedError(
                f"PostgreSQL at {where} refused user {self.url.username!r} {_right(error.statement)} in database "
                f"{self.url.database!r}; use another role, or grant it. The roles that trainstore db roles creates: "
                "reader (SELECT), writer (also INSERT and UPDATE), owner (also DELETE and changing tables)"
            )
        if state == "25006" and self.read_only:
            return self._read_only_error()
        if state == "25006":
            return PermissionDeniedError(
                f"database {self.url.database!r} of PostgreSQL at {where} is read-only: it is a standby, or "
                "default_transaction_read_only is set"
            )
        if state[:2] in ("08", "53", "57") or state in (*_REASONS, "55P03", "40001", "40P01"):
            reason = _REASONS.get(state, "is not available now")
            return StoreUnavailableError(f"PostgreSQL at {where} {reason} (SQLSTATE {state})")
        return None

    def is_refusal(self, error: Exception) -> bool:
        """Also what exceeds a server limit (class 54): a value too long for an index, a text over 1 GB."""
        state = getattr(getattr(error, "orig", None), "sqlstate", None) or ""
        return state.startswith("54") or super().is_refusal(error)

    def is_privilege_error(self, error: SQLAlchemyError) -> bool:
        """SQLSTATE 42501, a read-only transaction (a standby), or no schema that this user may use (3F000)."""
        return getattr(getattr(error, "orig", None), "sqlstate", None) in ("42501", "25006", "3F000")


def _check_options(text: str, url: URL) -> None:
    """Refuse options that libpq does not know now, by name, rather than at the first connection."""
    from psycopg.pq import Conninfo

    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    for name in url.query:
        if name not in known:
            like = get_close_matches(name, known, n=1)
            remedy = f"did you mean {like[0]}?" if like else "leave it out"
            if name in ("mode", "read_only", "readonly"):
                remedy = "pass read_only=True to TrainStore"
            raise StoreURLError(
                f"{safe_url(text)!r} has the option {name!r}, which is not a connection parameter of libpq: {remedy}"
            )


def _connect(dialect: Any, _record: Any, args: Sequence[Any], options: dict[str, Any]) -> Any:
    """Retry for a while if the server has no free connection or is starting up.

    Jobs of a cluster start at the same moment, and each needs a connection only briefly.
    """
    deadline = time.monotonic() + CONNECT_TIMEOUT
    while True:
        try:
            return dialect.connect(*args, **options)
        except dialect.dbapi.OperationalError as error:
            if _connection_reason(str(error)) not in (FULL, STARTING) or time.monotonic() > deadline:
                raise
        time.sleep(random.uniform(0.05, 0.25))


@contextmanager
def _watched(driver: Any, seconds: float) -> Iterator[None]:
    """Shut the connection down if the block takes longer than ``seconds``.

    No timeout of libpq or of the server frees a client from a stopped server (SIGSTOP) or from a network that swallows
    everything, because a kernel still answers. Shutting down the socket does.
    """
    guard = threading.Lock()
    ended = False

    def shut_down() -> None:
        with guard:
            if not ended and not driver.closed:
                with suppress(OSError), socket.socket(fileno=os.dup(driver.pgconn.socket)) as own:
                    own.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, shut_down)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with guard:
            ended = True


def _watch_first_queries(engine: Engine) -> None:
    """Limit the queries that SQLAlchemy itself sends on an engine's first connection, to learn the server's version."""

    def begin(driver: Any, record: Any) -> None:
        record.info["watch"] = watch = _watched(driver, CONNECT_TIMEOUT)
        watch.__enter__()

    def end(_driver: Any, record: Any) -> None:
        record.info.pop("watch").__exit__(None, None, None)

    event.listen(engine, "connect", begin, insert=True)
    event.listen(engine, "connect", end)


def _ping(dialect: Any, driver: Any, _record: Any, _proxy: Any) -> None:
    """Ping a pooled connection before it is used; the pool replaces one that does not answer."""
    try:
        with _watched(driver, PING_TIMEOUT):
            dialect.do_ping(driver)
    except dialect.dbapi.Error:
        raise DisconnectionError from None


def _make_read_only(driver: Any, _record: Any, _proxy: Any) -> None:
    """Begin every transaction of this connection as READ ONLY; by psycopg, so that no pooler has to keep a setting."""
    driver.read_only = True


def _is_clear_text(pgconn: Any) -> bool:
    """Whether a password was used and the connection leaves this machine without TLS."""
    if not pgconn.used_password or pgconn.ssl_in_use:
        return False
    address = (pgconn.hostaddr or b"").decode()
    with suppress(ValueError):  # a socket has no address
        return not ipaddress.ip_address(address.partition("%")[0]).is_loopback
    return False


def _right(statement: str | None) -> str:
    """The right that one of our statements needs, in words, by its first word."""
    verb = (statement or "").split(maxsplit=1)[0].upper() if statement else ""
    if verb == "SELECT" and "FOR NO KEY UPDATE" in str(statement):
        verb = "UPDATE"  # a row that is locked
    known = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "CREATE", "ALTER", "DROP")
    return f"the right to {verb}" if verb in known else "a right"


_REASONS = {
    "53100": "has no space left on its disk",
    "57014": "cancelled a statement, because of statement_timeout or by hand",
    "25P03": "ended a transaction because of idle_in_transaction_session_timeout",
    "25P04": "ended a transaction because of transaction_timeout",
}


def _connection_reason(message: str) -> str:
    for words, reason in (
        ("timeout", "no answer in time"),
        ("refused", "connection refused; is the server running?"),
        ("resolve", "the host name is not known"),
        ("translate host", "the host name is not known"),
        ("No such file", "no server listens on that socket"),
        ("password", "the password was not accepted"),
        ("authentication", "the login was not accepted"),
        ("permission denied for database", "this user may not connect to the database"),
        ("does not exist", "the database or the user does not exist"),
        ("SSL", "TLS could not be agreed on"),
        ("too many", FULL),
        ("connection slots", FULL),
        ("starting up", STARTING),
        ("shutting down", "it is shutting down"),
        ("invalid value for parameter", "a setting (PGTZ, PGDATESTYLE, PGOPTIONS, ?options=) has an invalid value"),
    ):
        if words in message:
            return reason
    return "the connection failed"


def _jsonable(table: Table, rows: Rows) -> Rows:
    # orjson would write an infinity as null; as text, the cast to double precision reads it.
    numbers = [name for name in rows[0] if isinstance(table.c[name].type, Double)]
    infinite = [name for name in numbers if any(row[name] is not None and isinf(row[name]) for row in rows)]
    if not infinite:
        return rows
    return [
        {
            **row,
            **{
                name: "Infinity" if row[name] > 0 else "-Infinity"
                for name in infinite
                if row[name] is not None and isinf(row[name])
            },
        }
        for row in rows
    ]


def _copied(table: Table, name: str, column: Sequence[Any]) -> Sequence[str]:
    """The values of one column in COPY's text format; psycopg's ``write_row`` takes twice as long."""
    kind = table.c[name].type
    if isinstance(kind, UTCDateTime):
        return time_texts(column, "+00")
    if isinstance(kind, Numeric | Integer):
        return ["\\N" if value is None else str(value) for value in column]
    if isinstance(kind, JSON):  # its text has no tabs and line breaks
        return ["\\N" if text is None else text.replace("\\", "\\\\") for text in json_texts(column)]
    return ["\\N" if value is None else str(value).translate(_COPY_ESCAPES) for value in column]


_COPY_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


@lru_cache(maxsize=256)
def _copy_sql(table: Table, names: tuple[str, ...]) -> str:
    quote = postgresql.dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]
    return f"COPY {quote(table.name)} ({', '.join(quote(name) for name in names)}) FROM STDIN"


@lru_cache(maxsize=256)
def _insert_statement(table: Table, keys: tuple[str, ...], names: tuple[str, ...], replace: bool) -> Any:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    quote = dialect.identifier_preparer.quote
    columns = ", ".join(quote(name) for name in names)
    types = ", ".join(f"{quote(name)} {_recordset_type(table, name, dialect)}" for name in names)
    updates = ", ".join(f"{quote(name)} = EXCLUDED.{quote(name)}" for name in names if name not in keys)
    action = f"DO UPDATE SET {updates}" if replace and updates else "DO NOTHING"
    statement = (
        f"INSERT INTO {quote(table.name)} ({columns}) SELECT {columns} "
        f"FROM jsonb_to_recordset(CAST(:batch AS jsonb)) AS batch ({types}) "
        f"ON CONFLICT ({', '.join(quote(key) for key in keys)}) {action}"
    )
    return text(statement)


def _recordset_type(table: Table, name: str, dialect: Any) -> str:
    kind: str = table.c[name].type.compile(dialect=dialect)
    return {"BIGSERIAL": "BIGINT", "SERIAL": "INTEGER"}.get(kind, kind)
