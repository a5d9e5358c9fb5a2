"""What the records of a W&B log come to: rows of the history, configuration, alerts, artifacts, the end.

W&B counts the calls of ``log`` as steps, unless a metric is the axis of others: see ``wandb_rows``.
"""

from __future__ import annotations

import copy
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
from trainstore.importing.wandb_rows import Axes, flat, step_of
from trainstore.importing.wire import LAST_SECOND, fields, number, tally, text

_LEFT_OUT = {4: "console line", 13: "console line"}
_TYPE = "._type"
_INTERNAL = ("_step", "_runtime", "_timestamp", "_wandb")
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
        self._axes: Axes = Axes(before._axes if before else None)
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
        log._axes = Axes(self._axes)
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
        name = axis = ""
        for key, _, value in fields(body):
            if key in (1, 2):  # a name, or a pattern
                name = text(value)
            elif key == 4:
                axis = text(value)
        self._axes.define(name, axis)

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
        said = step_of(row.get("_step"))
        counted = counted if said is None else said
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
            step = self._step_of(name, row, counted) if self._axes else counted
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
        axis = self._axes.of(name)
        step = None if axis is None else step_of(row.get(axis))
        return counted if step is None else step

    def _end(self, body: bytes) -> list[RawEntry]:
        code = sum(number(value) for key, _, value in fields(body) if key == 1)
        entries: list[RawEntry] = []
        own: dict[str, Any] = {}
        for name, value in self._summary.items():
            if isinstance(value, dict) and "_type" in value:
                self._count(_media(value["_type"]))
                continue
            for one, item in flat({name: value}).items():
                if one in self._names:
                    self._count("summary value")
                else:
                    own[one] = item
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


def _microseconds(seconds: object, otherwise: int) -> int:
    known = isinstance(seconds, (int, float)) and 0 < seconds < LAST_SECOND
    return int(float(seconds) * 1e6) if known else otherwise  # type: ignore[arg-type]


def _media(kind: object) -> str:
    """What W&B's type of a value is called in the report: "image-file" → "image"."""
    name = str(kind)[:100]
    return "image" if name == "images/separated" else name.removesuffix("-file") or "unknown value"
