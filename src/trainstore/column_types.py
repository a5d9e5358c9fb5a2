"""The types of columns for which SQLAlchemy's own do not do: times, whole numbers, JSON.

Times are UTC: ``timestamptz`` on PostgreSQL, text ``YYYY-MM-DD HH:MM:SS.ffffff`` on SQLite. JSON is ``jsonb`` on
PostgreSQL and text on SQLite.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Integer, Numeric
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.sqlite import JSON as SQLiteJSON  # noqa: N811
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import TypeDecorator

from trainstore.times import utc
from trainstore.values import INT64_MAX, INT64_MIN, scalar_of


class UTCDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC, on both databases (SQLite stores no time zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: object, dialect: Dialect) -> datetime | None:
        """The moment that a value means (`times.utc`), in UTC; for SQLite without the time zone."""
        if value is None:
            return None
        time = utc(value)
        return time.replace(tzinfo=None) if dialect.name == "sqlite" else time

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give every value its time zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class WholeNumber(BigInteger):
    """An int of 64 bits that is compared with numbers of every type as with a Python number.

    SQLAlchemy takes a value of a type that it does not know for one of the column's own, and PostgreSQL would round
    NumPy's 20.5 to 20.
    """

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        """The type that a value in a comparison with this column has."""
        number = scalar_of(value)
        if type(number) is int and not INT64_MIN <= number <= INT64_MAX:
            return Numeric()
        return super().coerce_compared_value(op, value if number is None else number)


class TextJSON(SQLiteJSON):
    """JSON declared as TEXT: SQLite gives a column declared JSON numeric affinity, which turns 5.0 into 5."""

    cache_ok = True


@compiles(TextJSON, "sqlite")
def _compile_text_json(_type: TextJSON, _compiler: Any, **_options: Any) -> str:
    return "TEXT"


_jsonb = JSONB(none_as_null=True)
JsonType = (
    JSON(none_as_null=True).with_variant(_jsonb, "postgresql").with_variant(TextJSON(none_as_null=True), "sqlite")
)
# ScalarStop's tables keep the declaration that ScalarStop gave them; their columns hold objects only.
ScalarStopJson = JSON(none_as_null=True).with_variant(_jsonb, "postgresql")
BigId = WholeNumber().with_variant(Integer(), "sqlite")  # SQLite counts only INTEGER PRIMARY KEY columns up
