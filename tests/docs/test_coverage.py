"""docs/coverage.md names tests that are there, and counts its own rows."""

from __future__ import annotations

import re
from pathlib import Path

from fixtures.pages import NAMED_TEST, missing_tests

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "coverage.md").read_text(encoding="utf-8")


def test_every_named_test_exists() -> None:
    """A test that was renamed or taken away is found by its row."""
    assert len(set(NAMED_TEST.findall(PAGE))) > 50
    assert missing_tests(PAGE) == []


def test_every_row_is_counted() -> None:
    """The table at the top says how many rows there are, and how many a test shows."""
    summary = re.findall(r"^\| ([^|]+) \| (\d+) \| (\d+) \| (\d+) \|$", PAGE, re.MULTILINE)
    assert len(summary) == 5
    for title, total, shown, different in summary:
        section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
        rows = re.findall(r"^\| (\d+) \| .* \|$", section, re.MULTILINE)
        assert [int(row) for row in rows] == list(range(1, int(total) + 1))
        assert sum(bool(NAMED_TEST.search(row)) for row in section.splitlines()) == int(shown)
        assert int(shown) + int(different) == int(total)
