"""Columns of a run that goes on: the rows known and those read later, as one."""

from __future__ import annotations

from typing import Any

import numpy as np

from trainstore.dashboard.run_columns import RunColumns

_NOWHERE = 1 << 62
_NO_POINTS = (np.empty(0, np.intp), np.empty(0))
_ROOM = 0.25  # of an array that grows: more than it holds


def joined(known: RunColumns, later: RunColumns, kept: int) -> RunColumns:
    """So many of the rows known, and the later ones."""
    metrics = {}
    for name in {**known.metrics, **later.metrics}:
        rows, values = known.metrics.get(name, _NO_POINTS)
        more_rows, more_values = later.metrics.get(name, _NO_POINTS)
        count = int(np.searchsorted(rows, kept, "left"))
        if count or len(more_rows):
            metrics[name] = (
                np.concatenate([rows[:count], more_rows + kept]),
                np.concatenate([values[:count], more_values]),
            )
    axes = {name: np.concatenate([known.axes[name][:kept], later.axes[name]]) for name in known.axes}
    beside = known.beside & later.beside
    return RunColumns(axes["step"], axes, later.started, metrics, later.summary, beside)


def appended(known: RunColumns, later: RunColumns, kept: int) -> RunColumns:
    """The rows known, and those of the later ones that follow them: the first of these are known ones again."""
    first = len(known.step) - kept
    metrics = dict(known.metrics)
    for name, (rows, values) in later.metrics.items():
        old_rows, old_values = known.metrics.get(name, _NO_POINTS)
        new = int(np.searchsorted(rows, first, "left"))
        if new < len(rows):
            metrics[name] = (grown(old_rows, rows[new:] + kept), grown(old_values, values[new:]))
    axes = {name: grown(known.axes[name], later.axes[name][first:]) for name in known.axes}
    beside = known.beside & later.beside
    return RunColumns(axes["step"], axes, later.started, metrics, later.summary, beside)


class Roomy(np.ndarray[Any, Any]):
    """An array that may have room behind it, in the array that it is a part of."""


def grown(old: Any, more: Any) -> Any:
    """Two arrays as one. Where there is room behind the first, it is not copied, and sees nothing of the second."""
    length = len(old) + len(more)
    whole = old.base if isinstance(old, Roomy) and isinstance(old.base, Roomy) else None
    if whole is None or len(whole) < length or whole.ctypes.data != old.ctypes.data:
        whole = np.empty(int(length * (1 + _ROOM)) + 16, old.dtype).view(Roomy)
        whole[: len(old)] = old
    whole[len(old) : length] = more
    return whole[:length]


def first_difference(known: RunColumns, later: RunColumns, kept: int) -> int | None:
    """The first row that differs between the known ones and the later ones, which are to follow ``kept`` of them."""
    places = [_first(known.axes[name][kept:], later.axes[name]) for name in known.axes]
    for name in {**known.metrics, **later.metrics}:
        rows, values = known.metrics.get(name, _NO_POINTS)
        more_rows, more_values = later.metrics.get(name, _NO_POINTS)
        count = int(np.searchsorted(rows, kept, "left"))
        rows, values = rows[count:] - kept, values[count:]
        place = min(_first(rows, more_rows), _first(values, more_values))
        ends = [some[place] for some in (rows, more_rows) if place < len(some)]
        places.append(min(ends) if ends else _NOWHERE)
    row = int(min(places))
    return None if row == _NOWHERE else kept + row


def _first(one: Any, other: Any) -> int:
    """The first place at which two arrays differ, their ends included."""
    length = min(len(one), len(other))
    differ = np.flatnonzero((one[:length] != other[:length]) & ~(np.isnan(one[:length]) & np.isnan(other[:length])))
    if len(differ):
        return int(differ[0])
    return _NOWHERE if len(one) == len(other) else length
