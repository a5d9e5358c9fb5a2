"""An SQLite file as the file system has it: its names, its URL, what lies beside it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from trainstore.backends.urls import safe_url
from trainstore.errors import StoreURLError

JOURNAL = ".journal"  # at the end of the name of the folder beside a file


def journal_folder(path: Path) -> Path:
    """``<file>.journal`` beside a file."""
    return path.with_name(path.name + JOURNAL)


def path_of(identity: str) -> Path:
    """The path in `SQLiteBackend.identity`."""
    return Path(unquoted_path(identity.removeprefix("sqlite:///")))


def is_same_file(one: Path, other: Path) -> bool:
    """Whether both paths lead to one file, by links or by capitals that the file system takes for small letters."""
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return False


def open_to_read(path: Path, timeout: float) -> sqlite3.Connection:
    """A driver connection that can neither write nor create the file.

    Not ``mode=ro``: that leaves ``-wal`` and ``-shm`` behind, since only a connection that may write can remove them.
    """
    connection = sqlite3.connect(
        f"file:{quote(os.fsencode(path))}?mode=rw",
        uri=True,
        timeout=timeout,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("PRAGMA query_only = ON")
    return connection


def absolute_path(database: str) -> Path:
    """The path, made absolute. Raises `StoreURLError` if the current folder was deleted."""
    try:
        return Path(os.path.abspath(database))
    except OSError:
        raise StoreURLError(
            f"{database!r} is relative, and the current folder was deleted: pass an absolute path"
        ) from None


def checked_path(path: str) -> str:
    """The path. Raises `StoreURLError` if SQLite cannot use it as one."""
    if "\x00" in path:
        raise StoreURLError(f"{path!r} is not a path: it contains a NUL character")
    if path.startswith("file:"):
        raise StoreURLError(
            f"{path!r} is an SQLite URI, which trainstore does not accept: pass the path, and read_only=True "
            f"for mode=ro (a file of this name: './{path}')"
        )
    return path


def quoted_path(path: str) -> str:
    """A path as part of a URL: readable, and quoted where characters would mean something else."""
    return "".join(c if c.isprintable() and c not in "%?#" else quote(os.fsencode(c), safe="") for c in path)


def unquoted_path(text: str) -> str:
    """The path in a URL, by its bytes, as a file name need not be UTF-8."""
    return os.fsdecode(unquote_to_bytes(text.encode("utf-8", "surrogateescape")))


def option_refused(text: str, query: str) -> str:
    """The message about an option after the ``?`` of a URL."""
    name, _, value = query.partition("&")[0].partition("=")
    remedy = "leave it out; a question mark in a path is written %3F"
    if (name, value) in (("mode", "ro"), ("immutable", "1")) or name == "read_only":
        remedy = "pass read_only=True to TrainStore"
    elif name == "uri":
        remedy = "pass the plain path"
    return f"{safe_url(text)!r} has the option {name!r}, which trainstore does not know: {remedy}"


def file_identity(path: Path) -> tuple[int, int] | None:
    """Tells a file from another one at the same path; None if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
