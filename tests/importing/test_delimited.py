"""Rows of CSV and TSV files: dialects, encodings, and rows that are damaged."""

from __future__ import annotations

import codecs
import csv
import io
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainstore.errors import SourceError
from trainstore.importing import delimited
from trainstore.importing.delimited import Delimited, value_of
from trainstore.importing.places import File, Place


def file_of(path: Path, content: bytes, *, old: bool = True) -> File:
    path.write_bytes(content)
    if old:
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return Place.of(path).files[0]


def table(path: Path, content: bytes, *, old: bool = True) -> tuple[list[str], list[list[str]], list[str]]:
    found = Delimited(file_of(path / "a.csv", content, old=old))
    return found.columns, [fields for _, fields in found.rows()], found.damage


@pytest.mark.parametrize(
    "content",
    [
        b"step,l\xc3\xb6ss\n1,0.5\n2,0.25\n",
        b"step,l\xc3\xb6ss\r\n1,0.5\r\n2,0.25",
        codecs.BOM_UTF8 + b"step;l\xc3\xb6ss\n1;0.5\n2;0.25\n",
        b"step\tl\xc3\xb6ss\n1\t0.5\n\n2\t0.25\n",
        b"\nstep|l\xc3\xb6ss\n1|0.5\n2|0.25\n",
        b'"step","l\xc3\xb6ss"\n"1","0.5"\nstep,l\xc3\xb6ss\n"2","0.25"\n',
        "step,löss\n1,0.5\n2,0.25\n".encode("utf-16"),
        codecs.BOM_UTF16_BE + "step,löss\n1,0.5\n2,0.25\n".encode("utf-16-be"),
        "step,löss\n1,0.5\n2,0.25\n".encode("cp1252"),
    ],
    ids=["plain", "CRLF, no last break", "BOM, semicolon", "tab", "bar", "quoted", "UTF-16", "UTF-16 BE", "Windows"],
)
def test_dialects_and_encodings(tmp_path: Path, content: bytes) -> None:
    """What separates fields and how texts are encoded is found out; a header that comes again is passed over."""
    assert table(tmp_path, content) == (["step", "löss"], [["1", "0.5"], ["2", "0.25"]], [])


def test_damaged_rows_are_named_and_those_after_them_read(tmp_path: Path) -> None:
    """Too few and too many fields, NUL bytes, a field that is too long, a quotation that is not closed."""
    content = b'a,b\n1\n2,2,2\n3,\0\n4,"x\ny"\n5,' + b"z" * 140_000 + b'\n6,"open\n7,7\n'
    columns, rows, damage = table(tmp_path, content)
    assert columns == ["a", "b"]
    assert rows == [["4", "x\ny"], ["7", "7"]]
    assert [line.split(" ", 5)[-1] for line in damage] == [
        "has 1 fields, not 2",
        "has 3 fields, not 2",
        "has a NUL byte",
        "cannot be read: field larger than field limit (131072)",
        "has a quotation mark that is not closed",
    ]


def test_damage_is_not_told_without_end(tmp_path: Path) -> None:
    """Of a million bad rows, the first are told."""
    *_, damage = table(tmp_path, b"a,b\n" + b"1\n" * 1_000)
    assert len(damage) == delimited.MAX_DAMAGE + 1
    assert damage[-1] == "more rows are damaged"


def test_a_last_row_without_a_break_waits_while_the_file_is_written(tmp_path: Path) -> None:
    """In a file that was just written it may be half a number."""
    _, rows, damage = table(tmp_path, b"a,b\n1,2\n1,0.2", old=False)
    assert rows == [["1", "2"]]
    assert damage == ["the row at byte 8 is the last and has no line break: it may not be whole yet"]
    assert table(tmp_path, b"a,b\n1,2\n1,0.2")[1:] == ([["1", "2"], ["1", "0.2"]], [])


def test_a_line_without_end_takes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is passed over and named; the rows after it are read."""
    monkeypatch.setattr(delimited, "MAX_LINE", 1_000)
    _, rows, damage = table(tmp_path, b"a,b\n" + b"x" * 3_000_000 + b"\n1,2\n")
    assert rows == [["1", "2"]]
    assert damage == ["the row at byte 4 is longer than 0 MiB"]


def test_line_ends_of_old_macs_are_named(tmp_path: Path) -> None:
    """They would make one row of the whole file."""
    with pytest.raises(SourceError, match="line ends"):
        table(tmp_path, b"a,b\r1,2\r3,4\r")


def test_rows_are_found_by_their_places(tmp_path: Path) -> None:
    """In any order, and between two places."""
    found = Delimited(file_of(tmp_path / "a.csv", b'a,b\n1,2\n3,"4\n5"\n6,7\n'))
    places = [place for place, _ in found.rows()]
    assert [fields for _, fields in found.at(reversed(places))] == [["6", "7"], ["3", "4\n5"], ["1", "2"]]
    assert [fields for _, fields in found.rows(places[1], places[2])] == [["3", "4\n5"]]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("  ", None), ("1", 1), ("-7", -7), ("+3", 3), ("1.0", 1.0), ("1e-5", 1e-5), (".5", 0.5),
        ("9007199254740993", 2**53 + 1), ("inf", math.inf), ("-Infinity", -math.inf), ("true", True), ("FALSE", False),
        ("1_000", "1_000"), ("\u0661", "\u0661"), ("yes", "yes"), ("0,5", "0,5"), (" 2 ", 2), ("1e999", math.inf),
    ],
)  # fmt: skip
def test_what_a_field_is(text: str, value: Any) -> None:
    """Numbers, bools, texts; empty is absent. What only Python takes for a number stays a text."""
    found = value_of(text)
    assert (type(found), found) == (type(value), value)


def test_numbers_with_a_decimal_comma() -> None:
    """Between semicolons, as spreadsheets of many countries write them."""
    assert value_of("0,5", comma=True) == 0.5
    assert value_of("-1,25e-3", comma=True) == -1.25e-3
    assert value_of("a,b", comma=True) == "a,b"
    assert math.isnan(value_of("NaN", comma=True))  # type: ignore[arg-type]


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r")), min_size=2, max_size=2)))
def test_what_python_wrote_comes_back(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]) -> None:
    """Any texts, with quotes, line breaks and separators, by Python's writer of CSV."""
    written = io.StringIO(newline="")
    csv.writer(written).writerows([["the a", "the b"], *rows])
    columns, found, damage = table(tmp_path_factory.mktemp("csv"), written.getvalue().encode())
    assert (columns, found, damage) == (["the a", "the b"], rows, [])


@given(st.binary(max_size=300) | st.lists(st.sampled_from([b",", b'"', b"\n", b"\0", b"1", b"\xff"])).map(b"".join))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Nothing but `SourceError`; every row has as many fields as there are columns."""
    path = tmp_path_factory.mktemp("csv")
    try:
        columns, rows, _ = table(path, content)
    except SourceError:
        return
    assert all(len(fields) == len(columns) for fields in rows)
