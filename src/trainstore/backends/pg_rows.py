"""Rows as PostgreSQL takes them: one JSON array for INSERT, text for COPY, and the statements around them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import isinf
from typing import Any

from sqlalchemy import JSON, Double, Integer, Numeric, Table, text
from sqlalchemy.dialects import postgresql

from trainstore.backends.base import Rows, json_texts, time_texts
from trainstore.column_types import UTCDateTime


def jsonable(table: Table, rows: Rows) -> Rows:
    """The rows with infinities as text."""
    # orjson would write an infinity as null; as text, the cast to double precision reads it.
    numbers = [name for name in rows[0] if isinstance(table.c[name].type, Double)]
    infinite = [name for name in numbers if any(row[name] is not None and isinf(row[name]) for row in rows)]
    if not infinite:
        return rows
    return [
        {
            **row,
            **{
                name: "Infinity" if row[name] > 0 else "-Infinity"
                for name in infinite
                if row[name] is not None and isinf(row[name])
            },
        }
        for row in rows
    ]


def copied(table: Table, name: str, column: Sequence[Any]) -> Sequence[str]:
    """The values of one column in COPY's text format; psycopg's ``write_row`` takes twice as long."""
    kind = table.c[name].type
    if isinstance(kind, UTCDateTime):
        return time_texts(column, "+00")
    if isinstance(kind, Numeric | Integer):
        return ["\\N" if value is None else str(value) for value in column]
    if isinstance(kind, JSON):  # its text has no tabs and line breaks
        return ["\\N" if text is None else text.replace("\\", "\\\\") for text in json_texts(column)]
    return ["\\N" if value is None else str(value).translate(_COPY_ESCAPES) for value in column]


_COPY_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


@lru_cache(maxsize=256)
def copy_sql(table: Table, names: tuple[str, ...]) -> str:
    """COPY into these columns."""
    quote = postgresql.dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]
    return f"COPY {quote(table.name)} ({', '.join(quote(name) for name in names)}) FROM STDIN"


@lru_cache(maxsize=256)
def insert_statement(table: Table, keys: tuple[str, ...], names: tuple[str, ...], replace: bool) -> Any:
    """INSERT … ON CONFLICT of rows that come as one JSON array."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    quote = dialect.identifier_preparer.quote
    columns = ", ".join(quote(name) for name in names)
    types = ", ".join(f"{quote(name)} {_recordset_type(table, name, dialect)}" for name in names)
    updates = ", ".join(f"{quote(name)} = EXCLUDED.{quote(name)}" for name in names if name not in keys)
    action = f"DO UPDATE SET {updates}" if replace and updates else "DO NOTHING"
    statement = (
        f"INSERT INTO {quote(table.name)} ({columns}) SELECT {columns} "
        f"FROM jsonb_to_recordset(CAST(:batch AS jsonb)) AS batch ({types}) "
        f"ON CONFLICT ({', '.join(quote(key) for key in keys)}) {action}"
    )
    return text(statement)


def _recordset_type(table: Table, name: str, dialect: Any) -> str:
    kind: str = table.c[name].type.compile(dialect=dialect)
    return {"BIGSERIAL": "BIGINT", "SERIAL": "INTEGER"}.get(kind, kind)
