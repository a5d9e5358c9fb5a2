"""SQLite files of others, read without a byte written in them or beside them, whoever writes them meanwhile.

A file that nobody has written for a minute is read where it is, as ``immutable``; `check_unchanged` tells whether that
was right. All others are copied into a temporary folder as of one moment (`sqlite_moment`) and read there. What is in
the file is not trusted: its schema calls no functions, its queries end, its values have a limit.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, NullPool, create_engine

from trainstore.backends.base import json_options
from trainstore.backends.health import network_file_system
from trainstore.backends.sqlite_moment import SQLiteFile, State, opened, plain
from trainstore.errors import SourceError

DEADLINE = 600.0  # seconds that SQLite may work on one query
QUIET = 60.0  # seconds without a write, until a file is read where it is
LARGE = 1 << 30  # bytes; a larger file is read where it is if everything is in it
MAX_VALUE = 64 << 20  # bytes of one text or blob
_STEPS_BETWEEN = 50_000  # of SQLite's virtual machine: a millisecond or so


@contextmanager
def open_source(path: Path, *, deadline: float = DEADLINE, lenient: bool = True) -> Iterator[Connection]:
    """Open an SQLite file to read it as of one moment. Nothing is written in it or beside it.

    At the end it is checked that a file that was read where it is did not change meanwhile; a reader that must know
    before, because it commits something, calls `check_unchanged`.

    Args:
        path: The file.
        deadline: Seconds that SQLite may work on one query; what its reader does between two rows does not count.
        lenient: Text that is not UTF-8 is read with � in it. False: it is an error, and reading is a little faster.

    Raises:
        SourceError: It is not there, not readable, not an SQLite database, damaged, or was changed meanwhile; also
            raised by a query.
    """
    with opened(path) as file:
        state = file.state()
        if _may_be_read_in_place(file, state):
            uri = f"file:{quote(os.fsencode(file.path))}?mode=ro&immutable=1"
            with _connected(path, uri, deadline, lenient) as connection:
                connection.info["unchanged"] = (file, state)
                check_unchanged(connection)  # nobody wrote while it was opened
                yield connection
                check_unchanged(connection)
            return
        with tempfile.TemporaryDirectory(prefix="trainstore-source-") as folder:
            copy = file.copy_into(Path(folder))
            with _connected(path, f"file:{quote(os.fsencode(copy))}?mode=rw", deadline, lenient) as connection:
                yield connection


def copy_source(path: Path, folder: Path) -> Path:
    """Copy an SQLite file as of one moment, with what is in its ``-wal``; the copy's path. Raises `SourceError`."""
    with opened(path) as file:
        return file.copy_into(folder)


def check_unchanged(connection: Connection) -> None:
    """Raise `SourceError` if the file under a connection of `open_source` was written after it was opened.

    Then what was read since may fit together badly. A copy never changes.
    """
    file, state = connection.info.get("unchanged", (None, None))
    if file is not None and file.state() != state:
        raise SourceError(f"{plain(file.path)} was written while it was read; run it again")


def tables(connection: Connection) -> list[str]:
    """The names of the real tables of an SQLite source, sorted: no views and no virtual tables, which run code."""
    found = connection.exec_driver_sql("SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0")
    return sorted(str(name) for (name,) in found if not str(name).startswith("sqlite_"))


def _may_be_read_in_place(file: SQLiteFile, state: State) -> bool:
    if not state.is_settled:
        return False
    if file.size > LARGE:
        return True
    return file.seconds_since_written > QUIET and network_file_system(file.path.parent) is None


@contextmanager
def _connected(path: Path, uri: str, deadline: float, lenient: bool) -> Iterator[Connection]:
    """A connection to a file that is there, whose errors are `SourceError`."""
    clock = _Clock(path, deadline)

    def connect() -> sqlite3.Connection:
        with clock.running():
            driver = sqlite3.connect(
                uri, uri=True, isolation_level=None, check_same_thread=False, factory=_factory(clock)
            )
            driver.set_progress_handler(clock.is_over, _STEPS_BETWEEN)
            driver.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE)
            if lenient:
                driver.text_factory = _text
            for setting in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
                sqlite3.Connection.execute(driver, f"PRAGMA {setting}")
            # Reading the schema makes a copy whole: a journal is rolled back, -wal is looked through.
            sqlite3.Connection.execute(driver, "SELECT count(*) FROM sqlite_schema").fetchone()
            sqlite3.Connection.execute(driver, "PRAGMA query_only = ON")
        return driver

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool, hide_parameters=True, **json_options())
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


class _Clock:
    """The time that SQLite works on a query, and what its errors are called."""

    def __init__(self, path: Path, deadline: float) -> None:
        self.path = path
        self.deadline = deadline
        self._began = 0.0
        self._spent = 0.0

    def restart(self) -> None:
        """A new query begins."""
        self._spent = 0.0

    def is_over(self) -> bool:
        """Asked by SQLite, a few hundred times a second while it works."""
        return self._spent + time.monotonic() - self._began > self.deadline

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time of the block; SQLite's errors in it become ours."""
        self._began = time.monotonic()
        try:
            yield
        except sqlite3.Error as error:
            raise self._translated(error) from None
        except UnicodeDecodeError:  # of SQLite's own message, which cites the schema
            raise SourceError(f"{plain(self.path)} is damaged: its schema is no text") from None
        finally:
            self._spent += time.monotonic() - self._began

    def _translated(self, error: sqlite3.Error) -> SourceError:
        path, code = plain(self.path), getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_INTERRUPT:
            return SourceError(f"{path}: a query was given up after {self.deadline:g} s; the file may be damaged")
        if code == sqlite3.SQLITE_NOTADB:
            return SourceError(f"{path} is not an SQLite database, or it is encrypted")
        if code == sqlite3.SQLITE_CORRUPT:
            return SourceError(f"{path} is damaged ({error}); try sqlite3's .recover, and read what that writes")
        if code == sqlite3.SQLITE_TOOBIG:
            return SourceError(f"{path} holds a value of more than {MAX_VALUE >> 20} MiB")
        return SourceError(f"{path} cannot be read: {error}")


def _factory(clock: _Clock) -> type[sqlite3.Connection]:
    """A connection whose cursors run the clock."""

    class TimedCursor(sqlite3.Cursor):
        def execute(self, *arguments: Any) -> TimedCursor:
            clock.restart()
            with clock.running():
                super().execute(*arguments)
            return self

        def fetchone(self) -> Any:
            with clock.running():
                return super().fetchone()

        def fetchmany(self, size: int | None = None) -> list[Any]:
            with clock.running():
                return super().fetchmany(self.arraysize if size is None else size)

        def fetchall(self) -> list[Any]:
            with clock.running():
                return super().fetchall()

        def __next__(self) -> Any:
            with clock.running():
                return super().__next__()

    class TimedConnection(sqlite3.Connection):
        def cursor(self, factory: Any = None) -> Any:
            return super().cursor(TimedCursor)

        def execute(self, *arguments: Any) -> Any:
            return self.cursor().execute(*arguments)

    return TimedConnection
