"""What the values of one metric come to: the rules of ``metric_summary``.

Invariant, by property test: whatever the order in which rows arrive, are merged, or stop being current, a run's
summaries equal `summarize` of its current rows. Values are compared as float64; bools, text and the rest do not count.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, isnan
from operator import methodcaller
from typing import Any

from trainstore.values import number_of

_FLOAT = {float}
_values = methodcaller("values")
_FINITE = {float, int}  # a stored value that is not finite is text


@dataclass(slots=True)
class Summary:
    """One metric of one run; the columns of ``metric_summary``."""

    count: int = 0
    nonfinite_count: int = 0
    min: float | None = None
    min_step: int | None = None
    max: float | None = None
    max_step: int | None = None
    last: float | None = None
    last_step: int | None = None

    def add(self, step: int, value: float) -> None:
        """Take in a value at a step that had none."""
        self.count += 1
        if isfinite(value):
            self._compare(step, value)
        else:
            self.nonfinite_count += 1
        if self.last_step is None or step >= self.last_step:
            self.last, self.last_step = (None if isnan(value) else value), step

    def add_column(self, steps: Sequence[int], numbers: Sequence[float]) -> None:
        """Take in finite values at ascending steps that had none: as `add` of each, many times as fast."""
        self.count += len(numbers)
        for extreme in (min(numbers), max(numbers)):
            self._compare(steps[numbers.index(extreme)], extreme)
        if self.last_step is None or steps[-1] >= self.last_step:
            self.last, self.last_step = numbers[-1], steps[-1]

    def replace(self, step: int, old: float, new: float) -> bool:
        """Exchange the value of a step. False: it was an extreme that the new value does not keep; rescan."""
        if isfinite(old):
            keeps_min = step != self.min_step or (isfinite(new) and new <= old)
            keeps_max = step != self.max_step or (isfinite(new) and new >= old)
            if not (keeps_min and keeps_max):
                return False
            if not isfinite(new):
                self.nonfinite_count += 1
        elif isfinite(new):
            self.nonfinite_count -= 1
        if isfinite(new):
            self._compare(step, new)
        if step == self.last_step:
            self.last = None if isnan(new) else new
        return True

    def _compare(self, step: int, value: float) -> None:
        if (
            self.min is None
            or self.min_step is None
            or value < self.min
            or (value == self.min and step < self.min_step)
        ):
            self.min, self.min_step = value, step
        if (
            self.max is None
            or self.max_step is None
            or value > self.max
            or (value == self.max and step < self.max_step)
        ):
            self.max, self.max_step = value, step


class Summaries:
    """The summaries of one run, while rows are added to it."""

    def __init__(self, stored: Mapping[str, Summary]) -> None:
        self._by_metric = dict(stored)
        self.touched: set[str] = set()
        self.to_rescan: set[str] = set()

    def __getitem__(self, metric: str) -> Summary:
        return self._by_metric[metric]

    def update(self, step: int, old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> None:
        """Take in a current row: ``old`` are its metrics as stored before (None: it is new), ``new`` those now."""
        for metric, value in new.items():
            number = number_of(value)
            before = number_of(old[metric]) if old and metric in old else None
            if before is None:
                if number is not None:
                    self._touch(metric).add(step, number)
            elif number is None:
                self._touch(metric)
                self.to_rescan.add(metric)
            elif not _same(number, before) and not self._touch(metric).replace(step, before, number):
                self.to_rescan.add(metric)

    def add_rows(self, steps: Sequence[int], rows: Sequence[Mapping[str, Any]]) -> None:
        """Take in the metrics of new current rows, in the order of their steps.

        Column by column: there are many rows and few different sets of names.
        """
        by_names: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        for place, names in enumerate(map(tuple, rows)):
            by_names[names].append(place)
        for names, places in by_names.items():
            self._add_columns(names, [steps[place] for place in places], [rows[place] for place in places])

    def _add_columns(self, names: Sequence[str], steps: Sequence[int], rows: Sequence[Mapping[str, Any]]) -> None:
        for metric, column in zip(names, zip(*map(_values, rows), strict=True), strict=True):
            kinds = set(map(type, column))
            if kinds == _FLOAT:
                self._touch(metric).add_column(steps, column)
            elif kinds <= _FINITE:
                self._touch(metric).add_column(steps, [float(value) for value in column])
            else:
                for step, value in zip(steps, column, strict=True):
                    self.update(step, None, {metric: value})

    def _touch(self, metric: str) -> Summary:
        self.touched.add(metric)
        return self._by_metric.setdefault(metric, Summary())

    def set(self, metric: str, summary: Summary) -> None:
        """Put a recomputed one in place."""
        self.touched.add(metric)
        self._by_metric[metric] = summary


def _same(one: float, other: float) -> bool:
    return one == other or (isnan(one) and isnan(other))


def summarize(rows: Iterable[tuple[int, Mapping[str, Any]]], only: set[str] | None = None) -> dict[str, Summary]:
    """The summaries of (step, metrics) rows, of all metrics or of ``only`` those."""
    result: dict[str, Summary] = {}
    for step, metrics in rows:
        for metric in metrics if only is None else only & metrics.keys():
            number = number_of(metrics[metric])
            if number is not None:
                result.setdefault(metric, Summary()).add(step, number)
    return result
