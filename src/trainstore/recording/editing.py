"""Edits by hand of a stored run: without a journal, in one transaction, by the rules of edits.py."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from trainstore.errors import RunNotFoundError
from trainstore.recording.edits import EDIT_KINDS, Edit, apply_edits, edit_of_notes
from trainstore.recording.records import now
from trainstore.recording.statements import Statements
from trainstore.values import Json, time_of


def edit_tags(
    connection: Connection, statements: Statements, uid: str, values: Mapping[str, Json], remove: Collection[str]
) -> list[str]:
    """Set tags, canonical ones, and remove others; the names of those that were there to be removed, sorted."""
    run_id = _lock(connection, statements, uid)
    edit = Edit("tag", *_by_hand(connection, statements, run_id), values, sorted(remove))
    return [name for details in _apply(connection, statements, run_id, edit) for name in details["removed"]]


def edit_notes(connection: Connection, statements: Statements, uid: str, notes: str, *, append: bool) -> str:
    """Set the notes, or add a paragraph to them; what they are then."""
    run_id = _lock(connection, statements, uid)
    before = statements.load_labels(connection, run_id)["notes"]
    if append and before:
        notes = f"{before}\n{notes}"
    _apply(connection, statements, run_id, edit_of_notes(*_by_hand(connection, statements, run_id), notes))
    return notes


def edit_name(connection: Connection, statements: Statements, uid: str, name: str) -> None:
    """Give the run another name."""
    run_id = _lock(connection, statements, uid)
    _apply(connection, statements, run_id, Edit("rename", *_by_hand(connection, statements, run_id), {"name": name}))


def _apply(connection: Connection, statements: Statements, run_id: int, edit: Edit) -> list[dict[str, Any]]:
    head = statements.load_attempts(connection, run_id).head
    return apply_edits(connection, statements, run_id, head.attempt, [edit])


def _by_hand(connection: Connection, statements: Statements, run_id: int) -> tuple[datetime, str, int]:
    """Time, writer and number of an edit that is later than every stored one, even if the clock is slow."""
    latest = max((row[0] for row in statements.load_events(connection, run_id, EDIT_KINDS)), default=None)
    at = time_of(now())
    if latest is not None:
        at = max(at, latest + timedelta(microseconds=1))
    return at, str(uuid.uuid4()), 1  # of nobody: no process records it


def _lock(connection: Connection, statements: Statements, uid: str) -> int:
    run = statements.lock_run(connection, uid)
    if run is None:
        raise RunNotFoundError(f"run {uid} was deleted meanwhile")
    run_id: int = run.id
    return run_id
