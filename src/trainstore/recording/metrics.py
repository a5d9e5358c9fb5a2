"""The metrics of a step as they are stored: their names, their values, and those that fill a column of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from trainstore.recording.records import Record
from trainstore.redaction import redact_item
from trainstore.values import INT64_MAX, INT64_MIN, Json, canonical, scalar_of, stored_name

AXES = ("epoch", "step_time")  # columns of their own
MAX_KNOWN_NAMES = 10_000


class Metrics:
    """The names of metrics that a run has seen, so that a step with known names needs few checks."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}  # as given → as stored
        self._plain: set[str] = set()  # those of them that are the same

    def are_plain(self, metrics: dict[str, Any]) -> bool:
        """Whether they are stored as they are: known names, and only finite floats and ints of 64 bits."""
        if not self._plain.issuperset(metrics):
            return False
        total = 0.0
        for value in metrics.values():
            kind = type(value)
            if kind is float:
                total += value
            elif kind is not int or not INT64_MIN <= value <= INT64_MAX:
                return False
        # An infinity or a NaN makes a sum of which this is NaN. (So do finite ones that are too large together: then
        # `clean` asks each of them.)
        return total - total == 0.0

    def clean(self, metrics: Mapping[str, Any], warn: Callable[[str], None]) -> dict[str, Json]:
        """Names and values as they are stored, in a new dict; ``warn`` is told of what cannot be kept as it is."""
        names = self._names
        clean: dict[str, Json] = {}
        for key, value in metrics.items():
            name = names.get(key) if type(key) is str else stored_name(key)
            if name is None:
                name = stored_name(key)
                if len(names) < MAX_KNOWN_NAMES:
                    names[key] = name
                    if name == key:
                        self._plain.add(name)
            if type(key) is not str or name != key:
                warn(f"a metric's name cannot be kept as it is; it is stored as {name!r}")
            kind = type(value)
            if (kind is float and isfinite(value)) or (kind is int and INT64_MIN <= value <= INT64_MAX):
                clean[name] = value
            else:
                kept = canonical(value)
                if type(kept) in (str, dict, list):
                    kept = redact_item(name, kept)
                clean[name] = kept
                if type(kept) is dict and "$repr" in kept:
                    warn(f"metric {name!r} has a value that is kept as text ({type(value).__name__})")
        return clean


def axis_value(value: object) -> float | None:
    """A finite number as float; None for anything else."""
    if type(value) is float:
        return value if isfinite(value) else None
    try:
        if not isinstance(value, (int, float)):
            value = scalar_of(value)
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return None
        number = float(value)
    except Exception:  # noqa: BLE001 - an int beyond float64, a hostile object
        return None
    return number if isfinite(number) else None


def move_axes(record: Record) -> None:
    """Move finite numbers named like a column there, unless it is given; the metrics are copied, not changed."""
    metrics = record["metrics"] = record["metrics"].copy()
    for axis in AXES:
        if axis in metrics and axis not in record and (value := axis_value(metrics[axis])) is not None:
            record[axis] = value
            del metrics[axis]


def json_object(details: object) -> dict[str, Json]:
    """Details as stored, of a step or an event: a JSON object, whose key ``value`` has anything but a mapping."""
    kept = canonical(details)
    plain = isinstance(kept, dict) and not (len(kept) == 1 and next(iter(kept)) in ("$repr", "$int"))
    return kept if plain else {"value": kept}
