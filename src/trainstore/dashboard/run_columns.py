"""The numbers of one run, column by column, and what has changed in them since a page last asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from trainstore.dashboard.buckets import Floats

ATTEMPT = 0  # begins the rows of a summary that are attempts; the others begin with a metric's name
X_AXES = ("step", "epoch", "time", "relative")
MOST_CHANGES = 500  # that are kept; who is further behind reads the run anew

Summary = frozenset[tuple[Any, ...]]  # the run's rows of metric_summary, and its attempts


@dataclass(frozen=True)
class Change:
    """What differs between two states of a run's columns.

    Attributes:
        generation: Of the later state.
        row: The first row that was added, replaced or taken away.
        low: The lowest "step", "epoch" and "time" of such rows; infinite if none has one.
        appended: Whether rows were only added, at the end.
    """

    generation: int
    row: int
    low: dict[str, float]
    appended: bool


class Tail(NamedTuple):
    """The part of some curves that is new: it replaces all of their points from ``low`` on."""

    low: float
    curves: dict[str, tuple[Floats, Floats]]


@dataclass(frozen=True)
class RunColumns:
    """The current steps of one run.

    Attributes:
        step: The number of each.
        axes: "step", "epoch" and "time" (seconds since 1970) of each step; NaN where there is none.
        started: The time of the run's beginning.
        metrics: For each metric that has numbers, the rows that have it, and its values there.
        summary: What the database said when it was read.
        beside: Metrics that no summary knows: the step's own columns.
        generation: The number of this state; each later state of any run has a higher one.
        oldest: The earliest state from which `since` knows the way to this one.
        changes: That way.
    """

    step: Floats
    axes: dict[str, Floats]
    started: float
    metrics: dict[str, tuple[Any, Floats]]
    summary: Summary = frozenset()
    beside: frozenset[str] = frozenset()
    generation: int = 0
    oldest: int = 0
    changes: tuple[Change, ...] = field(default=(), repr=False)

    @cached_property
    def size(self) -> int:
        """Bytes, the room behind arrays that grow included."""
        arrays = [*self.axes.values(), *(array for pair in self.metrics.values() for array in pair)]
        return sum((array if array.base is None else array.base).nbytes for array in arrays)

    @property
    def last_step(self) -> int:
        """The highest step; -1 if there is none."""
        return int(self.step[-1]) if len(self.step) else -1

    def curve(self, metric: str, x: str, first: int = 0) -> tuple[Floats, Floats]:
        """x and y of a metric, in ascending order of x; points without an x are left out.

        Args:
            metric: Its name. A run that does not have it has no points.
            x: "step", "epoch", "time", "relative", or the name of another metric.
            first: Only rows from this one on.
        """
        rows, values = self.metrics.get(metric, (np.empty(0, np.intp), np.empty(0)))
        if first:
            start = int(np.searchsorted(rows, first, "left"))
            rows, values = rows[start:], values[start:]
        if x == "relative":
            across = self.axes["time"][rows] - self.started
        elif x in self.axes:
            across = self.axes[x][rows]
        else:
            across = self._values_of(x)[rows]
        there = np.isfinite(across)
        if not there.all():
            across, values = across[there], values[there]
        if x != "step" and len(across) > 1 and (np.diff(across) < 0).any():
            order = np.argsort(across, kind="stable")
            across, values = across[order], values[order]
        return across, values

    def _values_of(self, metric: str) -> Floats:
        if metric not in self.metrics:
            return np.full(len(self.step), np.nan)
        rows, values = self.metrics[metric]
        column = np.full(len(self.step), np.nan)
        column[rows] = values
        return column

    def since(self, generation: int, metrics: Iterable[str], x: str) -> Tail | None:
        """What is new in curves that were drawn in an earlier state; None if the way from there is not known.

        Args:
            generation: Of that state.
            metrics: The curves. One that the run does not have (any more) is not in the answer.
            x: As for `curve`.
        """
        if not self.oldest <= generation <= self.generation:
            return None
        changes = [change for change in self.changes if change.generation > generation]
        low = self._low(changes, x)
        if low is None:
            return None
        row = min((change.row for change in changes), default=len(self.step))
        if self._highest(x, row) >= low:
            row = 0  # not all x from there on lie in the rows from this one on
        curves = {}
        for metric in metrics:
            if metric in self.metrics:
                across, values = self.curve(metric, x, row)
                first = int(np.searchsorted(across, low, "left"))
                curves[metric] = (across[first:], values[first:])
        return Tail(low, curves)

    def _highest(self, x: str, row: int) -> float:
        """The highest x of the rows before this one, infinite if that is not easily told."""
        if x == "step":
            return float(self.step[row - 1]) if row else -np.inf
        axis, offset = (self.axes["time"], self.started) if x == "relative" else (self.axes.get(x), 0.0)
        if axis is None:
            return np.inf
        return float(np.fmax.reduce(axis[:row], initial=-np.inf)) - offset

    def _low(self, changes: Sequence[Change], x: str) -> float | None:
        """Below this x nothing has changed; None: nobody knows."""
        if x == "relative":
            return min((change.low["time"] - self.started for change in changes), default=np.inf)
        if x in self.axes:
            return min((change.low[x] for change in changes), default=np.inf)
        if not all(change.appended for change in changes):
            return None  # where the rows lay that are gone
        step = min((change.low["step"] for change in changes), default=np.inf)
        return lowest(self._values_of(x)[int(np.searchsorted(self.step, step, "left")) :])

    def changed_to(self, later: RunColumns, row: int, generation: int) -> RunColumns:
        """The later columns, with the way from these to them: they differ from this row on."""
        low = {name: min(lowest(axis[row:]), lowest(later.axes[name][row:])) for name, axis in self.axes.items()}
        change = Change(generation, row, low, row >= len(self.step))
        changes, oldest = (*self.changes, change), self.oldest
        if len(changes) > MOST_CHANGES:
            half = len(changes) // 2
            changes, oldest = changes[half:], changes[half - 1].generation
        return replace(later, generation=generation, oldest=oldest, changes=changes)


def lowest(numbers: Floats) -> float:
    """The smallest finite number; infinite if there is none."""
    return float(np.min(numbers, where=np.isfinite(numbers), initial=np.inf))
