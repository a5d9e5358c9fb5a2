"""The metrics of many steps: from JSON text to a column for each metric, a few hundred steps at a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from trainstore.queries.frames import COUNT, EXACT, NUMBER, TEXT, is_numeric, part, series
from trainstore.values import restore

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import Series

FEW = 2  # metrics that are looked for in the text; parsing everything takes as long as looking for three

# An array if all values are floats (NaN stands for missing, as JSON has no NaN), or all are ints and none is missing.
# Otherwise a list of Python values, with None.
Column = Any


class MetricColumns:
    """Collects the columns. Every value is kept as it was stored, whatever else its metric holds at other steps."""

    def __init__(self, names: Sequence[str] | None) -> None:
        """``names``: the metrics to collect. None: all of them."""
        self._names = names
        self._searches = {name: _Search(name) for name in names or ()} if names and len(names) <= FEW else {}
        self._sizes: list[int] = []
        # By metric; None: it has no value in this part.
        self._parts: dict[str, list[Column | None]] = {name: [] for name in names or ()}

    def add(self, texts: Sequence[str]) -> None:
        """Add the metrics of some steps, each as the text of a JSON object."""
        for name, values in self._values(texts):
            parts = self._parts.setdefault(name, [])
            parts.extend([None] * (len(self._sizes) - len(parts)))
            parts.append(_part(values))
        self._sizes.append(len(texts))

    def _values(self, texts: Sequence[str]) -> Iterable[tuple[str, list[Any]]]:
        text = ",".join(texts)
        if self._searches and _is_plain(text, len(texts)):
            found = {name: search.values(text, len(texts)) for name, search in self._searches.items()}
            if None not in found.values():
                return [(name, values) for name, values in found.items() if values]
        logged: list[Mapping[str, Any]] = orjson.loads(f"[{text}]")
        names = set().union(*logged) if self._names is None else self._names
        return [(name, [metrics.get(name) for metrics in logged]) for name in names]

    def finish(self) -> dict[str, Column]:
        """The columns by metric, of those asked for or of all that there are; each as long as there are steps."""
        return {name: self._joined(parts) for name, parts in self._parts.items()}

    def _joined(self, parts: list[Column | None]) -> Column:
        import numpy as np

        parts.extend([None] * (len(self._sizes) - len(parts)))
        filled = [
            np.full(size, np.nan) if part is None else part for part, size in zip(parts, self._sizes, strict=True)
        ]
        kinds = {list if isinstance(part, list) else part.dtype for part in filled}
        if len(kinds) <= 1 and list not in kinds:
            return np.concatenate(filled) if filled else np.empty(0)
        values = [value for part in filled for value in cells(part)]
        return values if is_numeric(values) else [restore(value) for value in values]


def _is_plain(text: str, count: int) -> bool:
    """Whether these objects have no escapes and no objects inside: then only a metric's key looks like one."""
    import numpy as np

    # NumPy counts four times as fast as `str.count`.
    return "\\" not in text and count == np.count_nonzero(np.frombuffer(text.encode(), dtype=np.uint8) == ord("{"))


class _Search:
    """Finds one metric in the text of many plain objects: several times as fast as parsing them."""

    def __init__(self, name: str) -> None:
        self._key = f"{orjson.dumps(name).decode()}:"
        self._pattern = re.compile(f"{re.escape(self._key)}([^,]+)")  # up to a comma: the fastest to search for

    def values(self, text: str, count: int) -> list[Any] | None:
        """Its value in each of ``count`` objects; [] if none of them has it; None if they must be parsed."""
        found = self._pattern.findall(text)
        if len(found) != count:
            return None if found or self._key in text else []
        found_text = ",".join(found).replace("}", "")
        if '"' in found_text or "[" in found_text:  # texts and lists may contain commas
            return None
        values: list[Any] = orjson.loads(f"[{found_text}]")
        return values


def _part(values: list[Any]) -> Column:
    """Numbers that float64 holds become an array at once, while they are in the processor's caches."""
    kinds = set(map(type, values))
    if kinds <= {float, type(None)}:
        return part(values, NUMBER)
    if kinds == {int} and min(values) >= -EXACT and max(values) <= EXACT:
        return part(values, COUNT)
    return values


def cells(column: Column) -> list[Any]:
    """The Python values of a column, None where one is missing."""
    return column if isinstance(column, list) else [None if value != value else value for value in column.tolist()]


def are_numbers(column: Column) -> bool:
    """Whether float64 holds all of its values."""
    return not isinstance(column, list) or is_numeric(column)


def are_there(column: Column) -> NDArray[Any]:
    """Where a column has a value."""
    import numpy as np

    if isinstance(column, list):
        return np.array([value is not None for value in column], dtype=np.bool_)
    there: NDArray[Any] = ~np.isnan(column)
    return there


def metric_series(column: Column, dtype: str | None = None) -> Series[Any]:
    """A column of a frame: of float64 if that holds all of its values, otherwise of objects."""
    dtype = dtype or (NUMBER if are_numbers(column) else TEXT)
    return series(cells(column) if dtype == TEXT else column, dtype)
