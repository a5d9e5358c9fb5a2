"""Edits: changes to a run's tags, notes and name, while it is recorded or by hand afterwards.

Each leaves an event of kind ``tag``, ``note`` or ``rename``, with ``{"set": {…}, "removed": […], "before": {…}}``. The
last one by (at, writer_uid, seq) counts, in whatever order they arrive: an older edit that arrives late leaves its
event, but changes nothing that a later one touched. An edit that changes nothing leaves no event, except one that
comes from another store, where it did: without it, an older edit that arrives later would count.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from trainstore.recording.merging import differ
from trainstore.recording.records import Record, kind_of
from trainstore.recording.statements import Statements
from trainstore.values import Json

EDIT_KINDS = ("tag", "note", "rename")
EDITED_COLUMNS = {"note": "notes", "rename": "name"}  # of the run, by kind: also the only key of such an edit
_ABSENT: Any = object()
_Place = tuple[str, str]  # kind, key


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit. Values are canonical and redacted; a key that is set and removed is set."""

    kind: str
    at: datetime
    writer_uid: str
    seq: int  # of its record, in its writer's journal
    set: Mapping[str, Json]
    removed: Collection[str] = ()

    @property
    def order(self) -> tuple[datetime, str, int]:
        """What earlier and later mean."""
        return (self.at, self.writer_uid, self.seq)


def apply_edits(
    connection: Connection,
    statements: Statements,
    run_id: int,
    attempt: int,
    edits: Sequence[Edit],
    *,
    keep: bool = False,
) -> list[dict[str, Any]]:
    """Store edits and their events, in the transaction that has locked the run; the details of these events.

    Args:
        attempt: The number of the attempt that tags are noted under.
        keep: Whether edits that change nothing leave their events too.
    """
    if not edits:
        return []
    current = _current_values(connection, statements, run_id, {edit.kind for edit in edits})
    stored = _stored_edits(connection, statements, run_id, min(edit.at for edit in edits))
    events = []
    changed: dict[_Place, Json] = {}
    for edit in sorted(edits, key=lambda edit: edit.order):
        later = [(other, before) for other, before in stored if other.order > edit.order]
        details: dict[str, Any] = {"set": {}, "removed": [], "before": {}}
        for key in {**edit.set, **dict.fromkeys(edit.removed)}:
            place = (edit.kind, key)
            next_before = next((before for other, before in later if _touches(other, place)), None)
            old = (current if next_before is None else {place: next_before.get(key, _ABSENT)}).get(place, _ABSENT)
            new = edit.set.get(key, _ABSENT)
            same = new is old or (new is not _ABSENT and old is not _ABSENT and not differ(old, new))
            if same and not keep:
                continue
            if new is _ABSENT:
                details["removed"].append(key)
            else:
                details["set"][key] = new
            if old is not _ABSENT:
                details["before"][key] = old
            if next_before is None:
                current[place] = changed[place] = new
        if details["set"] or details["removed"]:
            events.append((edit, details))
    _write(connection, statements, run_id, attempt, changed)
    statements.insert_events(connection, [_row(run_id, edit, details) for edit, details in events])
    return [details for _, details in events]


def edited_places(connection: Connection, statements: Statements, run_id: int) -> set[tuple[str, str]]:
    """What was edited, as (kind of the edit, name): what a run began with is older."""
    edits = [edit for edit, _ in _stored_edits(connection, statements, run_id, None)]
    return {(edit.kind, key) for edit in edits for key in (*edit.set, *edit.removed)}


def edited_tags(connection: Connection, statements: Statements, run_id: int) -> set[str]:
    """The names of the tags that were edited."""
    return {key for kind, key in edited_places(connection, statements, run_id) if kind == "tag"}


def edit_of_record(writer_uid: str, seq: int, at: datetime, record: Record) -> Edit | None:
    """The edit that a record of a journal is; None if it is something else."""
    if kind_of(record) == "tag":
        return Edit("tag", at, writer_uid, seq, record["values"])
    details = record.get("details")
    # Anybody may log an event of this kind; only set_notes gives it this shape.
    if record.get("event") == "note" and isinstance(details, dict) and isinstance(details.get("notes"), str):
        return edit_of_notes(at, writer_uid, seq, details["notes"])
    return None


def edit_of_notes(at: datetime, writer_uid: str, seq: int, notes: str) -> Edit:
    """Notes are set; the empty text removes them."""
    return Edit("note", at, writer_uid, seq, {"notes": notes} if notes else {}, () if notes else ("notes",))


def _touches(edit: Edit, place: _Place) -> bool:
    return edit.kind == place[0] and (place[1] in edit.set or place[1] in edit.removed)


def _current_values(
    connection: Connection, statements: Statements, run_id: int, kinds: Collection[str]
) -> dict[_Place, Json]:
    found: dict[_Place, Json] = {}
    if "tag" in kinds:
        found |= {("tag", key): value for key, value in statements.load_tags(connection, run_id).items()}
    if kinds & EDITED_COLUMNS.keys():
        run = statements.load_labels(connection, run_id)
        found |= {(kind, name): run[name] for kind, name in EDITED_COLUMNS.items() if run[name] is not None}
    return found


def _stored_edits(
    connection: Connection, statements: Statements, run_id: int, since: datetime | None
) -> list[tuple[Edit, Mapping[str, Json]]]:
    """Edits in their order, each with what stood there before it."""
    found = []
    for row in statements.load_events(connection, run_id, EDIT_KINDS, since):
        details = row.details
        if isinstance(details, dict) and details.keys() == {"set", "removed", "before"}:
            edit = Edit(row.kind, row.at, row.writer_uid, row.seq, details["set"], details["removed"])
            found.append((edit, details["before"]))
    return sorted(found, key=lambda pair: pair[0].order)


def _write(
    connection: Connection, statements: Statements, run_id: int, attempt: int, changed: Mapping[_Place, Json]
) -> None:
    tags = {key: value for (kind, key), value in changed.items() if kind == "tag"}
    gone = [key for key, value in tags.items() if value is _ABSENT]
    kept = {("tag", key): (value, attempt) for key, value in tags.items() if value is not _ABSENT}
    statements.upsert_hyperparams(connection, run_id, kept)
    statements.delete_tags(connection, run_id, gone)
    columns = {key: None if value is _ABSENT else value for (kind, key), value in changed.items() if kind != "tag"}
    if columns:
        statements.update_run(connection, run_id, columns)


def _row(run_id: int, edit: Edit, details: dict[str, Any]) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "writer_uid": edit.writer_uid,
        "seq": edit.seq,
        "at": edit.at,
        "step": None,
        "kind": edit.kind,
        "details": details,
    }
