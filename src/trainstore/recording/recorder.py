"""One run's records on their way from this process into the database."""

from __future__ import annotations

import time
from collections.abc import Callable

import orjson

from trainstore.recording.flush import Source
from trainstore.recording.journal import Journal
from trainstore.recording.records import now, status_record

ENOUGH_RECORDS = 1_000  # waiting: the delivery thread is woken
ENOUGH_BYTES = 1024 * 1024


class Recorder:
    """One run's records on their way: a journal, and how far it is stored."""

    def __init__(self, journal: Journal, source: Source, wake: Callable[[], None]) -> None:
        self.journal = journal
        self.source = source
        self.acked = 0
        self.usable = True  # False: finished, or left to the parent of a fork; further records need a new recorder
        self.abandoned = False  # the run was deleted, or the journal is a parent process's: records are dropped
        self.gone = False  # its journal is deleted or closed
        self.last_heartbeat = time.monotonic()
        self._wake = wake
        self._waiting = 0
        self._waiting_bytes = 0

    def append(self, payload: bytes) -> int:
        """Keep one record and return its number; 0 if it is dropped. Any thread; never waits for the database."""
        if self.abandoned:
            return 0
        number = self.journal.append(payload)
        self._waiting += 1
        self._waiting_bytes += len(payload)
        if self._waiting >= ENOUGH_RECORDS or self._waiting_bytes >= ENOUGH_BYTES:
            self._waiting = self._waiting_bytes = 0
            self._wake()
        return number

    @property
    def pending(self) -> int:
        """The number of records that are not stored yet."""
        return 0 if self.abandoned else self.journal.last - self.acked

    def close(self) -> None:
        """Record that this process is done; the attempt keeps its status."""
        if self.usable:
            self.append(orjson.dumps(status_record(None, None, now())))
            self.end()

    def end(self) -> None:
        """Take no more records; what is waiting is still delivered."""
        self.usable = False
        self.journal.finish()

    @property
    def done(self) -> bool:
        """Finished, and everything stored."""
        return not self.usable and not self.pending
