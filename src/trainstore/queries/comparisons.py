"""Whether an expression compares like with like.

SQLite compares a number with a text, and finds nothing, or for ``20`` and ``"20"`` something; PostgreSQL fails with an
error of its own. Such a comparison is refused here, before the database sees it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Boolean, Date, DateTime, Float, Integer, LargeBinary, Numeric, String, Tuple
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import (
    BinaryExpression,
    BindParameter,
    BooleanClauseList,
    CollectionAggregate,
    ColumnElement,
    Grouping,
    UnaryExpression,
)
from sqlalchemy.sql.type_api import TypeEngine

from trainstore.column_types import UTCDateTime
from trainstore.errors import InvalidArgumentError
from trainstore.queries.matches import shown
from trainstore.times import is_numpy_time
from trainstore.values import scalar_of

_TRUTH, _NUMBER, _TEXT, _TIME, _BYTES, _UUID = "a truth value", "a number", "text", "a time", "bytes", "a UUID"
_KINDS: tuple[tuple[tuple[type, ...], str], ...] = (
    ((Boolean,), _TRUTH),
    ((Integer, Numeric, Float), _NUMBER),
    ((String,), _TEXT),
    ((UTCDateTime, DateTime, Date), _TIME),
    ((LargeBinary,), _BYTES),
)
_SIGNS = ("=", "==", "!=", "<>", "<", "<=", ">", ">=", "is", "is not", "like", "in")


class _Value(NamedTuple):
    """A Python value, and the type that it is sent as."""

    value: object
    type: TypeEngine[Any] | None


def check_condition(clause: ColumnElement[Any]) -> None:
    """Raise `InvalidArgumentError` unless the clause is a condition, and compares only things of the same kind.

    The kinds are numbers, text, times and conditions (true or false). A side of unknown kind, such as most functions
    and JSON, is left to the database.
    """
    _check_is_condition(clause)
    for part in visitors.iterate(clause):
        if isinstance(part, BooleanClauseList):
            for condition in part.clauses:
                _check_is_condition(condition)
        elif isinstance(part, UnaryExpression) and part.operator is operators.inv:
            _check_is_condition(part.element)
        elif isinstance(part, BinaryExpression) and _compares(part.operator):
            for left, right in _pairs(part.left, part.right):
                _check_pair(left, right)


def _check_is_condition(clause: Any) -> None:
    if isinstance(clause, BinaryExpression) and isinstance(clause.operator, operators.custom_op):
        return  # SQLAlchemy takes the result of `op("<=")` for a number
    kind = _kind(clause)
    if kind is not None and kind != _TRUTH:
        raise InvalidArgumentError(
            f"where {_shown(clause)} is {kind}, not a condition; write e.g. store.table.run.c.last_step > 100"
        )


def _check_pair(left: Any, right: Any) -> None:
    kind, other = _kind(left), _kind(right)
    if kind is None or other is None or kind == other:
        return
    if _is_value(left) and not _is_value(right):
        left, right, kind, other = right, left, other, kind
    raise InvalidArgumentError(
        f"where compares {_shown(left)} ({kind}) with {_shown(right)} ({other}); compare it with {kind}"
    )


def _compares(operator: Any) -> bool:
    if isinstance(operator, operators.custom_op):
        return operator.is_comparison or operator.opstring.strip().lower() in _SIGNS
    return operators.is_comparison(operator)


def _pairs(left: Any, right: Any) -> Iterator[tuple[Any, Any]]:
    """What is compared with what: each item of a list by itself, and tuples item by item."""
    for item in _items(right):
        if isinstance(left, Tuple):
            row = item.clauses if isinstance(item, Tuple) else getattr(item, "value", None)
            yield from zip(left.clauses, _values(row), strict=False)
        else:
            yield left, item


def _items(right: Any) -> Iterable[Any]:
    if isinstance(right, BindParameter) and right.expanding:
        return [_Value(value, right.type) for value in right.value or ()]
    if isinstance(right, Grouping):
        right = right.element
    # Those of in_([column, 5]) and of between(1, 5).
    return [right] if isinstance(right, Tuple) else getattr(right, "clauses", [right])


def _values(row: Any) -> Iterable[Any]:
    """The items of a row that a tuple is compared with; none of a SELECT, whose columns the database compares."""
    if not isinstance(row, Iterable):
        return ()
    return [item if isinstance(item, ColumnElement) else _Value(item, None) for item in row]


def _kind(side: Any) -> str | None:
    """What a side of a comparison is; None if that is not known, or it is NULL."""
    if _is_value(side):
        # A time may be given as text: the column's type reads it, and refuses anything else.
        return _TIME if isinstance(side.type, UTCDateTime) else _kind_of_value(side.value)
    if isinstance(side, CollectionAggregate):  # any_(…)
        return None
    of_side = getattr(side, "type", None)
    return next((kind for types, kind in _KINDS if isinstance(of_side, types)), None)


def _kind_of_value(value: object) -> str | None:
    if isinstance(value, str):
        return _TEXT
    if isinstance(value, date) or is_numpy_time(value):
        return _TIME
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _BYTES
    if isinstance(value, UUID):
        return _UUID
    scalar = scalar_of(value)
    if scalar is None:
        return None
    return _TRUTH if isinstance(scalar, bool) else _TEXT if isinstance(scalar, str) else _NUMBER


def _is_value(side: Any) -> bool:
    return isinstance(side, (_Value, BindParameter))


def _shown(side: Any) -> str:
    return shown(side.value) if _is_value(side) else " ".join(str(side).split())
