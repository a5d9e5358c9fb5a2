"""What the records of a W&B log say: rows of the history, configuration, alerts, artifacts, the end.

W&B counts the calls of ``log`` as steps. Where ``define_metric`` names a metric as the axis of others and that is
a step (``train/global_step``), its values are the steps. An epoch is none: many rows have the same.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from trainstore.importing.foreign import End, Event, Hyperparams, Notes, Step
from trainstore.importing.wire import LAST_SECOND, MalformedError, double, fields, message, number, text, timestamp

HISTORY, SUMMARY, CONFIG, STATS, ARTIFACT, ALERT, METRIC, RUN, EXIT, USED = 2, 3, 5, 7, 8, 10, 12, 17, 18, 25
_LEFT_OUT = {4: "console line", 13: "console line"}
_ENVELOPE = (1, 16, 19, 200)  # fields of a record beside its content
_INTERNAL = ("_step", "_runtime", "_timestamp", "_wandb")
_AXIS = re.compile(r"(?:.*[/._])?(?:step|steps|iter|iteration|iterations|update|updates)\Z", re.DOTALL)
_LEVELS = {"WARN": "warn", "ERROR": "error"}
_MAX_STEP = 2**63 - 2
_INTERRUPTED = 255  # the exit code that W&B writes after Ctrl-C

RawEntry = Step | Hyperparams | Notes | Event | End


@dataclass(slots=True)
class RunRecord:
    """The record that a run begins with."""

    id: str = ""
    project: str = ""
    name: str = ""
    notes: str = ""
    group: str = ""
    job_type: str = ""
    sweep: str = ""
    host: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    started_at: int = 0  # microseconds since 1970
    commit: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    branch: tuple[str, int] | None = None  # the run and the step that it goes on from

    def tag_values(self) -> dict[str, Any]:
        """Its tags, group, kind of job and sweep as tags."""
        named = {"group": self.group, "job_type": self.job_type, "sweep": self.sweep}
        return {**dict.fromkeys(self.tags, True), **{name: value for name, value in named.items() if value}}


def record_of(payload: bytes) -> tuple[int, bytes]:
    """The kind of a record and its content. Raises `MalformedError`."""
    for key, _, value in fields(payload):
        if key not in _ENVELOPE:
            return key, message(value)
    return 0, b""


def run_record(body: bytes) -> RunRecord:
    """Read a run's record. Raises `MalformedError`."""
    run = RunRecord()
    for key, _, value in fields(body):
        if key == 1:
            run.id = text(value)
        elif key == 3:
            run.project = text(value)
        elif key == 4:
            run.config = _config(message(value))
        elif key == 6:
            run.group = text(value)
        elif key == 7:
            run.job_type = text(value)
        elif key == 8:
            run.name = text(value)
        elif key == 9:
            run.notes = text(value)
        elif key == 10:
            run.tags.append(text(value))
        elif key == 12:
            run.sweep = text(value)
        elif key == 13:
            run.host = text(value)
        elif key == 17:
            run.started_at = timestamp(value)
        elif key == 19:
            run.versions = _versions(message(value))
        elif key == 21:
            run.commit = "".join(text(one) for inner, _, one in fields(message(value)) if inner == 2)
        elif key == 23:
            run.branch = _branch(message(value))
    return run


def items(body: bytes, wanted: int = 1) -> Iterator[tuple[list[str], str, bool]]:
    """The items of a history, summary or configuration: the parts of a name, JSON, whether the name is one part."""
    for key, _, value in fields(body):
        if key == wanted:
            parts: list[str] = []
            content, single = "", False
            for inner, _, one in fields(message(value)):
                if inner in (1, 2):
                    parts.append(text(one))
                    single = inner == 1
                elif inner == 16:
                    content = text(one)
            if parts and parts[0]:
                yield parts, content, single


class Log:
    """Reads the records of one log in their order, and remembers what later ones need."""

    def __init__(self, run: RunRecord, left_out: Counter[str]) -> None:
        self._run = run
        self._left_out = left_out
        self._axes: dict[str, str] = {}  # metric → its axis
        self._patterns: dict[str, str] = {}  # beginning of metrics' names → their axis
        self._known: dict[str, str | None] = {}
        self._names: set[str] = set()  # of metrics in the history
        self._summary: dict[str, Any] = {}  # what was set by hand
        self._last = -1  # the highest step so far
        self.begun = False  # whether the run's first record was read
        self.step: int | None = None  # of the last row
        self.at = run.started_at  # likewise

    def read(self, kind: int, body: bytes) -> list[RawEntry]:
        """The entries of a record. Raises `MalformedError`."""
        if kind == HISTORY:
            return self._row(body)
        if kind == METRIC:
            self.define(body)
        elif kind == SUMMARY:
            self._summarise(body)
        elif kind == CONFIG:
            self._count("removed hyperparameter", sum(key == 2 for key, _, _ in fields(body)))
            return _hyperparams(_config(body))
        elif kind == RUN:
            return self._begin(run_record(body))
        elif kind == ALERT:
            return [Event(self.at, "alert", self.step, _alert(body))]
        elif kind in (ARTIFACT, USED):
            return [Event(self.at, "artifact", self.step, _artifact(body) if kind == ARTIFACT else _used(body))]
        elif kind == EXIT:
            return self._end(body)
        elif kind == STATS:
            self._count("system metric", sum(key == 3 for key, _, _ in fields(body)))
        elif kind in _LEFT_OUT:
            self._count(_LEFT_OUT[kind])
        return []

    def _count(self, what: str, number: int = 1) -> None:
        if number:
            self._left_out[what] += number

    def define(self, body: bytes) -> None:
        """Read which metric is the axis of which."""
        name = pattern = axis = ""
        for key, _, value in fields(body):
            if key == 1:
                name = text(value)
            elif key == 2:
                pattern = text(value)
            elif key == 4:
                axis = text(value)
        if axis and _AXIS.match(axis) and "epoch" not in axis:
            if name:
                self._axes[name] = axis
            elif pattern.endswith("*"):
                self._patterns[pattern[:-1]] = axis
            self._known.clear()

    def see(self, body: bytes) -> None:
        """Take step and time of a row that was read earlier."""
        left_out, self._left_out = self._left_out, Counter()
        self._row(body)
        self._left_out = left_out

    def _begin(self, run: RunRecord) -> list[RawEntry]:
        """The run's first record, or a later one that changes it."""
        first, again = self._run, self.begun
        self.begun = True
        entries = _hyperparams(run.config) if not again or run.config != first.config else []
        if run.tag_values() and (not again or run.tag_values() != first.tag_values()):
            entries.append(Hyperparams(run.tag_values(), "tag"))
        if run.notes and (not again or run.notes != first.notes):
            entries.append(Notes(self.at, run.notes))
        return entries

    def _row(self, body: bytes) -> list[RawEntry]:
        row: dict[str, Any] = {}
        counted = 0
        for parts, content, _ in items(body):
            row[".".join(parts)] = _json(content)
        for key, _, value in fields(body):
            if key == 2:
                counted = sum(number(one) for inner, _, one in fields(message(value)) if inner == 1)
        counted = _whole(row.get("_step"), counted)
        if counted < 0:
            self._count("row at a negative step")
            return []
        self.at = _microseconds(row.get("_timestamp"), self.at)
        by_step: dict[int, dict[str, Any]] = {}
        for name, value in row.items():
            if name.partition(".")[0] in _INTERNAL:
                continue
            self._names.add(name)
            if isinstance(value, dict) and "_type" in value:
                self._count(_media(value["_type"]))
                continue
            by_step.setdefault(self._step_of(name, row, counted), {})[name] = value
        self.step = max(by_step, default=counted)
        self._last = max(self._last, self.step)
        return [Step(self.at, step, by_step[step]) for step in sorted(by_step)]

    def _step_of(self, name: str, row: dict[str, Any], counted: int) -> int:
        if name not in self._known:
            axis = self._axes.get(name)
            if axis is None and name in {*self._axes.values(), *self._patterns.values()}:
                axis = name
            if axis is None:
                fitting = [prefix for prefix in self._patterns if name.startswith(prefix)]
                axis = self._patterns[max(fitting, key=len)] if fitting else None
            if len(self._known) > 10_000:
                self._known.clear()
            self._known[name] = axis
        axis = self._known[name]
        return counted if axis is None else _whole(row.get(axis), counted)

    def _summarise(self, body: bytes) -> None:
        """Keep what was set by hand; W&B itself writes the last row's values, in another field."""
        for parts, content, single in items(body):
            if single and parts[0] not in _INTERNAL:
                self._summary[".".join(parts)] = _json(content)

    def _end(self, body: bytes) -> list[RawEntry]:
        code = sum(number(value) for key, _, value in fields(body) if key == 1)
        entries: list[RawEntry] = []
        own: dict[str, Any] = {}
        for name, value in self._summary.items():
            if isinstance(value, dict) and "_type" in value:
                self._count(_media(value["_type"]))
            elif name in self._names:
                self._count("summary value")
            else:
                own[name] = value
        if own:
            entries.append(Step(self.at, max(self._last, 0), own))
        if code == 0:
            entries.append(End(self.at, "finished"))
        elif code == _INTERRUPTED:
            entries.append(End(self.at, "interrupted"))
        else:
            entries.append(End(self.at, "failed", f"exit code {code}"))
        return entries


def _hyperparams(values: dict[str, Any]) -> list[RawEntry]:
    return [Hyperparams(values)] if values else []


def _config(body: bytes) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for parts, content, _ in items(body):
        if parts[0] == "_wandb":
            continue
        place = config
        for part in parts[:-1]:
            below = place.setdefault(part, {})
            place = below if isinstance(below, dict) else place.setdefault(part + ".", {})
        place[parts[-1]] = _json(content)
    return config


def _versions(telemetry: bytes) -> dict[str, str]:
    found = {}
    for key, _, value in fields(telemetry):
        if key == 4:
            found["python"] = text(value)
        elif key == 5:
            found["wandb"] = text(value)
    return found


def _branch(body: bytes) -> tuple[str, int] | None:
    run, step = "", 0.0
    for key, _, value in fields(body):
        if key == 1:
            run = text(value)
        elif key == 2:
            step = double(value)
    return (run, int(step)) if run and 0 <= step <= _MAX_STEP else None


def _alert(body: bytes) -> dict[str, Any]:
    found = {"title": "", "text": "", "level": "info"}
    for key, _, value in fields(body):
        if key in (1, 2):
            found["title" if key == 1 else "text"] = text(value)
        elif key == 3:
            found["level"] = _LEVELS.get(text(value), "info")
    return found


def _artifact(body: bytes) -> dict[str, Any]:
    """An artifact as a link: its name, kind, digest, aliases, and how much it holds."""
    found: dict[str, Any] = {}
    names = {4: "type", 5: "name", 6: "digest", 7: "description"}
    for key, _, value in fields(body):
        if key in names:
            found[names[key]] = text(value)
        elif key == 11:
            found.setdefault("aliases", []).append(text(value))
        elif key == 12:
            sizes = [_entry_size(message(entry)) for inner, _, entry in fields(message(value)) if inner == 4]
            found |= {"files": len(sizes), "size": sum(sizes)}
    return {key: value for key, value in found.items() if value not in ("", [])}


def _entry_size(entry: bytes) -> int:
    return sum(number(value) for key, _, value in fields(entry) if key == 4)


def _used(body: bytes) -> dict[str, Any]:
    names = {1: "id", 2: "type", 3: "name"}
    return {names[key]: text(value) for key, _, value in fields(body) if key in names} | {"used": True}


def _microseconds(seconds: object, otherwise: int) -> int:
    known = isinstance(seconds, (int, float)) and 0 < seconds < LAST_SECOND
    return int(float(seconds) * 1e6) if known else otherwise  # type: ignore[arg-type]


def _whole(value: object, otherwise: int) -> int:
    """A step that a JSON value is."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    known = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_STEP
    return value if known else otherwise  # type: ignore[return-value]


def _media(kind: object) -> str:
    """What W&B's type of a value is called in the report: "image-file" → "image"."""
    name = str(kind)[:100]
    return "image" if name == "images/separated" else name.removesuffix("-file") or "unknown value"


def _json(content: str) -> Any:
    try:
        return json.loads(content) if content else None
    except (ValueError, RecursionError):
        raise MalformedError("a value is no JSON") from None
