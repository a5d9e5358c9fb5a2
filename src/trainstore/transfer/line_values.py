"""Lines of JSON, and the values in them, each checked by the column that it is for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import JSON, BigInteger, Boolean, Column, DateTime, Double, Integer, String

from trainstore.column_types import UTCDateTime
from trainstore.models import NAMESPACES, STATUSES, Models
from trainstore.transfer.lines import columns_of
from trainstore.values import INT64_MAX, INT64_MIN

MAX_LINE = 64 << 20  # bytes
MAX_DEPTH = 64
_NONFINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
UIDS = ("uid", "writer_uid", "parent_uid")
_OBJECTS = ("metrics",)


class DamageError(ValueError):
    """A line that cannot be taken."""


def parsed(line: bytes) -> dict[str, Any]:
    """The object in a line. Raises `DamageError`."""
    if len(line) > MAX_LINE:
        raise DamageError(f"is longer than {MAX_LINE >> 20} MiB")
    if not line.endswith(b"\n"):
        raise DamageError("is cut off")
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise DamageError("is not JSON") from None
    if not isinstance(row, dict):
        raise DamageError("is not a JSON object")
    _check_depth(row, has_nul=b"\\u0000" in line)
    return row


def _check_depth(value: Any, *, has_nul: bool) -> None:
    """Refuse what is nested too deep, and texts with NUL, which PostgreSQL does not take."""
    level = [value]
    for _ in range(MAX_DEPTH + 4):
        items = [item for one in level for item in (one.values() if isinstance(one, dict) else one)]
        if has_nul:
            keys = [key for one in level if isinstance(one, dict) for key in one]
            if any(isinstance(item, str) and "\0" in item for item in (*items, *keys)):
                raise DamageError("has a NUL character")
        level = [item for item in items if isinstance(item, (dict, list))]
        if not level:
            return
    raise DamageError(f"is nested more than {MAX_DEPTH} deep")


def checks_of(models: Models, name: str) -> dict[str, Callable[[Any], Any]]:
    """For each column of a table, what makes its value of what a line has, or raises `DamageError`."""
    return {column.name: _check_of(column) for column in columns_of(models, name)}


def _check_of(column: Column[Any]) -> Callable[[Any], Any]:
    name, convert, nullable = column.name, converter(column), column.nullable

    def check(value: Any) -> Any:
        if value is None and nullable:
            return None
        try:
            return convert(value)
        except (ValueError, TypeError, OverflowError):
            raise DamageError(f"has a {name} that cannot be: {str(value)[:60]!r}") from None

    return check


def converter(column: Column[Any]) -> Callable[[Any], Any]:
    """What makes a column's value of one in a line, or raises `ValueError`, `TypeError` or `OverflowError`."""
    of = column.type
    if isinstance(of, JSON):
        return _object if column.name in _OBJECTS else _any
    if isinstance(of, (UTCDateTime, DateTime)):
        return _time
    if isinstance(of, Boolean):
        return lambda value: _typed(value, bool)
    if isinstance(of, Double):
        return _number
    if isinstance(of, Integer):
        low, high = (INT64_MIN, INT64_MAX) if isinstance(of, BigInteger) else (-(2**31), 2**31 - 1)
        return lambda value: _whole(value, low, high)
    if column.name in UIDS:
        return _uid
    words = {"status": STATUSES, "namespace": NAMESPACES}.get(column.name)
    longest = of.length if isinstance(of, String) else None
    return lambda value: _text(value, words, longest or MAX_LINE)


def _typed(value: Any, of: type) -> Any:
    if type(value) is not of:
        raise ValueError
    return value


def _any(value: Any) -> Any:
    return value


def _object(value: Any) -> Any:
    return _typed(value, dict)


def _number(value: Any) -> float:
    if isinstance(value, str):
        return _NONFINITE[value] if value in _NONFINITE else float("not a number")
    if type(value) not in (int, float):
        raise ValueError
    return float(value)


def _whole(value: Any, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise ValueError
    return value


def _time(value: Any) -> datetime:
    time = datetime.fromisoformat(_typed(value, str))
    if time.tzinfo is None:
        raise ValueError
    return time


def _uid(value: Any) -> str:
    with suppress(AttributeError):
        if str(UUID(_typed(value, str))) == value:
            return str(value)
    raise ValueError


def _text(value: Any, words: tuple[str, ...] | None, longest: int) -> str:
    if type(value) is not str or len(value) > longest or (words is not None and value not in words):
        raise ValueError
    return value
