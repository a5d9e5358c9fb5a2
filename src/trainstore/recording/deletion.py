"""Runs that were deleted: how one is, what is remembered of it, and whether it counts as deleted.

What is remembered, a row of ``deleted_run``, keeps merging, copying and importing from bringing the run back. Each of
its two times only ever grows, so stores that exchange their rows, in whatever order, come to agree. Recording asks none
of this: a training that goes on from a checkpoint of a deleted run records, and its run is there again, because its
attempt began after the deletion.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, select, update

from trainstore.errors import RunActiveError
from trainstore.models import Models
from trainstore.recording.statements import Statements
from trainstore.values import microseconds_of

_MOMENT = timedelta(microseconds=1)
_MANY = 500  # uids in one IN list


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What a store remembers of a run that was deleted there."""

    uid: str
    deleted_at: datetime
    revived_at: datetime | None = None

    def holds(self, latest: datetime | None) -> bool:
        """Whether the run counts as deleted.

        Args:
            latest: When the latest attempt or writer began of what is offered of the run (`latest_of`); None: of
                nothing that is offered a time is known.
        """
        revived = self.revived_at is not None and self.revived_at >= self.deleted_at
        return not revived and (latest is None or latest <= self.deleted_at)


def delete_run(connection: Connection, statements: Statements, run_id: int, uid: str, *, force: bool) -> None:
    """Delete the run inside the caller's transaction; its other rows are deleted by their foreign keys.

    Raises `RunActiveError` while one of its writers is alive, unless ``force``.
    """
    run = statements.models.run
    statements.lock_run(connection, uid)
    alive = statements.live_writers(connection, run_id)
    if alive and not force:
        raise RunActiveError(
            f"run {uid} is being recorded by {', '.join(alive)}; finish it first, or pass force=True (its later "
            "records are then set aside)"
        )
    at = _later(connection, statements, uid, latest_of(connection, statements.models, run_id))
    connection.execute(delete(run).where(run.c.id == run_id))
    unite(connection, statements, [Tombstone(uid, at)])


def deleted_runs(connection: Connection, models: Models, uids: Iterable[str] | None = None) -> dict[str, Tombstone]:
    """What a store remembers of deleted runs, by their uids: of these, or of all. Whether it `holds` is not asked."""
    table = models.deleted_run.c
    statement = select(table.uid, table.deleted_at, table.revived_at)
    if uids is None:
        rows = list(connection.execute(statement))
    else:
        asked = sorted(set(uids))
        chunks = [asked[i : i + _MANY] for i in range(0, len(asked), _MANY)]
        rows = [row for chunk in chunks for row in connection.execute(statement.where(table.uid.in_(chunk)))]
    return {row.uid: Tombstone(*row) for row in rows}


def latest_of(connection: Connection, models: Models, run_id: int) -> datetime | None:
    """When the latest attempt or writer of a stored run began. A writer may join an old attempt, and count as new."""
    attempt, writer = models.attempt.c, models.writer.c
    begun = (
        connection.execute(select(func.max(attempt.opened_at)).where(attempt.run_id == run_id)).scalar(),
        connection.execute(select(func.max(writer.started_at)).where(writer.run_id == run_id)).scalar(),
    )
    return max((time for time in begun if time is not None), default=None)


def deleted_at(connection: Connection, models: Models, uid: str) -> int:
    """When a run was deleted, in microseconds since 1970, if this is remembered; else 0."""
    found = deleted_runs(connection, models, [uid]).get(uid)
    return 0 if found is None else microseconds_of(found.deleted_at)


def unite(connection: Connection, statements: Statements, tombstones: Iterable[Tombstone]) -> None:
    """Remember these too. Of each run the greater of both times is kept, so it does not matter who comes first."""
    found = sorted(tombstones, key=lambda tombstone: tombstone.uid)  # in one order: nobody waits in a circle
    if not found:
        return
    table = statements.models.deleted_run
    rows = [{"uid": one.uid, "deleted_at": one.deleted_at, "revived_at": one.revived_at} for one in found]
    statements.backend.insert_missing(connection, table, ("uid",), rows)
    for one in found:
        there = update(table).where(table.c.uid == one.uid)
        connection.execute(there.where(table.c.deleted_at < one.deleted_at).values(deleted_at=one.deleted_at))
        if one.revived_at is not None:
            older = table.c.revived_at.is_(None) | (table.c.revived_at < one.revived_at)
            connection.execute(there.where(older).values(revived_at=one.revived_at))


def revive(connection: Connection, statements: Statements, uids: Iterable[str]) -> list[str]:
    """Let these runs be brought back; the uids of those that were remembered as deleted."""
    now = statements.now(connection)
    found = [one for one in deleted_runs(connection, statements.models, uids).values() if one.holds(None)]
    revived = [Tombstone(one.uid, one.deleted_at, max(now, one.deleted_at + _MOMENT)) for one in found]
    unite(connection, statements, revived)
    return [one.uid for one in revived]


def _later(connection: Connection, statements: Statements, uid: str, latest: datetime | None) -> datetime:
    """A time of deletion that is later than all that is known of the run, however the clocks differ."""
    known = [] if latest is None else [latest]
    for before in deleted_runs(connection, statements.models, [uid]).values():
        known += [before.deleted_at] if before.revived_at is None else [before.deleted_at, before.revived_at]
    return max([statements.now(connection), *(time + _MOMENT for time in known)])
