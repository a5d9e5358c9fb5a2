"""Values in statements: what NumPy, pandas and Python's numeric types hold, as a driver takes it.

A driver does not refuse what it does not know: Python's `sqlite3` binds a NumPy number as its bytes, and the query
finds nothing. So every statement of a query engine passes here, ours and those that the user executes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from numbers import Number, Rational
from typing import Any

from sqlalchemy import Engine, event

from trainstore.arrays import is_array
from trainstore.errors import InvalidArgumentError, TrainStoreError
from trainstore.times import is_numpy_time, utc
from trainstore.values import is_missing, scalar_of

_PLAIN = frozenset({int, float, str, bytes, bool, type(None)})

Convert = Callable[[Any], Any]


def convert_parameters(engine: Engine, more: Convert | None = None) -> None:
    """Convert the values of every statement; ``more`` is what this database needs besides `plain_parameter`.

    Raises `InvalidArgumentError`, also from the user's own statements, for what is not one value: an array, a missing
    one.
    """

    def convert(value: Any) -> Any:
        kept = value if type(value) in _PLAIN else plain_parameter(value)
        return kept if more is None else more(kept)

    def before_cursor_execute(
        _connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, executemany: bool
    ) -> tuple[str, Any]:
        rows = [_converted(row, convert) for row in (parameters if executemany else [parameters])]
        return statement, rows if executemany else rows[0]

    event.listen(engine, "before_cursor_execute", before_cursor_execute, retval=True)
    event.listen(engine, "handle_error", _raise_ours)


def plain_parameter(value: Any) -> Any:
    """A value as every driver takes it; what only some take stays. Raises `InvalidArgumentError`."""
    if is_missing(value):
        raise InvalidArgumentError(f"{value!r} is a missing value; write column.is_(None), or pass None to store it")
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, datetime):
        return getattr(value, "to_pydatetime", lambda: value)()  # pandas' Timestamp
    if is_array(value):
        if is_numpy_time(value) and value.shape == ():
            return utc(value)
        item = scalar_of(value)
        if item is None:
            raise InvalidArgumentError(
                f"{type(value).__name__} of shape {tuple(value.shape)} is not one value; for one of several write "
                "column.in_(values.tolist())"
            )
        return item
    return value if isinstance(value, Decimal) else plain_number(value)


def plain_number(value: Any) -> Any:
    """A number of any type as int or float; other values stay."""
    if not isinstance(value, (Number, Decimal)) or type(value) in _PLAIN:
        return value
    if isinstance(value, (Decimal, Rational)) and math.isfinite(value) and value == math.floor(value):
        return math.floor(value)
    number = scalar_of(value)
    return value if number is None else number


def _converted(row: Any, convert: Convert) -> Any:
    if isinstance(row, dict):
        return {name: convert(value) for name, value in row.items()}
    return tuple(map(convert, row)) if isinstance(row, (tuple, list)) else row


def _raise_ours(context: Any) -> TrainStoreError | None:
    """Our own error raised in a column's type, which SQLAlchemy would wrap in one of its own."""
    error = context.original_exception
    return type(error)(*error.args) if isinstance(error, TrainStoreError) else None
