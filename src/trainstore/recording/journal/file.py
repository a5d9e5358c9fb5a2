"""The journal of a process that records: a folder of segments, open for appending."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainstore.errors import JournalError
from trainstore.recording.journal import disk
from trainstore.recording.journal.base import Journal
from trainstore.recording.journal.dropping import without_steps
from trainstore.recording.journal.folder import (
    ASIDE,
    LOCK,
    META,
    boot_id,
    delete_folder,
    forget,
    hold,
    hostname,
    mark_finished,
    write_meta,
)
from trainstore.recording.journal.frames import frame, frames
from trainstore.recording.journal.reserve import RESERVE_BYTES, SHORT, Lost, Reserve
from trainstore.recording.records import STATUS, STEP

logger = logging.getLogger("trainstore")

SEGMENT_BYTES = 4 * 1024 * 1024
LIMIT = 1024 * 1024 * 1024  # bytes of one journal
LOW_SPACE = 256 * 1024 * 1024  # bytes free on the disk, below which a journal that only grows makes room
LOOK_AGAIN = 0.1  # seconds between two looks whether a full disk has room again

_Sources = list[tuple[Path | int, int]]  # of segments: a path or a descriptor, and the first number


@dataclass(slots=True)
class _Segment:
    path: Path
    first: int
    size: int = 0
    has_steps: bool = True


class FileJournal(Journal):
    """A journal in a folder of its own, open for appending by this process."""

    def __init__(self, root: Path, uid: str, meta: dict[str, Any], *, limit: int = LIMIT) -> None:
        super().__init__(uid)
        self.folder = root / uid
        self._reserve = Reserve(self.folder)
        self._limit = limit
        self._segment_bytes = min(SEGMENT_BYTES, max(limit // 8, 1))
        self._lost: Lost | None = None  # not None: the disk is full
        self._look_again = 0.0
        self._dirty = False
        self._settled = False  # its folder and meta.json are on the disk too, and the reserve is filled
        self._has_reserve = False  # or there was no room for it
        self._told_deleted = False
        self._descriptor: int | None = None
        self._segments: list[_Segment] = []
        self._cursor: tuple[int, int, int] = (0, 0, 0)  # sequence number read last, its segment's first, offset
        self._meta = {"format": 1, "writer_uid": uid, "host": hostname(), "boot_id": boot_id(), **meta}
        self._meta["created_at"] = time.time()
        try:
            disk.make_folder(self.folder)
            hold(uid)
            self._lock = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            disk.take_lock(self._lock)
            write_meta(self.folder, self._meta, sync=False)
            self._written_meta = dict(self._meta)
            self._begin_segment()
        except OSError as error:
            forget(uid)
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
        """Write although the disk is full, or was a moment ago."""
        # The more important the record, the more of the reserve it may use; a step may use none.
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
        if not self._has_reserve and (end >= SHORT or len(self._segments) > 1):
            self._fill_reserve()  # the disk may be full before the delivery thread calls sync()
        return sequence

    def _fill_reserve(self) -> None:
        self._has_reserve = True
        with suppress(OSError):
            self._reserve.fill()

    def _lose(self, payload: bytes, error: OSError) -> None:
        """Remember a record that cannot be written; after the first one write a gap at once."""
        begins = self._lost is None
        self._lost = self._lost or Lost()
        self._lost.add(payload)
        if begins:
            self._look_again = time.monotonic() + LOOK_AGAIN
            with suppress(OSError):
                gap = self._lost.gap(f"{error.strerror or error}; more may follow")
                self._write_from_reserve(gap, RESERVE_BYTES // 2)

    def _tell_lost(self, floor: int) -> None:
        """Write the gap if there is room again or the run is ending; raise `OSError` if this step is lost as well."""
        assert self._lost is not None
        if floor:
            # Not each time: a step that is lost must not take longer than one that is kept.
            if self._look_again <= time.monotonic():
                self._look_again = time.monotonic() + LOOK_AGAIN
                with suppress(OSError):
                    self._reserve.fill()
                    if disk.free_space(self.folder) >= RESERVE_BYTES:
                        self._write(self._lost.gap("could not be written"))
                        self._lost = None
            if self._lost is not None and floor == RESERVE_BYTES:
                raise OSError(errno.ENOSPC, "no space for the journal", str(self.folder))
        else:
            self._write_from_reserve(self._lost.gap("could not be written"), floor)
            self._lost = None

    def _write_from_reserve(self, payload: bytes, floor: int) -> int:
        """Write; if there is no room, shrink the reserve as far as ``floor`` allows."""
        while True:
            try:
                return self._write(payload)
            except OSError:
                if not self._reserve.shrink(floor):
                    raise

    def _begin_segment(self) -> None:
        first = self.last + 1
        path = self.folder / f"{first:020d}.seg"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(path, flags, 0o600)
        try:
            if self._descriptor is not None:
                # Everything before it must be on the disk before the next segment is.
                try:
                    disk.sync_file(self._descriptor)
                except OSError:
                    _write_anew(self._segments[-1])
                with suppress(OSError):
                    disk.sync_path(self.folder)
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
                # Not by its name: a live journal may be deleted, and this process still holds what was in it.
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
            # If the place is not known, the whole segment: what is looked for may be its last record, of any size.
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
            disk.sync_file(descriptor)  # not under the guard: log() must never wait for the disk
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
        """Fill the reserve, and bring folder and meta.json to the disk: a run that ends at once never needs that."""
        with self._guard:
            if self._descriptor is None:
                return
            self._fill_reserve()
        try:
            disk.sync_path(self.folder / META)
        except OSError:
            self._written_meta = {}
            self.update_meta()
        with suppress(OSError):
            disk.sync_path(self.folder)
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
            if total <= self._limit and not (low_space and disk.free_space(self.folder) < LOW_SPACE):
                return
            if segment.has_steps:
                before = segment.size
                while True:
                    try:
                        self._drop_steps(segment, acked)
                        break
                    except OSError:  # what is left of it must be written beside it first
                        with self._guard:
                            if not self._reserve.shrink(RESERVE_BYTES // 4):
                                raise
                total -= before - segment.size

    def _drop_steps(self, segment: _Segment, acked: int) -> None:
        """Replace a segment by one without its steps."""
        data, lost = without_steps(segment.path.read_bytes(), acked)
        disk.write_file(segment.path.with_suffix(disk.PARTIAL), data, segment.path)
        segment.size, segment.has_steps = len(data), False
        if lost.records:
            logger.warning(
                "%s is full while the database is away: steps %s to %s are dropped",
                self.folder,
                lost.first_step,
                lost.last_step,
            )
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
        mark_finished(self.uid)

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
        """Take no more records; False if that is so already, or if there are records after ``last``."""
        with self._guard:
            if self._descriptor is None or last not in (None, self.last):
                return False
            if last is None:  # else everything is stored
                with suppress(OSError):
                    disk.sync_file(self._descriptor)
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)
            return True

    def _free_lock(self) -> None:
        os.close(self._lock)
        forget(self.uid)

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


def _write_anew(segment: _Segment) -> None:
    """After a failed sync: the next one may succeed without what the disk did not take. So not that file again."""
    disk.write_file(segment.path.with_suffix(disk.PARTIAL), segment.path.read_bytes()[: segment.size], segment.path)


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
