"""What attempts logged beyond the step where a resume cut them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlalchemy import func, select

from trainstore.dashboard.run_columns import RunColumns, Summary
from trainstore.dashboard.run_reading import read_run
from trainstore.queries.reader import Reader, RunKey

LIMIT = 64 << 20  # bytes

_State = tuple[int, int, int]  # where a resume cut an attempt, its last step, and how many of its records are stored


@dataclass
class _Entry:
    lock: threading.Lock = field(default_factory=threading.Lock)  # also held while it is read: who asks for it waits
    state: _State | None = None
    columns: RunColumns | None = None


class Superseded:
    """The superseded stretches in memory: they hardly ever change, and each chart of a page asks for them.

    Args:
        limit: Bytes; those that were asked for longest ago are forgotten.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], _Entry] = OrderedDict()  # by uid and attempt

    def of(self, reader: Reader, key: RunKey, summary: Summary) -> Iterator[tuple[int, RunColumns]]:
        """The attempts of a run that have such a stretch, by their numbers, each with its steps."""
        for attempt, state in _stretches(reader, key):
            with self._lock:
                entry = self._kept.setdefault((key.uid, attempt), _Entry())
                self._kept.move_to_end((key.uid, attempt))
            with entry.lock:
                columns = entry.columns
                if columns is None or entry.state != state:
                    columns = read_run(reader, key, summary, superseded=(attempt, state[0]))
                    entry.columns, entry.state = columns, state
            self._forget_old()
            yield attempt, columns

    def _forget_old(self) -> None:
        with self._lock:
            sizes = {one: entry.columns.size for one, entry in self._kept.items() if entry.columns is not None}
            total = sum(sizes.values())
            for one in list(sizes)[:-1]:
                if total <= self._limit:
                    break
                if not self._kept[one].lock.locked():
                    total -= sizes[one]
                    del self._kept[one]


def _stretches(reader: Reader, key: RunKey) -> list[tuple[int, _State]]:
    """The attempts that logged further than to their end, by their numbers; late records change their states, too."""
    attempt, writer = reader.models.attempt.c, reader.models.writer.c
    of_attempt = (writer.run_id == attempt.run_id, writer.attempt == attempt.attempt)
    stored = select(func.coalesce(func.sum(writer.acked), 0)).where(*of_attempt).scalar_subquery()
    statement = select(attempt.attempt, attempt.end_step, attempt.last_step, stored)
    longer = statement.where(attempt.run_id == key.id, attempt.last_step > attempt.end_step)
    rows = reader.rows(longer.order_by(attempt.attempt))
    return [(number, (end, last, int(acked))) for number, end, last, acked in rows]
