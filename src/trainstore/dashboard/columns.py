"""The numbers of runs in memory, column by column: reading a long run takes seconds, drawing a part of it none.

`Columns` keeps the runs that were asked for last, up to a limit of bytes. A run is read by one thread at a time: the
others that ask for it wait, since a page asks for all of its charts at once. A run that goes on is read on from its
last step. If a resume has cut it, or a late record was merged into older rows, it is read on from an earlier step, or
anew: what is in memory must add up to the run's summary. Not noticed is only a value that was replaced in a row long
past and that neither was nor is the metric's smallest, largest or last; it is read the next time the run is read anew.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count

from sqlalchemy import select

from trainstore.dashboard.run_columns import RunColumns, Summary
from trainstore.dashboard.run_reading import read_on, read_run, summaries_of
from trainstore.queries.reader import IN_LIMIT, Reader, RunKey, resolve_run
from trainstore.store import TrainStore

LIMIT = 512 << 20  # bytes
MOST_ANEW = 20_000  # rows that are read from the beginning while a page waits for what is new

Bring = Callable[[Reader, Mapping[str, int | None]], set[str]]


@dataclass
class _Entry:
    lock: threading.Lock = field(default_factory=threading.Lock)
    columns: RunColumns | None = None


class Columns:
    """The runs in memory.

    Args:
        store: The store.
        limit: Bytes; the runs that were asked for longest ago are forgotten.
    """

    def __init__(self, store: TrainStore, limit: int = LIMIT) -> None:
        self._store, self._limit = store, limit
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        # Higher than those that an earlier server gave out, which a page may still have.
        self._numbers = count(time.time_ns() // 1_000_000)

    def get(self, run: str) -> RunColumns:
        """The columns of a run as they are now.

        Args:
            run: Its uid.

        Raises:
            RunNotFoundError: There is no such run.
        """
        entry = self._entry(run)
        with entry.lock, self._store.snapshot() as snapshot:
            key = resolve_run(snapshot.reader, run)
            columns = entry.columns = self._refreshed(snapshot.reader, key, entry.columns)
        self._forget_old()
        return columns

    def _entry(self, run: str) -> _Entry:
        with self._lock:
            entry = self._entries.setdefault(run, _Entry())
            self._entries.move_to_end(run)
            return entry

    def known(self, run: str) -> RunColumns | None:
        """What is in memory of a run, as it was when it was last read."""
        with self._lock:
            entry = self._entries.get(run)
            if entry is None:
                return None
            self._entries.move_to_end(run)
            return entry.columns

    @contextmanager
    def following(self, runs: Iterable[str]) -> Iterator[Bring]:
        """Bring runs up to date that are in memory, but nothing that takes seconds.

        The block opens a snapshot and calls what it is given with its reader and the ids of the runs that have changed
        (None: deleted). A run that another thread is reading is left to it. One that would have to be read from its
        beginning, and is long, is forgotten, and so is one that was deleted. The answer are the uids of those that are
        now as the reader sees them, or are not in memory.
        """
        with ExitStack() as held:
            entries: dict[str, _Entry] = {}
            busy = set()
            for run in sorted(set(runs)):  # in the same order in every thread
                with self._lock:
                    entry = self._entries.get(run)
                if entry is None:
                    continue
                if entry.lock.acquire(blocking=False):
                    held.callback(entry.lock.release)
                    entries[run] = entry
                else:
                    busy.add(run)

            def bring(reader: Reader, ids: Mapping[str, int | None]) -> set[str]:
                keys = {uid: RunKey(number, uid) for uid, number in ids.items() if number is not None}
                read = {uid: entries[uid] for uid in ids if uid in entries}
                summaries = summaries_of(reader, [keys[uid].id for uid in read if uid in keys])
                for uid, entry in read.items():
                    known, key = entry.columns, keys.get(uid)
                    if known is not None:
                        entry.columns = key and self._read_on(reader, key, known, summaries[key.id], MOST_ANEW)
                return ids.keys() - busy

            yield bring
        self._forget_old()

    def follow(self, runs: Iterable[str]) -> set[str]:
        """`following`, in a snapshot of its own, for runs that may have changed."""
        asked = list(dict.fromkeys(runs))
        with self.following(asked) as bring, self._store.snapshot() as snapshot:
            reader, run = snapshot.reader, snapshot.reader.models.run.c
            ids: dict[str, int | None] = dict.fromkeys(asked)
            for start in range(0, len(asked), IN_LIMIT):
                some = run.uid.in_(asked[start : start + IN_LIMIT])
                ids |= dict(map(tuple, reader.rows(select(run.uid, run.id).where(some))))
            return bring(reader, ids)

    def _refreshed(self, reader: Reader, key: RunKey, known: RunColumns | None) -> RunColumns:
        summary = summaries_of(reader, [key.id])[key.id]
        found = known and self._read_on(reader, key, known, summary)
        if found is None:
            number = next(self._numbers)
            found = replace(read_run(reader, key, summary), generation=number, oldest=number)
        return found

    def _read_on(
        self, reader: Reader, key: RunKey, known: RunColumns, summary: Summary, most: int | None = None
    ) -> RunColumns | None:
        if summary == known.summary:
            return known
        found = read_on(reader, key, known, summary, most=most)
        if found is None:
            return None
        later, row = found
        if row is None:
            return replace(known, summary=summary)
        return known.changed_to(later, row, next(self._numbers))

    def _forget_old(self) -> None:
        with self._lock:
            sizes = {run: entry.columns.size for run, entry in self._entries.items() if entry.columns is not None}
            total = sum(sizes.values())
            for run in list(sizes)[:-1]:
                if total <= self._limit:
                    break
                total -= sizes[run]
                del self._entries[run]

    @property
    def size(self) -> int:
        """Bytes in memory."""
        with self._lock:
            return sum(entry.columns.size for entry in self._entries.values() if entry.columns is not None)
