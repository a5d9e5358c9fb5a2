"""PostgreSQL 14 and newer, by psycopg 3: when training spreads over machines.

Nothing here needs a session of its own: no prepared statements, no settings except those of every connection
(`pg_session`) and SET LOCAL, only transaction-level locks. So PgBouncer may run in between, in transaction mode.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Engine,
    NullPool,
    QueuePool,
    Select,
    Table,
    Text,
    and_,
    case,
    cast,
    create_engine,
    event,
    func,
    make_url,
    text,
    type_coerce,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from trainstore.backends import pg_connecting, pg_rows, pg_session
from trainstore.backends.base import Backend, Columns, Rows, driver_of, json_options, on_connect
from trainstore.backends.health import Finding, size_text
from trainstore.backends.parameters import convert_parameters
from trainstore.backends.pg_errors import error_by_state, error_without_state
from trainstore.backends.urls import safe_url
from trainstore.column_types import JsonType, UTCDateTime
from trainstore.errors import BackupError, StoreURLError, TrainStoreError
from trainstore.models import Models

logger = logging.getLogger("trainstore")

MINIMUM_VERSION = 14_00_00
WRITER_TIMEOUT = 15  # of one statement, of one wait for a lock, and of a transaction without any answer
SILENCE = 3  # after the time of a read, until its connection is given up
PATIENT_TIMEOUT = 600  # of a migration, and of a transaction that recomputes summaries


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
        pg_connecting.check_options(text, url)
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
        event.listen(engine, "checkout", partial(pg_connecting.ping, engine.dialect))
        if self.read_only:
            event.listen(engine, "checkout", pg_connecting.make_read_only)
        convert_parameters(engine)
        return engine

    def create_writer_engine(self) -> Engine:
        """No pool: the delivery thread keeps one connection and drops it after any error."""
        return self._engine({"poolclass": NullPool})

    def _engine(self, options: dict[str, Any]) -> Engine:
        defaults: dict[str, Any] = {
            "connect_timeout": pg_connecting.CONNECT_TIMEOUT,
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
        event.listen(engine, "do_connect", pg_connecting.connect)
        on_connect(engine, pg_session.settle)
        on_connect(engine, self._warn_of_clear_text)
        pg_connecting.watch_first_queries(engine)
        return engine

    def _warn_of_clear_text(self, driver: Any) -> None:
        """Warn once if a password was sent over the network without TLS. Sockets and loopback do not count."""
        if not self._clear_text_told and pg_connecting.is_clear_text(driver.pgconn):
            self._clear_text_told = True
            logger.warning(
                "the password of %s is sent over the network without TLS, and so is everything recorded; add "
                "?sslmode=verify-full (or at least sslmode=require) to the connection string",
                self.safe_url,
            )

    def release_idle(self, engine: Engine) -> None:
        """A recording process keeps one connection, not two: clusters have many processes, servers few connections."""
        engine.dispose()

    def leave_to_parent(self, connection: Connection) -> None:
        """While this process has the socket open, a killed parent's session lives on, and so do its locks."""
        with suppress(Exception):  # the parent may have been about to open or to close it
            if not connection.closed and not connection.invalidated:
                pg_connecting.replace_socket(connection.connection.driver_connection)

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
        with (
            self.reading(engine) as connection,
            pg_connecting.watched(connection.connection.driver_connection, WRITER_TIMEOUT),
        ):
            yield connection

    @contextmanager
    def snapshot(self, engine: Engine) -> Iterator[Connection]:
        """REPEATABLE READ, and read only."""
        with self.translated(), engine.connect() as connection:
            yield connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @contextmanager
    def stoppable(
        self, connection: Connection, seconds: float, is_over: Callable[[], bool]
    ) -> Iterator[Callable[[], None]]:
        """By ``statement_timeout``, unless a shorter one is set already; and here, in case the server is silent."""
        driver: Any = connection.connection.driver_connection
        with pg_connecting.watched(driver, seconds + SILENCE):
            connection.execute(pg_session.SHORTEN_TIMEOUT, {"timeout": f"{max(int(seconds * 1000), 1)}ms"})
            yield lambda: driver.cancel_safe(timeout=SILENCE)

    @contextmanager
    def recoverable(self, connection: Connection) -> Iterator[None]:
        """Go back to a savepoint after a failure; it is set once, not for every query."""
        savepoint = connection.get_nested_transaction() or connection.begin_nested()
        try:
            yield
        except BaseException:
            with suppress(SQLAlchemyError):  # the connection may be lost
                savepoint.rollback()
            raise

    @contextmanager
    def writing(self, connection: Connection, *, patient: int = False) -> Iterator[None]:
        """Limit every wait of the transaction: on the server, and here in case the server is silent."""
        seconds = max(PATIENT_TIMEOUT, patient) if patient else WRITER_TIMEOUT
        with pg_connecting.watched(connection.connection.driver_connection, seconds), connection.begin():
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
        statement = pg_rows.insert_statement(table, tuple(keys), tuple(rows[0]), replace)
        connection.execute(statement, {"batch": orjson.dumps(pg_rows.jsonable(table, rows)).decode()})

    def insert_new(
        self,
        connection: Connection,
        table: Table,
        keys: Sequence[str],
        names: Sequence[str],
        batches: Iterable[Columns],
    ) -> None:
        """COPY: checks no conflicts, and the server reads the first rows while the others are being produced."""
        statement = pg_rows.copy_sql(table, tuple(names))
        with driver_of(connection, statement) as driver, driver.cursor() as cursor, cursor.copy(statement) as copy:
            for batch in batches:
                columns = [pg_rows.copied(table, name, column) for name, column in zip(names, batch, strict=True)]
                copy.write("".join([f"{row}\n" for row in map("\t".join, zip(*columns, strict=True))]))

    def json_value(self, column: ColumnElement[Any], name: str) -> ColumnElement[Any]:
        """``column -> 'name'``."""
        return type_coerce(column.op("->")(cast(name, Text())), JsonType)

    def json_number(self, column: ColumnElement[Any], name: str) -> ColumnElement[float]:
        """Guarded by the value's type: casting a text would fail the whole query."""
        value = column.op("->")(cast(name, Text()))
        return case((func.jsonb_typeof(value) == "number", cast(value, Double())), else_=None)

    def place_of(self, connection: Connection) -> str:
        """The server, known by the moment of its start, and the schema: a host has many names."""
        row = connection.exec_driver_sql(
            "SELECT pg_postmaster_start_time(), current_database(), current_schema()"
        ).one()
        return f"{row[0]}/{row[1]}/{row[2]}"

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

    def may_record(self, models: Models) -> ColumnElement[bool]:
        """INSERT and UPDATE, or as much of them as rights to single columns give."""
        table = cast(f'"{models.run.name}"', Text())
        return and_(*(func.has_any_column_privilege(table, cast(right, Text())) for right in ("INSERT", "UPDATE")))

    # --- Health ----------------------------------------------------------------------------------------------------

    def inspect_size(self, connection: Connection, models: Models) -> Iterator[Finding]:
        """The tables with their indexes."""
        names = [table.name for table in models.metadata.sorted_tables]
        sizes = text("SELECT pg_total_relation_size(to_regclass(quote_ident(:name)))")
        found = [connection.execute(sizes, {"name": name}).scalar() for name in names]
        yield Finding("ok", "size", size_text(sum(size or 0 for size in found)))

    def inspect_database(self, connection: Connection, models: Models) -> Iterator[Finding]:
        """The server's version, its durability, and whether this user may record."""
        version = str(connection.execute(text("SHOW server_version")).scalar())
        if int(str(connection.execute(text("SHOW server_version_num")).scalar())) < MINIMUM_VERSION:
            yield Finding("warning", "server", f"PostgreSQL {version} is too old", "upgrade the server to 14 or newer")
        else:
            yield Finding("ok", "server", f"PostgreSQL {version}")
        if pg_session.may_round(connection.connection.driver_connection):
            yield Finding(
                "warning",
                "server",
                "extra_float_digits is below 1: behind a pooler, numbers are read rounded",
                "ALTER ROLE … (or ALTER DATABASE …) RESET extra_float_digits",
            )
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
                "warning",
                "rights",
                f"this user may only {', '.join(rights) or 'connect'}",
                "to record, get the right to INSERT and UPDATE",
            )

    # --- Errors ----------------------------------------------------------------------------------------------------

    def translate(self, error: SQLAlchemyError) -> TrainStoreError | None:
        """Failures by SQLSTATE, if there is one. Never includes the server's text, which may show a row."""
        if not isinstance(error, DBAPIError):
            return super().translate(error)
        state = getattr(error.orig, "sqlstate", None)
        if state == "25006" and self.read_only:
            return self._read_only_error()
        server = self.identity.removeprefix("postgresql://").removesuffix(f"/{self.url.database or ''}")
        if state is not None:
            return error_by_state(error, state, self.url, server)
        return error_without_state(error, self.safe_url, server) or super().translate(error)

    def is_refusal(self, error: Exception) -> bool:
        """Also what exceeds a server limit (class 54): a value too long for an index, a text over 1 GB."""
        state = getattr(getattr(error, "orig", None), "sqlstate", None) or ""
        return state.startswith("54") or super().is_refusal(error)

    def is_contention(self, error: SQLAlchemyError) -> bool:
        """A deadlock, or a transaction that cannot be serialized."""
        return getattr(getattr(error, "orig", None), "sqlstate", None) in ("40P01", "40001")

    def is_privilege_error(self, error: SQLAlchemyError) -> bool:
        """SQLSTATE 42501, a read-only transaction (a standby), or no schema that this user may use (3F000)."""
        return getattr(getattr(error, "orig", None), "sqlstate", None) in ("42501", "25006", "3F000")
