"""What a journal's record is: its kinds, their fields, and the one place that makes each.

Records outlive the process, and the version, that wrote them: this is a contract with every later version, told in
docs/journal.md. A record is a JSON object; ``kind`` says which, and comes first. Times (``at``, ``…_at``) are
microseconds since 1970 by the writing machine's clock. A field with "?" may be missing.

==============  ====================================================================================================
kind            fields
==============  ====================================================================================================
``run``         uid, project, name, started_at, source, notes, model_name, parent, parent_step, seen, writer
``attempt``     uid, start_step, opened_at, lineage, git_commit?, git_dirty?, command?, host?, versions?
``step``        at, step, metrics, epoch?, step_time?, details?
``hyperparam``  namespace, values
``tag``         at?, values
``event``       event, at, step, details
``status``      status, error, at
``gap``         at, details (reason; lost?, steps?, records?)
``skip``        first
==============  ====================================================================================================

Change it only so that journals of all earlier versions can still be read, and so that the version before can still
read what it knows: add a field that may be missing, or a kind that may be ignored; never give one another meaning.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from trainstore.values import Json

Record = dict[str, Any]
Records = Sequence[tuple[int, Record | bytes]]  # by number; those of steps as the JSON that the journal holds

KINDS = ("run", "attempt", "step", "hyperparam", "tag", "event", "status", "gap", "skip")
# How the JSON of these kinds begins. The constructors below put ``kind`` first.
STEP = b'{"kind":"step"'
STATUS = b'{"kind":"status"'


def now() -> int:
    """The time of a record that is made now."""
    return time.time_ns() // 1_000


def kind_of(record: Record | bytes) -> str:
    """The kind of a record as `delivery.decode` returns it: bytes are a step."""
    return "step" if isinstance(record, bytes) else str(record["kind"])


def run_record(run: Record, *, seen: bool, writer: Record) -> Record:
    """The first record of every journal: the run, so that it can be created in the database.

    Args:
        run: The other fields, as `opening.new_run` makes them. ``parent`` is the uid of the run that it continues.
        seen: The run is known to be in the database already: if it is missing there, it was deleted.
        writer: The process that writes this journal: uid, rank, started_at, host, username, pid.
    """
    return {"kind": "run", **run, "seen": seen, "writer": writer}


def attempt_record(attempt: Record) -> Record:
    """The second record of every journal: the attempt that its records belong to.

    Args:
        attempt: The other fields. ``lineage`` are its ancestors, root first, each ``[uid, start_step, opened_at]``.
            The last five fields are facts about the process that opened the attempt; a writer that joins it later
            (`opening.joined_attempt`) leaves them out.
    """
    return {"kind": "attempt", **attempt}


def step_record(
    at: int,
    step: int,
    metrics: dict[str, Json],
    epoch: float | None = None,
    step_time: float | None = None,
    details: dict[str, Json] | None = None,
) -> Record:
    """Metrics of one step. Records of the same step are merged in the database, in the order of the journal."""
    record: Record = {"kind": "step", "at": at, "step": step, "metrics": metrics}
    if epoch is not None:
        record["epoch"] = epoch
    if step_time is not None:
        record["step_time"] = step_time
    if details is not None:
        record["details"] = details
    return record


def hyperparam_record(namespace: str, values: dict[str, Json]) -> Record:
    """Hyperparameters: name → value. In the namespace "tag": the tags that the run begins with."""
    return {"kind": "hyperparam", "namespace": namespace, "values": values}


def tag_record(at: int, values: dict[str, Json]) -> Record:
    """An edit of tags: name → value. Early versions left the time out; their edits count as old as the attempt."""
    return {"kind": "tag", "at": at, "values": values}


def event_record(event: str, at: int, step: int | None, details: dict[str, Json] | None) -> Record:
    """Something that happened.

    Two kinds of event are special: ``refused`` keeps what could not be stored as it was given, and ``note`` with
    ``{"notes": text}`` sets the run's notes (the empty text removes them).
    """
    return {"kind": "event", "event": event, "at": at, "step": step, "details": details}


def status_record(status: str | None, error: str | None, at: int) -> Record:
    """The end of the writer, and the status of its attempt; None leaves the attempt's status as it is.

    "running" is no end: it takes back one that an import assumed. No journal has it.
    """
    return {"kind": "status", "status": status, "error": error, "at": at}


def gap_record(reason: str, **details: Json) -> Record:
    """It stands for records that are missing, and is stored as an event of kind ``gap``.

    Args:
        reason: Why they are missing.
        details: ``lost``, how many; ``steps``, the lowest and the highest lost step; ``records``, the first and the
            last number that it stands for, if they had numbers.
    """
    return {"kind": "gap", "at": now(), "details": {"reason": reason, **details}}


def skip_record(first: int) -> Record:
    """It stands for dropped records, from ``first`` up to its own number; a later ``gap`` counts them."""
    return {"kind": "skip", "first": first}
