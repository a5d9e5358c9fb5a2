"""PostgreSQL is restarted, its server processes are ended

Fault 6 of docs/guarantees.md: restarts as after a crash and as an administrator does them, under load;
pg_terminate_backend in a loop. tests/recording/test_delivery_thread.py ends single server processes
at a time of its choice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from faults.oracle import Fault
from faults.servers import PrivateServer, private_server

pytestmark = pytest.mark.parametrize("backend_name", ["postgresql"])


@pytest.fixture(scope="module")
def server() -> Iterator[PrivateServer]:
    with private_server() as started:
        yield started


@pytest.mark.parametrize("mode", ["immediate", pytest.param("fast", marks=pytest.mark.soak)])
def test_restarts_under_load(fault: Fault, server: PrivateServer, mode: str) -> None:
    """Whatever a restart meets, a COMMIT under way too: everything is stored once."""
    fault.url = server.new_store()
    producers = [fault.start(count=None, rate=1_000, hold=True, then_at=10**9) for _ in range(2)]
    for producer in producers:
        producer.wait_for(100)
    for _ in fault.times(short=3, long=40):
        server.restart(mode)
        time.sleep(fault.chance.uniform(0, 1))
    for producer in producers:
        producer.kill()
    last = fault.start(count=100)
    last.end()
    fault.verify(last, status="finished")
    fault.verify(*producers, status="lost")


def test_it_outlives_restarts(fault: Fault, server: PrivateServer) -> None:
    """A process that sees them all finishes by itself, with exit status 0 and nothing left to recover."""
    fault.url = server.new_store()
    producer = fault.start(count=3_000, rate=1_000)
    producer.wait_for(100)
    for _ in fault.times(short=2, long=2):
        server.restart("immediate")
    reported = producer.end()
    assert reported is not None
    assert reported.stored
    fault.verify(producer, status="finished")


def test_server_processes_are_ended(fault: Fault, server: PrivateServer) -> None:
    """Each of the writer's connections is cut after a moment, again and again."""
    fault.url = server.new_store()
    seconds = 60 if fault.long else 3
    producer = fault.start(count=1_000 * seconds, rate=1_000, interval=0.01)
    producer.wait_for(100)
    database = fault.url.rpartition("/")[2].partition("?")[0]
    while producer.process.poll() is None and "finishing" not in producer.lines:
        server.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = '{database}' AND pid <> pg_backend_pid()"
        )
        fault.injected()
        time.sleep(fault.chance.uniform(0, 0.3))
    producer.end()
    fault.verify(producer, status="finished")
