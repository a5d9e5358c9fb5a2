"""PostgreSQL processes are stopped (SIGSTOP): the writer's, in the middle of a transaction, the postmaster."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from faults.network import SHORT_LIMITS
from faults.oracle import Fault, Producer
from recording.support import eventually
from trainstore.backends import postgresql
from trainstore.store import TrainStore

pytestmark = pytest.mark.parametrize("backend_name", ["postgresql"])


def connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    """A connection of the test's own."""
    return psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False))


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


def state(url: str) -> dict[int, str]:
    """The connections of the store to this database: process id → state."""
    with connect(url) as connection:
        rows = connection.execute(
            "SELECT pid, state FROM pg_stat_activity WHERE datname = current_database() AND pid != pg_backend_pid() "
            "AND application_name = 'trainstore'"
        ).fetchall()
    return {int(str(pid)): str(value) for pid, value in rows}


def stored(url: str, run: str) -> int:
    """How many steps of a run are stored."""
    with connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM step_log JOIN run ON run.id = run_id WHERE run.uid = %s", (run,)
        ).fetchone()
    assert row is not None
    return int(str(row[0]))


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
            pids = list(state(fault.url))
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            if pids and set(state(fault.url).values()) == {"idle"}:
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
                        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
                    ).fetchone()
                return None if row is None else int(str(row[0]))

            pid = eventually(waiting, "a transaction that waits")
            with stopped(pid):
                connection.rollback()
                eventually(lambda p=producer: "cannot be written" in p.stderr, "the watchdog's failure")
                if fault.long:
                    time.sleep(60)
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
                for pid in state_on(connection):
                    os.kill(pid, signal.SIGTERM)
                eventually(lambda p=producer: "cannot be written" in p.stderr, "a failure")
                second = fault.start(count=300, before=SHORT_LIMITS, offline_ok=True, finish_timeout=0.5)
                second.end()
                assert not second.reported.stored
                assert "cannot be reached: no answer in time" in second.stderr
                if fault.long:
                    time.sleep(60)
                producer.wait_for(producer.reported.numbers[-1] + 200)
        eventually(lambda p=producer: "everything is stored" in p.stderr, "delivery after SIGCONT")
        producer.kill()
        fault.verify(producer, status="lost")
        fault.verify(second, status="finished")


def state_on(connection: psycopg.Connection[tuple[object, ...]]) -> list[int]:
    """The process ids of the store's connections, asked on one that is there already."""
    rows = connection.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'trainstore'"
    ).fetchall()
    connection.rollback()
    return [int(str(pid)) for (pid,) in rows]


def test_a_reader(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """A query whose pooled connection was stopped meanwhile asks another one."""
    monkeypatch.setattr(postgresql, "PING_TIMEOUT", 0.5)
    for _ in fault.times(short=1, long=5):
        producer = fault.start(count=20)
        producer.end()
        with TrainStore(fault.url) as store:
            assert len(store.list_step_logs(producer.run)) == 20
            (pid,) = state(fault.url)
            with stopped(pid):
                assert len(store.list_step_logs(producer.run)) == 20
                assert set(state(fault.url)) > {pid}
        fault.verify(producer, status="finished")
