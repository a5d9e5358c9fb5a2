"""What attempts logged beyond the step where a resume cut them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator

from sqlalchemy import select

from trainstore.dashboard.run_columns import RunColumns, Summary
from trainstore.dashboard.run_reading import read_run
from trainstore.queries.reader import Reader, RunKey

LIMIT = 64 << 20  # bytes


class Superseded:
    """The superseded stretches in memory: they hardly ever change, and each chart of a page asks for them.

    Args:
        limit: Bytes; those that were asked for longest ago are forgotten.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._lock = threading.Lock()  # also held while one is read: the others that ask for it wait
        self._kept: OrderedDict[tuple[str, int, int, int], RunColumns] = OrderedDict()

    def of(self, reader: Reader, key: RunKey, summary: Summary) -> Iterator[tuple[int, RunColumns]]:
        """The attempts of a run that have such a stretch, by their numbers, each with its steps."""
        for attempt, end_step, last_step in _stretches(reader, key):
            named = (key.uid, attempt, end_step, last_step)
            with self._lock:
                columns = self._kept.pop(named, None)
                if columns is None:
                    columns = read_run(reader, key, summary, superseded=(attempt, end_step))
                self._kept[named] = columns
                while len(self._kept) > 1 and sum(one.size for one in self._kept.values()) > self._limit:
                    self._kept.popitem(last=False)
            yield attempt, columns


def _stretches(reader: Reader, key: RunKey) -> list[tuple[int, int, int]]:
    """The attempts that logged further than to their end: number, end and last step."""
    attempt = reader.models.attempt.c
    statement = select(attempt.attempt, attempt.end_step, attempt.last_step)
    longer = statement.where(attempt.run_id == key.id, attempt.last_step > attempt.end_step)
    return [(number, end, last) for number, end, last in reader.rows(longer.order_by(attempt.attempt))]
