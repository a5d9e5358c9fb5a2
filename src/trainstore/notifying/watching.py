"""What happened in a store since the last look: runs that began, went on, ended or were lost, and alerts.

A look reads the runs that are running, those that were at the look before, and those that are new or have just ended;
and the alerts with a higher id than any before. It reads no steps.

What lies before the first look is history, also if a merge or an import brings it later: it is neither told nor sent.
Of imported runs nothing is ever sent, as they are another tool's trainings.

A silence is believed if somebody listened: after a machine has slept, a database was away or its clock was put forward,
every run looks lost until its next heartbeat. Such a loss is told when it has lasted for as long again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, func, or_, select

from trainstore.models import HEARTBEAT, LOST_AFTER
from trainstore.queries import Reader
from trainstore.queries.run_source import RunSource, alias, liveness, run_source
from trainstore.recording.listeners import END, Event
from trainstore.values import microseconds_of

#: Transactions on PostgreSQL may commit later than others that took a higher id.
_LATE = timedelta(seconds=60)
#: A run that was resumed and has ended between two looks is neither running nor new: it is found by its end.
_JUST_ENDED = timedelta(minutes=10)
#: Between two looks. In a longer one the heartbeats of all runs may have been missed.
_GAP = timedelta(seconds=HEARTBEAT)
_MAX_ALERTS = 1_000  # of one look
_MAX_IDS = 500  # in one IN list
_OPEN = ("running", "lost")
_OF_AN_IMPORT = 0  # the process of a writer that is none


class Change(NamedTuple):
    """Something that happened."""

    at: datetime  # by the clock of whoever recorded it; of a loss, the database's
    event: Event
    is_sendable: bool  # if somebody wants to hear of such events
    is_resumed: bool = False  # it began from a checkpoint


class _Seen(NamedTuple):
    """What was last known of a run."""

    attempt: str
    status: str


class Watcher:
    """Remembers what it has told."""

    def __init__(self, project: str | None = None) -> None:
        self._project = project
        self._since: datetime | None = None  # of the first look, by the database's clock
        self._looked: datetime | None = None  # at the last look
        self._seen: dict[int, _Seen] = {}  # by the run's id
        self._doubted: dict[int, datetime] = {}  # since when a loss is doubted
        self._last_run = 0
        self._alerts: set[int] = set()  # those told that the next look may find again
        self._reached: deque[tuple[datetime, int]] = deque()  # when which event was the last

    @property
    def running(self) -> int:
        """How many runs were running at the last look."""
        return sum(seen.status == "running" for seen in self._seen.values())

    def look(self, reader: Reader) -> list[Change]:
        """What happened since the last look, in order; nothing at the first."""
        now = reader.now()
        is_first = self._since is None
        self._since = since = self._since or now
        rows = self._runs(reader, now, is_first)
        alerts = self._new_alerts(reader, now, since, is_first)
        # Only now, as all is read: if the database goes away before, the next look finds the same changes.
        rows = [row for row in rows if not self._is_doubtful(row, now)]
        self._looked = now
        changes = [change for row in rows for change in self._changes_of(row, now, since, is_first)]
        return sorted([*changes, *alerts], key=lambda change: change.at)

    # --- Runs -------------------------------------------------------------------------------------------------------

    def _runs(self, reader: Reader, now: datetime, is_first: bool) -> list[Any]:
        """The rows of runs that may have changed."""
        last = reader.connection.execute(select(func.max(reader.models.run.c.id))).scalar() or 0
        before, self._last_run = last if is_first else self._last_run, last
        run, source = reader.models.run.c, run_source(reader.models)
        parameters, columns = liveness(reader), _columns(reader, source)
        base = source.statement.with_only_columns(*columns, maintain_column_froms=True).order_by(run.id)
        if self._project is not None:
            base = base.where(run.project == self._project)
        rows = {row.id: row for row in reader.rows(base.where(_may_have_changed(run, before, now)), parameters)}
        others = [number for number, seen in self._seen.items() if seen.status in _OPEN and number not in rows]
        for first in range(0, len(others), _MAX_IDS):
            condition = run.id.in_(others[first : first + _MAX_IDS])
            rows |= {row.id: row for row in reader.rows(base.where(condition), parameters)}
        for number in others:
            if number not in rows:  # deleted
                del self._seen[number]
                self._doubted.pop(number, None)
        return [rows[number] for number in sorted(rows)]

    def _is_doubtful(self, row: Any, now: datetime) -> bool:
        """Whether a run seems to be lost since nobody has listened for a while; that it ended is never in doubt."""
        if row.status == "lost" and row.closed_at is None and self._seen.get(row.id) != (row.attempt, "lost"):
            has_listened = self._looked is None or now - self._looked < _GAP
            if not has_listened or row.id in self._doubted:
                return now - self._doubted.setdefault(row.id, now) < LOST_AFTER
        self._doubted.pop(row.id, None)
        return False

    def _changes_of(self, row: Any, now: datetime, since: datetime, is_first: bool) -> Iterator[Change]:
        seen, found = self._seen.get(row.id), _Seen(row.attempt, row.status)
        self._seen[row.id] = found
        if is_first or seen == found:
            return
        began = row.opened_at is not None and row.opened_at >= since
        is_sendable = row.pid != _OF_AN_IMPORT
        if began and (seen is None or seen.attempt != found.attempt):
            yield Change(row.opened_at, _event(row, "begun", row.attempt, 0, "running"), False, row.resumed is not None)
        if found.status == "lost" and (began or seen is not None):
            # Of each silence once, by its beginning. What a recovery stores of the run afterwards is no sign of life.
            heard_at = row.heartbeat_at or row.opened_at
            event = _event(row, "ended", row.attempt, -1 - (microseconds_of(heard_at) if heard_at else 0), "lost")
            yield Change(now, event, is_sendable)
        elif found.status not in _OPEN:
            event = _event(row, "ended", row.attempt, END, found.status)
            is_new = row.ended_at is not None and row.ended_at >= since
            was_running = seen is not None and seen.status == "running"  # here: clocks differ, databases are away
            if is_new or seen is not None:
                yield Change(row.ended_at or now, event, is_sendable and (is_new or was_running))
        elif seen is not None and seen.status == "lost" and seen.attempt == found.attempt:
            yield Change(now, _event(row, "heard", row.attempt, 0, "running"), False)

    # --- Alerts -----------------------------------------------------------------------------------------------------

    def _new_alerts(self, reader: Reader, now: datetime, since: datetime, is_first: bool) -> list[Change]:
        event, run = reader.models.event.c, reader.models.run
        last = reader.connection.execute(select(func.max(event.id))).scalar() or 0
        self._reached.append((now, last))
        while len(self._reached) > 1 and self._reached[1][0] <= now - _LATE:
            self._reached.popleft()
        if is_first:
            return []
        floor = self._reached[0][1]
        self._alerts = {number for number in self._alerts if number > floor}
        opener = alias(reader.models.writer, "recorder")
        statement = (
            select(event.id, event.at, event.writer_uid, event.seq, event.step, event.details, opener.c.pid)
            .add_columns(run.c.uid, run.c.name, run.c.project)
            .join_from(reader.models.event, run, run.c.id == event.run_id)
            .join(opener, opener.c.uid == event.writer_uid, isouter=True)
            .where(and_(event.id > floor, event.kind == "alert", event.at >= since))
            .order_by(event.id)
            .limit(_MAX_ALERTS + len(self._alerts))
        )
        if self._project is not None:
            statement = statement.where(run.c.project == self._project)
        found = [row for row in reader.rows(statement) if row.id not in self._alerts]
        self._alerts.update(row.id for row in found)
        return [_alert(row) for row in found]


def _may_have_changed(run: Any, last: int, now: datetime) -> ColumnElement[bool]:
    return or_(run.status == "running", run.id > last, run.ended_at > now - _JUST_ENDED)


def _columns(reader: Reader, source: RunSource) -> list[Any]:
    run, writer, head = reader.models.run.c, reader.models.writer.c, source.head.c
    return [
        run.id, run.uid, run.name, run.project, run.last_step, run.error, run.ended_at, source.status.label("status"),
        head.uid.label("attempt"), head.opened_at, head.resumed_from.label("resumed"),
        writer.heartbeat_at, writer.closed_at, writer.pid,
    ]  # fmt: skip


def _event(row: Any, kind: str, writer_uid: str, seq: int, status: str) -> Event:
    return Event(
        kind, writer_uid, seq, row.uid, row.name, row.project, step=row.last_step, status=status, error=row.error
    )


def _alert(row: Any) -> Change:
    details = row.details if isinstance(row.details, dict) else {}
    said = {name: str(details.get(name, "")) for name in ("title", "text", "level")}
    event = Event("alert", row.writer_uid, row.seq, row.uid, row.name, row.project, step=row.step, **said)
    return Change(row.at, event, row.pid != _OF_AN_IMPORT)
