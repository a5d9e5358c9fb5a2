"""The database is locked

Fault 4 of docs/guarantees.md: by another client, for longer than every timeout.
tests/recording/test_delivery_thread.py has a short lock.
"""

from __future__ import annotations

import signal

import pytest

from faults.locks import locked
from faults.network import SHORT_END
from faults.oracle import Fault


def test_while_records_are_logged(fault: Fault) -> None:
    """Training goes on as if nothing were; when the lock is gone everything is stored."""
    for _ in fault.times(short=1, long=1):
        # The long form: longer than the 15 s of PostgreSQL's statement and lock timeout, and of the watchdog.
        seconds, rate = (50, 100) if fault.long else (4, 500)
        producer = fault.start(count=rate * seconds, rate=rate)
        producer.wait_for(100)
        with locked(fault.url):
            producer.wait_for(rate * seconds - 200)
        producer.end()
        fault.verify(producer, status="finished")


def test_at_the_end(fault: Fault) -> None:
    """finish() answers False at its deadline and the process ends; the next opening stores the rest."""
    for _ in fault.times(short=1, long=5):
        producer = fault.start(count=400, before=SHORT_END, finish_timeout=0.5, close=False, hold=True)
        producer.wait_for("produced")
        with locked(fault.url):
            producer.go_on()
            reported = producer.end(timeout=60)
        assert reported is not None
        assert not reported.stored
        assert "trainstore recover" in producer.stderr
        fault.verify(producer, status="finished")


@pytest.mark.parametrize(
    ("end", "exit_status", "status"),
    [
        ("raise KeyError('x')", 1, "failed"),
        pytest.param("raise KeyboardInterrupt", -signal.SIGINT, "interrupted", marks=pytest.mark.soak),
        pytest.param("raise SystemExit(5)", 5, "lost", marks=pytest.mark.soak),
    ],
)
def test_at_an_early_end(fault: Fault, end: str, exit_status: int, status: str) -> None:
    """A process that fails while the database is locked ends within its deadline; how it ended is known later."""
    fault.injected()
    producer = fault.start(count=None, before=SHORT_END, interval=1_000, then_at=300, then=end, rate=300)
    producer.wait_for(100)
    with locked(fault.url):
        # One second to deliver, one for the thread to end, and what a busy machine takes.
        producer.end(code=exit_status, timeout=60)
    fault.verify(producer, status=status)
