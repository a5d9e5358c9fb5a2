"""What the records of a W&B log come to: rows of the history, configuration, alerts, artifacts, the end.

W&B counts the calls of ``log`` as steps. Where ``define_metric`` names a metric as the axis of others and that is
a step (``train/global_step``), its values are the steps. An epoch is none: many rows have the same.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from typing import Any

from trainstore.importing.foreign import End, Event, Hyperparams, Notes, Step
from trainstore.importing.positions import PLACES
from trainstore.importing.wandb_records import (
    ALERT,
    ARTIFACT,
    CONFIG,
    EXIT,
    HISTORY,
    MAX_STEP,
    METRIC,
    RUN,
    STATS,
    SUMMARY,
    USED,
    RunRecord,
    alert,
    artifact,
    config_of,
    own_summary,
    row_of,
    run_record,
    used_artifact,
)
from trainstore.importing.wire import LAST_SECOND, fields, number, tally, text

_LEFT_OUT = {4: "console line", 13: "console line"}
_TYPE = "._type"
_INTERNAL = ("_step", "_runtime", "_timestamp", "_wandb")
_AXIS = re.compile(r"(?:.*[/._])?(?:step|steps|iter|iteration|iterations|update|updates)\Z", re.DOTALL)
_OWN_ARTIFACTS = ("job", "run_table", "wandb-history")  # W&B's own; what a table holds is counted with its row
_INTERRUPTED = 255  # the exit code that W&B writes after Ctrl-C

RawEntry = Step | Hyperparams | Notes | Event | End


class Log:
    """Reads the records of one log in their order, and remembers what later ones need."""

    def __init__(
        self, run: RunRecord, left_out: Counter[str], *, complete: bool = False, before: Log | None = None
    ) -> None:
        self._run = run
        self._left_out = left_out
        self._axes: dict[str, str] = dict(before._axes) if before else {}  # metric → its axis
        self._patterns: dict[str, str] = dict(before._patterns) if before else {}  # beginnings of names → their axis
        self._known: dict[str, str | None] = {}
        self._texts: dict[bytes, str] = {}  # names as they are written
        self._names: set[str] = set()  # of metrics in the history
        self._summary: dict[str, Any] = {}  # what was set by hand
        self._last = -1  # the highest step so far
        self.complete = complete  # whether all rows and summaries so far were read
        self.begun = False  # whether the run's first record was read
        self.counted = -1  # the last row's number as W&B counts
        self.step: int | None = None  # of the last row
        self.at = run.started_at  # likewise

    def copy(self, left_out: Counter[str]) -> Log:
        """The same, to read on."""
        log = copy.copy(self)
        log._left_out = left_out
        log._axes, log._patterns, log._known = dict(self._axes), dict(self._patterns), {}
        log._names, log._summary = set(self._names), dict(self._summary)
        return log

    def read(self, kind: int, body: bytes) -> list[RawEntry]:
        """The entries of a record. Raises `MalformedError`."""
        if kind == HISTORY:
            return self._row(body)
        if kind == METRIC:
            self.define(body)
        elif kind == SUMMARY:
            self._summary.update(own for own in own_summary(body) if own[0] not in _INTERNAL)
        elif kind == CONFIG:
            self._count("removed hyperparameter", sum(key == 2 for key, _, _ in fields(body)))
            return _hyperparams(config_of(body))
        elif kind == RUN:
            return self._begin(run_record(body))
        elif kind == ALERT:
            return [Event(self.at, "alert", self.step, alert(body))]
        elif kind in (ARTIFACT, USED):
            details = artifact(body) if kind == ARTIFACT else used_artifact(body)
            return [] if details.get("type") in _OWN_ARTIFACTS else [Event(self.at, "artifact", self.step, details)]
        elif kind == EXIT:
            return self._end(body)
        elif kind == STATS:
            self._count("system metric", sum(key == 3 for key, _, _ in fields(body)))
        elif kind in _LEFT_OUT:
            self._count(_LEFT_OUT[kind])
        return []

    def _count(self, what: str, number: int = 1) -> None:
        tally(self._left_out, what, number)

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
        if is_step_axis(axis):
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
        row, counted = row_of(body, self._texts)
        counted = _whole(row.get("_step"), counted)
        if counted < 0:
            self._count("row at a negative step")
            return []
        self.at = _microseconds(row.get("_timestamp"), self.at)
        self.counted = counted
        media = [name.removesuffix(_TYPE) for name in row if name[-6:] == _TYPE]
        if media:
            row = self._without(media, row)
        by_step: dict[int, dict[str, Any]] = {}
        for name, value in row.items():
            if name[:1] == "_" and name.partition(".")[0] in _INTERNAL:
                continue
            self._names.add(name)
            if isinstance(value, dict) and "_type" in value:
                self._count(_media(value["_type"]))
                continue
            step = self._step_of(name, row, counted) if self._axes or self._patterns else counted
            if step not in by_step:
                by_step[step] = {}
            by_step[step][name] = value
        self.step = max(by_step, default=counted)
        self._last = max(self._last, self.step)
        steps = sorted(by_step)
        self._count("value on one of too many axes", sum(len(by_step[step]) for step in steps[PLACES:]))
        return [Step(self.at, step, by_step[step]) for step in steps[:PLACES]]

    def _without(self, media: list[str], row: dict[str, Any]) -> dict[str, Any]:
        """A row without its media, of which W&B writes each property by itself: ``img._type``, ``img.path``, …"""
        for name in media:
            self._count(_media(row[name + _TYPE]))
            self._names.add(name)
        inside = tuple(f"{name}." for name in media)
        return {name: value for name, value in row.items() if not name.startswith(inside)}

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


def is_step_axis(name: str) -> bool:
    """Whether a metric that others have as their axis is a step, by its name."""
    return _AXIS.match(name) is not None and "epoch" not in name


def _hyperparams(values: dict[str, Any]) -> list[RawEntry]:
    return [Hyperparams(values)] if values else []


def _microseconds(seconds: object, otherwise: int) -> int:
    known = isinstance(seconds, (int, float)) and 0 < seconds < LAST_SECOND
    return int(float(seconds) * 1e6) if known else otherwise  # type: ignore[arg-type]


def _whole(value: object, otherwise: int) -> int:
    """A step that a JSON value is."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    known = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_STEP
    return value if known else otherwise  # type: ignore[return-value]


def _media(kind: object) -> str:
    """What W&B's type of a value is called in the report: "image-file" → "image"."""
    name = str(kind)[:100]
    return "image" if name == "images/separated" else name.removesuffix("-file") or "unknown value"
