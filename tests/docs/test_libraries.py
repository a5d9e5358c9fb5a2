"""docs/coverage.md names a test for each cell of the table in docs/libraries.md."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "docs"
NAMED = re.compile(r"`(test_\w+)::(\w+)`")


def table_below(page: str, heading: str) -> dict[str, list[str]]:
    """The first table of a section: the cells of each row by its first one; the head is the row ""."""
    section = (DOCS / page).read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|") and not line.startswith("| ---")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: others for first, *others in cells}


def test_each_cell_has_a_test() -> None:
    """The same libraries and columns; a test where something is claimed, and nowhere else."""
    claims = table_below("libraries.md", "What is recorded")
    tests = table_below("coverage.md", "Libraries")
    assert list(claims) == list(tests)
    assert claims.pop("") == tests.pop("")
    assert len(claims) > 10
    for library, cells in claims.items():
        for claim, shown in zip(cells, tests[library], strict=True):
            assert bool(claim) == bool(NAMED.search(shown)), (library, claim, shown)


def test_each_of_these_tests_exists() -> None:
    """As a function, a method, or a class of tests."""
    named = {
        one for cells in table_below("coverage.md", "Libraries").values() for one in NAMED.findall(" ".join(cells))
    }
    missing = []
    for file, name in sorted(named):
        sources = (path.read_text(encoding="utf-8") for path in TESTS.rglob(f"{file}.py"))
        if not any(re.search(rf"^ *(?:def|class) {name}\b", source, re.MULTILINE) for source in sources):
            missing.append(f"{file}::{name}")
    assert missing == []
