"""Whether a hyperparameter has a value: what a filter may ask for, and a comparison that both databases agree on."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any

from sqlalchemy import ColumnElement, ColumnExpressionArgument, exists, false, or_, type_coerce
from sqlalchemy.sql import ClauseElement

from trainstore.arrays import elements, is_array, is_table
from trainstore.column_types import JsonType
from trainstore.configs import plain_config
from trainstore.errors import InvalidArgumentError
from trainstore.queries.frames import EXACT, comparable
from trainstore.queries.names import Name, inside, nested_values, spelled
from trainstore.queries.reader import Reader
from trainstore.redaction import NONFINITE, redact
from trainstore.reprs import stable_repr
from trainstore.times import as_iso_text
from trainstore.values import canonical, is_missing, restore

_ONE_VALUE = (str, bytes, bytearray, memoryview, Mapping, Enum, type, os.PathLike)
_OPERATORS = ("<", "<=", ">", ">=", "=", "==", "!=")
_NO_VALUE = (ClauseElement, slice, re.Pattern)


def has_name(reader: Reader, name: Name, *also: ColumnExpressionArgument[bool]) -> ColumnElement[bool]:
    """The run has this hyperparameter, and its row meets these conditions."""
    table, run = reader.models.hyperparam.c, reader.models.run
    of_run = exists().where(table.run_id == run.c.id, table.namespace == name.namespace, table.key == name.key, *also)
    return of_run.correlate(run)


def has_value(reader: Reader, name: Name, value: Any) -> ColumnElement[bool]:
    """The hyperparameter equals the value or, if that is a list, one of its items or the list itself.

    Raises `InvalidArgumentError` for what is not a value.
    """
    table = reader.models.hyperparam.c
    numbers: list[float] = []
    forms: list[Any] = []
    others: dict[Any, None] = {}
    conditions: list[ColumnElement[bool]] = [false()]
    for kept in _alternatives(name, value):
        if name.path or not _alike(kept):
            others[comparable(restore(kept))] = None
        elif kept is None:
            conditions.append(table.value.is_(None))
        elif type(kept) in (int, float):
            numbers.append(float(kept))
        else:
            forms += _forms(kept)
    # Lists, not a chain of ORs: SQLite refuses one of some hundred links.
    conditions += [table.number.in_(numbers)] if numbers else []
    conditions += [table.value.in_([type_coerce(form, JsonType) for form in forms])] if forms else []
    if others:
        # Databases compare objects and large numbers in their own ways (order of keys, 1 and 1.0, doubles).
        text = reader.backend.json_text(table.value)
        large = [_float(number) for kind, number in others if kind is float and not name.path]
        there = nested_values(reader, name.namespace, name.key, or_numbers=[n for n in large if n is not None])
        equal = [found for found, stored in there.items() if comparable(inside(stored, name.path)) in others]
        conditions.append(text.in_(equal))
    return has_name(reader, name, or_(*conditions))


def _alike(kept: Any) -> bool:
    """Whether both databases compare such a value as Python does."""
    if type(kept) in (int, float):
        return bool(-EXACT < kept < EXACT)
    return not isinstance(kept, (dict, list)) or _is_repr(kept)


def _forms(kept: Any) -> list[Any]:
    """What is stored for a text or a bool.

    A text, and what is kept as one because JSON cannot hold it, look the same in a frame; the names of NaN and the
    infinities are numbers.
    """
    if not isinstance(kept, str) and not _is_repr(kept):
        return [kept]
    text = kept["$repr"] if isinstance(kept, dict) else kept
    return [kept] if text in NONFINITE else [text, {"$repr": text}]


def _is_repr(kept: Any) -> bool:
    return isinstance(kept, dict) and kept.keys() == {"$repr"}


def _alternatives(name: Name, value: Any) -> list[Any]:
    """The values asked for, as they are stored. Raises `InvalidArgumentError`."""
    items = _several(value)
    if items is not None and len(items) == 2 and _is_operator(items[0]) and not _is_operator(items[1]):
        condition = f"{spelled(name.namespace, name.key, *name.path)} {items[0]} {shown(items[1])}"
        raise InvalidArgumentError(
            f"{shown(value)} looks like an operator and a value; write a condition as text: where={condition!r}"
        )
    if items is None:
        items = [value]
    elif items and not isinstance(value, Iterator):
        items.append(value)  # a recorded list is also found by that list
    found: list[Any] = []
    for item in items:
        kept = None if is_missing(item) else canonical(item)
        if not _is_secret(name, kept):
            found.append(kept)
        elif item is not value or len(items) == 1:
            raise InvalidArgumentError(
                f"{spelled(name.namespace, name.key, *name.path)} cannot be compared with this value, which looks like "
                "a secret: secrets are stored as '[redacted]'"
            )
        if isinstance(item, str) and (time := as_iso_text(item)) is not None:
            found.append(time)  # a recorded time, spelled in another way
    return found


def _is_operator(item: object) -> bool:
    return isinstance(item, str) and item in _OPERATORS


def _is_secret(name: Name, kept: Any) -> bool:
    """Whether the value would not have been stored as it is."""
    stored = kept
    for key in (*reversed(name.path), name.key):
        stored = {key: stored}
    return bool(redact(stored) != stored)


def _several(value: Any) -> list[Any] | None:
    """The items of a list, set, array, column, range, view or generator; None if it is one value.

    Raises `InvalidArgumentError` for what no hyperparameter can equal.
    """
    if is_table(value) or isinstance(value, _NO_VALUE) or getattr(value, "__name__", None) == "<lambda>":
        raise InvalidArgumentError(
            f"{shown(value)} is not a value to compare with; pass a value or a list of values, and conditions as where="
        )
    if isinstance(value, Mapping) and value and all(isinstance(key, str) and key.startswith("$") for key in value):
        raise InvalidArgumentError(
            f"{shown(value)} looks like an operator; write a condition as text: where='hp.lr > 0.01'"
        )
    if is_array(value):
        return list(elements(value)) if value.shape else None
    value = plain_config(value)
    is_one = isinstance(value, _ONE_VALUE) or not isinstance(value, Iterable)
    return None if is_one else list(value)


def shown(value: Any) -> str:
    """A value for a message: a table or an array by its kind and shape, anything else in a line."""
    if is_array(value) or is_table(value):
        return f"{type(value).__name__} of shape {tuple(value.shape)}"
    text = stable_repr(value).partition("\n")[0]
    return text if len(text) <= 200 else f"{text[:200]}…"


def _float(number: Any) -> float | None:
    try:
        return None if number is None else float(number)
    except OverflowError:
        return None
