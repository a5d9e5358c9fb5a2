"""What ``trainstore doctor`` reports about SQLite: its version, the file and its folder, the data in it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, func, select

from trainstore.backends.health import Finding, check_file_rights, check_place, size_text
from trainstore.backends.sqlite_wal import inspect_names, inspect_originals
from trainstore.models import Models
from trainstore.values import plain_text


def inspect_place(path: Path | None) -> Iterator[Finding]:
    """SQLite's version, the file and its folder."""
    version = sqlite3.sqlite_version
    if has_wal_reset_bug(sqlite3.sqlite_version_info):
        yield Finding(
            "warning",
            "sqlite",
            f"SQLite {version} has the WAL-reset bug: in rare cases, two processes that write at the same moment "
            "damage the file",
            "use a Python with SQLite 3.51.3 or newer (3.50.7 and 3.44.6 have the fix too), or PostgreSQL; keep "
            "backups of the file",
        )
    else:
        yield Finding("ok", "sqlite", f"SQLite {version}")
    if path is None:
        return
    yield from check_place("file", path.parent, "use PostgreSQL, or a folder on a local disk")
    if os.path.isfile(path):
        yield from check_file_rights("file", path)
        yield from inspect_names(path)


def inspect_size(path: Path | None) -> Iterator[Finding]:
    """The size of the file, and of what is not in it yet."""
    if path is None:
        return
    sizes = {ending: os.path.getsize(f"{path}{ending}") for ending in ("", "-wal") if os.path.exists(f"{path}{ending}")}
    waiting = f", and {size_text(sizes['-wal'])} in its -wal" if sizes.get("-wal") else ""
    yield Finding("ok", "size", f"{size_text(sizes.get('', 0))}{waiting}")


def inspect_database(path: Path | None, connection: Connection, models: Models) -> Iterator[Finding]:
    """The journal mode, the file's integrity, the foreign keys."""
    mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
    if mode == "wal" or path is None:
        yield Finding("ok", "file", f"journal mode {mode}")
    elif mode == "delete":
        yield Finding("ok", "file", "journal mode delete, as a backup has it; recording sets WAL")
    else:
        yield Finding(
            "warning",
            "file",
            f"journal mode {mode}: readers and writers wait for each other",
            "record a run, which sets WAL, or move the file to a local disk",
        )
    if path is not None:
        uid = connection.execute(select(models.store.c.uid)).scalar_one()
        runs = connection.execute(select(func.count()).select_from(models.run)).scalar_one()
        yield from inspect_originals(path, models.run.name, uid, runs)
    damage = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check(10)")]
    if damage == ["ok"]:
        yield Finding("ok", "integrity", "the file is whole")
    else:
        yield Finding(
            "problem",
            "integrity",
            f"the file is damaged: {plain_text('; '.join(damage), 500)}",
            "restore a copy, or recover it with sqlite3's .recover",
        )
    lost = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(1_000)
    ours = [row for row in lost if row[0] in models.table_names]
    if ours:
        yield Finding(
            "problem",
            "foreign keys",
            f"{len(ours)} rows refer to rows that do not exist, the first in table {ours[0][0]!r}",
            "another program deleted rows without foreign keys; restore a copy, or delete these rows",
        )
    else:
        yield Finding("ok", "foreign keys", "every row refers to one that exists")


def has_wal_reset_bug(version: tuple[int, ...]) -> bool:
    """Whether this SQLite has the bug fixed in 3.51.3, 3.50.7 and 3.44.6 (sqlite.org/wal.html)."""
    repaired = version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)
    return version >= (3, 7, 0) and not repaired
