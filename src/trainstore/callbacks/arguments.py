"""Checks of what several callbacks are given."""

from __future__ import annotations

from typing import Any

from trainstore.errors import InvalidArgumentError
from trainstore.values import index_of


def at_least_one(name: str, value: Any) -> int:
    """An integer of any type, from 1 on. Raises `InvalidArgumentError` for anything else."""
    number = index_of(value)
    if number is None or number < 1:
        raise InvalidArgumentError(f"{name} {value!r} is not an int from 1 on")
    return number


def positive_int(name: str, value: Any, counted: str) -> int:
    """An ``int`` above 0; ``counted`` is what it counts. Raises `InvalidArgumentError` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidArgumentError(f"{name} {value!r} is not a positive number of {counted}")
    return value
