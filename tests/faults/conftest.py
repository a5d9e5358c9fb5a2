"""The fixture ``fault``, and the figures of each test for `make soak`, which sets

SOAK_RESULT (a file; each test appends a line of JSON), SOAK_LONG (the long form), SOAK_KILLS, SOAK_SECONDS and
SOAK_BOUNCER (databases are reached through PgBouncer).
"""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from faults.oracle import Fault, Tally
from fixtures import forking
from fixtures.databases import PostgresServer

RESULT = os.environ.get("SOAK_RESULT")
LONG = bool(os.environ.get("SOAK_LONG"))
KILLS = int(os.environ.get("SOAK_KILLS") or 200)
SECONDS = float(os.environ.get("SOAK_SECONDS") or 5)
THROUGH_BOUNCER = bool(os.environ.get("SOAK_BOUNCER"))

if LONG:
    os.environ[forking.IN_FULL] = "1"

HERE = Path(__file__).parent
TALLY = pytest.StashKey[Tally]()


def number_and_title(item: pytest.Item) -> tuple[int, str]:
    """The fault's number in docs/guarantees.md, from the file's name, and the first line of its docstring."""
    match = re.match(r"test_(\d\d)_", item.path.name)
    assert match, f"{item.path.name} is not called test_NN_….py after the fault's number"
    title = (item.module.__doc__ or item.path.stem).strip().splitlines()[0]
    return int(match[1]), title.rstrip(".")


def pytest_configure(config: pytest.Config) -> None:
    """The mark of variants that the suite leaves to `make soak`, so that it takes minutes."""
    config.addinivalue_line("markers", "soak: only in `make soak`; the suite has another variant of the same test")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave those out of the suite; a test that is asked for by its full name runs."""
    if LONG:
        return
    named = set() if RESULT else set(config.args)
    left = [
        item
        for item in items
        if item.path.parent == HERE
        and item.get_closest_marker("soak")
        and not any(argument.endswith(item.nodeid) for argument in named)
    ]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


@pytest.fixture
def fault(
    request: pytest.FixtureRequest, backend_name: str, new_database: Callable[..., str], tmp_path: Path
) -> Iterator[Fault]:
    """Producers, oracle and figures of one fault test (faults/oracle.py), on each database."""
    number, title = number_and_title(request.node)
    tally = request.node.stash[TALLY] = Tally(number, title, request.node.name, backend_name)
    seed = random.SystemRandom().randrange(2**32)
    found = Fault(
        tally, tmp_path, lambda: new_database(backend_name), long=LONG, kills=KILLS, seconds=SECONDS, seed=seed
    )
    yield found
    found.close()


@pytest.fixture(scope="session")
def bouncer_of_session(postgres_server: PostgresServer) -> Iterator[Any]:
    """PgBouncer before the server of the session, for SOAK_BOUNCER."""
    from faults.bouncer import Bouncer

    started = Bouncer(postgres_server, connections=4)
    yield started
    started.close()


@pytest.fixture
def new_database(request: pytest.FixtureRequest, new_database: Callable[..., str]) -> Callable[..., str]:
    """As elsewhere; with SOAK_BOUNCER a database on PostgreSQL is reached through PgBouncer."""
    if not THROUGH_BOUNCER:
        return new_database
    bouncer = request.getfixturevalue("bouncer_of_session")

    def make(kind: str, *, migrated: bool = True) -> str:
        url = new_database(kind, migrated=migrated)
        return url if kind == "sqlite" else str(bouncer.url(make_url(url).database))

    return make


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Hand the figures to `make soak`."""
    report = yield
    if RESULT and re.match(r"test_\d\d_", item.path.name) and (report.when == "call" or not report.passed):
        number, title = number_and_title(item)
        params = item.callspec.params if hasattr(item, "callspec") else {}
        tally = item.stash.get(TALLY, Tally(number, title, item.name, params.get("backend_name", "")))
        reason = report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else ""
        line = {**asdict(tally), "file": item.path.name, "outcome": report.outcome, "reason": reason}
        with Path(RESULT).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    return report
