"""Whether the rows in memory are those that the database sums up."""

from __future__ import annotations

from typing import Any

import numpy as np

from trainstore.dashboard.run_columns import ATTEMPT, RunColumns, Summary

_Row = tuple[Any, ...]  # of metric_summary


def adds_up(columns: RunColumns) -> bool:
    """Whether the rows are what the database sums up."""
    sums: dict[str, _Row] = {}
    _add(sums, columns, 0)
    return sums == _by_metric(columns.summary)


def adds_up_with(known: RunColumns, later: RunColumns, kept: int) -> bool:
    """The same of the rows known and those of the later ones that follow them.

    The rows known are not looked at: they are what the database summed up when they were read.
    """
    if len(later.step) and known.beside != later.beside:
        return False
    sums = _by_metric(known.summary)
    _add(sums, later, len(known.step) - kept)
    return sums == _by_metric(later.summary)


def _by_metric(summary: Summary) -> dict[str, _Row]:
    return {row[0]: row for row in summary if row[0] != ATTEMPT}


def _add(sums: dict[str, _Row], columns: RunColumns, first: int) -> None:
    """Add the values from a row on to what those before come to."""
    for name in columns.metrics.keys() - columns.beside:
        rows, values = columns.metrics[name]
        start = int(np.searchsorted(rows, first, "left"))
        if start < len(rows):
            sums[name] = _summed(
                sums.get(name) or (name, 0, 0, *[None] * 6), columns.step[rows[start:]], values[start:]
            )


def _summed(before: _Row, steps: Any, values: Any) -> _Row:
    """The row of metric_summary of a metric that had one, with more values at later steps."""
    name, count, odd, low, low_step, high, high_step, *_ = before
    finite = np.isfinite(values)
    sound = int(finite.sum())
    if sound:
        there, at = (values, steps) if sound == len(values) else (values[finite], steps[finite])
        least, most = int(there.argmin()), int(there.argmax())
        if low is None or there[least] < low:
            low, low_step = float(there[least]), int(at[least])
        if high is None or there[most] > high:
            high, high_step = float(there[most]), int(at[most])
    last = float(values[-1])
    extremes = (low, low_step, high, high_step)
    return (
        name,
        count + len(values),
        odd + len(values) - sound,
        *extremes,
        None if last != last else last,
        int(steps[-1]),
    )
