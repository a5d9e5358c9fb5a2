"""The long form of the fault suite: ``python tests/faults/soak.py [--json] [pytest arguments]``; `make soak`.

Runs the tests of this folder with many injections (SOAK_KILLS, by default 200 kills on each database), prints what
each fault did as a Markdown table, or as JSON, and fails where any record was lost or doubled, or any test failed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
COLUMNS = ("fault", "", "backend", "injected", "acknowledged", "lost", "doubled", "p99 log() ms", "worst log() ms")


def rows(tallies: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One for each fault and database: sums, and the longest times."""
    found: dict[tuple[int, str], dict[str, Any]] = {}
    for tally in sorted(tallies, key=lambda tally: (tally["number"], tally["backend"] != "sqlite")):
        row = found.setdefault(
            (tally["number"], tally["backend"]),
            {name: tally[name] for name in ("number", "title", "backend")}
            | dict.fromkeys(("injected", "acknowledged", "lost", "doubled", "p99_ms", "worst_ms"), 0),
        )
        for name in ("injected", "acknowledged", "lost", "doubled"):
            row[name] += tally[name]
        for name in ("p99_ms", "worst_ms"):
            row[name] = max(row[name], tally[name])
    return list(found.values())


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    cells = [COLUMNS, tuple("---" for _ in COLUMNS)]
    for row in rows:
        counts = (f"{row[name]:,}" for name in ("injected", "acknowledged", "lost", "doubled"))
        times = (f"{row[name]:.1f}" if row["acknowledged"] else "" for name in ("p99_ms", "worst_ms"))
        cells.append((str(row["number"]), row["title"], row["backend"], *counts, *times))
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def main() -> int:
    """Run, print, and return the exit status."""
    arguments = sys.argv[1:]
    as_json = "--json" in arguments
    arguments = [argument for argument in arguments if argument != "--json"] or [str(HERE)]
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *arguments],
            env={**os.environ, "SOAK_RESULT": str(result)},
            stdout=sys.stderr,
            check=False,
        )
        figures = json.loads(result.read_text(encoding="utf-8"))
    found = rows(figures["tallies"])
    if as_json:
        print(json.dumps({"faults": found, "failed": figures["failed"]}, indent=2))
    else:
        print(table(found))
        for test in figures["failed"]:
            print(f"failed: {test}")
    lost = sum(row["lost"] + row["doubled"] for row in found if row["number"])
    return 1 if done.returncode or lost else 0


if __name__ == "__main__":
    sys.exit(main())
