"""Rows as SQLite's driver takes them, and the INSERT around them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import JSON, Table
from sqlalchemy.dialects import sqlite as sqlite_dialect

from trainstore.backends.base import json_texts, time_texts
from trainstore.column_types import UTCDateTime


def is_filled(column: Sequence[Any]) -> bool:
    """Whether any value of the column is not None."""
    return column.count(None) < len(column)


def converted(table: Table, name: str, column: Sequence[Any]) -> Sequence[Any]:
    """The values of one column as the driver takes them."""
    kind = table.c[name].type
    if isinstance(kind, JSON):
        return json_texts(column)
    if isinstance(kind, UTCDateTime) and isinstance(column[0], int):  # from `insert_new`
        return time_texts(column)
    if isinstance(kind, UTCDateTime):
        return [None if value is None else _datetime_text(value) for value in column]
    return column


def _datetime_text(value: datetime) -> str:
    # orjson takes a third of the time of isoformat(); it writes whole seconds without a fraction.
    text = orjson.dumps(value if value.tzinfo is UTC else value.astimezone(UTC)).decode()
    return f"{text[1:11]} {text[12:27]}" if len(text) == 34 else f"{text[1:11]} {text[12:20]}.000000"


@lru_cache(maxsize=256)
def insert_sql(table: Table, keys: tuple[str, ...], names: tuple[str, ...], replace: bool) -> str:
    """INSERT … ON CONFLICT of one row."""
    quote = sqlite_dialect.dialect().identifier_preparer.quote
    columns = ", ".join(quote(name) for name in names)
    updates = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in names if name not in keys)
    action = f"DO UPDATE SET {updates}" if replace and updates else "DO NOTHING"
    return (
        f"INSERT INTO {quote(table.name)} ({columns}) VALUES ({', '.join('?' * len(names))}) "
        f"ON CONFLICT ({', '.join(quote(key) for key in keys)}) {action}"
    )
