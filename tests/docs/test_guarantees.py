"""docs/guarantees.md names tests that exist, each fault with its file, and has a place for the soak's table."""

from __future__ import annotations

import re
from pathlib import Path

from faults.soak import BEGIN, END, NOT_TESTED
from fixtures.pages import NAMED_TEST, missing_tests

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "guarantees.md").read_text(encoding="utf-8")
NUMBERS = range(1, 26)


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(title: str) -> list[str]:
    """The rows of a section's table, without its head."""
    found: list[str] = re.findall(r"^\| .* \|$", section(title), re.MULTILINE)
    return found[2:]


def test_every_named_test_exists() -> None:
    """A test that was renamed or taken away is found by its row."""
    assert len(set(NAMED_TEST.findall(PAGE))) > 40
    assert missing_tests(PAGE) == []


def test_every_promise_has_a_test() -> None:
    """A row without one would be a hope."""
    assert len(rows("What holds")) > 10
    for row in rows("What holds"):
        assert NAMED_TEST.search(row), row


def test_every_fault_is_there() -> None:
    """Each number once, in order, with a test of its file; or with the words "not tested", as the soak has it."""
    files = {int(path.name[5:7]): path.stem for path in (TESTS / "faults").glob("test_[0-9][0-9]_*.py")}
    found = {int(row.split("|")[1]): row for row in rows("The faults")}
    assert list(found) == sorted(found)
    assert set(NUMBERS) <= set(found)
    assert len(rows("The faults")) == len(found)
    assert set(NUMBERS) - set(files) == set(NOT_TESTED)
    for number, row in found.items():
        if number in files:
            assert files[number] in [file for file, _ in NAMED_TEST.findall(row)], row
        else:
            assert "not tested" in row
            assert NAMED_TEST.search(row), f"{row}: the nearest test"


def test_the_soaks_table_has_its_place() -> None:
    """`make soak` writes between two comments; what it wrote lost nothing."""
    before, begin, rest = PAGE.partition(BEGIN)
    written, end, _ = rest.partition(END)
    assert before
    assert begin
    assert end
    for row in re.findall(r"^\| (\d+) \| (.*) \|$", written, re.MULTILINE):
        cells = row[1].split(" | ")
        assert "not tested" in row[1] or (cells[4], cells[6]) == ("0", "0"), row
