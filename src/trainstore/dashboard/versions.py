"""Numbers for the states of a store that this process has seen, and which runs changed between two of them.

A page holds a table of some version and asks every second what is new. To answer costs two small statements while
nothing is: what a run's row says can only change with a record of one of its writers, with an event (an edit by hand
leaves one), or because nobody hears of a writer any more. Writers that have closed record nothing more, so only those
are read that are open, or closed a while ago.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import takewhile
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, bindparam, func, or_, select

from trainstore.backends import Backend
from trainstore.models import Models
from trainstore.queries.reader import Reader, among
from trainstore.queries.run_source import heard_of, is_alive

# Longer than a transaction lasts: the time at which a writer closed is older than the moment when others see it.
RECENT = timedelta(minutes=10)
LATE = 100  # events whose ids are looked at again: two transactions may end in the other order than they began

_Writers = dict[str, tuple[Any, ...]]  # by uid: run, records stored, whether it is closed, whether it is alive


class Changes(NamedTuple):
    """What happened since a version: the uids of the runs that are new or have changed, and of those deleted."""

    runs: list[str]
    gone: list[str]


class Versions:
    """The versions of one store, as this process counts them. Another process's mean nothing to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._name = secrets.token_hex(4)
        self._number = 0
        self._seen_at: datetime | None = None
        self._writers: _Writers = {}
        self._events: set[int] = set()
        self._events_seen = (0, 0)  # the highest id, and how many of the last there are
        self._names: set[tuple[str, ...]] = set()
        self._runs: dict[int, str] = {}
        self._ids: dict[str, int] = {}
        self._shape: tuple[int, int] = (0, 0)  # how many runs there are, and the highest id
        # By uid the version in which a run changed last, or was deleted; the latest at the end.
        self._changed: OrderedDict[str, int] = OrderedDict()
        self._before: dict[str, int] = {}  # and the one in which it changed before that
        self._gone: OrderedDict[str, int] = OrderedDict()

    def of(self, reader: Reader) -> str:
        """The version of what a reader sees: the same text as long as nothing has changed.

        Call it in the snapshot in which the rows are read that it is to stand for.
        """
        with self._lock:
            seen_at = self._seen_at
        # Not under the lock: other pages would wait for the database. One that saw less may then come after one that
        # saw more; the next puts that right.
        (now, count, last_run, events), writers = _seen(reader, (seen_at or datetime.now(UTC)) - RECENT)
        with self._lock:
            first = self._seen_at is None
            recorded = self._new_in_writers(writers)
            edited = self._new_in_events(reader, events)
            changed = recorded | edited
            gone: list[str] = []
            if (count, last_run) != self._shape:
                known, self._runs = self._runs, _runs(reader)
                self._ids = {uid: run for run, uid in self._runs.items()}
                self._shape = (count, last_run)
                changed |= self._runs.keys() - known.keys()
                gone = [known[run] for run in known.keys() - self._runs.keys()]
            changed &= self._runs.keys()
            if first:
                self._names = _metrics(reader, None) | _hyperparams(reader, None)
            else:
                self._names |= _metrics(reader, recorded & self._runs.keys())
                self._names |= _hyperparams(reader, (recorded | edited) & self._runs.keys())
            news = [self._runs[run] for run in changed]
            self._seen_at = now
            if news or gone or first:
                self._number += 1
                for uid in gone:
                    self._changed.pop(uid, None)
                self._note(self._gone, gone)
                if not first:  # then everything is new, but nobody has an older version
                    for uid in news:  # what seemed to be gone to one that saw less is there again
                        self._before[uid] = self._gone.pop(uid, self._changed.get(uid, 0))
                    self._note(self._changed, news)
            return f"{self._name}.{self._number}"

    def changed_before(self, uid: str) -> int:
        """The number of the version in which it changed before that; 0 if it did not."""
        with self._lock:
            return self._before.get(uid, 0)

    def id_of(self, uid: str) -> int | None:
        """The id of a run; None if there was none when `of` was called last."""
        with self._lock:
            return self._ids.get(uid)

    @property
    def shape(self) -> tuple[int, int]:
        """Another one as soon as a run was added or deleted; the first number is how many there are."""
        with self._lock:
            return self._shape

    def all_names(self) -> frozenset[tuple[str, ...]]:
        """Metrics by name, and hyperparameters by namespace and key, that have been seen."""
        with self._lock:
            return frozenset(self._names)

    @property
    def names_count(self) -> int:
        """How many metrics and hyperparameters have been seen: if it grows, a table may have more columns."""
        with self._lock:
            return len(self._names)

    @property
    def running(self) -> int:
        """How many runs are being recorded, by writers that are alive."""
        with self._lock:
            return len({run for run, _, _, alive in self._writers.values() if alive})

    def since(self, version: object) -> Changes | None:
        """What has changed since a version; None if it is none of this process."""
        number = self.number_in(version)
        with self._lock:
            if not 0 < number <= self._number:
                return None
            return Changes(_after(self._changed, number), _after(self._gone, number))

    def number_in(self, version: object) -> int:
        """The number of a version of this process, which counts them; 0 for any other."""
        name, _, digits = version.partition(".") if isinstance(version, str) else ("", "", "")
        return int(digits) if name == self._name and digits.isdecimal() and len(digits) <= 15 else 0

    def changed_in(self, uid: str) -> int:
        """The number of the version in which a run last changed; 0 if it has not since this process began."""
        with self._lock:
            return self._changed.get(uid, 0)

    def _new_in_writers(self, writers: _Writers) -> set[int]:
        """The runs whose writers have done something; the first time it is all."""
        known, self._writers = self._writers, writers
        changed = {row[0] for uid, row in self._writers.items() if known.get(uid) != row}
        # One that was open and is not even among those that closed: nobody has asked for a long time.
        return changed | {row[0] for uid, row in known.items() if uid not in self._writers and not row[2]}

    def _new_in_events(self, reader: Reader, seen: tuple[int, int]) -> set[int]:
        if seen == self._events_seen:
            return set()
        event, (before, _), (last, _) = reader.models.event.c, self._events_seen, seen
        rows = reader.rows(select(event.id, event.run_id).where(event.id > max(before - LATE, 0)))
        changed = {run for number, run in rows if number not in self._events}
        self._events = {number for number, _ in rows if number > last - LATE}
        self._events_seen = seen
        return changed

    def _note(self, place: OrderedDict[Any, int], keys: Any) -> None:
        for key in keys:
            place[key] = self._number
            place.move_to_end(key)


# --- What is asked ---------------------------------------------------------------------------------------------------
# The statements are made once: that takes longer than to run them.


def _seen(reader: Reader, since: datetime) -> tuple[tuple[datetime, int, int, tuple[int, int]], _Writers]:
    """What there is at a glance, and the writers that are open, or have closed since then.

    At a glance: the database's clock, how many runs there are, the highest id of one; the highest id of an event, and
    how many of the last `LATE` ids there are: one that was given earlier may be seen later.
    """
    rows = reader.rows(_seen_statement(reader.models, reader.backend), {"since": since})
    now, count, last_run, last_event, late_events, *_ = rows[0]
    writers = {
        uid: (run, acked, closed is not None, is_alive(closed, heard, now))
        for *_, uid, run, acked, closed, heard in rows
        if uid is not None  # that there is none is a row, too
    }
    return (now, count, last_run or 0, (last_event or 0, late_events)), writers


@lru_cache(maxsize=16)
def _seen_statement(models: Models, backend: Backend) -> Select[Any]:
    run, event, writer = models.run.c, models.event.c, models.writer.c
    last_event = select(func.max(models.event.alias("latest").c.id)).scalar_subquery()
    late_events = select(func.count()).select_from(models.event).where(event.id > last_event - LATE).scalar_subquery()
    overview = (
        select(
            backend.now().label("now"),
            func.count().label("count"),
            func.max(run.id).label("last_run"),
            last_event.label("last_event"),
            late_events.label("late_events"),
        )
        .select_from(models.run)
        .subquery("overview")
    )
    recent = writer.closed_at > bindparam("since", type_=writer.closed_at.type)
    columns = (writer.uid, writer.run_id, writer.acked, writer.closed_at, heard_of(models.writer))
    return select(*overview.c, *columns).select_from(
        overview.outerjoin(models.writer, or_(writer.closed_at.is_(None), recent))
    )


def _metrics(reader: Reader, runs: Collection[int] | None) -> set[tuple[str, ...]]:
    """The metrics of runs; None: of all."""
    summary = reader.models.metric_summary.c
    return _distinct(reader, select(summary.metric).where(summary.count > 0), summary.run_id, runs)


def _hyperparams(reader: Reader, runs: Collection[int] | None) -> set[tuple[str, ...]]:
    """The namespaces and keys of hyperparameters of runs; None: of all."""
    hyperparam = reader.models.hyperparam.c
    return _distinct(reader, select(hyperparam.namespace, hyperparam.key), hyperparam.run_id, runs)


def _distinct(
    reader: Reader, statement: Select[Any], run: ColumnElement[int], runs: Collection[int] | None
) -> set[tuple[str, ...]]:
    parts = [statement] if runs is None else [statement.where(part) for part in among(run, list(runs))]
    return {tuple(row) for part in parts for row in reader.rows(part.distinct())}


def _runs(reader: Reader) -> dict[int, str]:
    """The uid of every run, by id."""
    run = reader.models.run.c
    return {number: uid for chunk in reader.chunks(select(run.id, run.uid)) for number, uid in chunk}


def _after(place: OrderedDict[Any, int], number: int) -> list[Any]:
    """The keys whose version is later than this one."""
    return list(takewhile(lambda key: place[key] > number, reversed(place)))
