"""What a full disk leaves: the reserve that is kept for the last records, and the count of those that are lost."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from trainstore.recording.records import STEP, gap_record

RESERVE = "reserve"  # the file's name
RESERVE_BYTES = 64 * 1024
SHORT = RESERVE_BYTES // 2  # bytes; a journal that ends before it has so many needs no reserve
BLOCK = 4096  # bytes; less than that frees nothing


class Reserve:
    """A file that only takes up space, until a record needs it that matters more than a step."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / RESERVE

    def fill(self) -> None:
        """Bring it to its full size; raise `OSError`, and leave it as it is, if there is no room for all of it."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(self._path, flags, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            missing = RESERVE_BYTES - size
            if missing > 0 and os.write(descriptor, bytes(missing)) != missing:
                os.ftruncate(descriptor, size)
                raise OSError(errno.ENOSPC, "no space for the journal", str(self._path.parent))
        finally:
            os.close(descriptor)

    def shrink(self, floor: int) -> bool:
        """Free half of it: not all at once, as other programs want space too. False: that would leave too little.

        Args:
            floor: How many bytes must be left.
        """
        try:
            size = self._path.stat().st_size
            smaller = size // 2 if size // 2 >= BLOCK else 0
            if size == 0 or smaller < floor:
                return False
            os.truncate(self._path, smaller)
        except OSError:
            return False
        return True


@dataclass(slots=True)
class Lost:
    """Records that could not be kept: how many, and of which steps."""

    records: int = 0
    first_step: int | None = None
    last_step: int | None = None

    def add(self, payload: bytes) -> None:
        """Count one more."""
        step = orjson.loads(payload)["step"] if payload.startswith(STEP) else None
        self.records += 1
        if step is not None:
            self.first_step = step if self.first_step is None else min(self.first_step, step)
            self.last_step = step if self.last_step is None else max(self.last_step, step)

    def gap(self, reason: str, **more: Any) -> bytes:
        """The record that says so."""
        return orjson.dumps(gap_record(reason, lost=self.records, steps=[self.first_step, self.last_step], **more))
