"""What MLflow's databases and its files have in common: how values, tags and states are written there."""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from trainstore.importing.foreign import End, Entry, Event, ForeignRun, Hyperparams, Notes, Session, Step
from trainstore.recording.merging import MAX_EARLIER

MAX_TOGETHER = 1_000  # metrics of one step that are one entry
TRASH = "in MLflow's trash; to import what is there, pass --deleted (deleted=True)"

_STATUSES = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "interrupted"}
_NUMBERS = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}  # as files have them
_INT = re.compile(r"-?[1-9][0-9]{0,999}\Z|0\Z")
_FLOAT = re.compile(r"-?(?:[0-9.]+(?:e[-+][0-9]+)?|inf)\Z|nan\Z")
_WORDS = {"True": True, "False": False, "None": None}

NOTE, PARENT, NAME = "mlflow.note.content", "mlflow.parentRunId", "mlflow.runName"
_COMMIT, _COMMAND, _ENTRY = "mlflow.source.git.commit", "mlflow.source.name", "mlflow.project.entryPoint"
_USED = {NOTE, PARENT, NAME, _COMMIT, _COMMAND, _ENTRY}


@dataclass(slots=True)
class Row:
    """What MLflow says of a run, apart from what was logged in it."""

    run_id: str
    experiment: str
    name: str | None
    status: str | int | None
    started_at: int  # microseconds since 1970
    ended_at: int | None
    artifact_uri: str | None
    where: str
    is_deleted: bool = False
    parent: str | None = None
    stamp: str = ""
    left_out: Counter[str] = field(default_factory=Counter)


def typed(text: str | None) -> Any:
    """A parameter: True, None, an int or a float if it is written as Python writes one; else the text."""
    if text in _WORDS:
        return _WORDS[text]
    if text is None or len(text) > 1_000:
        return text
    if _INT.match(text):
        return int(text)
    if _FLOAT.match(text):
        try:
            number = float(text)
        except ValueError:
            return text
        return number if repr(number) == text else text
    return text


def metric_value(value: Any, is_nan: Any = False) -> Any:
    """A value as it was logged: databases hold infinities as the largest number, and NaN as 0 with a mark."""
    if is_nan and is_nan not in ("0", b"0"):
        return math.nan
    if type(value) is float:
        if abs(value) == sys.float_info.max:
            return math.copysign(math.inf, value)
        return value
    if isinstance(value, (bytes, memoryview)):
        value = bytes(value).decode("utf-8", "replace")
    if isinstance(value, str) or value is None:
        try:
            return float(value or "")
        except ValueError:
            return value
    return float(value)  # a Decimal


def steps(points: Iterable[tuple[int, int, str, Any]], left_out: Counter[str]) -> Iterator[Step]:
    """Entries of points (step, µs, metric, value), which are sorted: all values of a step that fit together are one.

    Some loops log everything at step 0: the values that a row of ours cannot hold are counted.
    """
    metrics: dict[str, Any] = {}
    times: Counter[str] | None = None  # how often each metric was logged at the step, if one was twice
    step: int | None = None
    at = 0
    for now, time, name, value in points:
        if now != step or name in metrics or len(metrics) >= MAX_TOGETHER:
            if metrics and step is not None:
                yield Step(at, step, metrics)
            times = None if now != step else Counter(dict.fromkeys(metrics, 1)) if times is None else times
            step, at, metrics = now, time, {}
        metrics[name] = value
        if times is not None:
            times[name] += 1
            if times[name] > MAX_EARLIER + 1:
                left_out[f"value of a metric before the last {MAX_EARLIER + 1:,} at one step"] += 1
    if metrics and step is not None:
        yield Step(at, step, metrics)


class MLflowSession(Session):
    """A run of MLflow. Subclasses say what was logged in it."""

    def __init__(self, row: Row) -> None:
        super().__init__()
        self.row = row
        self.identity = row.run_id
        self.started_at = row.started_at
        self.stamp = row.stamp

    def params(self) -> Mapping[str, str | None]:
        """Its parameters as texts."""
        raise NotImplementedError

    def tags(self) -> Mapping[str, str | None]:
        """All its tags."""
        raise NotImplementedError

    def steps(self) -> Iterator[Step]:
        """Its metrics by ascending steps."""
        raise NotImplementedError

    @property
    def facts(self) -> Mapping[str, Any]:  # type: ignore[override]
        """The commit and the command, from tags. Asked once, when the run is new."""
        tags = self.tags()
        command = " ".join(filter(None, (tags.get(_COMMAND), tags.get(_ENTRY))))
        return {"git_commit": tags.get(_COMMIT), "command": command}

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """All of it."""
        self.left_out.update(self.row.left_out)
        params = {name: typed(value) for name, value in self.params().items()}
        if params:
            yield Hyperparams(params)
        yield from self._labels()
        if self.row.artifact_uri:
            yield Event(self.row.started_at, "artifact", None, {"name": "artifacts", "uri": self.row.artifact_uri})
        yield from self.steps()
        status = self.row.status
        final = _STATUSES.get(_NUMBERS.get(status, "") if isinstance(status, int) else str(status).upper())
        if final is not None:
            yield End(self.row.ended_at or self.row.started_at, final)

    def _labels(self) -> Iterator[Entry]:
        tags: dict[str, Any] = {}
        for name, value in self.tags().items():
            if not name.startswith("mlflow."):
                tags[name] = value
            elif name not in _USED:
                self.left_out[f"{name} tag"] += 1
        if tags:
            yield Hyperparams(tags, "tag")
        notes = self.tags().get(NOTE)
        if notes:
            yield Notes(self.row.started_at, notes)


def foreign_run(row: Row, session: MLflowSession) -> ForeignRun:
    """A run as the import takes it."""
    return ForeignRun(
        identity=row.run_id,
        name=row.name or row.run_id,
        started_at=row.started_at,
        where=row.where,
        sessions=[session],
        uid=row.run_id,
        project=row.experiment,
        parent=row.parent,
    )


def parents_first(rows: Mapping[str, Row]) -> Iterator[Row]:
    """Runs in their order, but each after the run that it names as its parent."""
    done: set[str] = set()
    for row in rows.values():
        chain: list[Row] = []
        following: Row | None = row
        while following is not None and following.run_id not in done:
            done.add(following.run_id)
            chain.append(following)
            following = rows.get(following.parent or "")
        yield from reversed(chain)
