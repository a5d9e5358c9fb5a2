"""The fixture ``fault``, and the figures of a session for `make soak` (which sets SOAK_RESULT and SOAK_KILLS)."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from faults.oracle import Fault, Tally

RESULT = os.environ.get("SOAK_RESULT")
KILLS = int(os.environ.get("SOAK_KILLS") or 200)

_tallies: list[Tally] = []
_failed: list[str] = []


@pytest.fixture
def fault(
    request: pytest.FixtureRequest, backend_name: str, new_database: Callable[..., str], tmp_path: Path
) -> Iterator[Fault]:
    """Producers, oracle and figures of one fault test (faults/oracle.py), on each database."""
    path = request.node.path
    match = re.match(r"test_(\d\d)_", path.name)
    assert match, f"{path.name} is not called test_NN_….py after the fault's number"
    title = (request.module.__doc__ or path.stem).strip().splitlines()[0]
    tally = Tally(int(match[1]), title, request.node.name, backend_name)
    _tallies.append(tally)
    seed = random.SystemRandom().randrange(2**32)
    found = Fault(
        tally, tmp_path, lambda: new_database(backend_name), long=RESULT is not None, kills=KILLS, seed=seed
    )  # fmt: skip
    yield found
    found.close()


def pytest_runtest_logreport(report: Any) -> None:
    """Remember what failed."""
    if report.failed:
        _failed.append(report.nodeid)


def pytest_sessionfinish() -> None:
    """Hand the figures to `make soak`."""
    if RESULT:
        figures = {"tallies": [asdict(tally) for tally in _tallies], "failed": sorted(set(_failed))}
        Path(RESULT).write_text(json.dumps(figures), encoding="utf-8")
