"""The run of one trial: what of the trial is in it already, and what its objective reports meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from trainstore.importing.cleaning import Cleaner
from trainstore.importing.foreign import End, Entry, Hyperparams, Step
from trainstore.importing.optuna_trial import REPORTED, Trial
from trainstore.integrations.recording import Recording
from trainstore.run import ActiveRun


@dataclass(eq=False)
class TrialRun:
    """A run, and what of its trial is in it already."""

    run: ActiveRun
    trial: Any = None  # that of `live`
    depth: int = 0  # of its blocks
    reported: set[int] = field(default_factory=set)  # steps
    known: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # parameters, tags, objectives
    cleaner: Cleaner = field(default_factory=Cleaner)

    @contextmanager
    def watching(self, recording: Recording) -> Iterator[None]:
        """A block in which `report` hears of what the trial reports."""
        self.depth += 1
        if self.depth == 1:
            self.trial.report = _Report(self.trial.report, self, recording)
        try:
            yield
        finally:
            self.depth -= 1
            if not self.depth:
                vars(self.trial).pop("report", None)

    def report(self, value: Any, step: Any) -> None:
        """The objective reported a value; Optuna keeps the first one of a step."""
        self._add_new("hp", Hyperparams(self.trial.params))
        if int(step) not in self.reported:
            self.reported.add(int(step))
            self.run.log({REPORTED: float(value)}, int(step))

    def add(self, trial: Trial) -> End | None:
        """Record what is not there yet; how the trial ended, if it has."""
        for entry in trial.entries():
            if isinstance(entry, End):
                return entry
            if isinstance(entry, Hyperparams):
                self._add_new(entry.namespace, entry)
            elif isinstance(entry, Step) and REPORTED in entry.metrics:
                if entry.step not in self.reported:
                    self.reported.add(entry.step)
                    self._append(entry)
            elif isinstance(entry, Step):
                last = max(entry.step, self.run.last_step or 0)
                if self.known.get("objective") != entry.metrics:
                    self.known["objective"] = entry.metrics
                    self._append(replace(entry, step=last))
        return None

    def _add_new(self, what: str, entry: Hyperparams) -> None:
        if entry.values and self.known.get(what) != entry.values:
            self.known[what] = dict(entry.values)
            self._append(entry)

    def _append(self, entry: Entry) -> None:
        self.run._append(self.cleaner.record(entry))


class _Report:
    """Stands in for ``trial.report``. A copy of the trial, or a pickle, gets the trial's own method."""

    def __init__(self, original: Callable[[Any, Any], None], found: TrialRun, recording: Recording) -> None:
        self._original = original
        self._found = found
        self._recording = recording

    def __call__(self, value: Any, step: Any) -> None:
        self._original(value, step)
        with self._recording.guard("a reported value"):
            self._found.report(value, step)

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (self._original,)


def _itself(one: Any) -> Any:
    return one
