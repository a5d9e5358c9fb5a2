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

GROUPS = ("logging_calls", "durable", "callback", "processes", "reading", "storage", "startup")
SIZES = {"full": FULL, "tiny": TINY}


def all_cases() -> dict[str, Case]:
    """Every case by name, in the order in which a round runs them."""
    return {case.name: case for group in GROUPS for case in import_module(f"benchmarks.{group}").case.all}


def main() -> None:
    """Run the case, on one core where a number of one is given."""
    name, folder, url, size, *core = sys.argv[1:]
    if core:
        os.sched_setaffinity(0, {int(core[0])})  # before any thread is there: all of them inherit it
    case = all_cases()[name]
    figures = case.run(Place(Path(folder), url, SIZES[size]))
    print(json.dumps(figures))


if __name__ == "__main__":
    logging.getLogger("trainstore").setLevel(logging.ERROR)
    warnings.simplefilter("ignore", DeprecationWarning)
    main()
