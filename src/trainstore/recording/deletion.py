"""Deleting a run with everything that belongs to it."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from trainstore.errors import RunActiveError
from trainstore.models import LOST_AFTER
from trainstore.recording.statements import Statements


def delete_run(connection: Connection, statements: Statements, run_id: int, uid: str, *, force: bool) -> None:
    """Delete the run inside the caller's transaction; its other rows are deleted by their foreign keys.

    Raises `RunActiveError` while one of its writers is alive, unless ``force``.
    """
    run, writer = statements.models.run, statements.models.writer.c
    statements.lock_run(connection, uid)
    beats = connection.execute(
        select(writer.host, writer.pid, writer.heartbeat_at).where(
            writer.run_id == run_id, writer.closed_at.is_(None), writer.heartbeat_at.is_not(None)
        )
    ).all()
    now = statements.now(connection)
    alive = [f"process {pid} on {host}" for host, pid, heartbeat_at in beats if now - heartbeat_at < LOST_AFTER]
    if alive and not force:
        raise RunActiveError(
            f"run {uid} is being recorded by {', '.join(alive)}; finish it first, or pass force=True (its later "
            "records are then set aside)"
        )
    connection.execute(delete(run).where(run.c.id == run_id))
