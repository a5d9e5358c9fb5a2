"""Python values as cells of JSON: what a page gets of a column, and which kind of column it is.

==========  =================================================================================================
kind        a cell, None where there is nothing
==========  =================================================================================================
number      a number; "NaN", "Infinity", "-Infinity"; the digits of an int that float64 would round
text        a text, of at most `MOST` characters; numbers beside texts are texts, too
boolean     true or false
time        seconds since 1970, in UTC
duration    seconds
json        lists and mappings: their JSON
==========  =================================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import orjson

from trainstore.queries.frames import EXACT, comparable
from trainstore.values import INT64_MAX, INT64_MIN, canonical

MOST = 500  # characters of a cell; a table shows fewer, and the page of a run has everything
Cell = float | int | str | bool | None


def kind_of(values: Sequence[Any]) -> str:
    """The kind of a column of Python values. One without values is of texts."""
    kinds = set(map(type, values)) - {type(None)}
    if kinds == {bool}:
        return "boolean"
    if kinds and kinds <= {int, float}:
        return "number"
    return "json" if kinds & {dict, list} else "text"


def encoded(values: Sequence[Any], most: int | None = MOST) -> tuple[str, list[Cell]]:
    """The kind of a column of Python values, and its cells."""
    kind = kind_of(values)
    if kind == "boolean" or _are_cells(values, kind, most):
        return kind, list(values)
    if kind == "number":
        return kind, numbers(values)
    text = as_json if kind == "json" else _as_text
    return kind, [None if value is None else cut(text(value), most) for value in values]


def _are_cells(values: Sequence[Any], kind: str, most: int | None) -> bool:
    """Whether the values are their own cells. Most columns' are, and to look at all at once is fast."""
    there = [value for value in values if value is not None]
    kinds = set(map(type, there))
    if kind == "number" and kinds == {float}:
        return all(map(math.isfinite, there))
    if kind == "number" and kinds == {int}:
        return bool(min(there) >= -EXACT and max(there) <= EXACT)
    return kinds == {str} and most is not None and max(map(len, there)) <= most


def numbers(values: Sequence[Any]) -> list[Cell]:
    """The cells of numbers."""
    return [number(value) for value in values]


def number(value: float | None) -> Cell:
    """The cell of a number."""
    if value is None or (isinstance(value, int) and -EXACT <= value <= EXACT):
        return value
    if isinstance(value, int):
        return value if INT64_MIN <= value <= INT64_MAX and int(float(value)) == value else str(value)
    if math.isfinite(value):
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def plain(value: Any) -> Any:
    """Any value as plain JSON: a NaN inside a list is a text, and so is an int that float64 would round."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else plain(canonical(value))


def as_json(value: Any) -> str:
    """A value as the text of its JSON."""
    return orjson.dumps(plain(value)).decode()


def distinct(values: Sequence[Any]) -> int:
    """How many different values there are; 1 and 1.0 are the same, 1 and True are not, NaN equals NaN."""
    there = [value for value in values if value is not None]
    kinds = set(map(type, there))
    if kinds <= {int, float}:
        numbers = [value for value in there if value == value]
        return len(set(numbers)) + (len(numbers) < len(there))
    return len(set(there if kinds in ({str}, {bool}) else map(comparable, there)))


def cut(text: str | None, most: int | None) -> str | None:
    """A text of at most so many characters."""
    return text if text is None or most is None or len(text) <= most else f"{text[: most - 1]}…"


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else as_json(value).strip('"')
