"""One case in a process of its own: ``python -m benchmarks.one CASE FOLDER URL SIZE [CORE]``; prints its figures."""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from importlib import import_module
from pathlib import Path

from benchmarks.cases import FULL, TINY, Case, Place

GROUPS = (
    "calls",
    "adapters",
    "durable",
    "callback",
    "callbacks",
    "trainers",
    "processes",
    "reading",
    "storage",
    "startup",
    "importing",
    "merging",
    "dashboard",
    "dashboard_pages",
    "dashboard_live",
)
SIZES = {"full": FULL, "tiny": TINY}


def cases_of(group: str) -> dict[str, Case]:
    """The cases of one module by name. Nothing else is imported: it would be in the figures of memory and time."""
    return {case.name: case for case in import_module(f"benchmarks.{group}").case.all}


def all_cases() -> dict[str, Case]:
    """Every case, in the order in which a round runs them."""
    return {name: case for group in GROUPS for name, case in cases_of(group).items()}


def main() -> None:
    """Run the case, on one core where a number of one is given."""
    name, folder, url, size, *core = sys.argv[1:]
    if core:
        os.sched_setaffinity(0, {int(core[0])})  # before any thread is there: all of them inherit it
    case = cases_of(name.partition(".")[0])[name]
    figures = case.run(Place(Path(folder), url, SIZES[size]))
    print(json.dumps(figures))


if __name__ == "__main__":
    logging.getLogger("trainstore").setLevel(logging.ERROR)
    warnings.simplefilter("ignore", DeprecationWarning)
    main()
