"""What SQLite's errors mean, by their result codes."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from trainstore.backends.base import too_many_values
from trainstore.errors import InvalidArgumentError, NotADatabaseError, StoreUnavailableError, TrainStoreError

_UNAVAILABLE = (
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOLFS,
)


class OutOfReachError(sqlite3.OperationalError):
    """The file or its folder is missing or cannot be read: found before the driver is asked to open it.

    An error of the driver's class, so that SQLAlchemy treats it as one; `translated_error` makes it ours.
    """


def primary_code(error: SQLAlchemyError) -> int | None:
    """SQLite's result code of an error, without its details; None if it is another's."""
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF


def translated_error(error: sqlite3.DatabaseError, path: Path | None) -> TrainStoreError | None:
    """Our error for one of SQLite's, or None if we have none for it.

    Args:
        error: The driver's error.
        path: The file; None for a database in memory.
    """
    if isinstance(error, OutOfReachError):
        return StoreUnavailableError(f"{path} cannot be used: {error}")
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if code is not None else None
    if primary == sqlite3.SQLITE_NOTADB:
        return NotADatabaseError(f"{path} is not an SQLite database; it was not changed. Name another file")
    if primary == sqlite3.SQLITE_CORRUPT:
        return NotADatabaseError(f"{path} is damaged ({error}); restore a copy, or recover it with sqlite3's .recover")
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreUnavailableError(f"{path or 'the database in memory'} is locked by another connection")
    if "Error binding parameter" in str(error):
        return InvalidArgumentError(f"a value in this query cannot be used: {str(error).partition(': ')[2]}")
    if "too many SQL variables" in str(error):
        return InvalidArgumentError(too_many_values("SQLite"))
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN) and _lies_in_a_closed_folder(path):
        return StoreUnavailableError(
            f"{path} cannot be used: SQLite keeps files beside it, even to read it, and you may not write "
            "into its folder; copy the file to one where you may (a copy by trainstore backup can be read there)"
        )
    if primary in _UNAVAILABLE:
        return StoreUnavailableError(f"{path or 'the database in memory'} cannot be used: {error}")
    return None


def _lies_in_a_closed_folder(path: Path | None) -> bool:
    """Whether the file can be read, but nothing can be written beside it."""
    return path is not None and os.access(path, os.R_OK) and not os.access(path.parent, os.W_OK)
