"""What a row of W&B's history comes to: the axes of its metrics, the steps on them, the names of nested values.

By ``define_metric`` a metric is the axis of others. Only a step is one here (``train/global_step``): its values are the
steps of the others. An epoch is none: many rows have the same. What imports W&B's logs and what records in its words go
by this.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from trainstore.values import MAX_DEPTH, MAX_STEP, index_of, stored_name

MAX_KNOWN_NAMES = 10_000
_STEP = re.compile(r"(?:.*[/._])?(?:step|steps|iter|iteration|iterations|update|updates)\Z", re.DOTALL)


class Axes:
    """The axes that were defined so far; true if there are any.

    Args:
        before: Those that hold already, of an earlier session of the run.

    Attributes:
        names: The metrics that are an axis.
    """

    def __init__(self, before: Axes | None = None) -> None:
        self._of_name: dict[str, str] = dict(before._of_name) if before else {}
        self._of_pattern: dict[str, str] = dict(before._of_pattern) if before else {}  # beginnings of names
        self._known: dict[str, str | None] = {}
        self.names = self._found_names()

    def __bool__(self) -> bool:
        return bool(self._of_name or self._of_pattern)

    def define(self, name: str, axis: str) -> None:
        """A metric, or those whose names begin as a pattern ``name*``, have this axis, if it is a step."""
        if not is_step_axis(axis):
            return
        if name.endswith("*"):
            self._of_pattern[name[:-1]] = axis
        elif name:
            self._of_name[name] = axis
        self._known.clear()
        self.names = self._found_names()  # once: each row that is logged asks

    def of(self, name: str) -> str | None:
        """The axis of a metric. An axis is its own, unless it was given another."""
        if name not in self._known:
            if len(self._known) > MAX_KNOWN_NAMES:
                self._known.clear()
            self._known[name] = self._found(name)
        return self._known[name]

    def _found_names(self) -> set[str]:
        return {*self._of_name.values(), *self._of_pattern.values()}

    def _found(self, name: str) -> str | None:
        if name in self._of_name:
            return self._of_name[name]
        if name in self.names:
            return name
        fitting = [beginning for beginning in self._of_pattern if name.startswith(beginning)]
        return self._of_pattern[max(fitting, key=len)] if fitting else None


def is_step_axis(name: str) -> bool:
    """Whether a metric that others have as their axis is a step, by its name."""
    return _STEP.match(name) is not None and "epoch" not in name


def step_of(value: object) -> int | None:
    """The step that a value is: a whole number of any type, 5.0 too. None: it is none."""
    number = index_of(value)
    if number is None and isinstance(value, float) and value.is_integer():
        number = int(value)
    return number if number is not None and 0 <= number <= MAX_STEP else None


def flat(values: Mapping[Any, Any], prefix: str = "", depth: int = 0) -> dict[str, Any]:
    """Nested mappings as names joined by a dot. A name that comes twice gets "~2", so that no value is lost.

    An empty mapping is nothing.
    """
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key if type(key) is str else stored_name(key)}"
        is_nested = isinstance(value, dict) and depth < MAX_DEPTH
        inner = flat(value, f"{name}.", depth + 1) if is_nested else {name: value}
        for one, item in inner.items():
            free, number = one, 1
            while free in found:
                number += 1
                free = f"{one}~{number}"
            found[free] = item
    return found
