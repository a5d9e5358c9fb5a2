"""Values as SQLite's driver gives them: what its file holds may be anything, whatever the columns' types say.

Read here, a value is what its column is for, or an error that names it. So a source that is damaged inside a value
never damages the target, although rows pass between two files as they are. A whole column is read at once: the parsers
are C, and take a tenth of the time in which SQLite reads and writes the rows (its own ``json_valid`` takes longer).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any, NamedTuple

import orjson
from sqlalchemy import JSON, BigInteger, Boolean, Column, Double, Integer, Table

from trainstore.backends.base import load_json
from trainstore.column_types import UTCDateTime
from trainstore.transfer.line_values import UIDS, converter
from trainstore.transfer.vectors import DamagedRunError
from trainstore.values import plain_text

SHOWN = 40  # characters of a value
_NULL = type(None)
_TEXT = frozenset({str})
_SMALL = 2**31
_UNREADABLE = (ValueError, TypeError, OverflowError, RecursionError)
_WORDS = {"status": "status", "namespace": "namespace", **dict.fromkeys(UIDS, "UUID")}
_OBJECTS = ("metrics", "details", "versions", "changed_hyperparams")  # columns of JSON objects


class _Kind(NamedTuple):
    what: str  # it is, in a message
    types: frozenset[type]  # as the driver gives it
    check: Callable[[Any], object] | None = None  # raises an error if a value of these types is wrong
    convert: Callable[[Any], Any] | None = None  # makes what the column has in Python
    is_small: bool = False  # a whole number of 32 bits
    is_object: bool = False  # JSON, as ``check`` makes it, is one


def read_columns(
    table: Table, names: Sequence[str], rows: Sequence[Sequence[Any]], *, of_scalarstop: bool = False
) -> list[Sequence[Any]]:
    """The columns of some rows, as Python values: times are aware, JSON is parsed.

    Args:
        table: Of the models.
        names: Of the columns, as they stand in ``rows``.
        rows: As the driver gives them; text that is not UTF-8 with surrogates (`Backend.any_text`). At least one.
        of_scalarstop: JSON may hold what ScalarStop itself wrote: a bare NaN, anything but an object. NULL is allowed.

    Raises:
        DamagedRunError: A value is not what its column is for.
    """
    kinds = _kinds(table, tuple(names), of_scalarstop)
    check_columns(table, names, rows, of_scalarstop=of_scalarstop)
    return [_converted(kind, column) for kind, column in zip(kinds, zip(*rows, strict=True), strict=True)]


def check_columns(
    table: Table, names: Sequence[str], rows: Sequence[Sequence[Any]], *, of_scalarstop: bool = False
) -> None:
    """Raise the error of `read_columns`, in half of its time."""
    kinds = _kinds(table, tuple(names), of_scalarstop)
    if not all(map(_is_sound, kinds, zip(*rows, strict=True))):
        raise DamagedRunError(_told(table, names, kinds, rows))


def check_metrics(values: Sequence[Any]) -> None:
    """Raise `DamagedRunError` for metrics of steps from PostgreSQL: any JSON is that for a database."""
    if not {*map(type, values)} <= {dict}:
        raise DamagedRunError("it is damaged: a value of step_log.metrics is no JSON object")


def _is_sound(kind: _Kind, values: Sequence[Any]) -> bool:
    types = {*map(type, values)}
    if not types <= kind.types:
        return False
    if types == {_NULL}:
        return True
    present = values if _NULL not in types else [value for value in values if value is not None]
    if kind.is_small and not -_SMALL <= min(present) <= max(present) < _SMALL:
        return False
    try:
        # Nothing that is made is kept: the garbage collector looks at what is.
        made = set() if kind.check is None else {*map(type, map(kind.check, present))}
    except _UNREADABLE:
        return False
    return not kind.is_object or made == {dict}


def _converted(kind: _Kind, values: Sequence[Any]) -> Sequence[Any]:
    convert = kind.convert
    return values if convert is None else [None if value is None else convert(value) for value in values]


def _told(table: Table, names: Sequence[str], kinds: Sequence[_Kind], rows: Sequence[Sequence[Any]]) -> str:
    """Which of the values it is."""
    for row in rows:
        for name, kind, value in zip(names, kinds, row, strict=True):
            if not _is_sound(kind, [value]):
                step = dict(zip(names, row, strict=True)).get("step")
                at = f" at step {step}" if table.name.endswith("step_log") and type(step) is int else ""
                return f"it is damaged: {table.name}.{name}{at} holds {_shown(value)}, no {kind.what}"
    return f"it is damaged: a value of {table.name} cannot be read"


def _shown(value: object) -> str:
    """The beginning of a value, as SQL has it."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"x'{value[: SHOWN // 2].hex()}'{'…' * (len(value) > SHOWN // 2)}"
    return repr(plain_text(value, SHOWN)) if isinstance(value, str) else str(value)


@lru_cache(maxsize=256)
def _kinds(table: Table, names: tuple[str, ...], of_scalarstop: bool) -> tuple[_Kind, ...]:
    kinds = []
    for name in names:
        column = table.c[name]
        kind = _kind(column, of_scalarstop)
        kinds.append(kind._replace(types=kind.types | {_NULL}) if column.nullable or of_scalarstop else kind)
    return tuple(kinds)


def _kind(column: Column[Any], of_scalarstop: bool) -> _Kind:
    of = column.type
    if isinstance(of, JSON) and of_scalarstop:
        return _Kind("JSON", _TEXT, load_json, load_json)
    if isinstance(of, JSON):
        # Not `load_json`: it takes a bare NaN, which the metrics of a run have as text.
        is_object = column.name in _OBJECTS
        return _Kind("JSON object" if is_object else "JSON", _TEXT, orjson.loads, orjson.loads, is_object=is_object)
    if isinstance(of, UTCDateTime):
        return _Kind("time", _TEXT, datetime.fromisoformat, _time)
    if isinstance(of, Boolean):
        return _Kind("bool", frozenset({int}), None, bool)
    if isinstance(of, Double):
        return _Kind("number", frozenset({int, float}))
    if isinstance(of, BigInteger):
        return _Kind("whole number", frozenset({int}))
    if isinstance(of, Integer):
        return _Kind("whole number of 32 bits", frozenset({int}), is_small=True)
    return _Kind(_WORDS.get(column.name, "text that can be stored"), _TEXT, partial(_check_text, converter(column)))


def _check_text(check: Callable[[str], object], text: str) -> None:
    check(text)
    if plain_text(text, len(text)) != text:
        raise ValueError


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
