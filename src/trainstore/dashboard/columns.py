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
from trainstore.errors import RunNotFoundError
from trainstore.queries.reader import IN_LIMIT, Reader, RunKey, resolve_run
from trainstore.store import TrainStore

LIMIT = 512 << 20  # bytes
MOST_FORGOTTEN = 20_000  # runs of which is remembered in which state they were forgotten
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
        # By uid the last generation of a run that made room, and the hash of its summary: unchanged, it is the same.
        self._forgotten: OrderedDict[str, tuple[int, int]] = OrderedDict()
        # Higher than those that an earlier server gave out, which a page may still have.
        self._numbers = count(time.time_ns() // 1_000_000)

    def get(self, run: str) -> RunColumns:
        """The columns of a run as they are now.

        Args:
            run: Its uid.

        Raises:
            RunNotFoundError: There is no such run.
        """
        with self._locked(run) as entry, self._store.snapshot() as snapshot:
            try:
                key = resolve_run(snapshot.reader, run)
            except RunNotFoundError:
                self._drop(run, entry)
                with self._lock:
                    self._forgotten.pop(run, None)
                raise
            columns = entry.columns = self._refreshed(snapshot.reader, key, entry.columns)
        self._forget_old()
        return columns

    @contextmanager
    def _locked(self, run: str) -> Iterator[_Entry]:
        """The entry of a run, which no other thread reads meanwhile."""
        while True:
            with self._lock:
                entry = self._entries.setdefault(run, _Entry())
                self._entries.move_to_end(run)
            with entry.lock:
                with self._lock:
                    dropped = self._entries.get(run) is not entry  # while this thread waited for it
                if not dropped:
                    yield entry
                    return

    def _drop(self, run: str, entry: _Entry) -> None:
        """Remove the entry of a run that is not in memory; its lock is held."""
        with self._lock:
            if self._entries.get(run) is entry:
                del self._entries[run]

    def known(self, run: str) -> RunColumns | None:
        """What is in memory of a run, as it was when it was last read."""
        with self._lock:
            entry = self._entries.get(run)
            if entry is None:
                return None
            self._entries.move_to_end(run)
            return entry.columns

    def is_forgotten_in(self, run: str, generation: int) -> bool:
        """Whether this was the state of a run when it made room for others; it has not changed as far as is known."""
        with self._lock:
            return self._forgotten.get(run, (None, 0))[0] == generation

    @contextmanager
    def following(self, runs: Iterable[str]) -> Iterator[Bring]:
        """Bring runs up to date that are in memory, but nothing that takes seconds.

        The block opens a snapshot and calls what it is given with its reader and the ids of the runs that have changed
        (None: deleted). A run that another thread is reading is left to it. One that would have to be read from its
        beginning, and is long, is forgotten, and so is one that was deleted. Returns the uids of those that are now
        as the reader sees them, or are not in memory.
        """
        with ExitStack() as held:
            entries: dict[str, _Entry] = {}
            busy: set[str] = set()
            for run in sorted(set(runs)):  # in the same order in every thread
                with self._lock:
                    entry = self._entries.get(run)
                if entry is not None and entry.lock.acquire(blocking=False):
                    held.callback(entry.lock.release)
                    entries[run] = entry
                elif entry is not None:
                    busy.add(run)

            def bring(reader: Reader, ids: Mapping[str, int | None]) -> set[str]:
                keys = {uid: RunKey(number, uid) for uid, number in ids.items() if number is not None}
                read = {uid: entries[uid] for uid in ids if uid in entries}
                with self._lock:
                    forgotten = {uid: self._forgotten[uid] for uid in ids if uid in self._forgotten}
                summaries = summaries_of(reader, [keys[uid].id for uid in {*read, *forgotten} if uid in keys])
                for uid, entry in read.items():
                    known, key = entry.columns, keys.get(uid)
                    if known is not None:
                        entry.columns = key and self._read_on(reader, key, known, summaries[key.id], MOST_ANEW)
                    if entry.columns is None:
                        self._drop(uid, entry)
                with self._lock:
                    for uid, state in forgotten.items():
                        if uid not in keys or hash(summaries[keys[uid].id]) != state[1]:
                            self._forgotten.pop(uid, None)
                    # What a thread has begun to read since may be of an earlier moment than the reader's.
                    return ids.keys() - busy - (self._entries.keys() - entries.keys())

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
            with self._lock:
                number, state = self._forgotten.get(key.uid, (0, None))
            if state != hash(summary):
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
                entry = self._entries[run]
                if not entry.lock.acquire(blocking=False):
                    continue  # it is being read, and others wait for it
                if entry.columns is not None:
                    self._forgotten[run] = (entry.columns.generation, hash(entry.columns.summary))
                    self._forgotten.move_to_end(run)
                del self._entries[run]
                entry.lock.release()
                total -= sizes[run]
            while len(self._forgotten) > MOST_FORGOTTEN:
                self._forgotten.popitem(last=False)

    @property
    def size(self) -> int:
        """Bytes in memory."""
        with self._lock:
            return sum(entry.columns.size for entry in self._entries.values() if entry.columns is not None)
