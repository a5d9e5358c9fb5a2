"""Who sends: an event is claimed for a target by a row in ``notification``, and the one that commits it sends."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from trainstore.backends import Backend
from trainstore.errors import TrainStoreError
from trainstore.models import Models
from trainstore.notifying.targets import Target
from trainstore.recording.deletion import deleted_runs
from trainstore.recording.listeners import Event


class NotThereYetError(TrainStoreError):
    """The run has not reached the database, so that its event cannot be claimed."""


class DeletedError(NotThereYetError):
    """The run was deleted. It is not there, unless a training that goes on from a checkpoint records it again."""


def claim(connection: Connection, backend: Backend, models: Models, event: Event, target: Target) -> bool:
    """Claim the event for the target, and commit; True: the caller sends it, and nobody else ever does.

    Args:
        connection: A writer's, outside a transaction.
        backend: The database's.
        models: The store's tables.
        event: What is to be sent.
        target: Where.

    Returns:
        False if somebody else has claimed it.

    Raises:
        NotThereYetError: The run is not in the database, yet or any more.
    """
    table = models.notification
    with backend.writing(connection):
        run_id = connection.execute(select(models.run.c.id).where(models.run.c.uid == event.run_uid)).scalar()
        if run_id is None:
            kind = DeletedError if deleted_runs(connection, models, [event.run_uid]) else NotThereYetError
            raise kind(f"run {event.run_uid} is not in the database")
        if connection.execute(select(table.c.seq).where(*_is(models, event, target))).first() is not None:
            return False
        try:
            with connection.begin_nested():
                connection.execute(
                    insert(table).values(
                        writer_uid=event.writer_uid,
                        seq=event.seq,
                        target=target.identity,
                        run_id=run_id,
                        claimed_at=backend.now(),
                    )
                )
        except IntegrityError:  # somebody else was faster, or the run was deleted
            return False
    return True


def mark_sent(connection: Connection, backend: Backend, models: Models, event: Event, target: Target) -> None:
    """The message has left."""
    with backend.writing(connection):
        sent = update(models.notification).where(*_is(models, event, target)).values(sent_at=backend.now())
        connection.execute(sent)
    if backend.needs_settling:
        backend.settle(connection)


def _is(models: Models, event: Event, target: Target) -> tuple[ColumnElement[bool], ...]:
    table = models.notification.c
    return table.writer_uid == event.writer_uid, table.seq == event.seq, table.target == target.identity
