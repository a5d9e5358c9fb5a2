"""Rows of Parquet files, read batch by batch with pyarrow, which need not be installed."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from trainstore.errors import SourceError
from trainstore.importing.places import File

_BATCH = 4_096  # rows
_AT_ONCE = 64 << 20  # bytes of texts that are made of a batch at once: a small file may say one long text many times
_MAX_GROUP = 2 << 30  # bytes of a row group, unpacked
_INDEX = re.compile(r"__index_level_\d+__\Z")  # as pandas calls an index without a name
_GROUPS = 4  # row groups that are kept, while rows are read by their places


class Parquet:
    """A Parquet file; what it gives back fits `rows.Table`. A row's place is its number."""

    def __init__(self, file: File) -> None:
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError:
            raise SourceError(
                f"{file.relative} is a Parquet file; reading it needs pyarrow: pip install 'trainstore[parquet]'"
            ) from None
        file.open().close()
        self.file = file
        self.damage: list[str] = []
        self.gap = 10_000
        # The last two: dates, durations and zones that are none of Python's.
        self._errors = (pyarrow.ArrowException, OSError, ValueError, OverflowError, LookupError)
        self._groups: OrderedDict[int, Any] = OrderedDict()
        try:
            with parquet.ParquetFile(file.path) as looked_at:
                schema = looked_at.schema_arrow
            texts = [column.name for column in schema if pyarrow.types.is_string(column.type)]
            self._parquet = parquet.ParquetFile(file.path, read_dictionary=texts)  # each different text once
            names = schema.names
            self.columns: list[str] = ["" if _INDEX.match(name) else name for name in names]
            metadata = self._parquet.metadata
            groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
            sizes = [group.num_rows for group in groups]
            self._bytes = [group.total_byte_size for group in groups]
        except self._errors as error:
            raise SourceError(f"{file.relative} is not a Parquet file, or damaged: {_line(error)}") from None
        self._starts = [sum(sizes[:number]) for number in range(len(sizes) + 1)]

    def rows(self, begin: int | None = None, end: int | None = None) -> Iterator[tuple[int, Sequence[Any]]]:
        """As `rows.Table.rows`. A row group that cannot be read is named, and passed over."""
        if begin is None:
            self.damage = []
        begin, end = begin or 0, self._starts[-1] if end is None else end
        for number, start in enumerate(self._starts[:-1]):
            if self._starts[number + 1] <= begin or start >= end:
                continue
            place = start
            try:
                self._check(number)
                for batch in self._parquet.iter_batches(_BATCH, row_groups=[number]):
                    if place + batch.num_rows > begin:
                        for at, fields in enumerate(_fields(batch), place):
                            if begin <= at < end:
                                yield at, fields
                    place += batch.num_rows
                    if place >= end:
                        return
            except self._errors as error:
                self.damage.append(f"rows {place:,} to {self._starts[number + 1]:,} cannot be read: {_line(error)}")

    def at(self, places: Iterable[int]) -> Iterator[tuple[int, Sequence[Any]]]:
        """As `rows.Table.at`."""
        number = 0
        for place in places:
            if not self._starts[number] <= place < self._starts[number + 1]:
                number = next(n for n in range(len(self._starts) - 1) if place < self._starts[n + 1])
            group = self._group(number)
            try:
                fields = next(iter(_fields(group.slice(place - self._starts[number], 1))))
            except self._errors as error:
                raise SourceError(f"{self.file.relative} cannot be read: row {place:,}: {_line(error)}") from None
            yield place, fields

    def value(self, field: Any) -> Any:
        """What a field says; None is absent."""
        return float(field) if isinstance(field, Decimal) else field

    def _group(self, number: int) -> Any:
        if number not in self._groups:
            try:
                self._check(number)
                self._groups[number] = self._parquet.read_row_group(number)
            except self._errors as error:
                raise SourceError(f"{self.file.relative} cannot be read: {_line(error)}") from None
            if len(self._groups) > _GROUPS:
                self._groups.popitem(last=False)
        self._groups.move_to_end(number)
        return self._groups[number]

    def _check(self, number: int) -> None:
        size = self._bytes[number]
        if size > _MAX_GROUP:
            raise ValueError(f"they are {size:,} bytes unpacked; write the file with smaller row groups")


def _fields(batch: Any) -> Iterator[tuple[Any, ...]]:
    """The rows of a batch, or of a part of a table; some at a time, so that long texts are not all there at once."""
    rows = max(1, min(_BATCH, _AT_ONCE // max(1, _longest_row(batch))))
    for begin in range(0, batch.num_rows, rows):
        yield from zip(*(column.to_pylist() for column in batch.slice(begin, rows).columns), strict=True)


def _longest_row(batch: Any) -> int:
    """At most so many bytes have the texts of a row."""
    from pyarrow import compute, types

    longest = 0
    for column in batch.columns:
        for chunk in getattr(column, "chunks", [column]):
            if types.is_dictionary(chunk.type) and len(chunk.dictionary):
                longest += compute.max(compute.binary_length(chunk.dictionary)).as_py() or 0
    return longest


def _line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
