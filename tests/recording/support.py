"""What tests of recording share: journals made by hand, delivered without a thread, and what is then stored."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, select

from trainstore.backends import open_backend
from trainstore.models import Models, models_for
from trainstore.recording.delivery import decode
from trainstore.recording.flush import Source, WatermarkMovedError, flush
from trainstore.recording.statements import Statements
from trainstore.recording.summary import Summary, summarize
from trainstore.values import time_of

START = 1_700_000_000_000_000  # microseconds since 1970; when the runs of these tests begin
DEADLINE = 60.0  # seconds; it only ends a test that is broken

Record = dict[str, Any]
_SUMMARY = tuple(Summary.__dataclass_fields__)


def eventually(condition: Callable[[], Any], what: str = "the condition") -> Any:
    """Wait until ``condition()`` is true, and return it; fail after `DEADLINE` seconds."""
    deadline = time.monotonic() + DEADLINE
    pause = 0.005
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not come true in {DEADLINE} s"
        time.sleep(pause)
        pause = min(pause * 1.3, 0.05)  # many conditions open a connection
    return found


def current_rows(connection: Connection, models: Models, run_uid: str) -> list[tuple[int, Record]]:
    """(step, metrics) of a run's current rows, in order; fails where a step stands there twice."""
    view, run = models.current_step_log.c, models.run.c
    statement = select(view.step, view.metrics).join(models.run, run.id == view.run_id).where(run.uid == run_uid)
    rows = [(row.step, row.metrics) for row in connection.execute(statement.order_by(view.step))]
    assert len({step for step, _ in rows}) == len(rows), f"a step is current twice: {[step for step, _ in rows]}"
    return rows


def summaries(connection: Connection, models: Models, run_uid: str) -> dict[str, Summary]:
    """A run's stored summaries that are not absent (count 0)."""
    table, run = models.metric_summary.c, models.run.c
    statement = select(table.metric, *(table[name] for name in _SUMMARY)).join(models.run, run.id == table.run_id)
    rows = connection.execute(statement.where(run.uid == run_uid)).all()
    empty = Summary()
    for row in rows:
        assert row.count or Summary(*row[1:]) == empty, f"an absent summary keeps values: {row}"
    return {row.metric: Summary(*row[1:]) for row in rows if row.count}


@dataclass
class AttemptFacts:
    """An attempt as its opener knows it."""

    uid: str
    start_step: int
    opened_at: int  # microseconds since START
    parent: AttemptFacts | None = None

    @property
    def lineage(self) -> list[AttemptFacts]:
        """Its ancestors and itself, root first."""
        return [*(self.parent.lineage if self.parent else []), self]

    @property
    def record(self) -> Record:
        """Its record in the journals of all its writers."""
        ancestors = [[a.uid, a.start_step, START + a.opened_at] for a in self.lineage[:-1]]
        opened_at = START + self.opened_at
        return {
            "kind": "attempt",
            "uid": self.uid,
            "start_step": self.start_step,
            "opened_at": opened_at,
            "lineage": ancestors,
        }


@dataclass
class HandJournal:
    """A journal made by hand: what one writer recorded."""

    run_uid: str
    attempt: AttemptFacts
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    rank: int = 0
    seen: bool = False
    records: list[Record] = field(default_factory=list)
    acked: int = 0

    def __post_init__(self) -> None:
        writer = {"uid": self.uid, "rank": self.rank, "host": "h", "username": "u", "pid": 1, "started_at": START}
        run = {"kind": "run", "uid": self.run_uid, "project": "p", "name": "n", "source": "python", "notes": None}
        self.records[:0] = [{**run, "started_at": START, "seen": self.seen, "writer": writer}, self.attempt.record]

    def step(self, step: int, metrics: Record, **more: Any) -> None:
        """Append the record of a step; metrics as they are stored."""
        at = START + len(self.records)
        self.records.append({"kind": "step", "at": at, "step": step, "metrics": metrics, **more})

    def hyperparams(self, values: Record, namespace: str = "hp") -> None:
        """Append hyperparameters."""
        self.records.append({"kind": "hyperparam", "namespace": namespace, "values": values})

    def event(self, kind: str, **more: Any) -> None:
        """Append an event."""
        self.records.append({"kind": "event", "event": kind, "at": START + len(self.records), "step": None, **more})

    def status(self, status: str | None, error: str | None = None) -> None:
        """Append the end."""
        at = START + len(self.records)
        self.records.append({"kind": "status", "status": status, "error": error, "at": at})


class Desk:
    """A database's tables and the statements of recording, without delivery thread and journal folder."""

    def __init__(self, url: str) -> None:
        self.backend = open_backend(url)
        self.models = models_for("")
        self.statements = Statements(self.models, self.backend)
        self.engine = self.backend.create_writer_engine()
        self.connection: Connection = self.engine.connect()

    def close(self) -> None:
        """Let the database go."""
        self.connection.close()
        self.engine.dispose()
        self.backend.close()

    def flush(self, journal: HandJournal, acked: int, count: int) -> None:
        """Deliver ``count`` records after ``acked``, as a writer would; raises what `flush` raises."""
        numbered = list(enumerate(map(orjson.dumps, journal.records), start=1))
        batch = decode(acked, numbered[acked : acked + count])
        source = Source(journal.uid, journal.run_uid, seen=journal.seen)
        flush(self.connection, self.statements, source, acked, batch)

    def deliver(self, journal: HandJournal, count: int | None = None) -> None:
        """Deliver the next ``count`` records of a journal; None: all."""
        waiting = len(journal.records) - journal.acked
        count = waiting if count is None else min(count, waiting)
        if count:
            self.flush(journal, journal.acked, count)
            journal.acked += count
            journal.seen = True

    def deliver_again(self, journal: HandJournal) -> None:
        """Deliver what is stored already, as after a COMMIT whose answer was lost; it must be refused."""
        with pytest.raises(WatermarkMovedError) as moved:
            self.flush(journal, 0, journal.acked)
        assert moved.value.acked == journal.acked

    def run(self, uid: str) -> Any:
        """The row of a run."""
        return self.one(select(self.models.run).where(self.models.run.c.uid == uid))

    def rows(self, statement: Any) -> list[Any]:
        """All rows of a statement."""
        with self.connection.begin():
            return list(self.connection.execute(statement).all())

    def one(self, statement: Any) -> Any:
        """The only row of a statement."""
        (row,) = self.rows(statement)
        return row

    def current(self, run_uid: str) -> list[tuple[int, Record]]:
        """(step, metrics) of the current rows, in order; fails where a step stands there twice."""
        with self.connection.begin():
            return current_rows(self.connection, self.models, run_uid)

    def summaries(self, run_uid: str) -> dict[str, Summary]:
        """The stored summaries that are not absent (count 0)."""
        with self.connection.begin():
            return summaries(self.connection, self.models, run_uid)

    def attempts(self, run_uid: str) -> dict[str, Any]:
        """The attempts of a run, by uid."""
        table = self.models.attempt
        return {row.uid: row for row in self.rows(select(table).where(table.c.run_id == self.run(run_uid).id))}

    def check(self, run_uid: str) -> None:
        """What must hold of every run at any time: summaries and last_step are those of the current rows."""
        current = self.current(run_uid)
        assert self.summaries(run_uid) == summarize(current)
        assert self.run(run_uid).last_step == (current[-1][0] if current else None)

    def forget(self, run_uid: str) -> None:
        """Delete a run with all that hangs on it."""
        with self.connection.begin():
            self.connection.execute(self.models.run.delete().where(self.models.run.c.uid == run_uid))


@contextmanager
def desk_at(url: str) -> Iterator[Desk]:
    """A `Desk` for the length of a block."""
    desk = Desk(url)
    try:
        yield desk
    finally:
        desk.close()


def first_attempt() -> AttemptFacts:
    """The attempt of a run that resumes nothing."""
    return AttemptFacts(str(uuid.uuid4()), -1, 0)


def next_attempt(parent: AttemptFacts, start_step: int, opened_at: int | None = None) -> AttemptFacts:
    """The attempt that resumes ``parent`` at a step, by default a second later."""
    at = parent.opened_at + 1_000_000 if opened_at is None else opened_at
    return AttemptFacts(str(uuid.uuid4()), start_step, at, parent)


def opener(run_uid: str, attempt: AttemptFacts) -> HandJournal:
    """The journal of the writer that opened an attempt."""
    return HandJournal(run_uid, attempt, uid=attempt.uid)


def opened_at(attempt: AttemptFacts) -> Any:
    """The stored time of an attempt."""
    return time_of(START + attempt.opened_at)
