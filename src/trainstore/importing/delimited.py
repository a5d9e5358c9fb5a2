"""Rows of CSV and TSV files, as they come: read piece by piece, whatever their size, and by their places in the file.

A row that is torn, has too many or too few fields, or holds what no row may hold is named and passed over; those after
it are read. A last row without a line break counts only in a file that is written no more.
"""

from __future__ import annotations

import codecs
import csv
import io
import tempfile
import time
from collections.abc import Iterable, Iterator
from typing import IO, BinaryIO

from trainstore.errors import SourceError
from trainstore.importing.places import File

MAX_LINE = 64 << 20  # bytes
MAX_COLUMNS = 100_000
MAX_DAMAGE = 20  # lines about one file
SETTLED = 60_000_000  # microseconds without a write, after which a last row without a line break is whole
_MAX_QUOTED = 1 << 20  # bytes of a row that goes over several lines
_DELIMITERS = ",\t;|"
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SHOWN = 60  # characters

Row = tuple[int, list[str]]  # the place in the file, the fields


class Delimited:
    """A file of rows, of which the first has the columns' names. What is given back fits `rows.Table`.

    Args:
        file: The file.
        delimiter: What separates the fields; None: what the first line has most of.
        breaks: Whether every row ends in a line break, the last one, too.
    """

    def __init__(self, file: File, delimiter: str | None = None, *, breaks: bool = False) -> None:
        self.file = file
        self.damage: list[str] = []  # of the last pass over the whole file
        self.gap = 1 << 18  # bytes that are rather read than skipped
        self._damaged = 0
        self._needs_break = breaks or time.time_ns() // 1_000 - file.modified < SETTLED
        self._transcoded: IO[bytes] | None = None
        with self._open() as opened:
            beginning = opened.read(_MAX_QUOTED)
            self._encoding = _encoding(beginning)
            self._begin = len(codecs.BOM_UTF8) if beginning.startswith(codecs.BOM_UTF8) else 0
            if b"\r" in beginning and b"\n" not in beginning:
                raise SourceError(f"{file.relative} has line ends (CR) that cannot be read; save it with LF or CRLF")
            first = beginning[self._begin :].lstrip(b"\r\n").split(b"\n", 1)[0].decode(self._encoding, "replace")
            self.delimiter = delimiter or max(_DELIMITERS, key=lambda one: _outside_quotes(first).count(one))
            opened.seek(self._begin)
            rows = self._parsed(self._records(opened, self._begin, None))
            self.columns: list[str] = next((fields for _, fields in rows if any(map(str.strip, fields))), [])
            self._body = opened.tell()
        if len(self.columns) > MAX_COLUMNS:
            raise SourceError(f"{file.relative} has more than {MAX_COLUMNS:,} columns")

    def rows(self, begin: int | None = None, end: int | None = None) -> Iterator[Row]:
        """The rows whose places are from ``begin`` to before ``end``; by default all. A whole pass sets ``damage``."""
        if begin is None:
            self.damage, self._damaged = [], 0
        begin = self._body if begin is None else begin
        with self._open() as opened:
            opened.seek(begin)
            yield from self._whole(self._parsed(self._records(opened, begin, end)))

    def at(self, places: Iterable[int]) -> Iterator[Row]:
        """The rows at some places, in their order."""
        with self._open() as opened:

            def records() -> Iterator[tuple[int, bytes]]:
                for place in places:
                    opened.seek(place)
                    yield next(self._records(opened, place, None), (place, b""))

            yield from self._whole(self._parsed(records()))

    def value(self, field: str) -> float | int | bool | str | None:
        """What a field says."""
        return value_of(field, comma=self.delimiter == ";")

    def _whole(self, rows: Iterator[Row]) -> Iterator[Row]:
        columns = len(self.columns)
        for place, fields in rows:
            if len(fields) == columns:
                if fields != self.columns:  # several files put together
                    yield place, fields
            elif len(fields) > 1 or (fields and fields[0].strip()):
                self._tell(place, f"has {len(fields):,} fields, not {columns:,}")

    def _parsed(self, records: Iterator[tuple[int, bytes]]) -> Iterator[Row]:
        """Records as fields."""
        place = 0

        def lines() -> Iterator[str]:
            nonlocal place
            for place, record in records:
                if b"\0" in record:
                    self._tell(place, "has a NUL byte")
                else:
                    yield record.decode(self._encoding, "replace")

        feed = lines()
        reader = csv.reader(feed, delimiter=self.delimiter)
        while True:
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:  # a field of more than 128 KiB, among others
                self._tell(place, f"cannot be read: {error}")
                reader = csv.reader(feed, delimiter=self.delimiter)
                continue
            yield place, fields

    def _records(self, opened: BinaryIO, place: int, end: int | None) -> Iterator[tuple[int, bytes]]:
        """Lines, or several where a quoted field goes over lines: each with its place."""
        while end is None or place < end:
            line = opened.readline(MAX_LINE + 1)
            if not line:
                return
            if not line.endswith(b"\n"):
                if len(line) > MAX_LINE:
                    self._tell(place, f"is longer than {MAX_LINE >> 20} MiB")
                    place += len(line) + _skip_line(opened)
                    continue
                if self._needs_break:
                    self._tell(place, "is the last and has no line break: it may not be whole yet")
                    return
            record = self._quoted(opened, place, line) if line.count(b'"') % 2 else line
            if record is not None:
                yield place, record
            place += len(line if record is None else record)

    def _quoted(self, opened: BinaryIO, place: int, line: bytes) -> bytes | None:
        """A row whose first line does not end its quotation: with the lines that do. None if none does."""
        after = place + len(line)
        record = line
        while len(record) < _MAX_QUOTED:
            more = opened.readline(_MAX_QUOTED)
            if not more or (not more.endswith(b"\n") and self._needs_break):
                break
            record += more
            if more.count(b'"') % 2:
                return record
        self._tell(place, "has a quotation mark that is not closed")
        opened.seek(after)
        return None

    def _tell(self, place: int, what: str) -> None:
        self._damaged += 1
        if self._damaged <= MAX_DAMAGE:
            self.damage.append(f"the row at byte {place:,} {what}")
        elif self._damaged == MAX_DAMAGE + 1:
            self.damage.append("more rows are damaged")

    def _open(self) -> BinaryIO:
        """The file's bytes; a file in UTF-16 as UTF-8, in a temporary file."""
        if self._transcoded is None:
            opened = self.file.open()
            if opened.read(2) not in _UTF16:
                opened.seek(0)
                return opened
            self._transcoded = tempfile.NamedTemporaryFile(prefix="trainstore-")  # noqa: SIM115 - gone with this object
            opened.seek(0)
            with opened, io.TextIOWrapper(opened, "utf-16", "replace", newline="") as text:
                while piece := text.read(1 << 20):
                    self._transcoded.write(piece.encode("utf-8", "replace"))
            self._transcoded.flush()
        return open(self._transcoded.name, "rb")


def value_of(text: str, *, comma: bool = False) -> float | int | bool | str | None:
    """What a field says: a number, a bool, a text; None if it is empty.

    Args:
        text: The field.
        comma: Whether numbers may have a decimal comma, as spreadsheets write them between semicolons.
    """
    text = text.strip()
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        if comma and text.count(",") == 1 and "." not in text:
            number_or_text = value_of(text.replace(",", "."))
            return text if isinstance(number_or_text, (str, bool)) else number_or_text
        word = text.lower()
        return word == "true" if word in ("true", "false") else text
    if not text.isascii() or "_" in text:
        return text
    digits = text[1:] if text[0] in "+-" else text
    return int(text) if digits.isdigit() and len(digits) < 4_000 else number


def shown(text: str) -> str:
    """A text from a file, as a message shows it."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def _encoding(beginning: bytes) -> str:
    """UTF-8, or that of Western Windows if it is not. The beginning may end within a character."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(beginning)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _outside_quotes(line: str) -> str:
    return "".join(line.split('"')[::2])


def _skip_line(opened: BinaryIO) -> int:
    skipped = 0
    while piece := opened.readline(1 << 20):
        skipped += len(piece)
        if piece.endswith(b"\n"):
            break
    return skipped
