"""The records that a journal begins with: the run and the attempt."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection

from trainstore.errors import InvalidArgumentError
from trainstore.recording.environment import attempt_facts
from trainstore.recording.records import now
from trainstore.recording.statements import Statements
from trainstore.values import MAX_STEP, index_of, microseconds_of, stored_label, stored_text

T = TypeVar("T")

Lineage = list[list[Any]]
_LATEST = 250_000_000_000_000_000  # microseconds since 1970; a datetime ends at the year 9999


def new_run(
    *,
    project: str | None = None,
    name: str | None = None,
    notes: str | None = None,
    parent: str | None = None,
    parent_step: int | None = None,
    source: str = "python",
    model_name: str | None = None,
    uid: str | None = None,
) -> dict[str, Any]:
    """The record of a run that begins now. Raises `InvalidArgumentError` for what is not text."""
    uid = uid or str(uuid.uuid4())
    texts = {"project": project, "name": name, "notes": notes, "source": source, "model_name": model_name}
    for argument, value in texts.items():
        if value is not None and not isinstance(value, str):
            raise InvalidArgumentError(f"{argument} {value!r} is not text; pass a str")
    project = project or os.environ.get("TRAINSTORE_PROJECT") or "default"
    name = name or os.environ.get("TRAINSTORE_RUN_NAME") or f"run-{uid[:8]}"
    if parent_step is not None:
        parent_step = step_of("parent_step", parent_step)
    return {
        "uid": uid,
        # Indexed: PostgreSQL's index takes no longer ones.
        "project": stored_label(project),
        "name": stored_label(name),
        "started_at": now(),
        "source": stored_text(source),
        "notes": None if notes is None else stored_text(notes),
        "model_name": None if model_name is None else stored_text(model_name),
        "parent": parent,
        "parent_step": parent_step,
    }


def new_attempt(*, start_step: int, lineage: Lineage, latest: int = 0) -> dict[str, Any]:
    """The record of an attempt that opens now.

    ``lineage`` are its ancestors, root first. Its time is fixed here for good: the clock's, or 1 µs after the latest
    of the lineage and of the run (``latest``), so that an attempt is later than all that it can know of, even if the
    clocks of the machines differ.
    """
    opened_at = max(now(), latest + 1, *(entry[2] + 1 for entry in lineage))
    return {
        "uid": str(uuid.uuid4()),
        # What resumes nothing begins at nothing.
        "start_step": start_step if lineage else -1,
        "opened_at": opened_at,
        "lineage": lineage,
        **attempt_facts(),
    }


def joined_attempt(lineage: Lineage) -> dict[str, Any]:
    """The record of the attempt that a writer joins: the last of the lineage."""
    *ancestors, (uid, start_step, opened_at) = lineage
    return {"uid": uid, "start_step": start_step, "opened_at": opened_at, "lineage": ancestors}


def check_resume(step: int | None, lineage: object) -> None:
    """Raise `InvalidArgumentError` for a lineage that cannot be, or that the step does not fit."""
    if lineage is None:
        return
    if not isinstance(lineage, Sequence) or isinstance(lineage, str) or not all(map(_is_entry, lineage)):
        raise InvalidArgumentError(f"lineage {lineage!r} is not what ActiveRun.lineage gives")
    if not lineage and step is None:
        raise InvalidArgumentError("an empty lineage has no attempt to join; pass step=-1 to begin from nothing")


def step_of(name: str, value: object, lowest: int = 0) -> int:
    """The step that an integer of any type is. Raises `InvalidArgumentError` for anything else."""
    step = index_of(value)
    if step is None or not lowest <= step <= MAX_STEP:
        raise InvalidArgumentError(f"{name} {value!r} is not an int from {lowest} to 2^63 - 1")
    return step


def _is_entry(entry: object) -> bool:
    return (
        isinstance(entry, Sequence)
        and len(entry) == 3
        and isinstance(entry[0], str)
        and len(entry[0]) <= 36
        and all(isinstance(number, int) and not isinstance(number, bool) for number in entry[1:])
        and -1 <= entry[1] <= MAX_STEP
        and 0 <= entry[2] <= _LATEST
    )


def uid_of(run: object) -> str:
    """The uid of a handle, a record or a uid itself. Raises `InvalidArgumentError`."""
    uid = str(getattr(run, "uid", run))
    try:
        if len(uid) != 36:  # uuid.UUID also takes 32 digits without hyphens, which may be a name
            raise ValueError
        return str(uuid.UUID(uid))
    except ValueError:
        raise InvalidArgumentError(
            f"{run!r} is not a run's uid, and no stored run has this id or name; pass a handle, a record or a uid"
        ) from None


def check(argument: str, function: Callable[[Any], T], value: Any) -> T:
    """What ``function`` makes of the value. Raises `InvalidArgumentError`, which names the argument, if it cannot."""
    try:
        return function(value)
    except Exception as error:
        raise InvalidArgumentError(f"{argument} cannot be {type(value).__name__}: {error}") from error


def check_lineage(
    connection: Connection, statements: Statements, run_uid: str, lineage: Sequence[Sequence[Any]]
) -> None:
    """Raise `InvalidArgumentError` for a lineage whose attempts are another run's."""
    others = statements.runs_of_attempts(connection, [entry[0] for entry in lineage]) - {run_uid}
    if others:
        raise InvalidArgumentError(f"this lineage belongs to run {', '.join(sorted(others))}, not to {run_uid}")


def known_run(
    connection: Connection, statements: Statements, run_id: int
) -> tuple[dict[str, Any], Lineage, int | None, int]:
    """A stored run as `new_run` makes it, its head's lineage, its last step and the time of its latest attempt."""
    row = statements.run_record(connection, run_id)
    tree = statements.load_attempts(connection, run_id)
    lineage = [[a.uid, a.start_step, microseconds_of(a.opened_at)] for a in tree.lineage(tree.head)]
    latest = max(microseconds_of(attempt.opened_at) for attempt in tree.by_number.values())
    record = {name: row[name] for name in ("uid", "project", "name", "source", "notes", "model_name", "parent_step")}
    record |= {"started_at": microseconds_of(row["started_at"]), "parent": row["parent_uid"]}
    return record, lineage, row["last_step"], latest
