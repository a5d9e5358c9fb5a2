"""Measure, check, and write it down: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from benchmarks.one import SIZES, all_cases
from benchmarks.report import as_json, needed, page, table, write_page, write_rows
from benchmarks.rounds import Bench


def main() -> None:
    """Measure what was asked for. A target that is missed is in the table; a wrong answer is an error."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", metavar="TEXT", help="rows whose title or case contains it, such as reading.best")
    parser.add_argument("--rounds", type=int, default=5, help="of every case [5]")
    parser.add_argument("--size", choices=SIZES, default="full", help="tiny: seconds, to see that it works")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every figure there")
    parser.add_argument(
        "--markdown",
        type=Path,
        metavar="PATH",
        help="write the page there; with --only, its rows into a page that is there",
    )
    parser.add_argument("--folder", type=Path, metavar="PATH", help="stores lie in it while they are measured")
    options = parser.parse_args()

    wanted = needed(options.only)
    if not wanted:
        parser.error(f"no row has {options.only!r} in its title or case")
    cases = [
        (case, backend) for case in all_cases().values() for backend in case.backends if (case.name, backend) in wanted
    ]
    began = time.monotonic()
    with Bench(options.size, options.folder) as bench:
        measured = bench.measure(cases, options.rounds, lambda line: print(line, file=sys.stderr, flush=True))
    report = as_json(measured, options.size, options.rounds)
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    print(table(report["results"]))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if options.markdown and options.only and options.markdown.exists():
        write_rows(options.markdown, report, options.only)
    elif options.markdown:
        write_page(options.markdown, page(report, SIZES[options.size]))


if __name__ == "__main__":
    main()
