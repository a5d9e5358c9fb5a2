"""Ending a lost run by hand: without a journal, in one transaction."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import Connection, func, select

from trainstore.errors import RunActiveError, RunEndedError, RunNotFoundError
from trainstore.models import LOST_AFTER
from trainstore.recording.attempts import Attempt
from trainstore.recording.statements import Statements


def close_run(connection: Connection, statements: Statements, uid: str, status: str, reason: str | None) -> None:
    """Give the attempt that is shown a final status, and the run with it, inside the caller's transaction.

    The run ended when it was last heard of. If a journal that says how it ended arrives later, that counts.

    Raises `RunNotFoundError`, `RunEndedError`, and `RunActiveError` while one of its writers is alive.
    """
    run = statements.lock_run(connection, uid)
    if run is None:
        raise RunNotFoundError(f"run {uid} was deleted meanwhile")
    head = statements.load_attempts(connection, run.id).head
    if head.status != "running":
        raise RunEndedError(
            f"run {uid} is {head.status} already, since {head.closed_at:%Y-%m-%d %H:%M} UTC; "
            "resume_run(run, step=…) goes on with it"
        )
    alive = statements.live_writers(connection, run.id)
    if alive:
        raise RunActiveError(
            f"run {uid} is being recorded by {', '.join(alive)}; finish it there. (A process that was killed "
            f"on another machine counts as alive for {LOST_AFTER.total_seconds():.0f} s.)"
        )
    head.status, head.error = status, None if status == "finished" else reason
    head.closed_at = _last_heard_of(connection, statements, run.id, head)
    statements.update_attempt(connection, run.id, head)
    statements.update_run(connection, run.id, {"status": status, "error": head.error, "ended_at": head.closed_at})
    details = {"by": "hand", "status": status} | ({} if reason is None else {"reason": reason})
    statements.insert_events(
        connection,
        [
            {
                "run_id": run.id,
                "writer_uid": str(uuid.uuid4()),  # of nobody: no process records it
                "seq": 1,
                "at": statements.now(connection),
                "step": None,
                "kind": "end",
                "details": details,
            }
        ],
    )


def _last_heard_of(connection: Connection, statements: Statements, run_id: int, head: Attempt) -> datetime:
    """The latest of what the attempt's writers and its last step say; a run that was killed at once has neither."""
    writer, step_log = statements.models.writer.c, statements.models.step_log.c
    beat = select(func.max(writer.heartbeat_at)).where(writer.run_id == run_id, writer.attempt == head.attempt)
    logged = select(step_log.logged_at).where(
        step_log.run_id == run_id, step_log.attempt == head.attempt, step_log.step == head.last_step
    )
    times = (connection.execute(beat).scalar(), connection.execute(logged).scalar())
    latest: datetime = max((head.opened_at, *(time for time in times if time is not None)))
    return latest
