"""``-wal``, the newest pages, which SQLite keeps beside a file, and what a file without it lacks."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from struct import unpack_from

from trainstore.backends.health import Finding
from trainstore.backends.sqlite_files import is_same_file, open_to_read

WAL, INDEX = "-wal", "-shm"  # at the end of the names
_HEADER = 32  # bytes of -wal, before the first frame
_FRAME_HEADER = 24
_INDEX_HEADER = 136
# Descriptors of index files. Closing one would free the locks that SQLite holds on the file in this process.
_kept_open: list[int] = []


def waiting_pages(path: Path) -> int:
    """The pages that are only in ``-wal``; a copy of the file alone would lack them."""
    try:
        wal = path.with_name(path.name + WAL)
        size = wal.stat().st_size
        with wal.open("rb") as file:
            header = file.read(_HEADER)
    except OSError:
        return 0
    if size <= _HEADER or len(header) < _HEADER:
        return 0
    index = _index(path)
    if index is not None:
        last, moved = int(unpack_from("=I", index, 16)[0]), int(unpack_from("=I", index, 96)[0])
        return max(0, last - moved)
    page_size = int(unpack_from(">I", header, 8)[0])
    return (size - _HEADER) // (_FRAME_HEADER + page_size)


def _index(path: Path) -> bytes | None:
    """The beginning of ``-shm`` (sqlite.org/walformat.html), or None if it says nothing."""
    try:
        descriptor = os.open(path.with_name(path.name + INDEX), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    _kept_open.append(descriptor)
    index = os.pread(descriptor, _INDEX_HEADER, 0)
    return index if len(index) == _INDEX_HEADER and index[12] else None


def inspect_names(path: Path) -> Iterator[Finding]:
    """Whether the file has other names, each with a ``-wal`` of its own; whether a ``-wal`` here has lost its file."""
    if path.stat().st_nlink > 1:
        yield Finding(
            "warning",
            "file",
            f"{path} has {path.stat().st_nlink} names (hard links), each with its own {WAL}: opened "
            "by two of them at once the file is damaged",
            "keep one name; others may be symbolic links",
        )
    pages = waiting_pages(path)
    if pages:
        yield Finding(
            "ok",
            "file",
            f"{pages:,} pages are in {path.name}{WAL} only, as something is being recorded or a reader's "
            f"transaction holds them up: a copy of {path.name} alone lacks them",
            "copy with: trainstore backup FILE",
        )
    for wal in sorted(path.parent.glob(f"*{WAL}")):
        database = wal.with_name(wal.name.removesuffix(WAL))
        if not database.exists() and wal.stat().st_size > _HEADER:
            yield Finding(
                "warning",
                "file",
                f"{wal.name} is here without {database.name}: if {path.name} had that name, or was "
                "copied from it, it lacks its newest records, which are there",
                f"copy both into an empty folder, as {database.name} and {wal.name}, and look at them there",
            )


def inspect_originals(path: Path, table: str, uid: str, runs: int) -> Iterator[Finding]:
    """Whether the file was copied without the ``-wal`` of its original, which lies beside it.

    Args:
        path: The file.
        table: The name of its table ``run``.
        uid: The store's; a copy has the same.
        runs: How many it has.
    """
    for wal in sorted(path.parent.glob(f"*{WAL}")):
        original = wal.with_name(wal.name.removesuffix(WAL))
        if is_same_file(original, path) or not waiting_pages(original):
            continue
        with suppress(sqlite3.Error), closing(open_to_read(original, 1.0)) as connection:
            (found,) = connection.execute(f'SELECT uid FROM "{table.removesuffix("run")}store"').fetchone()
            (more,) = connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()
            if found == uid and more > runs:
                yield Finding(
                    "warning",
                    "file",
                    f"this is a copy of {original.name}, which has {more - runs} runs more; they are in {wal.name}",
                    f"make the copy with: trainstore backup FILE --store {original}",
                )
