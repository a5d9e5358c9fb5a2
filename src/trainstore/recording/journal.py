"""The journal: what a training writes, on disk before ``log()`` returns, in memory never more than a batch.

A journal is a folder of one writer (one process that records into one run)::

    <writer uid>/            0700
        meta.json            which store, prefix and run it belongs to; ``seen`` after the first commit
        lock                 held by fcntl.lockf while the writer lives
        reserve              space for the last words of a run whose disk is full
        00000000000000000001.seg   segments of about 4 MiB, named by their first sequence number

A segment is a row of frames: 4 bytes magic (the format's version), the payload's length, its sequence number (1, 2, …
without gaps) and a CRC-32 over length, number and payload, then the payload, a JSON object. Appending is one write(2)
of one frame. A reader takes what is valid: a torn tail is ignored, and after damage in the middle it goes on at the
next valid frame.

A journal has a limit, and a disk an end. Where the database stays away until one of them is reached, the steps of the
oldest segment make room; where a record cannot be written at all, it is the newest that is lost. Either way a ``gap``
record says which steps went, and reaches the database. For that, and for the end of the run, some space was put by,
which no step ever gets.

``fcntl.lockf`` and not ``flock``, which orphaned children would hold on. It does not see locks of its own process and
loses them when any descriptor of the file is closed: so `_live` is asked before a lock file is ever opened.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any
from zlib import crc32

import orjson

from trainstore.errors import JournalError
from trainstore.recording.records import STATUS, STEP, gap_record, skip_record

if sys.platform == "win32":  # pragma: no cover
    import msvcrt
else:
    import fcntl

logger = logging.getLogger("trainstore")

MAGIC = b"TSj1"
_FRAME = struct.Struct("<4sIQI")
_CHECKED = struct.Struct("<IQ")
_pack, _pack_checked = _FRAME.pack, _CHECKED.pack
SEGMENT_BYTES = 4 * 1024 * 1024
LIMIT = 1024 * 1024 * 1024  # bytes of one journal
LOW_SPACE = 256 * 1024 * 1024  # bytes free on the disk, below which a journal that only grows makes room
RESERVE_BYTES = 64 * 1024
RESERVE = "reserve"
BLOCK = 4096  # bytes; less than that frees nothing
LOOK_AGAIN = 0.1  # seconds between two looks whether a full disk has room again
META = "meta.json"
CHECK = "crc32"  # of the other entries as they were written
PARTIAL = ".partial"
LOCK = "lock"
ASIDE = ".aside"

_Sources = list[tuple[Path | int, int]]  # of segments: a path or a descriptor, and the first number
_live: set[str] = set()  # uids of the journals that this process holds
_finished: set[str] = set()  # those of them that take no more records, and only wait to be delivered
_live_guard = threading.Lock()


def frame(sequence: int, payload: bytes) -> bytes:
    """One record as it stands in a segment."""
    length = len(payload)
    return _pack(MAGIC, length, sequence, crc32(payload, crc32(_pack_checked(length, sequence)))) + payload


def frames(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The valid frames in ``data`` as (offset after it, sequence number, payload); damage is skipped."""
    position, last = 0, len(data) - _FRAME.size
    while position <= last:
        magic, length, sequence, crc = _FRAME.unpack_from(data, position)
        if magic == MAGIC:
            begin = position + _FRAME.size
            payload = data[begin : begin + length]
            if len(payload) == length and crc32(payload, crc32(data[position + 4 : position + 16])) == crc:
                position = begin + length
                yield position, sequence, payload
                continue
        position = data.find(MAGIC, position + 1)
        if position < 0:
            return


class Journal:
    """What a recorder needs of a journal. Sequence numbers begin at 1; ``last`` is the highest one appended."""

    def __init__(self, uid: str) -> None:
        self.uid = uid
        self.last = 0
        self._guard = threading.Lock()

    def append(self, payload: bytes) -> int:
        """Keep one record and return its number; it then survives the death of the process. Any thread."""
        raise NotImplementedError

    def read(self, after: int, max_records: int, max_bytes: int) -> list[tuple[int, bytes]]:
        """The records after a sequence number, in order: at least one where there is one."""
        raise NotImplementedError

    def acknowledge(self, sequence: int) -> None:
        """Records up to here are stored in the database: whole segments of them may go."""
        raise NotImplementedError

    def sync(self) -> None:
        """Bring what was appended to the disk. Called by the delivery thread, once a second while dirty."""

    def make_room(self, acked: int, *, low_space: bool) -> None:
        """Drop old steps that are not stored, where the limit is passed; or the disk nearly full, if that counts."""

    def touch(self) -> None:
        """Say to other hosts of a shared folder that the writer lives."""

    def update_meta(self, **changes: Any) -> None:
        """Change entries of ``meta.json``."""

    def finish(self) -> None:
        """Say that nothing more will be appended; what waits is still to be delivered."""

    def close(self) -> None:
        """Stop writing and free the lock; what is not acknowledged stays for recovery."""

    def remove(self, acked: int) -> bool:
        """Close, and delete: records up to ``acked`` are stored. False, and nothing is done, where there are more."""
        raise NotImplementedError

    def set_aside(self) -> Path | None:
        """Close, and keep the records where no recovery looks: their run was deleted."""
        return None

    def forget_in_child(self) -> None:
        """After a fork: leave the journal to the parent."""


@dataclass(slots=True)
class _Segment:
    path: Path
    first: int
    size: int = 0
    has_steps: bool = True


@dataclass(slots=True)
class _Lost:
    """Records that could not be written."""

    records: int = 0
    first_step: int | None = None
    last_step: int | None = None

    def add(self, payload: bytes) -> None:
        step = orjson.loads(payload)["step"] if payload.startswith(STEP) else None
        self.records += 1
        if step is not None:
            self.first_step = step if self.first_step is None else min(self.first_step, step)
            self.last_step = step if self.last_step is None else max(self.last_step, step)

    def gap(self, reason: str, **more: Any) -> bytes:
        return orjson.dumps(gap_record(reason, lost=self.records, steps=[self.first_step, self.last_step], **more))


@cache
def boot_id() -> str | None:
    """What tells one boot of this machine from another, where the system says it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def hostname() -> str:
    """The name of this machine, as journals and writers carry it."""
    return socket.gethostname()


class FileJournal(Journal):
    """A journal in a folder of its own, open for appending by this process."""

    def __init__(self, root: Path, uid: str, meta: dict[str, Any], *, limit: int = LIMIT) -> None:
        super().__init__(uid)
        self.folder = root / uid
        self._limit = limit
        self._segment_bytes = min(SEGMENT_BYTES, max(limit // 8, 1))
        self._lost: _Lost | None = None  # not None: the disk is full
        self._look_again = 0.0
        self._dirty = False
        self._settled = False  # its folder and meta.json are on the disk too, and the reserve is filled
        self._told_deleted = False
        self._descriptor: int | None = None
        self._segments: list[_Segment] = []
        self._cursor: tuple[int, int, int] = (0, 0, 0)  # sequence number read last, its segment's first, offset
        self._meta = {"format": 1, "writer_uid": uid, "host": hostname(), "boot_id": boot_id(), **meta}
        self._meta["created_at"] = time.time()
        try:
            _make_folder(self.folder)
            with _live_guard:
                _live.add(uid)
            self._lock = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            _take_lock(self._lock)
            write_meta(self.folder, self._meta, sync=False)
            self._written_meta = dict(self._meta)
            self._begin_segment()
        except OSError as error:
            _forget(uid)
            raise JournalError(
                f"no journal can be kept in {root} ({error.strerror or error}); "
                "set TRAINSTORE_JOURNAL_DIR to a folder on a local disk that this user may write"
            ) from error

    def append(self, payload: bytes) -> int:
        with self._guard:
            if self._descriptor is None:
                raise JournalError(f"the journal {self.folder} is closed")
            if self._lost is None:
                try:
                    return self._write(payload)
                except OSError:
                    pass
            return self._write_at_need(payload)

    def _write_at_need(self, payload: bytes) -> int:
        """Write where the disk is full, or was a moment ago."""
        # The more is at stake, the more of what was put by may go for it; a step gets nothing.
        floor = RESERVE_BYTES // 4
        if payload.startswith(STEP):
            floor = RESERVE_BYTES
        elif payload.startswith(STATUS):
            floor = 0
        try:
            if self._lost is not None:
                self._tell_lost(floor)
            return self._write_from_reserve(payload, floor)
        except OSError as error:
            self._lose(payload, error)
            raise

    def _write(self, payload: bytes) -> int:
        assert self._descriptor is not None
        sequence = self.last + 1
        data = frame(sequence, payload)
        segment = self._segments[-1]
        size = segment.size
        end = size + len(data)
        try:
            if os.write(self._descriptor, data) != len(data):
                os.ftruncate(self._descriptor, size)
                raise OSError(errno.ENOSPC, "no space for the journal", str(segment.path))
            segment.size, self.last, self._dirty = end, sequence, True
        except BaseException:
            # Ctrl-C may come after the write: then what the file holds is counted, or the next would get its number.
            with suppress(OSError):
                if os.fstat(self._descriptor).st_size == end:
                    segment.size, self.last, self._dirty = end, sequence, True
            raise
        if end >= self._segment_bytes:
            with suppress(OSError):  # this one can go on growing; the next record tries again
                self._begin_segment()
        return sequence

    def _lose(self, payload: bytes, error: OSError) -> None:
        """Remember a record that cannot be written; at the first one say so at once."""
        begins = self._lost is None
        self._lost = self._lost or _Lost()
        self._lost.add(payload)
        if begins:
            self._look_again = time.monotonic() + LOOK_AGAIN
            with suppress(OSError):
                gap = self._lost.gap(f"{error.strerror or error}; more may follow")
                self._write_from_reserve(gap, RESERVE_BYTES // 2)

    def _tell_lost(self, floor: int) -> None:
        """Say what went, if there is room again or this is the end; raise `OSError` where a step must still go, too."""
        assert self._lost is not None
        if floor:
            # Now and then: a step that is lost must not cost more time than one that is kept.
            if self._look_again <= time.monotonic():
                self._look_again = time.monotonic() + LOOK_AGAIN
                with suppress(OSError):
                    self._fill_reserve()
                    if _free_space(self.folder) >= RESERVE_BYTES:
                        self._write(self._lost.gap("could not be written"))
                        self._lost = None
            if self._lost is not None and floor == RESERVE_BYTES:
                raise OSError(errno.ENOSPC, "no space for the journal", str(self.folder))
        else:
            self._write_from_reserve(self._lost.gap("could not be written"), floor)
            self._lost = None

    def _write_from_reserve(self, payload: bytes, floor: int) -> int:
        """Write, and where there is no room make some, as long as more than ``floor`` bytes are put by."""
        while True:
            try:
                return self._write(payload)
            except OSError:
                if not self._shrink_reserve(floor):
                    raise

    def _shrink_reserve(self, floor: int) -> bool:
        """Free half of the space that was put by, not all at once: other programs want it as well."""
        path = self.folder / RESERVE
        try:
            size = path.stat().st_size
            smaller = size // 2 if size // 2 >= BLOCK else 0
            if size == 0 or smaller < floor:
                return False
            os.truncate(path, smaller)
        except OSError:
            return False
        return True

    def _fill_reserve(self) -> None:
        """Put by what was taken; nothing is, where there is no room for all of it."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(self.folder / RESERVE, flags, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            missing = RESERVE_BYTES - size
            if missing > 0 and os.write(descriptor, bytes(missing)) != missing:
                os.ftruncate(descriptor, size)
                raise OSError(errno.ENOSPC, "no space for the journal", str(self.folder))
        finally:
            os.close(descriptor)

    def _begin_segment(self) -> None:
        first = self.last + 1
        path = self.folder / f"{first:020d}.seg"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(path, flags, 0o600)
        try:
            if self._descriptor is not None:
                # Everything before it must be on the disk before the next segment is.
                try:
                    _sync_file(self._descriptor)
                except OSError:
                    _write_anew(self._segments[-1])
                with suppress(OSError):
                    _sync_path(self.folder)
            segments = [*self._segments, _Segment(path, first)]
        except BaseException:
            os.close(descriptor)
            with suppress(OSError):
                path.unlink()
            raise
        # Ctrl-C comes after calls: here is none, so that it finds the journal before this or after it.
        finished, self._descriptor, self._segments = self._descriptor, descriptor, segments
        if finished is not None:
            os.close(finished)

    def read(self, after: int, max_records: int, max_bytes: int) -> list[tuple[int, bytes]]:
        with self._guard:
            segments: _Sources = [(segment.path, segment.first) for segment in self._segments]
            if segments and segments[-1][1] > self.last:
                del segments[-1]
            elif self._descriptor is not None:
                # Not by its name: whoever deletes a live journal must not take what this process still holds.
                segments[-1] = (os.dup(self._descriptor), segments[-1][1])
        try:
            return self._read(segments[:], after, max_records, max_bytes)
        finally:
            if segments and isinstance(segments[-1][0], int):
                os.close(segments[-1][0])

    def _read(self, segments: _Sources, after: int, max_records: int, max_bytes: int) -> list[tuple[int, bytes]]:
        while len(segments) > 1 and segments[1][1] <= after + 1:
            del segments[0]
        # Where the last batch ended, unless the watermark says that it must be read from elsewhere.
        _, cursor_segment, cursor_offset = self._cursor if self._cursor[0] == after else (0, 0, 0)
        result: list[tuple[int, bytes]] = []
        for source, first in segments:
            begin = cursor_offset if first == cursor_segment else 0
            # Where the place is not known, the whole segment: what is looked for may be its last record, of any size.
            data, whole = _read_from(source, begin, -1 if first <= after and not begin else max_bytes)
            for end, sequence, payload in frames(data):
                if sequence > after:
                    result.append((sequence, payload))
                    self._cursor = (sequence, first, begin + end)
                    if len(result) >= max_records:
                        return result
            max_bytes -= len(data)
            if max_bytes <= 0 or not whole:
                break
        return result

    def acknowledge(self, sequence: int) -> None:
        with self._guard:
            while len(self._segments) > 1 and self._segments[1].first <= sequence + 1:
                with suppress(OSError):
                    self._segments[0].path.unlink()
                del self._segments[0]

    def sync(self) -> None:
        if not self._settled:
            self._settle()
        with self._guard:
            if not self._dirty or self._descriptor is None:
                return
            self._dirty = False
            descriptor = os.dup(self._descriptor)
        try:
            self._warn_of_deletion(descriptor)
            _sync_file(descriptor)  # not under the guard: log() must never wait for the disk
        except OSError:
            with self._guard:
                self._dirty = True
                if self._descriptor is not None:
                    _write_anew(self._segments[-1])
                    renewed = os.open(self._segments[-1].path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
                    os.close(self._descriptor)
                    self._descriptor = renewed
        finally:
            os.close(descriptor)

    def _settle(self) -> None:
        """Fill the reserve, and bring folder and meta.json to the disk: what a run that ends at once never needs."""
        with self._guard:
            if self._descriptor is None:
                return
            with suppress(OSError):
                self._fill_reserve()
        try:
            _sync_path(self.folder / META)
        except OSError:
            self._written_meta = {}
            self.update_meta()
        with suppress(OSError):
            _sync_path(self.folder)
        self._settled = True

    def _warn_of_deletion(self, descriptor: int) -> None:
        if not self._told_deleted and os.fstat(descriptor).st_nlink == 0:
            self._told_deleted = True
            logger.warning(
                "the journal %s was deleted; while this process lives its records still go into the database",
                self.folder,
            )

    def make_room(self, acked: int, *, low_space: bool) -> None:
        # Closed segments are touched by the delivery thread alone, which is who calls this.
        with self._guard:
            closed, total = self._segments[:-1], sum(segment.size for segment in self._segments)
        for segment in closed:
            if total <= self._limit and not (low_space and _free_space(self.folder) < LOW_SPACE):
                return
            if segment.has_steps:
                before = segment.size
                while True:
                    try:
                        self._drop_steps(segment, acked)
                        break
                    except OSError:  # what is left of it must be written beside it first
                        with self._guard:
                            if not self._shrink_reserve(RESERVE_BYTES // 4):
                                raise
                total -= before - segment.size

    def _drop_steps(self, segment: _Segment, acked: int) -> None:
        """Replace a segment by one that holds its other records, and a gap where the last step stood.

        The last, so that it is read also where the database turns out to have stored some of the steps.
        """
        lost, kept, first, last = _Lost(), [], 0, 0
        dropped: set[int] = set()
        for _, sequence, payload in frames(segment.path.read_bytes()):
            if not payload.startswith(STEP):
                kept.append((sequence, payload))
            elif sequence > acked:
                lost.add(payload)
                first, last = first or sequence, sequence
                dropped.add(sequence)
        if first:
            kept.append((last, lost.gap("the journal reached its limit", records=[first, last])))
            # Of the other rows of steps that went only the last numbers stay.
            begins = 0
            for number in sorted(dropped):
                begins = begins or number
                if number + 1 not in dropped:
                    if number != last:
                        kept.append((number, orjson.dumps(skip_record(begins))))
                    begins = 0
        data = b"".join(frame(sequence, payload) for sequence, payload in sorted(kept))
        _write_file(segment.path.with_suffix(PARTIAL), data, segment.path)
        segment.size, segment.has_steps = len(data), False
        if first:
            logger.warning(
                "%s is full while the database is away: steps %s to %s are dropped",
                self.folder, lost.first_step, lost.last_step,
            )  # fmt: skip
        if self._cursor[1] == segment.first:
            self._cursor = (0, 0, 0)

    def touch(self) -> None:
        with suppress(OSError):
            os.utime(self.folder / LOCK)
        self.update_meta()  # what could not be written then

    def update_meta(self, **changes: Any) -> None:
        self._meta.update(changes)
        if self._meta == self._written_meta:
            return
        try:
            write_meta(self.folder, self._meta)
        except OSError as error:  # a full disk must not keep the records from the database; `touch` tries again
            logger.debug("%s: meta.json could not be written (%s)", self.folder, error)
        else:
            self._written_meta = dict(self._meta)

    def finish(self) -> None:
        with _live_guard:
            _finished.add(self.uid)

    def close(self) -> None:
        if not self._settled:
            self._settle()
        if self._stop_appending():
            self._free_lock()

    def remove(self, acked: int) -> bool:
        if not self._stop_appending(acked):
            return False
        # While the lock is still held, so that nobody recovers a half-deleted folder.
        delete_folder(self.folder)
        self._free_lock()
        return True

    def _stop_appending(self, last: int | None = None) -> bool:
        """Take no more records; False where that is so already, or there are others after ``last``."""
        with self._guard:
            if self._descriptor is None or last not in (None, self.last):
                return False
            if last is None:  # else everything is stored
                with suppress(OSError):
                    _sync_file(self._descriptor)
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)
            return True

    def _free_lock(self) -> None:
        os.close(self._lock)
        _forget(self.uid)

    def set_aside(self) -> Path | None:
        target = self.folder.with_name(self.folder.name + ASIDE)
        with suppress(OSError):
            self.folder.rename(target)
        self.close()
        return target

    def forget_in_child(self) -> None:
        # Closing what was inherited leaves the parent's lock: POSIX locks belong to a process.
        self._guard = threading.Lock()
        if self._descriptor is not None:
            os.close(self._descriptor)
            os.close(self._lock)
            self._descriptor = None


class MemoryJournal(Journal):
    """The journal of a store in memory: it has nothing to outlive."""

    def __init__(self, uid: str) -> None:
        super().__init__(uid)
        self._records: deque[tuple[int, bytes]] = deque()
        self._closed = False

    def append(self, payload: bytes) -> int:
        with self._guard:
            if self._closed:
                raise JournalError("the journal is closed")
            self.last += 1
            self._records.append((self.last, payload))
            return self.last

    def read(self, after: int, max_records: int, max_bytes: int) -> list[tuple[int, bytes]]:
        with self._guard:
            return list(islice((record for record in self._records if record[0] > after), max_records))

    def acknowledge(self, sequence: int) -> None:
        with self._guard:
            while self._records and self._records[0][0] <= sequence:
                self._records.popleft()

    def close(self) -> None:
        with self._guard:
            self._closed = True

    def remove(self, acked: int) -> bool:
        with self._guard:
            self._closed = self._closed or acked == self.last
            return self._closed

    def forget_in_child(self) -> None:
        self._guard = threading.Lock()


# --- Journals that other processes left ------------------------------------------------------------------------------


class FoundJournal:
    """A journal folder whose owner is gone, held by this process while it is read. Made by `claim`."""

    def __init__(self, folder: Path, lock: int, meta: dict[str, Any]) -> None:
        self.folder = folder
        self.uid = folder.name
        self.meta = meta
        self._lock = lock

    def read(self, after: int) -> Iterator[tuple[int, bytes]]:
        """Every valid record after a sequence number, in order."""
        # An empty one may have been made by an append that Ctrl-C ended: its name says nothing of those before it.
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
                os.truncate(self.folder / RESERVE, 0)  # its owner is gone, and needs no room for last words
                write_meta(self.folder, self.meta)

    def remove(self) -> None:
        """Delete the folder: everything in it is stored."""
        delete_folder(self.folder)
        self.release()

    def set_aside(self) -> Path:
        """Keep the records where no recovery looks."""
        target = self.folder.with_name(self.folder.name + ASIDE)
        self.folder.rename(target)
        self.release()
        return target

    def release(self) -> None:
        """Give the lock back."""
        with suppress(OSError):
            os.close(self._lock)
        _forget(self.uid)


def journal_folders(root: Path) -> list[Path]:
    """The journals in a folder, oldest name first; those set aside are no more among them."""
    try:
        # isfile() is False for another user's, into which this one may not look.
        return sorted(path for path in root.iterdir() if path.suffix != ASIDE and os.path.isfile(path / META))
    except FileNotFoundError:
        return []
    except OSError as error:
        logger.warning("%s cannot be searched for journals (%s)", root, error.strerror or error)
        return []


def read_meta(folder: Path) -> dict[str, Any] | None:
    """The entries of a journal's ``meta.json``, or None where it cannot be read."""
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
    _write_file(folder / f"{META}{PARTIAL}", orjson.dumps({**meta, CHECK: _check(meta)}), folder / META, sync=sync)


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
    """Take the lock of a journal whose owner is gone; None where it lives, or cannot be told to be gone.

    Raises `OSError` where this user may not write it, or nobody may.
    """
    with _live_guard:
        # Asked before the lock file is opened: closing it again would free our own writer's lock.
        if folder.name in _live:
            return None
        _live.add(folder.name)
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        _forget(folder.name)
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        return None
    try:
        _take_lock(lock)
        meta = read_meta(folder)  # read under the lock: another process may just have removed the folder
    except OSError:
        meta = None
    if meta is None:
        os.close(lock)
        _forget(folder.name)
        return None
    return FoundJournal(folder, lock, meta)


def delete_folder(folder: Path) -> None:
    """Delete a journal, and the folder above where it is then empty. The caller holds the lock.

    The segments go first: whoever finds the rest after a crash half-way has a journal with nothing left to store.
    """
    try:
        names = os.listdir(folder)
    except OSError:
        names = []
    for name in (
        *(name for name in names if name.endswith(".seg")),
        *(name for name in names if name.endswith(PARTIAL)),
        *(RESERVE, META, LOCK),
    ):
        with suppress(OSError):
            os.unlink(folder / name)
    with suppress(OSError):
        folder.rmdir()
        folder.parent.rmdir()


def _make_folder(folder: Path) -> None:
    with suppress(OSError):
        folder.mkdir(mode=0o700)
        return
    for _ in range(20):
        try:
            # One by one: mkdir(parents=True) makes those above as the umask has it.
            for above in reversed([place for place in folder.parents if not place.exists()]):
                above.mkdir(mode=0o700, exist_ok=True)
            folder.mkdir(mode=0o700)
            return
        except (FileNotFoundError, FileExistsError):
            continue  # another journal's end has just removed the empty folder above
    folder.mkdir(mode=0o700)


def _write_anew(segment: _Segment) -> None:
    """After a failed sync: the next one may succeed without what the disk did not take. So not that file again."""
    _write_file(segment.path.with_suffix(PARTIAL), segment.path.read_bytes()[: segment.size], segment.path)


def _write_file(path: Path, data: bytes, target: Path, *, sync: bool = True) -> None:
    """Write a whole file, onto the disk unless ``sync`` is False, and put it in the place of ``target``."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        if sync:
            os.fsync(descriptor)
    except OSError:
        with suppress(OSError):
            path.unlink()
        raise
    finally:
        os.close(descriptor)
    path.replace(target)


def _free_space(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 2**63


def _take_lock(descriptor: int) -> None:
    if sys.platform == "win32":  # pragma: no cover
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


# macOS has no fdatasync.
_sync_file = getattr(os, "fdatasync", os.fsync)


def _sync_path(path: Path) -> None:
    """Bring a file, or a folder's list of files, to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_from(source: Path | int, begin: int, size: int) -> tuple[bytes, bool]:
    """About ``size`` bytes and at least one record, and whether that is all there is. A descriptor stays open."""
    try:
        with open(source, "rb", closefd=not isinstance(source, int)) as file:
            file.seek(begin)
            data = file.read(size)
            if len(data) == size and next(frames(data), None) is None:
                data += file.read()  # one record larger than a batch
            return data, not file.read(1)
    except FileNotFoundError:
        return b"", True


def _forget(uid: str) -> None:
    with _live_guard:
        _live.discard(uid)
        _finished.discard(uid)


def forget_all_in_child() -> None:
    """After a fork: this process holds none of its parent's journals."""
    global _live_guard
    _live_guard = threading.Lock()
    _live.clear()
    _finished.clear()
