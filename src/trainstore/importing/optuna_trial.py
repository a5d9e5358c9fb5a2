"""A trial of Optuna as a run: from a row of its database, or from a ``FrozenTrial`` while a study runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any

from trainstore.importing.foreign import End, Entry, Hyperparams, Step
from trainstore.values import microseconds_of

REPORTED, OBJECTIVE = "value", "objective"  # metrics: what a trial reports on its way, and what it returns
_STATUSES = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed"}


@dataclass(slots=True)
class Trial:
    """A trial, from whichever storage."""

    study: str
    number: int
    state: str  # "COMPLETE", …
    started: datetime | None  # naive: local time
    completed: datetime | None
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, Any] = field(default_factory=dict)  # `tags_of`
    system: Mapping[str, Any] = field(default_factory=dict)  # system attributes
    reported: Iterable[tuple[int, Any]] = ()  # steps and values, ascending
    objectives: Mapping[int, Any] = field(default_factory=dict)
    directions: tuple[str, ...] = ()  # of the study

    @classmethod
    def of_frozen(
        cls, study: str, trial: Any, directions: Iterable[Any] = (), study_tags: Mapping[str, Any] | None = None
    ) -> Trial:
        """The same of Optuna's ``FrozenTrial``. ``directions`` and ``study_tags`` (user attributes) are the study's."""
        return cls(
            study,
            trial.number,
            trial.state.name,
            trial.datetime_start,
            trial.datetime_complete,
            trial.params,
            tags_of(study_tags or {}, trial.user_attrs),
            trial.system_attrs,
            sorted(trial.intermediate_values.items()),
            dict(enumerate(trial.values or ())),
            tuple(str(getattr(one, "name", one)) for one in directions),
        )

    @property
    def identity(self) -> str:
        """The same in whichever storage it lies, and whatever the time zone."""
        return f"{self.study}:{self.number}:{self.started.isoformat() if self.started else ''}"

    @property
    def name(self) -> str:
        """What its run is called."""
        return f"{self.study}-{self.number}"

    def started_at(self, zone: tzinfo | None = None) -> int:
        """When its run began, in microseconds since 1970."""
        return moment(self.started, zone) or moment(self.completed, zone) or 0

    def entries(self, zone: tzinfo | None = None, left_out: Counter[str] | None = None) -> Iterator[Entry]:
        """What is to be recorded of it. System attributes are counted in ``left_out``."""
        started_at = moment(self.started, zone) or 0
        ended_at = moment(self.completed, zone) or started_at
        if self.params:
            yield Hyperparams(self.params)
        tags = dict(self.tags)
        directions = [one.lower() for one in self.directions]
        if directions:
            tags["study.direction"] = directions[0] if len(directions) == 1 else directions
        if tags:
            yield Hyperparams(tags, "tag")
        if left_out is not None:
            for name in self.system:
                left_out[f"{name} system attribute"] += 1
        last = 0
        for step, value in self.reported:
            last = step
            yield Step(started_at, step, {REPORTED: value})
        if len(self.objectives) == 1 and 0 in self.objectives:
            yield Step(ended_at, last, {OBJECTIVE: self.objectives[0]})
        elif self.objectives:
            yield Step(ended_at, last, {f"{OBJECTIVE}_{place}": value for place, value in self.objectives.items()})
        status = _STATUSES.get(self.state)
        if status is not None:
            reason = self.system.get("fail_reason")
            yield End(ended_at, status, reason if isinstance(reason, str) else None)


def tags_of(study: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The tags of a trial's run: the user attributes of its study, and its own."""
    return {f"study.{name}": value for name, value in study.items()} | dict(own)


def moment(time: datetime | None, zone: tzinfo | None) -> int | None:
    """A time of Optuna's in microseconds since 1970. Without a zone it is this machine's local time."""
    if time is None:
        return None
    try:
        return microseconds_of((time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(UTC))
    except (OverflowError, ValueError, OSError):
        return None
