"""Rows as a driver returns them: making SQLAlchemy's takes as long as reading the database's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import CursorResult


def driver_rows(result: CursorResult[Any], size: int) -> Iterator[Sequence[tuple[Any, ...]]]:
    """The rows of a SELECT, up to ``size`` at a time; the result is closed at the end, or when nobody goes on."""
    cursor = result.cursor
    assert cursor is not None  # a SELECT has one
    try:
        while rows := cursor.fetchmany(size):
            yield rows
    finally:
        result.close()
