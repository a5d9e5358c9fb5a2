"""PostgreSQL processes are stopped (SIGSTOP): the writer's, in the middle of a transaction, the postmaster."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from faults.databases import connect, connections, connections_on, stored
from faults.network import SHORT_LIMITS
from faults.oracle import Fault, Producer
from recording.support import eventually
from trainstore.backends import pg_connecting
from trainstore.store import TrainStore

pytestmark = pytest.mark.parametrize("backend_name", ["postgresql"])


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a server process for the length of a block."""
    comm = Path(f"/proc/{pid}/comm")
    assert comm.exists(), "this test needs a PostgreSQL server on this machine"
    assert comm.read_text().startswith("postgres")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def start(fault: Fault) -> Producer:
    """A producer that records, with short time limits in the short form."""
    producer = fault.start(count=None, rate=200.0, before="" if fault.long else SHORT_LIMITS)
    producer.wait_for(50)
    eventually(lambda: stored(fault.url, producer.run) > 0, "the first commit")
    return producer


def test_between_transactions(fault: Fault) -> None:
    """Every connection that the store has is stopped: it opens another one and delivers while they stand still."""
    for _ in fault.times(short=1, long=5):
        producer = start(fault)

        def stop_idle(producer: Producer = producer) -> list[int]:
            pids = list(connections(fault.url))
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            if pids and set(connections(fault.url).values()) == {"idle"}:
                return pids
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
            return []

        pids = eventually(stop_idle, "a moment between two transactions")
        try:
            told = producer.reported.numbers[-1]
            eventually(
                lambda told=told, run=producer.run: stored(fault.url, run) > told, "delivery by another connection"
            )
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        producer.kill()
        fault.verify(producer, status="lost")


def test_in_the_middle_of_a_transaction(fault: Fault) -> None:
    """The stopped transaction holds the run's lock: delivery goes on when it does, log() has never waited."""
    for _ in fault.times(short=1, long=5):
        producer = start(fault)
        with connect(fault.url) as connection:
            # The writer takes the run's lock, then waits for its own row: there it is stopped.
            connection.execute("SELECT 1 FROM writer FOR UPDATE")

            def waiting() -> int | None:
                with connect(fault.url) as other:
                    row = other.execute(
                        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
                        "AND wait_event_type = 'Lock'"
                    ).fetchone()
                return None if row is None else int(str(row[0]))

            pid = eventually(waiting, "a transaction that waits")
            with stopped(pid):
                connection.rollback()
                eventually(lambda p=producer: "cannot be written" in p.stderr, "the watchdog's failure")
                if fault.long:
                    time.sleep(30)
                producer.wait_for(producer.reported.numbers[-1] + 200)
        eventually(lambda p=producer: "everything is stored" in p.stderr, "delivery after SIGCONT")
        producer.kill()
        fault.verify(producer, status="lost")


def test_the_postmaster(fault: Fault) -> None:
    """No connection can be opened: the attempt ends at its time limit; a run goes on, and another begins."""
    for _ in fault.times(short=1, long=3):
        producer = start(fault)
        with connect(fault.url) as connection:
            parent = Path(f"/proc/{connection.info.backend_pid}/stat").read_text().rpartition(")")[2].split()[1]
            with stopped(int(parent)):
                for pid in connections_on(connection):
                    os.kill(pid, signal.SIGTERM)
                eventually(lambda p=producer: "cannot be written" in p.stderr, "a failure")
                second = fault.start(count=300, before=SHORT_LIMITS, offline_ok=True, finish_timeout=0.5)
                second.end()
                assert not second.reported.stored
                assert "cannot be reached: no answer in time" in second.stderr
                if fault.long:
                    time.sleep(30)
                producer.wait_for(producer.reported.numbers[-1] + 200)
        eventually(lambda p=producer: "everything is stored" in p.stderr, "delivery after SIGCONT")
        producer.kill()
        fault.verify(producer, status="lost")
        fault.verify(second, status="finished")


def test_a_reader(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """A query whose pooled connection was stopped meanwhile asks another one."""
    monkeypatch.setattr(pg_connecting, "PING_TIMEOUT", 0.5)
    for _ in fault.times(short=1, long=5):
        producer = fault.start(count=20)
        producer.end()
        with TrainStore(fault.url) as store:
            assert len(store.list_step_logs(producer.run)) == 20
            (pid,) = connections(fault.url)
            with stopped(pid):
                assert len(store.list_step_logs(producer.run)) == 20
                assert set(connections(fault.url)) > {pid}
        fault.verify(producer, status="finished")
