"""An SQLite file as of one moment, without a lock and without a byte written in it or beside it.

SQLite itself writes beside the files that it reads (``-shm``, ``-wal``, the rollback of a ``-journal``), and its locks
make others wait. So a file that somebody may be writing is copied, with what lies beside it, and the copy counts if
nothing happened meanwhile that it could have seen half of:

- ``-wal``: frames that are added do no harm, and neither does a checkpoint, as the frames that it moves are in the copy
  of ``-wal``, which is made last. A ``-wal`` that begins anew has another header.
- a hot ``-journal``: every page that its transaction changes is in it before, so the copy is rolled back. The next
  transaction's has another header.
- neither: the file has the same size, time and change counter before and after.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from trainstore.errors import SourceError
from trainstore.values import plain_text

WAL, JOURNAL = "-wal", "-journal"  # at the end of the names
TRIES = 8  # before a lock is taken
LOCKABLE = 1 << 30  # bytes that are copied fast enough to keep writers waiting meanwhile
SPARE = 64 << 20  # bytes of room that a copy leaves
_HEADER = 100  # bytes of the file
_WAL_HEADER = 32
_JOURNAL_HEADER = 28
_HOT = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"  # a journal begins with it once its pages are safely on disk
_COPY_STEP = 8 << 20  # bytes
# SQLite makes regular files beside its own. A pipe would keep us waiting, a link may lead out of what is to be read.
_BESIDE = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
# Descriptors of files that SQLite has open in this process, too. Closing one would free SQLite's locks on the file.
_kept_open: list[int] = []


@dataclass(frozen=True)
class State:
    """What tells whether a file was written between two looks at it."""

    file: tuple[int, int]  # device and inode
    content: tuple[int, int, bytes]  # size, time, the header with its change counter
    wal: tuple[int, bytes] | None  # inode, header; None if there is none with frames
    journal: tuple[int, bytes] | None  # inode, header without the count of its pages; None if there is no hot one

    @property
    def is_settled(self) -> bool:
        """Whether the file alone holds everything."""
        return self.wal is None and self.journal is None

    def allows(self, after: State) -> bool:
        """Whether a copy made between this look and the one after is of one moment."""
        if (self.file, self.wal, self.journal) != (after.file, after.wal, after.journal):
            return False
        return not self.is_settled or self.content == after.content


class SQLiteFile:
    """A file that is looked at and copied; opened by `opened`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        self.status = os.fstat(descriptor)

    @property
    def size(self) -> int:
        """In bytes."""
        return self.status.st_size

    @property
    def seconds_since_written(self) -> float:
        """By this machine's clock; negative if it was written in the future."""
        return time.time() - self.status.st_mtime

    def beside(self, ending: str) -> Path:
        """The path of what SQLite keeps beside it."""
        return self.path.with_name(self.path.name + ending)

    def state(self) -> State:
        """Look at it. Raises `SourceError` if it is not there any more."""
        try:
            there, held = self.path.stat(), os.fstat(self.descriptor)
            header = os.pread(self.descriptor, _HEADER, 0)
            wal = _beginning(self.beside(WAL), _WAL_HEADER)
            journal = _beginning(self.beside(JOURNAL), _JOURNAL_HEADER)
        except OSError as error:
            raise unreadable(self.path, error) from None
        if (there.st_dev, there.st_ino) != (held.st_dev, held.st_ino):
            raise SourceError(f"{plain(self.path)} was replaced while it was read; try again")
        hot = journal is not None and journal[1].startswith(_HOT)
        return State(
            (held.st_dev, held.st_ino),
            (held.st_size, held.st_mtime_ns, header),
            wal[:2] if wal is not None and wal[2] > _WAL_HEADER else None,
            (journal[0], journal[1][12:]) if journal is not None and hot else None,
        )

    def copy_into(self, folder: Path) -> Path:
        """Copy it, and what belongs to it, as of one moment. Raises `SourceError`."""
        target = folder / "source.db"
        if not self._has_room_in(folder):
            raise SourceError(
                f"{plain(self.path)} must be copied to be read, and there is too little room in "
                f"{plain(folder.parent)}; name another folder by TMPDIR, or close the program that writes the file"
            )
        try:
            if not any(self._is_copied(target, number) for number in range(TRIES)):
                with self._shared_lock():
                    if not self._is_copied(target, 0):
                        # A -wal can only have begun anew if it had been moved into the file before; and under the lock
                        # nobody writes the file, so that it is whole by itself.
                        _forget_beside(target)
            _refuse_several_files(self.path, target.with_name(target.name + JOURNAL))
            return target
        except OSError as error:
            raise SourceError(
                f"{plain(self.path)} cannot be copied into the temporary folder {plain(folder.parent)} to be read "
                f"there: {error.strerror or error}; name another folder by TMPDIR"
            ) from None

    def _has_room_in(self, folder: Path) -> bool:
        """Whether a copy fits there; holes in the file take no room."""
        room = shutil.disk_usage(folder).free - SPARE
        beside = [self.beside(ending) for ending in (WAL, JOURNAL)]
        sizes = [os.stat(path).st_size for path in beside if path.exists()]
        return min(self.size, self.status.st_blocks * 512) + sum(sizes) <= room

    def _is_copied(self, target: Path, failures: int) -> bool:
        """Copy the file, then what is beside it (the order matters), and look whether that was one moment."""
        time.sleep(0.001 * failures)
        before = self.state()
        _forget_beside(target)
        _copy(self.descriptor, target)
        for ending, there in ((WAL, before.wal), (JOURNAL, before.journal)):
            if there is None:
                continue
            try:
                descriptor = os.open(self.beside(ending), _BESIDE)
            except FileNotFoundError:
                return False
            try:
                _copy(descriptor, target.with_name(target.name + ending))
            finally:
                os.close(descriptor)
        return before.allows(self.state())

    @contextmanager
    def _shared_lock(self) -> Iterator[None]:
        """Be a reader for the time of a copy, which writers without a pause could spoil again and again.

        With a -wal they do not wait for a reader, they only cannot begin it anew. SQLite would note its readers in
        -shm; as it is opened here, it only reads that.
        """
        if self.state().wal is None and self.size > LOCKABLE:
            raise self._too_busy()
        uri = f"file:{quote(os.fsencode(self.path))}?mode=ro&readonly_shm=1"
        try:
            with closing(sqlite3.connect(uri, uri=True, timeout=5.0, isolation_level=None)) as connection:
                connection.execute("BEGIN")
                connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
                yield
        except sqlite3.Error:
            raise self._too_busy() from None

    def _too_busy(self) -> SourceError:
        return SourceError(
            f"{plain(self.path)} is being written without a pause, so no state of it could be read; try again, or "
            "copy it with SQLite's .backup, and read the copy"
        )


@contextmanager
def opened(path: Path) -> Iterator[SQLiteFile]:
    """Open a file to look at it and copy it. Raises `SourceError` if it is no SQLite database."""
    try:
        real = Path(os.path.realpath(path, strict=True))
        if not real.is_file():
            raise SourceError(f"{plain(path)} is not a file")
        descriptor = os.open(real, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise unreadable(path, error) from None
    try:
        file = SQLiteFile(real, descriptor)
        beginning = os.pread(descriptor, 16, 0)
        if not beginning:
            raise SourceError(f"{plain(path)} is an empty file")
        if beginning != b"SQLite format 3\x00":
            raise SourceError(f"{plain(path)} is not an SQLite database, or it is encrypted")
        yield file
    finally:
        _let_go(descriptor)


def _forget_beside(target: Path) -> None:
    for ending in (WAL, JOURNAL):
        target.with_name(target.name + ending).unlink(missing_ok=True)


def plain(path: Path) -> str:
    """A path for a message."""
    return plain_text(str(path), 500)


def unreadable(path: Path, error: OSError) -> SourceError:
    """The error for a file that cannot be opened or read."""
    return SourceError(f"{plain(path)} cannot be read: {error.strerror or error}")


def _beginning(path: Path, length: int) -> tuple[int, bytes, int] | None:
    """Inode, first bytes and size of a file that may not be there. SQLite has no locks on these files."""
    try:
        descriptor = os.open(path, _BESIDE)
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(f"{plain(path)} is not a file, as what SQLite writes is")
        return status.st_ino, os.pread(descriptor, length, 0), status.st_size
    finally:
        os.close(descriptor)


def _refuse_several_files(path: Path, journal: Path) -> None:
    """Refuse a transaction over several files: rolling the copy back would delete a file beside the original."""
    if not journal.exists():
        return
    with journal.open("rb") as file:
        file.seek(max(0, journal.stat().st_size - len(_HOT)))
        if file.read() == _HOT:
            raise SourceError(
                f"{plain(path)} was left in the middle of a transaction over several files; open it with the program "
                "that writes it, which repairs it, and try again"
            )


def _copy(source: int, target: Path) -> None:
    """Copy a file without its holes."""
    with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        size = os.fstat(source).st_size
        file.truncate(size)
        for begin, end in _data(source, size):
            file.seek(begin)
            while begin < end and (chunk := os.pread(source, min(_COPY_STEP, end - begin), begin)):
                file.write(chunk)
                begin += len(chunk)


def _data(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """The stretches of a file that are not holes."""
    end = 0
    while end < size:
        try:
            begin = os.lseek(descriptor, end, os.SEEK_DATA)
            end = os.lseek(descriptor, begin, os.SEEK_HOLE)
        except (OSError, AttributeError):  # nothing but a hole, or a system that does not tell
            if end == 0 and os.fstat(descriptor).st_blocks:
                yield 0, size
            return
        yield begin, min(end, size)


def _let_go(descriptor: int) -> None:
    """Close a descriptor, unless this process has the file open elsewhere, perhaps with locks, which would be lost."""
    status = os.fstat(descriptor)
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            numbers = [int(name) for name in os.listdir(folder)]
        except (OSError, ValueError):
            continue
        if not any(number != descriptor and _is_on(number, status) for number in numbers):
            os.close(descriptor)
            return
        break
    _kept_open.append(descriptor)


def _is_on(descriptor: int, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), status)
    except OSError:
        return False
