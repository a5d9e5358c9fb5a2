"""Where databases differ, with defaults that work on any SQLAlchemy dialect.

A backend subclasses `Backend`, sets its name, creates its engines, and overrides what it can do better. The rest of
trainstore asks the backend and never looks at the dialect's name. The contract:

- **Threads**: one backend serves one store object; its engines may be used from any thread.
- **Transactions**: a writer's transaction keeps the run's row locked (`lock_rows`) until it ends; DDL in
  `migration_transaction` is rolled back as a whole if the database can do that.
- **Durability**: when a commit on the writer's engine returns, the rows survive a crash of the machine.
- **Errors**: `translate` turns the driver's errors into ours; no message ever holds a password or a row's values.

`trainstore.testing.BackendContract` tests what can be tested from outside.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import orjson
from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    Select,
    Table,
    Text,
    cast,
    event,
    func,
    insert,
    select,
    type_coerce,
    update,
)
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from trainstore.backends.health import Finding
from trainstore.backends.urls import safe_url
from trainstore.column_types import UTCDateTime
from trainstore.errors import (
    BackupError,
    PermissionDeniedError,
    ReadOnlyStoreError,
    StoreUnavailableError,
    TrainStoreError,
)
from trainstore.models import Models
from trainstore.values import time_of

Rows = Sequence[Mapping[str, Any]]
Columns = Sequence[Sequence[Any]]


def dump_json(value: Any) -> str:
    """A canonical value as JSON text that both databases take."""
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()


def load_json(text: str | bytes) -> Any:
    """Parse JSON text, also text with bare NaN, which other programs (ScalarStop) write into SQLite."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


class Backend:
    """One database as a store's home. Subclass it to add another one; see the module for the contract."""

    name: ClassVar[str] = "database"
    #: The schema of an older store is upgraded when it is opened (True), or only when asked for (False).
    upgrades_on_open: ClassVar[bool] = False
    #: The database is gone when the process ends, so records need no journal on disk.
    in_memory: bool = False
    #: Set by `open_backend`: nothing is written, and connections refuse writes if the database supports that.
    read_only: bool = False
    #: Set when the store is opened, and whenever the delivery thread connects: this user may read, but not record.
    lacks_rights: bool = False
    #: Connections may be open while the process forks; the child leaves them to its parent.
    may_fork_connected: ClassVar[bool] = True
    #: A transaction may wait longer than a second or two before it fails, as with a server that does not answer.
    may_fall_silent: ClassVar[bool] = True

    def exists(self) -> bool:
        """Whether the database may exist: False only if opening would create a new one."""
        return True

    @property
    def can_be_away(self) -> bool:
        """Whether a database that cannot be reached now may be reachable later; a run can then start in its journal."""
        return True

    def __init__(self, url: URL, *, echo: bool = False) -> None:
        self.url = url
        self.echo = echo

    @classmethod
    def from_url(cls, text: str, *, echo: bool = False) -> Backend:
        """Create a backend from a connection string. Raises `StoreURLError`."""
        raise NotImplementedError

    @classmethod
    def from_path(cls, path: str, *, echo: bool = False) -> Backend:
        """Create a backend from a path, for databases that are files."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.safe_url!r})"

    @property
    def safe_url(self) -> str:
        """The connection string without its password, for messages."""
        return safe_url(self.url)

    @property
    def identity(self) -> str:
        """Text that is the same for every connection to this database, without user or password."""
        return f"{self.name}://{self.url.host or ''}:{self.url.port or ''}/{self.url.database or ''}"

    def absolute(self, folder: str) -> Path | None:
        """The path of a database file, started from ``folder`` if it is relative; None if the database has no path."""
        return None

    # --- Engines ---------------------------------------------------------------------------------------------------

    def create_engine(self) -> Engine:
        """The engine of queries and of the user: a small pool, through `parameters.convert_parameters`."""
        raise NotImplementedError

    def create_writer_engine(self) -> Engine:
        """The engine of the delivery thread: no pool, short timeouts; each commit is durable."""
        raise NotImplementedError

    def release_idle(self, engine: Engine) -> None:
        """Close the query pool's idle connections, on databases where connections are scarce."""

    def leave_to_parent(self, connection: Connection) -> None:
        """In a forked child: let go of a connection that is the parent's, without a word to the database."""

    @contextmanager
    def reading(self, engine: Engine) -> Iterator[Connection]:
        """A connection for the statements of one query."""
        with self.translated(), engine.connect() as connection:
            yield connection

    @contextmanager
    def asking(self, engine: Engine) -> Iterator[Connection]:
        """A connection for the store's own short queries while it opens: like `reading`, but it never waits forever."""
        with self.reading(engine) as connection:
            yield connection

    @contextmanager
    def snapshot(self, engine: Engine) -> Iterator[Connection]:
        """A connection whose statements all see the database at one moment; for reading only."""
        with self.translated(), engine.connect() as connection:
            yield connection

    @contextmanager
    def stoppable(
        self, connection: Connection, seconds: float, is_over: Callable[[], bool]
    ) -> Iterator[Callable[[], None]]:
        """Statements on the connection of a `snapshot` fail after so many seconds, or once ``is_over()`` says so.

        Gives a function that stops the statement that is running, from any thread, after ``is_over()`` has become true.
        """
        yield lambda: None

    @contextmanager
    def recoverable(self, connection: Connection) -> Iterator[None]:
        """One query on the connection of a `snapshot`: if it fails, later ones still work.

        Override it if a failed statement spoils the whole transaction.
        """
        yield

    @contextmanager
    def writing(self, connection: Connection, *, patient: int = False) -> Iterator[None]:
        """A writer's transaction, with settings and timeouts that end with it.

        ``patient``: it may take minutes, because an attempt is opened and summaries are recomputed; or so many seconds,
        if these are more.
        """
        with connection.begin():
            yield

    def refuse_if_read_only(self) -> None:
        """Raise `ReadOnlyStoreError` if the database was opened with ``read_only=True``."""
        if self.read_only:
            raise self._read_only_error()

    def _read_only_error(self) -> ReadOnlyStoreError:
        return ReadOnlyStoreError(
            f"{self.safe_url} was opened with read_only=True; open it without that to record or edit"
        )

    def may_record(self, models: Models) -> ColumnElement[bool] | None:
        """Whether this user has the rights to record, as a column of any query; None if the database has no rights."""
        return None

    def refuse_without_rights(self) -> None:
        """Raise `PermissionDeniedError` if this user may only read."""
        if self.lacks_rights:
            raise PermissionDeniedError(
                f"this user may read {self.safe_url}, but not record into it; use a login with the writer's role "
                "(trainstore db roles prints its SQL), or grant this one INSERT and UPDATE"
            )

    #: Whether a row read without types can be written into another database of this kind as it is; a damaged one has
    #: values of other types than its columns.
    keeps_rows: bool = False

    #: Whether `settle` does anything.
    needs_settling: bool = False

    def settle(self, connection: Connection) -> bool:
        """Move committed data into the database's main file, so that a copy of the file has it. Waits for nobody.

        Called on a writer's connection, outside a transaction, when nothing is being recorded. Never raises.

        Returns:
            False if something is left for a later call.
        """
        return True

    def check_recording(self) -> None:
        """Raise a `TrainStoreError` if recording into the database is unsafe, although it is possible."""

    def journal_root(self) -> Path | None:
        """The folder for journals beside the database, or None: they are then in the user's state folder."""
        return None

    def journal_roots(self) -> list[Path]:
        """The folders beside the database that may hold its journals, whatever name it was opened by."""
        root = self.journal_root()
        return [] if root is None else [root]

    def is_same(self, identity: str) -> bool:
        """Whether this `identity` means this database, perhaps under another name."""
        return identity == self.identity

    def is_copy_of(self, identity: str, store_uid: str, prefix: str) -> bool:
        """Whether this database is a copy of the one with this `identity`, which still exists and has the same uid."""
        return False

    def journal_key(self, prefix: str) -> str:
        """The folder name of this database's journals inside the user's state folder."""
        return hashlib.sha256(f"{self.identity}#{prefix}".encode()).hexdigest()[:32]

    def close(self) -> None:
        """Release what outlives single connections; called when the store is closed."""

    # --- Statements ------------------------------------------------------------------------------------------------

    def lock_rows(self, statement: Select[Any]) -> Select[Any]:
        """The SELECT, changed to lock its rows against other writers until the transaction ends."""
        return statement.with_for_update()

    def now(self) -> ColumnElement[datetime]:
        """The database's clock."""
        return type_coerce(func.current_timestamp(), UTCDateTime())

    def upsert(self, connection: Connection, table: Table, keys: Sequence[str], rows: Rows) -> None:
        """Insert rows, or replace all other columns of rows whose ``keys`` exist. All rows have the same columns."""
        if rows:
            self.write_rows(connection, table, keys, rows, replace=True)

    def insert_new(
        self,
        connection: Connection,
        table: Table,
        keys: Sequence[str],
        names: Sequence[str],
        batches: Iterable[Columns],
    ) -> None:
        """Insert many rows whose ``keys`` are known to be new. Override it if the database has a faster way.

        Args:
            names: The columns; all others stay NULL.
            batches: The rows in batches, each one sequence of values per name. Times are microseconds since 1970, as in
                journals. Batches are produced while they are read.
        """
        times = [name for name in names if isinstance(table.c[name].type, UTCDateTime)]
        for batch in batches:
            rows = [dict(zip(names, row, strict=True)) for row in zip(*batch, strict=True)]
            for row in rows:
                row.update({name: time_of(row[name]) for name in times})
            self.upsert(connection, table, keys, rows)

    def insert_missing(self, connection: Connection, table: Table, keys: Sequence[str], rows: Rows) -> None:
        """Insert the rows whose ``keys`` do not exist yet; leave the others unchanged."""
        if rows:
            self.write_rows(connection, table, keys, rows, replace=False)

    def write_rows(
        self, connection: Connection, table: Table, keys: Sequence[str], rows: Rows, *, replace: bool
    ) -> None:
        """Write the rows of both methods above, one by one. Override it if the database can write many at once."""
        for row in rows:
            there = [table.c[key] == row[key] for key in keys]
            exists = connection.execute(select(*(table.c[key] for key in keys)).where(*there)).first()
            if exists is None:
                connection.execute(insert(table).values(dict(row)))
            elif replace:
                others = {name: value for name, value in row.items() if name not in keys}
                connection.execute(update(table).where(*there).values(others))

    def json_path_reaches(self, name: str) -> bool:
        """Whether `json_value` can name this key in SQL; if not, the caller extracts it in Python."""
        return True

    def json_value(self, column: ColumnElement[Any], name: str) -> ColumnElement[Any]:
        """The value of a key in a JSON object column, of any type; None if the key is absent."""
        return column[name]

    def json_number(self, column: ColumnElement[Any], name: str) -> ColumnElement[float]:
        """The finite number of a key in a JSON object column; NULL if the key is absent or holds anything else."""
        raise NotImplementedError

    def json_text(self, column: ColumnElement[Any]) -> ColumnElement[str]:
        """A JSON column as text that is the same for equal values."""
        return cast(column, Text())

    # --- As the source of a merge -----------------------------------------------------------------------------------

    @contextmanager
    def as_source(self) -> Iterator[Connection]:
        """A connection whose statements all see the database at one moment, and by which nothing can be written.

        Unlike `snapshot`, it leaves no trace of having been there, not even beside a file.
        """
        engine = self.create_engine()
        try:
            with self.snapshot(engine) as connection:
                yield connection
        finally:
            engine.dispose()

    def copy_in(self, folder: Path) -> Backend | None:
        """A copy of the database in a folder, to be changed and thrown away; None if only the original can be upgraded.

        The original is read as `as_source` reads it.
        """
        return None

    @contextmanager
    def any_text(self, connection: Connection) -> Iterator[None]:
        """Text in the database that is not Unicode is read with surrogates in it, instead of an error."""
        yield

    def place_of(self, connection: Connection) -> str:
        """Text that is the same for connections to one database, however its URL is spelled."""
        return self.identity

    # --- Schema ----------------------------------------------------------------------------------------------------

    def back_up(self, target: Path, models: Models) -> None:
        """Write a copy of the database, as of one moment, into a new file.

        Raises:
            BackupError: The target exists or cannot be written, or the database has its own backup tools.
        """
        raise BackupError(f"trainstore cannot back up {self.safe_url}; use the database's own tools")

    @contextmanager
    def migration_transaction(self, engine: Engine, prefix: str) -> Iterator[Connection]:
        """A transaction that excludes other migrations of this store; rolled back as a whole on an error.

        The default is an ordinary one, enough if each transaction of the engine has the database to itself.
        """
        with self.translated(), engine.begin() as connection:
            yield connection

    def copy_before_upgrade(self, connection: Connection, revision: str) -> Path | None:
        """Copy the database beside itself, inside `migration_transaction`; the copy's path, or None if it can't be."""
        return None

    def resolved_schema(self, connection: Connection) -> str | None:
        """The schema (namespace) that unqualified table names refer to, if the database has such."""
        return None

    # --- Health ----------------------------------------------------------------------------------------------------

    def inspect_place(self) -> Iterator[Finding]:
        """What ``trainstore doctor`` reports before it connects: libraries, files. Changes nothing."""
        return iter(())

    def inspect_size(self, connection: Connection, models: Models) -> Iterator[Finding]:
        """How much room the store takes, as far as the database knows it at once."""
        return iter(())

    def inspect_database(self, connection: Connection, models: Models) -> Iterator[Finding]:
        """What it reports about a connected database that has our schema. Changes nothing."""
        return iter(())

    # --- Errors ----------------------------------------------------------------------------------------------------

    def translate(self, error: SQLAlchemyError) -> TrainStoreError | None:
        """Our error for a driver's error, or None if we have none for it."""
        if isinstance(error, PoolTimeoutError):
            return StoreUnavailableError(
                f"all connections of this store object to {self.safe_url} are in use, and none was returned in time: "
                "close what store.engine.connect() and store.session() returned (use them in a with block), or query "
                "from fewer threads at once"
            )
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            return StoreUnavailableError(f"the connection to {self.safe_url} was lost")
        return None

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise our errors for the driver's errors that `translate` knows. ``from None``: a cause could print a URL."""
        try:
            yield
        except SQLAlchemyError as error:
            ours = self.translate(error)
            if ours is None:
                raise
            raise ours from None

    def is_refusal(self, error: Exception) -> bool:
        """Whether the database refused a value, or a record is invalid: trying again cannot help."""
        if isinstance(error, DBAPIError):
            return isinstance(error, (DataError, IntegrityError))
        return isinstance(error, (StatementError, LookupError, TypeError, ValueError, OverflowError, AttributeError))

    def is_contention(self, error: SQLAlchemyError) -> bool:
        """Whether another transaction was in the way: the same transaction may succeed when it is tried again."""
        return False

    def is_privilege_error(self, error: SQLAlchemyError) -> bool:
        """Whether the database refused because this user lacks a right."""
        return False


def json_texts(column: Sequence[Any]) -> list[str | None]:
    """The values of a JSON column as text."""
    dump, option = orjson.dumps, orjson.OPT_NON_STR_KEYS
    return [None if value is None else dump(value, option=option).decode() for value in column]


def time_texts(column: Sequence[int], zone: str = "") -> list[str]:
    """The times of `Backend.insert_new` as text that ends with ``zone``."""
    return [f"{_second(at // 1_000_000)}.{at % 1_000_000:06d}{zone}" for at in column]


@lru_cache(maxsize=16)
def _second(number: int) -> str:
    return (time_of(0) + timedelta(seconds=number)).replace(tzinfo=None).isoformat(" ")


def too_many_values(database: str, limit: int | None = None) -> str:
    """The message for a statement that has more parameters than the database takes."""
    known = f" ({limit:,})" if limit else ""
    return f"too many values in one query for {database}{known}; query them in batches"


@contextmanager
def driver_of(connection: Connection, statement: str) -> Iterator[Any]:
    """The driver's own connection, for statements that SQLAlchemy would slow down; errors are SQLAlchemy's."""
    driver, dialect = connection.connection.driver_connection, connection.dialect
    assert dialect.dbapi is not None
    try:
        yield driver
    except dialect.dbapi.Error as error:
        raise DBAPIError.instance(
            statement, None, error, dialect.dbapi.Error, hide_parameters=True, dialect=dialect
        ) from error


def on_connect(engine: Engine, function: Any) -> None:
    """Call ``function(dbapi_connection)`` for every new connection of the engine."""
    event.listen(engine, "connect", lambda dbapi_connection, _record: function(dbapi_connection))


def json_options() -> dict[str, Any]:
    """Engine options that make JSON columns go through orjson."""
    return {"json_serializer": dump_json, "json_deserializer": load_json}


__all__ = ["Backend", "Rows", "dump_json", "json_options", "on_connect"]
