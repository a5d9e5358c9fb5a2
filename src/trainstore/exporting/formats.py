"""The formats of ``trainstore export`` and how each writes a value; writers.py writes them, row by row.

==========  ==============================  =========================  ================================
value       csv                             jsonl                      parquet
==========  ==============================  =========================  ================================
missing     an empty cell                   null, or no such key       null
NaN, inf    ``NaN``, ``inf``, ``-inf``      ``"NaN"``, ``"Infinity"``  as they are
number      shortest text that reads back   the same                   int64, double
bool        ``true``, ``false``             the same                   bool
time        ISO 8601, UTC                   the same                   timestamp[us, UTC]
list, dict  JSON                            JSON                       JSON text
==========  ==============================  =========================  ================================

How a value is written does not depend on the other rows. In Parquet a column has one type. Hyperparameters and
metrics may be of any type, so they have two columns: NAME (double) has the numbers; NAME__json (JSON text) has
everything else, and integers that a double cannot hold exactly. An empty one is left out. Columns such as ``value``
and ``details`` are always JSON text. The empty text is ``""`` in CSV.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from trainstore.errors import TrainStoreError

FORMATS = ("csv", "parquet", "jsonl")
ABSENT: Any = object()  # this row has no such key

Row = Sequence[Any]


class Column(NamedTuple):
    """A column: its name, and its kind: int, float, bool, text, time, json, or one of `value_kind`."""

    name: str
    kind: str


def value_kind(found: Collection[str]) -> str:
    """The kind of a column with these kinds of values: "number", "other", or "value" for both."""
    return "value" if len(found) > 1 else next(iter(found), "number")


def format_of(output: str | None, default: str = "csv") -> str | None:
    """The format that a file's suffix names: the default if there is no suffix, None if no format has it."""
    suffix = Path(output or "-").suffix.lstrip(".").lower()
    return suffix if suffix in FORMATS else default if not suffix else None


def check_format(file_format: str) -> None:
    """Raise `TrainStoreError` if the library that a format needs is not installed."""
    if file_format == "parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise TrainStoreError(
                "the format parquet needs pyarrow, which is not installed: pip install 'trainstore[parquet]'"
            ) from error
