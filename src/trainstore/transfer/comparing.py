"""Which steps of an attempt differ between two databases of a kind, told by the rows as they are stored.

A long run that went on is compared in a moment: no JSON is parsed, no time, of the rows that are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Table

from trainstore.backends.driver_rows import driver_rows
from trainstore.transfer.reading import CHUNK, STEP_ROW
from trainstore.values import INT64_MIN

#: Of an attempt in one store: the connection, the table step_log, the run's id and the attempt's number.
Place = tuple[Connection, Table, int, int]


def differing_rows(theirs: Place, mine: Place, up_to: int) -> Iterator[Sequence[tuple[Any, ...]]]:
    """The rows of `STEP_ROW` there, of steps up to one, that are missing here or other ones: in some parts, ascending.

    They are as SQLite has them, and not checked.
    """
    after = INT64_MIN
    for rows in _rows(theirs, after, up_to):
        here = {row[0]: row for part in _rows(mine, after, rows[-1][0]) for row in part}
        after = rows[-1][0]
        differing = [row for row in rows if here.get(row[0]) != row]
        if differing:
            yield differing


def _rows(place: Place, after: int, up_to: int) -> Iterator[Sequence[tuple[Any, ...]]]:
    connection, table, run_id, attempt = place
    statement = (
        f'SELECT {", ".join(STEP_ROW)} FROM "{table.name}" '
        "WHERE run_id = ? AND attempt = ? AND step > ? AND step <= ? ORDER BY step"
    )
    yield from driver_rows(connection.exec_driver_sql(statement, (run_id, attempt, after, up_to)), CHUNK)
