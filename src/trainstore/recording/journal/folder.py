"""A journal's folder as others see it: meta.json, the lock, and whether its owner is alive.

The lock is `fcntl.lockf` and not ``flock``, which orphaned children would keep. It does not see locks of its own
process, and loses them when any descriptor of the file is closed: so the journals that this process holds are
remembered here, and asked about before a lock file is ever opened.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import orjson

from trainstore.recording.journal import disk
from trainstore.recording.journal.frames import frames
from trainstore.recording.journal.reserve import RESERVE

logger = logging.getLogger("trainstore")

META = "meta.json"
CHECK = "crc32"  # of the other entries as they were written
LOCK = "lock"
ASIDE = ".aside"  # the ending of a folder whose run was deleted

_live: set[str] = set()  # uids of the journals that this process holds
_finished: set[str] = set()  # those of them that take no more records, and only wait to be delivered
_live_guard = threading.Lock()


@cache
def boot_id() -> str | None:
    """What tells one boot of this machine from another, if the system has such an id."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def hostname() -> str:
    """The name of this machine, as journals and writers carry it."""
    return socket.gethostname()


def hold(uid: str) -> None:
    """From now on this process holds the journal."""
    with _live_guard:
        _live.add(uid)


def mark_finished(uid: str) -> None:
    """This process holds the journal, but records no more into it."""
    with _live_guard:
        _finished.add(uid)


def forget(uid: str) -> None:
    """This process does not hold the journal any more."""
    with _live_guard:
        _live.discard(uid)
        _finished.discard(uid)


def forget_all_in_child() -> None:
    """After a fork: this process holds none of its parent's journals."""
    global _live_guard
    _live_guard = threading.Lock()
    _live.clear()
    _finished.clear()


class FoundJournal:
    """A journal folder whose owner is gone, held by this process while it is read. Made by `claim`."""

    def __init__(self, folder: Path, lock: int, meta: dict[str, Any]) -> None:
        self.folder = folder
        self.uid = folder.name
        self.meta = meta
        self._lock = lock

    def read(self, after: int) -> Iterator[tuple[int, bytes]]:
        """Every valid record after a sequence number, in order."""
        # An empty one may be left from an append that Ctrl-C ended: its name says nothing about those before it.
        segments = sorted(path for path in self.folder.glob("*.seg") if path.stat().st_size)
        for index, path in enumerate(segments):
            if index + 1 < len(segments) and int(segments[index + 1].stem) <= after + 1:
                continue
            for _, sequence, payload in frames(path.read_bytes()):
                if sequence > after:
                    after = sequence
                    yield sequence, payload

    def update_meta(self, **changes: Any) -> None:
        """Change entries of ``meta.json``, if the disk has room for them: the records matter more."""
        self.meta.update(changes)
        try:
            write_meta(self.folder, self.meta)
        except OSError:
            with suppress(OSError):
                os.truncate(self.folder / RESERVE, 0)  # its owner is gone, and needs no reserve
                write_meta(self.folder, self.meta)

    def remove(self) -> None:
        """Delete the folder: everything in it is stored."""
        delete_folder(self.folder)
        self.release()

    def set_aside(self) -> Path:
        """Keep the records where recovery does not look."""
        target = self.folder.with_name(self.folder.name + ASIDE)
        self.folder.rename(target)
        self.release()
        return target

    def release(self) -> None:
        """Give the lock back."""
        with suppress(OSError):
            os.close(self._lock)
        forget(self.uid)


def journal_folders(root: Path) -> list[Path]:
    """The journals in a folder, sorted by name, without those set aside."""
    try:
        # isfile() is False for another user's, into which this one may not look.
        return sorted(path for path in root.iterdir() if path.suffix != ASIDE and os.path.isfile(path / META))
    except FileNotFoundError:
        return []
    except OSError as error:
        logger.warning("%s cannot be searched for journals (%s)", root, error.strerror or error)
        return []


def read_meta(folder: Path) -> dict[str, Any] | None:
    """The entries of a journal's ``meta.json``, or None if it cannot be read."""
    try:
        meta = orjson.loads((folder / META).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    if not isinstance(meta, dict) or meta.pop(CHECK, None) not in (None, _check(meta)):
        return None
    return meta


def _check(meta: dict[str, Any]) -> int:
    return crc32(orjson.dumps(meta))


def write_meta(folder: Path, meta: dict[str, Any], *, sync: bool = True) -> None:
    """Replace ``meta.json`` as a whole."""
    disk.write_file(
        folder / f"{META}{disk.PARTIAL}", orjson.dumps({**meta, CHECK: _check(meta)}), folder / META, sync=sync
    )


def last_record(folder: Path, meta: dict[str, Any]) -> int:
    """The number of a journal's last record; the first ones stand in its ``meta.json``, too. Reads one segment only."""
    numbers = [len(meta.get("opening") or ())]
    with suppress(OSError, ValueError):  # it is being delivered, and removed
        segments = sorted(path for path in folder.glob("*.seg") if path.stat().st_size)
        for path in segments[-1:]:
            numbers += [int(path.stem) - 1, *(sequence for _, sequence, _ in frames(path.read_bytes()))]
    return max(numbers)


def is_live(folder: Path) -> bool:
    """Whether a live process on this host still records into this journal."""
    with _live_guard:
        if folder.name in _finished:
            return False
    try:
        claimed = claim(folder)
    except OSError:  # nobody can tell
        return True
    if claimed is None:
        return True
    claimed.release()
    return False


def claim(folder: Path) -> FoundJournal | None:
    """Take the lock of a journal whose owner is gone; None if it is alive, or may be.

    Raises `OSError` if this user may not write to it, or nobody may.
    """
    with _live_guard:
        # Asked before the lock file is opened: closing it again would free our own writer's lock.
        if folder.name in _live:
            return None
        _live.add(folder.name)
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        forget(folder.name)
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        return None
    try:
        disk.take_lock(lock)
        meta = read_meta(folder)  # read under the lock: another process may just have removed the folder
    except OSError:
        meta = None
    if meta is None:
        os.close(lock)
        forget(folder.name)
        return None
    return FoundJournal(folder, lock, meta)


def delete_folder(folder: Path) -> None:
    """Delete a journal, and the folder above if that is then empty. The caller holds the lock.

    The segments go first: what a crash in between leaves is a journal with nothing left to store.
    """
    try:
        names = os.listdir(folder)
    except OSError:
        names = []
    for name in (
        *(name for name in names if name.endswith(".seg")),
        *(name for name in names if name.endswith(disk.PARTIAL)),
        *(RESERVE, META, LOCK),
    ):
        with suppress(OSError):
            os.unlink(folder / name)
    with suppress(OSError):
        folder.rmdir()
        folder.parent.rmdir()
