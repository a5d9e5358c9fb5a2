"""Deleting a run with everything that belongs to it."""

from __future__ import annotations

from sqlalchemy import Connection, delete

from trainstore.errors import RunActiveError
from trainstore.recording.statements import Statements


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
    connection.execute(delete(run).where(run.c.id == run_id))
