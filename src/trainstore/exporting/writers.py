"""Writing a table as CSV, JSON Lines or Parquet. The table in formats.py says how each value is written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import IO, Any, Protocol

import orjson

from trainstore.exporting.formats import ABSENT, Column, Row
from trainstore.exporting.jsonable import json_text, jsonable
from trainstore.queries.stream import kinds_of

GROUP = 50_000  # rows of a Parquet row group


class TableWriter(Protocol):
    """Writes the rows of one table."""

    def write(self, rows: Iterable[Row]) -> None:
        """Write rows."""

    def close(self) -> None:
        """Write the end of the table."""


def open_writer(
    file_format: str, file: IO[bytes], columns: Sequence[Column], *, escape_formulas: bool = False
) -> TableWriter:
    """A writer of this format; closing it leaves the file open."""
    if file_format == "csv":
        return _CSV(file, columns, escape_formulas)
    return _JSONLines(file, columns) if file_format == "jsonl" else _Parquet(file, columns)


# --- CSV -------------------------------------------------------------------------------------------------------------

_TO_QUOTE = re.compile(r'[",\r\n]|^$|^\s|\s$')
_FORMULA = re.compile(r"[=+\-@\t\r]")


class _CSV:
    """RFC 4180 with line feeds, UTF-8."""

    def __init__(self, file: IO[bytes], columns: Sequence[Column], escape_formulas: bool) -> None:
        self._file = file
        self._escape = escape_formulas
        self.write([[column.name for column in columns]])

    def write(self, rows: Iterable[Row]) -> None:
        lines = [",".join([self._cell(value) for value in row]) for row in rows]
        self._file.write("".join(f"{line}\n" for line in lines).encode())

    def close(self) -> None:
        pass

    def _cell(self, value: Any) -> str:
        kind = type(value)
        if kind is float:
            return "NaN" if value != value else repr(value)
        if kind is int:
            return str(value)
        if value is None or value is ABSENT:
            return ""
        if kind is bool:
            return "true" if value else "false"
        text = value.isoformat() if kind is datetime else value if kind is str else json_text(value)
        if self._escape and _FORMULA.match(text):
            text = f"'{text}"
        return '"' + text.replace('"', '""') + '"' if _TO_QUOTE.search(text) else text


# --- JSON Lines ------------------------------------------------------------------------------------------------------


class _JSONLines:
    """One JSON object per line."""

    def __init__(self, file: IO[bytes], columns: Sequence[Column]) -> None:
        self._file = file
        self._names = [column.name for column in columns]

    def write(self, rows: Iterable[Row]) -> None:
        lines = []
        for row in rows:
            fields = {}
            for name, value in zip(self._names, row, strict=True):
                if value is not ABSENT:
                    fields[name] = jsonable(value)
            lines.append(orjson.dumps(fields))
        self._file.write(b"".join(line + b"\n" for line in lines))

    def close(self) -> None:
        pass


# --- Parquet ---------------------------------------------------------------------------------------------------------


class _Parquet:
    """Row groups of `GROUP` rows."""

    def __init__(self, file: IO[bytes], columns: Sequence[Column]) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        types = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "time": pa.timestamp("us", tz="UTC")}
        parts = [
            (place, name, types.get(kind, pa.string()), convert)
            for place, column in enumerate(columns)
            for name, kind, convert in _parts(*column)
        ]
        self._places = [place for place, *_ in parts]
        self._schema = pa.schema([(name, of) for _, name, of, _ in parts])
        self._converters = [convert for *_, convert in parts]
        self._writer = parquet.ParquetWriter(file, self._schema)
        self._rows: list[Row] = []

    def write(self, rows: Iterable[Row]) -> None:
        self._rows.extend(rows)
        if len(self._rows) >= GROUP:
            self._flush()

    def close(self) -> None:
        if self._rows:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        import pyarrow as pa

        arrays = []
        columns = list(zip(*self._rows, strict=True))
        for field, convert, place in zip(self._schema, self._converters, self._places, strict=True):
            cells = [
                None if value is None or value is ABSENT else value if convert is None else convert(value)
                for value in columns[place]
            ]
            arrays.append(pa.array(cells, type=field.type, from_pandas=False))
        self._writer.write_table(pa.table(arrays, schema=self._schema))
        self._rows = []


_Convert = Callable[[Any], Any]


def _parts(name: str, kind: str) -> list[tuple[str, str, _Convert | None]]:
    """The Parquet columns of one column: name, kind, and how to convert its values."""
    if kind == "json":
        return [(name, "text", json_text)]
    parts: list[tuple[str, str, _Convert | None]] = []
    if kind in ("number", "value"):
        # A metric whose own name ends in __json must not collide with another's NAME__json.
        parts.append((f"{name}__number" if name.endswith("__json") else name, "float", _number))
    if kind in ("other", "value"):
        parts.append((f"{name}__json", "text", _other))
    return parts or [(name, kind, None)]


def _number(value: Any) -> float | None:
    try:
        return None if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
    except OverflowError:
        return None


def _other(value: Any) -> str | None:
    return json_text(value) if "other" in kinds_of(value) else None
