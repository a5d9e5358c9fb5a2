"""SQLite: one file, or memory. The default.

Files run in WAL mode with ``synchronous=FULL``: one commit a second costs 0.3 ms, and NORMAL loses acknowledged
commits at a power cut. We begin transactions, not Python's driver: readers with BEGIN, writers with BEGIN
IMMEDIATE, so a writer's snapshot is never stale halfway, and DDL is rolled back as a whole.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakSet

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    Float,
    NullPool,
    QueuePool,
    Select,
    String,
    Table,
    case,
    create_engine,
    event,
    func,
    literal,
    type_coerce,
)
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from trainstore.backends import health, sqlite_health, sqlite_rows
from trainstore.backends.base import Backend, Columns, Rows, driver_of, json_options, on_connect
from trainstore.backends.parameters import convert_parameters, plain_number
from trainstore.backends.sqlite_backup import copy_database
from trainstore.backends.sqlite_connecting import (
    MIGRATION_TIMEOUT,
    READER_TIMEOUT,
    WRITER_TIMEOUT,
    begin_with,
    configure,
    is_there,
    open_to_write,
    use_wal,
    warn_of_network,
)
from trainstore.backends.sqlite_errors import primary_code, translated_error
from trainstore.backends.sqlite_files import (
    JOURNAL,
    absolute_path,
    checked_path,
    file_identity,
    is_same_file,
    journal_folder,
    open_to_read,
    option_refused,
    path_of,
    quoted_path,
    unquoted_path,
)
from trainstore.backends.sqlite_source import copy_source, open_source
from trainstore.backends.urls import safe_url
from trainstore.column_types import JsonType, UTCDateTime
from trainstore.errors import (
    BackupError,
    NetworkFileSystemError,
    SourceError,
    StoreUnavailableError,
    StoreURLError,
    TrainStoreError,
)
from trainstore.models import Models
from trainstore.times import utc
from trainstore.values import INT64_MAX, INT64_MIN

MINIMUM_VERSION = (3, 38, 0)
STEPS_BETWEEN = 50_000  # of SQLite's virtual machine: a millisecond or so

logger = logging.getLogger("trainstore")

_backends: WeakSet[SQLiteBackend] = WeakSet()


class SQLiteBackend(Backend):
    """An SQLite file, or a database in memory that lives as long as its store."""

    name = "sqlite"
    upgrades_on_open = True
    keeps_rows = True
    # SQLite keeps track of its locks in memory: a child would inherit a record of locks that it does not hold.
    may_fork_connected = False
    may_fall_silent = False

    def __init__(self, url: URL, *, echo: bool = False) -> None:
        super().__init__(url, echo=echo)
        if sqlite3.sqlite_version_info < MINIMUM_VERSION:
            raise StoreURLError(
                f"SQLite {sqlite3.sqlite_version} is too old: trainstore needs {'.'.join(map(str, MINIMUM_VERSION))}"
            )
        database = url.database or ":memory:"
        self.in_memory = database == ":memory:"
        self.path: Path | None = None if self.in_memory else absolute_path(database)
        self.needs_settling = not self.in_memory
        # A private name in SQLite's own memory file system: several connections share it, unlike ":memory:".
        self._memory_name = f"file:/trainstore-{uuid.uuid4()}?vfs=memdb"
        self._keeper: sqlite3.Connection | None = None
        self._was_there = False
        self._engines: WeakSet[Engine] = WeakSet()
        _backends.add(self)

    @classmethod
    def from_url(cls, text: str, *, echo: bool = False) -> SQLiteBackend:
        """``sqlite:///relative.db``, ``sqlite:////absolute.db``, ``sqlite://`` (memory); quoted as URLs are."""
        scheme, _, rest = text.partition("://")
        address, _, query = rest.partition("?")
        authority, _, path = address.partition("/")
        _, _, driver = scheme.partition("+")
        if driver not in ("", "pysqlite"):
            raise StoreURLError(f"{safe_url(text)!r} names the driver {driver!r}; write sqlite:///path/to/file.db")
        if authority:
            raise StoreURLError(f"{safe_url(text)!r} has two slashes where three are needed: sqlite:///path/to/file.db")
        if query:
            raise StoreURLError(option_refused(text, query))
        if path.startswith("~"):
            raise StoreURLError(f"{safe_url(text)!r}: '~' means nothing in a URL; pass the path {path!r}")
        return cls(URL.create("sqlite", database=checked_path(unquoted_path(path)) or None), echo=echo)

    @classmethod
    def from_path(cls, path: str, *, echo: bool = False) -> SQLiteBackend:
        """A path as the file system knows it; ``~`` is the home folder."""
        database = os.path.expanduser(checked_path(path))
        if path.startswith("~") and database == path:
            raise StoreURLError(f"{path!r}: there is no such home folder; pass an absolute path")
        return cls(URL.create("sqlite", database=database), echo=echo)

    @property
    def safe_url(self) -> str:
        """The URL that opens the same file; a path holds no password."""
        return f"sqlite:///{quoted_path(str(self.path or ':memory:'))}"

    @property
    def identity(self) -> str:
        """The file's real path."""
        return f"sqlite:///{quoted_path(os.path.realpath(self.path)) if self.path else self._memory_name}"

    def absolute(self, folder: str) -> Path | None:
        """The path as it was given, made absolute."""
        return None if self.in_memory else Path(folder, str(self.url.database))

    def exists(self) -> bool:
        """Whether the file is there."""
        try:
            return self.path is not None and self.path.exists()
        except OSError:  # it may be there
            return True

    @property
    def can_be_away(self) -> bool:
        """A locked file may be free later; a missing folder is for the user to fix."""
        return self.path is not None and os.path.isdir(self.path.parent) and not os.path.isdir(self.path)

    def journal_root(self) -> Path | None:
        """``<file>.journal`` beside the file itself, not beside a symbolic link to it."""
        return None if self.path is None else journal_folder(Path(os.path.realpath(self.path)))

    def journal_roots(self) -> list[Path]:
        """Also those of other names: the path it was opened by, hard links in its folder, earlier names."""
        if self.path is None:
            return []
        real = Path(os.path.realpath(self.path))
        roots = dict.fromkeys((journal_folder(real), journal_folder(self.path)))
        with suppress(OSError):
            roots |= dict.fromkeys(sorted(real.parent.glob(f"*{JOURNAL}")))
        return list(roots)

    def is_same(self, identity: str) -> bool:
        """By the file, which may have several names (links, case-insensitive file systems)."""
        if identity == self.identity:
            return True
        return self.path is not None and is_same_file(path_of(identity), self.path)

    def is_copy_of(self, identity: str, store_uid: str, prefix: str) -> bool:
        """Whether another file with the same uid still exists at that path."""
        other = path_of(identity)
        if self.path is None or not other.is_file() or is_same_file(other, self.path):
            return False
        with suppress(sqlite3.Error), closing(open_to_read(other, READER_TIMEOUT)) as connection:
            return (store_uid,) in connection.execute(f'SELECT uid FROM "{prefix}store"')
        return False

    # --- Engines ---------------------------------------------------------------------------------------------------

    def create_engine(self) -> Engine:
        """A small pool; transactions begin as readers."""
        engine = self._engine("BEGIN", READER_TIMEOUT, {"poolclass": QueuePool, "pool_size": 4, "max_overflow": 8})
        convert_parameters(engine, _parameter)
        return engine

    def create_writer_engine(self) -> Engine:
        """No pool: the delivery thread keeps one connection. Transactions take the write lock at once."""
        engine = self._engine("BEGIN IMMEDIATE", WRITER_TIMEOUT, {"poolclass": NullPool})
        if self.path is not None:
            on_connect(engine, use_wal)
        return engine

    def _remember_file(self, _connection: sqlite3.Connection, record: Any) -> None:
        if self.path is not None:
            record.info["file"] = file_identity(self.path)

    def _engine(self, begin: str, timeout: float, options: dict[str, Any]) -> Engine:
        engine = create_engine(
            "sqlite://", creator=lambda: self._connect(timeout), echo=self.echo, **json_options(), **options
        )
        on_connect(engine, configure)
        event.listen(engine, "connect", self._remember_file)
        event.listen(engine, "begin", partial(begin_with, begin))
        self._engines.add(engine)
        return engine

    @contextmanager
    def writing(self, connection: Connection, *, patient: int = False) -> Iterator[None]:
        """Refuse a file that was deleted or replaced: SQLite would go on writing into one that nobody can open."""
        self._check_file(connection)
        self._check_size(connection)
        with super().writing(connection, patient=patient):
            yield

    @contextmanager
    def reading(self, engine: Engine) -> Iterator[Connection]:
        """Refuse to read from such a file, too."""
        with super().reading(engine) as connection:
            self._check_file(connection)
            yield connection

    @contextmanager
    def snapshot(self, engine: Engine) -> Iterator[Connection]:
        """One transaction, which sees the file as of its first statement; it refuses such a file, too."""
        with super().snapshot(engine) as connection:
            self._check_file(connection)
            yield connection

    @contextmanager
    def stoppable(
        self, connection: Connection, seconds: float, is_over: Callable[[], bool]
    ) -> Iterator[Callable[[], None]]:
        """By SQLite's progress handler, which is asked a few hundred times a second while a statement runs."""
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(is_over, STEPS_BETWEEN)
        try:
            yield lambda: None
        finally:
            driver.set_progress_handler(None, 0)

    def settle(self, connection: Connection) -> bool:
        """A passive checkpoint: pages in ``-wal`` move into the file, unless a reader still needs the old ones."""
        try:
            driver: Any = connection.connection.driver_connection
            _busy, waiting, moved = driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except (sqlite3.Error, SQLAlchemyError) as error:
            logger.debug("%s: no checkpoint (%s)", self.path, error)
            return False
        return bool(waiting == moved)

    def _check_file(self, connection: Connection) -> None:
        if self.path is not None and connection.info.get("file") not in (None, file_identity(self.path)):
            connection.invalidate()
            raise StoreUnavailableError(f"{self.path} was deleted or replaced by another file")

    def _check_size(self, connection: Connection) -> None:
        """SQLite's cache can hide that a file was truncated; a new connection reads what is really there."""
        if self.path is None:
            return
        size, known = self.path.stat().st_size, connection.info.get("size", 0)
        if size < known:
            connection.invalidate()
            raise StoreUnavailableError(f"{self.path} became shorter: {size} bytes after {known}")
        connection.info["size"] = size

    def check_recording(self) -> None:
        """Refuse network file systems, whose locks are not good enough for SQLite."""
        kind = None if self.path is None else health.network_file_system(self.path.parent)
        if kind is not None:
            raise NetworkFileSystemError(
                f"{self.path} is on a network file system ({kind}), where SQLite files get damaged; put the file on a "
                "local disk, or record into PostgreSQL"
            )

    def close_idle_connections(self) -> None:
        """Close the pools' idle connections; those in use stay open."""
        for engine in list(self._engines):
            engine.dispose()

    def _connect(self, timeout: float) -> sqlite3.Connection:
        if self.path is None:
            if self._keeper is None:
                self._keeper = self._driver_connect(timeout)
            return self._driver_connect(timeout)
        if not is_there(self.path, read_only=self.read_only, was_there=self._was_there):
            self.check_recording()
        connection = self._driver_connect(timeout)
        if not self._was_there:
            self._was_there = True
            warn_of_network(self.path)
        return connection

    def _driver_connect(self, timeout: float) -> sqlite3.Connection:
        if self.read_only and self.path is not None:
            return open_to_read(self.path, timeout)
        return open_to_write(self._memory_name if self.path is None else self.path, timeout)

    def close(self) -> None:
        """A database in memory is gone after this."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.close()

    # --- Statements ------------------------------------------------------------------------------------------------

    def lock_rows(self, statement: Select[Any]) -> Select[Any]:
        """BEGIN IMMEDIATE has locked the whole database already."""
        return statement

    def now(self) -> ColumnElement[datetime]:
        """This machine's clock, as text with microseconds (SQLite has milliseconds)."""
        return type_coerce(func.strftime("%Y-%m-%d %H:%M:%f", "now").concat("000"), UTCDateTime())

    def write_rows(
        self, connection: Connection, table: Table, keys: Sequence[str], rows: Rows, *, replace: bool
    ) -> None:
        """One executemany of INSERT … ON CONFLICT, straight to the driver."""
        names = tuple(rows[0])
        columns = [sqlite_rows.converted(table, name, [row[name] for row in rows]) for name in names]
        parameters = list(zip(*columns, strict=True))
        connection.exec_driver_sql(sqlite_rows.insert_sql(table, tuple(keys), names, replace), parameters)

    def insert_new(
        self,
        connection: Connection,
        table: Table,
        keys: Sequence[str],
        names: Sequence[str],
        batches: Iterable[Columns],
    ) -> None:
        """One executemany per batch, without empty columns: a None costs the driver as much as any other value."""
        for batch in batches:
            filled = {name: column for name, column in zip(names, batch, strict=True) if sqlite_rows.is_filled(column)}
            columns = [sqlite_rows.converted(table, name, column) for name, column in filled.items()]
            statement = sqlite_rows.insert_sql(table, tuple(keys), tuple(filled), replace=True)
            with driver_of(connection, statement) as driver:
                driver.executemany(statement, zip(*columns, strict=True))

    def json_path_reaches(self, name: str) -> bool:
        """SQLite's JSON paths have no escapes, so they cannot name a quote or a backslash."""
        return '"' not in name and "\\" not in name

    def json_value(self, column: ColumnElement[Any], name: str) -> ColumnElement[Any]:
        """``column -> '$."name"'``: JSON text, so that true stays true and a text stays one."""
        return type_coerce(column.op("->")(literal(f'$."{name}"', String())), JsonType)

    def json_number(self, column: ColumnElement[Any], name: str) -> ColumnElement[float]:
        """Guarded by the value's type: otherwise a text would compare as greater than every number."""
        path = literal(f'$."{name}"', String())
        kind = func.json_type(column, path)
        number = type_coerce(func.json_extract(column, path), Float())
        return case((kind.in_(("integer", "real")), number), else_=None)

    def json_text(self, column: ColumnElement[Any]) -> ColumnElement[str]:
        """The stored text itself."""
        return type_coerce(column, String())

    # --- As the source of a merge -----------------------------------------------------------------------------------

    @contextmanager
    def as_source(self) -> Iterator[Connection]:
        """The file as of one moment, without a byte written in it or beside it."""
        if self.path is None:
            raise SourceError("a store in memory can only be read by the store object that has it: pass that")
        with open_source(self.path, lenient=False) as connection:
            yield connection

    @contextmanager
    def any_text(self, connection: Connection) -> Iterator[None]:
        """By the connection's ``text_factory``."""
        driver: Any = connection.connection.driver_connection
        before, driver.text_factory = driver.text_factory, _any_text
        try:
            yield
        finally:
            driver.text_factory = before

    def copy_in(self, folder: Path) -> SQLiteBackend | None:
        """The file, and what is in its -wal."""
        assert self.path is not None
        return _ThrownAway(URL.create("sqlite", database=str(copy_source(self.path, folder))))

    # --- Schema ----------------------------------------------------------------------------------------------------

    @contextmanager
    def migration_transaction(self, engine: Engine, prefix: str) -> Iterator[Connection]:
        """BEGIN IMMEDIATE on a connection of its own, with foreign keys off, as SQLite's table rebuilds need."""
        self.check_recording()
        migrator = self._engine("BEGIN IMMEDIATE", MIGRATION_TIMEOUT, {"poolclass": NullPool})
        on_connect(migrator, lambda connection: connection.execute("PRAGMA foreign_keys = OFF"))
        try:
            with self.translated(), migrator.begin() as connection:
                yield connection
            with closing(self._driver_connect(READER_TIMEOUT)) as driver:
                if self.path is not None:
                    use_wal(driver)
        finally:
            migrator.dispose()

    def copy_before_upgrade(self, connection: Connection, revision: str) -> Path | None:
        """``<file>.backup-<revision>-<time>``, by SQLite's own backup, which reads what other connections may read."""
        if self.path is None:
            return None
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        target = self.path.with_name(f"{self.path.name}.backup-{revision}-{stamp}")
        self._copy_to(target)
        return target

    def back_up(self, target: Path, models: Models) -> None:
        """By SQLite's own backup, which reads the file as of one moment and blocks nobody."""
        try:
            if os.path.lexists(target):
                raise BackupError(f"{target} already exists; name another file")
            self._copy_to(target)
        except FileExistsError as error:
            raise BackupError(
                f"{error.filename2 or error.filename} already exists; name another file, or delete it if it was left "
                "behind by a backup that was killed"
            ) from None
        except OSError as error:
            raise BackupError(f"{target} cannot be written ({error.strerror or error})") from None
        except sqlite3.Error as error:
            raise BackupError(f"{self.path or 'the store in memory'} cannot be copied to {target}: {error}") from None

    def _copy_to(self, target: Path) -> None:
        mode = 0o600 if self.path is None else stat.S_IMODE(self.path.stat().st_mode)
        with closing(self._driver_connect(READER_TIMEOUT)) as source:
            copy_database(source, target, mode)

    # --- Health ----------------------------------------------------------------------------------------------------

    def inspect_place(self) -> Iterator[health.Finding]:
        """SQLite's version, the file and its folder."""
        return sqlite_health.inspect_place(self.path)

    def inspect_size(self, connection: Connection, models: Models) -> Iterator[health.Finding]:
        """The file and its -wal."""
        return sqlite_health.inspect_size(self.path)

    def inspect_database(self, connection: Connection, models: Models) -> Iterator[health.Finding]:
        """The journal mode, the file's integrity, the foreign keys."""
        return sqlite_health.inspect_database(self.path, connection, models)

    # --- Errors ----------------------------------------------------------------------------------------------------

    def translate(self, error: SQLAlchemyError) -> TrainStoreError | None:
        """Failures by SQLite's result code: what cannot be opened, is not a database, is locked or full."""
        cause = error.orig if isinstance(error, DBAPIError) else None
        if not isinstance(cause, sqlite3.DatabaseError):
            return super().translate(error)
        if self.read_only and getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY:
            return self._read_only_error()
        return translated_error(cause, self.path)

    def is_contention(self, error: SQLAlchemyError) -> bool:
        """SQLITE_BUSY: another connection has been writing for as long as this one waits."""
        return primary_code(error) == sqlite3.SQLITE_BUSY

    def is_privilege_error(self, error: SQLAlchemyError) -> bool:
        """SQLITE_READONLY: the file may not be written."""
        return primary_code(error) == sqlite3.SQLITE_READONLY


class _ThrownAway(SQLiteBackend):
    """A copy in a temporary folder, which needs no copy of its own before it is upgraded."""

    def copy_before_upgrade(self, connection: Connection, revision: str) -> Path | None:
        return None

    def check_recording(self) -> None:
        """The folder may lie anywhere: nobody else uses the file."""


def _parameter(value: Any) -> Any:
    """Times as they are stored, and numbers as the driver takes them: 64-bit integers and floats."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return f"{utc(value):%Y-%m-%d %H:%M:%S.%f}"
    number = plain_number(value)
    return float(number) if type(number) is int and not INT64_MIN <= number <= INT64_MAX else number


def _any_text(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


def _close_before_fork() -> None:
    for backend in list(_backends):
        backend.close_idle_connections()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_close_before_fork)
