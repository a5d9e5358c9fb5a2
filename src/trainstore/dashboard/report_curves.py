"""The curves of a report: buckets of every metric of every run, and where they are on each axis."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from trainstore.dashboard.buckets import Floats, bucketed
from trainstore.dashboard.packing import Arrays
from trainstore.dashboard.run_columns import RunColumns


class ReportCurves:
    """Curves in buckets, whose axes are shared: most metrics of a run are logged at the same steps.

    Args:
        points: At most so many of each curve.
        exact: Keep every number as it is.
        metrics: Only these. None: all.
    """

    def __init__(self, points: int, metrics: Collection[str] | None = None, *, exact: bool = False) -> None:
        self.arrays = Arrays(exact=exact)
        self.longest = 0  # points of a curve in the store
        self._points, self._metrics = points, metrics
        self._axes: dict[tuple[int, int, int | None], int] = {}
        self._current: dict[str, dict[str, list[Any]]] = {}
        self._superseded: dict[str, dict[str, list[Any]]] = {}

    def add(self, uid: str, columns: RunColumns) -> None:
        """The current steps of a run."""
        self._current[uid] = {name: [self._curve(columns, name)] for name in self._names(columns)}

    def add_superseded(self, uid: str, attempt: int, columns: RunColumns) -> None:
        """What an attempt of a run logged beyond the step from which a later one went on."""
        for name in self._names(columns):
            of_run = self._superseded.setdefault(uid, {}).setdefault(name, [])
            of_run.append({"attempt": attempt, **self._curve(columns, name)})

    def as_json(self) -> dict[str, Any]:
        """As `source-file-curves.js` reads them."""
        axes = [{"step": step, "time": time, "epoch": epoch} for step, time, epoch in self._axes]
        return {"curves": self._current, "superseded": self._superseded, "axes": axes}

    def _names(self, columns: RunColumns) -> list[str]:
        return [name for name in sorted(columns.metrics) if self._metrics is None or name in self._metrics]

    def _curve(self, columns: RunColumns, metric: str) -> dict[str, Any]:
        rows, values = columns.metrics[metric]
        step, finite = columns.step[rows], np.isfinite(values)
        self.longest = max(self.longest, len(step))
        buckets, add = bucketed(step, values, self._points), self.arrays
        mean = add.add(buckets.mean)
        single = np.array_equal(buckets.low, buckets.high)
        odd_rows = rows[~finite][np.searchsorted(step[~finite], buckets.odd_x)]
        return {
            "total": len(step),
            "axes": self._of_axes(columns, rows[finite], buckets.x, buckets.count),
            "count": add.add_exactly(buckets.count),
            "mean": mean,
            "low": mean if single else add.add_edge(buckets.low, upper=False),
            "high": mean if single else add.add_edge(buckets.high, upper=True),
            "oddAxes": self._of_axes(columns, odd_rows, buckets.odd_x, np.ones(len(odd_rows))),
            "odd": add.add_exactly(buckets.odd),
        }

    def _of_axes(self, columns: RunColumns, rows: Any, steps: Floats, count: Floats) -> int:
        """Where buckets of these rows are on every axis; times in milliseconds since the run began."""
        time, epoch = (_means(columns.axes[name][rows], count) for name in ("time", "epoch"))
        key = (
            self.arrays.add_exactly(steps),
            self.arrays.add_exactly(np.round((time - columns.started) * 1000)),
            None if np.isnan(epoch).all() else self.arrays.add_exactly(epoch),
        )
        return self._axes.setdefault(key, len(self._axes))


def _means(axis: Floats, count: Floats) -> Floats:
    """The mean of an axis in each bucket, and the last bucket's last place; NaN where no point has one."""
    if len(axis) == len(count):
        return axis
    edges = (np.cumsum(count) - count).astype(np.int64)
    there = np.isfinite(axis)
    known = np.add.reduceat(there.astype(np.float64), edges)
    total = np.add.reduceat(np.where(there, axis, 0.0), edges)
    means = np.where(known > 0, total / np.maximum(known, 1), np.nan)
    means[-1] = axis[-1]
    return means
