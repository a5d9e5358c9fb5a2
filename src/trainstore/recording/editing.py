"""Tags and notes of a run that is stored, changed by hand: beside the journals, in one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from math import isfinite

from sqlalchemy import Connection, delete, select

from trainstore.backends.base import time_of
from trainstore.errors import RunNotFoundError
from trainstore.recording.flush import now
from trainstore.recording.statements import Statements
from trainstore.values import Json


def edit_tags(
    connection: Connection, statements: Statements, uid: str, values: Mapping[str, Json], remove: Collection[str]
) -> list[str]:
    """Set tags, canonical ones, and remove others; the names of those that were there to be removed, sorted."""
    run_id = _lock(connection, statements, uid)
    table = statements.models.hyperparam
    tags = (table.c.run_id == run_id) & (table.c.namespace == "tag")
    there = set(connection.execute(select(table.c.key).where(tags)).scalars())
    removed = sorted(there & (set(remove) - values.keys()))
    for name in removed:
        connection.execute(delete(table).where(tags, table.c.key == name))
    if values:
        attempt = statements.load_attempts(connection, run_id).head.attempt
        statements.upsert_hyperparams(
            connection,
            [
                {
                    "run_id": run_id,
                    "namespace": "tag",
                    "key": name,
                    "value": value,
                    "number": float(value) if type(value) in (int, float) and isfinite(value) else None,
                    "attempt": attempt,
                }
                for name, value in values.items()
            ],
        )
    return removed


def edit_notes(connection: Connection, statements: Statements, uid: str, notes: str, *, append: bool) -> str:
    """Set the notes, or add a paragraph to them; what they are then. An event keeps what they were."""
    run_id = _lock(connection, statements, uid)
    run = statements.models.run.c
    before = connection.execute(select(run.notes).where(run.id == run_id)).scalar_one()
    if append and before:
        notes = f"{before}\n{notes}"
    if notes == (before or ""):
        return notes
    statements.update_run(connection, run_id, {"notes": notes or None})
    event = {
        "run_id": run_id,
        "writer_uid": str(uuid.uuid4()),  # of nobody: no process records it
        "seq": 1,
        "at": time_of(now()),
        "step": None,
        "kind": "note",
        "details": {"notes": notes, "before": before},
    }
    statements.insert_events(connection, [event])
    return notes


def _lock(connection: Connection, statements: Statements, uid: str) -> int:
    run = statements.lock_run(connection, uid)
    if run is None:
        raise RunNotFoundError(f"run {uid} was deleted meanwhile")
    run_id: int = run.id
    return run_id
