"""A reader's entries become records, their names and values as `ActiveRun` records them: canonical and redacted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainstore.importing.foreign import End, Entry, Event, ForeignRun, Hyperparams, Notes, Session, Step
from trainstore.models import NAMESPACES
from trainstore.recording.merging import own_details
from trainstore.recording.metrics import Metrics, axis_value, json_object, move_axes
from trainstore.recording.records import Record, event_record, hyperparam_record, status_record, step_record
from trainstore.redaction import redact
from trainstore.run import FINAL_STATUSES, MAX_ERROR, canonical_tags
from trainstore.values import MAX_STEP, Json, canonical, canonical_hyperparams, index_of, stored_label, stored_text

LATEST = 250_000_000_000_000_000  # microseconds since 1970; a datetime ends at the year 9999
_REASON = "a step is an int from 0 to 2^63 - 1"


class Cleaner:
    """Makes the records of one session."""

    def __init__(self) -> None:
        self._metrics = Metrics()

    def record(self, entry: Entry) -> Record:
        """The record of an entry."""
        if isinstance(entry, Step):
            return self._step(entry)
        if isinstance(entry, Hyperparams):
            if entry.namespace == "tag":
                return hyperparam_record("tag", canonical_tags(entry.values))
            namespace = entry.namespace if entry.namespace in NAMESPACES else "hp"
            return hyperparam_record(namespace, canonical_hyperparams(entry.values))
        if isinstance(entry, Notes):
            return event_record("note", time_within(entry.at), None, {"notes": stored_text(entry.text)})
        if isinstance(entry, Event):
            step = index_of(entry.step)
            step = step if step is not None and 0 <= step <= MAX_STEP else None
            details = redact(json_object(entry.details))
            return event_record(stored_label(str(entry.kind)), time_within(entry.at), step, details)
        return self._end(entry)

    def _step(self, entry: Step) -> Record:
        given = entry.metrics
        plain = type(given) is dict and self._metrics.are_plain(given)
        clean: dict[str, Json] = dict(given) if plain else self._metrics.clean(given, _ignore)
        step = index_of(entry.step)
        if step is None or not 0 <= step <= MAX_STEP:
            details = {"reason": _REASON, "step": redact(canonical(entry.step)), "metrics": clean}
            return event_record("refused", time_within(entry.at), None, details)
        record = step_record(time_within(entry.at), step, clean)
        for name, value in (("epoch", entry.epoch), ("step_time", entry.step_time)):
            number = None if value is None else axis_value(value)
            if number is not None:
                record[name] = number
        if "step_time" in clean or "epoch" in clean:
            move_axes(record)
        if entry.details:
            record["details"] = own_details(redact(json_object(entry.details)))
        return record

    def _end(self, entry: End) -> Record:
        status = entry.status if entry.status in FINAL_STATUSES else "finished"
        error = None if entry.error is None else stored_text(entry.error, MAX_ERROR)
        return status_record(status, error, time_within(entry.at))


def run_fields(run: ForeignRun, uid: str, *, project: str, source: str, parent: str | None) -> dict[str, Any]:
    """The fields of a run's record, as `opening.new_run` makes them."""
    step = index_of(run.parent_step)
    return {
        "uid": uid,
        "project": label(project) or "default",
        "name": label(run.name) or f"run-{uid[:8]}",
        "started_at": time_within(run.started_at),
        "source": source,
        "notes": None,
        "model_name": None,
        "parent": parent,
        "parent_step": step if step is not None and 0 <= step <= MAX_STEP else None,
    }


def attempt_fields(session: Session) -> dict[str, Any]:
    """The facts about where a session ran, as an attempt has them; what does not fit is left out."""
    facts = session.facts
    commit, dirty, command, versions = (facts.get(n) for n in ("git_commit", "git_dirty", "command", "versions"))
    return {
        "git_commit": stored_text(commit)[:64] if isinstance(commit, str) and commit else None,
        "git_dirty": dirty if isinstance(dirty, bool) else None,
        "command": stored_text(command, 10_000) if isinstance(command, str) and command else None,
        "host": host_of(session) or None,
        "versions": redact(canonical(versions)) if isinstance(versions, Mapping) and versions else None,
    }


def host_of(session: Session) -> str:
    """The machine that a session ran on; the empty text if the source does not say."""
    return stored_text(session.host or "", 255)


def label(text: object) -> str:
    """The name of a run or a project as it is stored."""
    return stored_label(text) if isinstance(text, str) and text else ""


def told(text: str) -> str:
    """What a report says of a source: in it may stand what the source says."""
    return stored_text(text, 500)


def time_within(at: int) -> int:
    """A time that both databases hold: from 1970 to the year 9892."""
    return min(max(int(at), 0), LATEST)


def _ignore(_message: str) -> None:
    """Metrics that are kept in another form need no warning: nobody can change the source."""
