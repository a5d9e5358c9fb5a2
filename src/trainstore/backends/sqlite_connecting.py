"""Connecting to SQLite: whether the file is there, the driver's connection, its settings, WAL."""

from __future__ import annotations

import logging
import sqlite3
import time
from pathlib import Path

from sqlalchemy import Connection

from trainstore.backends import health
from trainstore.backends.sqlite_errors import OutOfReachError

READER_TIMEOUT = 5.0  # seconds that a query waits for a lock
WRITER_TIMEOUT = 1.0  # the delivery thread retries by itself
MIGRATION_TIMEOUT = 60.0

logger = logging.getLogger("trainstore")


def is_there(path: Path, *, read_only: bool, was_there: bool) -> bool:
    """Whether the file exists; False: it may be created. Raises `OutOfReachError` if it cannot be used, or is missed.

    Args:
        path: The file.
        read_only: It must not be created.
        was_there: It was opened before.
    """
    try:
        is_folder, exists = path.is_dir(), path.exists()
        has_folder = exists or path.parent.is_dir()
    except OSError as error:
        raise OutOfReachError(f"{path} is out of reach: {error.strerror}") from None
    if is_folder:
        raise OutOfReachError(f"{path} is a folder")
    if not has_folder:
        raise OutOfReachError(f"there is no folder {path.parent}")
    if not exists and read_only:
        raise OutOfReachError(f"there is no file {path}")
    if not exists and was_there:
        raise OutOfReachError(f"{path} was deleted")  # creating it again silently would hide the loss
    return exists


def warn_of_network(path: Path) -> None:
    """Warn if the file is on a network file system."""
    kind = health.network_file_system(path.parent)
    if kind is not None:
        logger.warning(
            "%s is on a network file system (%s): nothing can be recorded there, and what another machine writes "
            "may be read wrongly; copy the file to a local disk",
            path,
            kind,
        )


def open_to_write(target: Path | str, timeout: float) -> sqlite3.Connection:
    """A driver connection to a file (a path), which is created if it is missing, or to a database in memory (a URI)."""
    return sqlite3.connect(
        str(target),
        uri=isinstance(target, str),
        timeout=timeout,
        isolation_level=None,  # the driver begins no transactions itself
        check_same_thread=False,
    )


def configure(connection: sqlite3.Connection) -> None:
    """The settings of every connection. PRAGMAs must run outside a transaction; each holds for this connection only."""
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")


def use_wal(connection: sqlite3.Connection) -> None:
    """Set the journal mode. It is written into the file, so only writers call this: a file that is not ours stays."""
    if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
        return
    # Changing the mode needs the file to itself for a moment; SQLite's busy handler is not asked there.
    deadline = time.monotonic() + READER_TIMEOUT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "readonly" in str(error) or time.monotonic() > deadline:
                return
            time.sleep(0.01)


def begin_with(statement: str, connection: Connection) -> None:
    """Begin a transaction, unless the connection stands alone: then SQLite begins and commits by itself."""
    if not getattr(connection, "alone", False):
        connection.exec_driver_sql(statement)
