"""The contract of a journal, and the journal of a store in memory."""

from __future__ import annotations

import threading
from collections import deque
from itertools import islice
from pathlib import Path
from typing import Any

from trainstore.errors import JournalError


class Journal:
    """What a recorder needs from a journal. Sequence numbers start at 1; ``last`` is the highest one appended."""

    def __init__(self, uid: str) -> None:
        self.uid = uid
        self.last = 0
        self._guard = threading.Lock()

    def append(self, payload: bytes) -> int:
        """Keep one record and return its number; from then on it survives the death of the process. Any thread."""
        raise NotImplementedError

    def read(self, after: int, max_records: int, max_bytes: int) -> list[tuple[int, bytes]]:
        """The records after a sequence number, in order: at least one, if there is one."""
        raise NotImplementedError

    def acknowledge(self, sequence: int) -> None:
        """Records up to here are stored in the database: segments that hold no others may be deleted."""
        raise NotImplementedError

    def sync(self) -> None:
        """Bring what was appended to the disk. Called by the delivery thread, once a second while dirty."""

    def make_room(self, acked: int, *, low_space: bool) -> None:
        """Drop the oldest undelivered steps if the journal is over its limit.

        With ``low_space`` also if the disk is nearly full.
        """

    def touch(self) -> None:
        """Tell other hosts that share the folder that the writer is alive."""

    def update_meta(self, **changes: Any) -> None:
        """Change entries of ``meta.json``."""

    def finish(self) -> None:
        """Nothing more will be appended; what is waiting is still delivered."""

    def close(self) -> None:
        """Stop writing and release the lock; what is not acknowledged stays for recovery."""

    def remove(self, acked: int) -> bool:
        """Close and delete the journal if ``acked`` is its last record; else do nothing and return False."""
        raise NotImplementedError

    def set_aside(self) -> Path | None:
        """Close, and keep the records where recovery does not look: their run was deleted."""
        return None

    def forget_in_child(self) -> None:
        """After a fork: leave the journal to the parent."""


class MemoryJournal(Journal):
    """The journal of a store in memory: it ends with its process, so the records stay in memory too."""

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
