"""Whether rows that pass between two stores without being parsed can be read: else the target has the damage too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import JSON, Boolean, Double, Integer, Table
from sqlalchemy.types import TypeEngine

from trainstore.backends.base import load_json
from trainstore.column_types import UTCDateTime
from trainstore.transfer.vectors import DamagedRunError


class _Kind(NamedTuple):
    name: str
    types: set[type]  # of the values, as SQLite's driver gives them
    read: Callable[[str], object] | None = None  # raises ValueError


def _object(text: str) -> None:
    if type(load_json(text)) is not dict:
        raise ValueError


_NULL = type(None)
_WHOLE = _Kind("whole number", {int, _NULL})
_NUMBER = _Kind("number", {int, float, _NULL})
_TEXT = _Kind("text", {str, _NULL})
_TIME = _Kind("time", {str, _NULL}, datetime.fromisoformat)
_JSON = _Kind("JSON", {str, _NULL}, load_json)
_OBJECT = _Kind("JSON object", {str, _NULL}, _object)


def check_rows(table: Table, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Raise `DamagedRunError` if a value cannot be what its column holds; a column's type or a text may be wrong."""
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        kind = _OBJECT if name == "metrics" else _kind(table.c[name].type)
        if not {*map(type, values)} <= kind.types or (kind.read is not None and not _are_read(kind.read, values)):
            raise DamagedRunError(f"it is damaged: a value of {table.name}.{name} is no {kind.name}")


def check_metrics(values: Sequence[Any]) -> None:
    """The same for the metrics of steps that were parsed: any JSON is that for a database."""
    if not {*map(type, values)} <= {dict}:
        raise DamagedRunError("it is damaged: a value of step_log.metrics is no JSON object")


def _kind(type_: TypeEngine[Any]) -> _Kind:
    kinds = ((JSON, _JSON), (UTCDateTime, _TIME), (Integer, _WHOLE), (Boolean, _WHOLE), (Double, _NUMBER))
    for known, kind in kinds:
        if isinstance(type_, known):
            return kind
    return _TEXT


def _are_read(read: Callable[[str], object], values: Sequence[str | None]) -> bool:
    try:
        for value in values:
            if value is not None:
                read(value)
    except ValueError:
        return False
    return True
