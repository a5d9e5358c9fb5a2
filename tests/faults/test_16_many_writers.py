"""Many processes write at once

Fault 16 of docs/guarantees.md: 64 in the long form, into one SQLite file; into a PostgreSQL server that has fewer
connections to give. tests/recording/test_processes.py has four, in runs of their own and in one run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from faults.oracle import Fault
from faults.servers import PrivateServer, private_server
from recording.support import eventually
from trainstore.store import TrainStore


@pytest.fixture
def server() -> Iterator[PrivateServer]:
    """A server that turns some of them away, each time."""
    with private_server(max_connections=10) as started:
        yield started


def write_at_once(fault: Fault, **plan: Any) -> None:
    writers = 64 if fault.long else 6
    fault.injected(writers)
    # Sixty-four on two cores wait for each other, not for a database.
    p99_ms = 500
    # They come to their first record at different times; together from then on.
    producers = [
        fault.start(count=200, rate=100, interval=0.2, hold=True, finish_timeout=300, **plan) for _ in range(writers)
    ]
    for producer in producers:
        producer.wait_for("produced", timeout=400)
    for producer in producers:
        producer.go_on()
    for producer in producers:
        reported = producer.end(timeout=400)
        assert reported is not None
        assert reported.stored
    fault.verify(status="finished", p99_ms=p99_ms)


def test_each_its_own_run(fault: Fault) -> None:
    """Nobody loses a record, is held up, or doubles another's."""
    write_at_once(fault)


@pytest.mark.parametrize("backend_name", ["postgresql"])
def test_more_writers_than_connections(fault: Fault, server: PrivateServer) -> None:
    """Writers that are turned away try again until there is room for them: one connection each, for a moment.

    Opening has no connection either, with many at once: ``offline_ok`` says that this is no reason not to begin.
    """
    fault.url = server.new_store()
    write_at_once(fault, offline_ok=True)


def test_all_one_run(fault: Fault) -> None:
    """Ranks that join one run write the same steps, key by key."""
    first = fault.start(count=150, rate=100, interval=0.1, hold=True)
    run = first.run
    with TrainStore(fault.url) as store:
        eventually(lambda: run in set(store.list_runs()["uid"]), "the first commit")
    others = [
        fault.start(count=150, rate=100, interval=0.1, run=run, rank=rank, label=f"r{rank}")
        for rank in range(1, 24 if fault.long else 4)
    ]
    fault.injected(len(others) + 1)
    for other in others:
        other.end(timeout=400)
    first.go_on()
    first.end(timeout=400)
    fault.verify(status="finished", p99_ms=500)
