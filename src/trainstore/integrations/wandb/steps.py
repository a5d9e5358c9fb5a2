"""At which steps the values of a call of ``log`` are kept.

W&B counts the calls of ``log``; ``define_metric(…, step_metric=…)`` names a metric as the true axis of others. Where
that is a step (``train/global_step``), its value is the step. An epoch is none: many rows have the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainstore.importing.wandb_log import is_step_axis
from trainstore.values import MAX_STEP, index_of, stored_name

MAX_KNOWN_NAMES = 10_000
MAX_DEPTH = 64

ByStep = dict[int, dict[str, Any]]


class Rows:
    """The row that is being logged, as W&B counts, and the axes that were defined.

    Args:
        first: The first row: after those that a resumed run has.
    """

    def __init__(self, first: int = 0) -> None:
        self.row = first
        self.has_axes = False
        self._axes: dict[str, str] = {}  # metric → its axis
        self._patterns: dict[str, str] = {}  # beginnings of names → their axis
        self._steps: set[str] = set()  # all axes
        self._known: dict[str, str | None] = {}
        self._latest: dict[str, int] = {}  # axis → its last value
        self._here: dict[str, int] = {}  # axis → its value in the open row
        self._waiting: dict[str, Any] = {}  # values of the open row whose axis has not come yet

    def define(self, name: str, axis: str) -> bool:
        """A metric, or those whose names begin as a pattern ``name*``, have this axis. False: it is no step."""
        if not is_step_axis(axis):
            return False
        if name.endswith("*"):
            self._patterns[name[:-1]] = axis
        else:
            self._axes[name] = axis
        self._steps.add(axis)
        self._known.clear()
        self.has_axes = True
        return True

    # --- Which row ---------------------------------------------------------------------------------------------------

    def begin(self, step: int | None) -> tuple[int, ByStep]:
        """The row of a call, and what the row before still held: another step ends it. An older one does not."""
        if step is None or step == self.row:
            return self.row, {}
        if step < self.row:
            return step, {}
        held = self.close()
        self.row = step
        return step, held

    def end(self, row: int) -> None:
        """A row is complete, and nothing of it waits; the next call begins another."""
        if row == self.row:
            self.row += 1
            self._here = {}

    def forget(self) -> None:
        """What waits is recorded elsewhere."""
        self._waiting = {}

    def close(self) -> ByStep:
        """The open row ends: what waited for its axis goes to the last value that the axis had."""
        waiting, self._waiting = self._waiting, {}
        self._here = {}
        return self._placed(waiting, self.row, wait=False)[0]

    # --- Which step --------------------------------------------------------------------------------------------------

    def place(self, values: dict[str, Any], row: int, *, ends: bool) -> ByStep:
        """The steps of a row's values.

        Args:
            values: The call's.
            row: Its row.
            ends: Whether the row is complete with them; if not, those whose axis is not there yet wait for it.
        """
        is_open = row == self.row
        found = {name: whole(values[name]) for name in self._steps & values.keys()}
        here = {name: number for name, number in found.items() if number is not None}
        self._latest |= here
        if is_open:
            self._here |= here
            values = {**self._waiting, **values}
            self._waiting = {}
        placed, waiting = self._placed(values, row, wait=is_open and not ends, here=self._here if is_open else here)
        self._waiting = waiting if is_open else self._waiting
        return placed

    def _placed(
        self, values: dict[str, Any], row: int, *, wait: bool, here: Mapping[str, int] | None = None
    ) -> tuple[ByStep, dict[str, Any]]:
        by_step: ByStep = {}
        waiting: dict[str, Any] = {}
        for name, value in values.items():
            axis = self._axis_of(name)
            if axis is not None and wait and axis not in (here or {}) and axis != name:
                waiting[name] = value
                continue
            step = row if axis is None else (here or {}).get(axis, self._latest.get(axis, row))
            by_step.setdefault(step, {})[name] = value
        return by_step, waiting

    def _axis_of(self, name: str) -> str | None:
        if name not in self._known:
            axis = self._axes.get(name)
            if axis is None and name in self._steps:
                axis = name
            if axis is None:
                fitting = [beginning for beginning in self._patterns if name.startswith(beginning)]
                axis = self._patterns[max(fitting, key=len)] if fitting else None
            if len(self._known) > MAX_KNOWN_NAMES:
                self._known.clear()
            self._known[name] = axis
        return self._known[name]


def whole(value: object) -> int | None:
    """A step that a value is: a whole number of any type, 5.0 too."""
    number = index_of(value)
    if number is None and isinstance(value, float) and value.is_integer():
        number = int(value)
    return number if number is not None and 0 <= number <= MAX_STEP else None


def flat(values: Mapping[Any, Any], prefix: str = "", depth: int = 0) -> dict[str, Any]:
    """Nested mappings as names joined by a dot. A name that comes twice gets "~2", so that no value is lost."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key if type(key) is str else stored_name(key)}"
        is_nested = isinstance(value, dict) and value and depth < MAX_DEPTH
        inner = flat(value, f"{name}.", depth + 1) if is_nested else {name: value}
        for one, item in inner.items():
            free, number = one, 1
            while free in found:
                number += 1
                free = f"{one}~{number}"
            found[free] = item
    return found
