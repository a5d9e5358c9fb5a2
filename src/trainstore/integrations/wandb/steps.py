"""At which steps the values of a call of ``log`` are kept.

W&B counts the calls of ``log``, unless a metric is the axis of others: see ``trainstore.importing.wandb_rows``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainstore.importing.wandb_rows import Axes, step_of

ByStep = dict[int, dict[str, Any]]


class Metric:
    """What ``define_metric`` returns."""

    def __init__(self, name: str, step_metric: str | None = None, summary: tuple[str, ...] = ()) -> None:
        self.name, self.step_metric, self.summary = name, step_metric, summary


class Rows:
    """The row that is being logged, as W&B counts, and the axes that were defined.

    Args:
        first: The first row: after those that a resumed run has.
    """

    def __init__(self, first: int = 0) -> None:
        self.row = first
        self.axes = Axes()
        self._latest: dict[str, int] = {}  # axis → its last value
        self._here: dict[str, int] = {}  # axis → its value in the open row
        self._waiting: dict[str, Any] = {}  # values of the open row whose axis has not come yet

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
        found = {name: step_of(values[name]) for name in self.axes.names & values.keys()}
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
            axis = self.axes.of(name)
            if axis is not None and wait and axis not in (here or {}) and axis != name:
                waiting[name] = value
                continue
            step = row if axis is None else (here or {}).get(axis, self._latest.get(axis, row))
            by_step.setdefault(step, {})[name] = value
        return by_step, waiting
