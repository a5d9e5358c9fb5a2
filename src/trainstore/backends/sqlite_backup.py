"""Copies an SQLite database, as of one moment, into a file that is whole or does not exist."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path


def copy_database(source: sqlite3.Connection, target: Path, mode: int) -> None:
    """Copy by SQLite's own backup, which reads what other connections may read.

    Args:
        source: A connection outside a transaction.
        target: Must not exist, else `FileExistsError`.
        mode: Permissions of the new file: those of the original.
    """
    partial = target.with_name(target.name + ".partial")
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    copy = sqlite3.connect(partial)
    try:
        partial.chmod(mode)
        source.backup(copy)
        # Without -wal it is one file, readable even if nothing can be written beside it. A writer sets WAL again.
        copy.execute("PRAGMA journal_mode = DELETE")
        copy.close()
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        _put_in_place(partial, target)
    except BaseException:
        copy.close()
        with suppress(OSError):
            partial.unlink()
        raise


def _put_in_place(partial: Path, target: Path) -> None:
    """Give the file its final name, which must be free, else `FileExistsError`."""
    try:
        os.link(partial, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        partial.rename(target)
    else:
        partial.unlink()
