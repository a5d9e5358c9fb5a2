"""SIGKILL

Fault 1 of docs/guarantees.md: at random times while records are logged; in start-up, in the first migration, in
finish() and in a recovery. tests/recording/test_killed.py kills attempts of one run that is resumed again and again.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from faults.oracle import Fault, Producer


def kill_within(producer: Producer, after: str, seconds: float) -> None:
    """Kill it some time after a line of its report; it may have ended by then."""
    producer.wait_for(after)
    time.sleep(seconds)
    producer.signal(signal.SIGKILL)
    assert producer.process.wait(60) in (0, -signal.SIGKILL), producer.stderr


def test_at_random_times(fault: Fault, new_database: Callable[..., str]) -> None:
    """Whenever it dies: what log() returned for is stored once, and the run is shown as lost."""
    for index in fault.times(short=4):
        if index % 20 == 0:
            fault.url = new_database(fault.backend)  # a check takes longer the more there is
        producer = fault.start(count=None)
        producer.wait_for(fault.chance.randrange(100))
        time.sleep(fault.chance.uniform(0, 0.5))
        producer.kill()
        fault.verify(producer, status="lost")


def test_in_start_up(fault: Fault) -> None:
    """A store whose process dies while it opens it, or begins its run, opens and records."""
    for _ in fault.times(short=3, long=30):
        producer = fault.start(count=None)
        kill_within(producer, "opening", fault.chance.uniform(0, 0.3))
        fault.verify(producer)


def test_in_the_first_migration(fault: Fault, new_database: Callable[..., str]) -> None:
    """A database whose first opening dies half-way is made whole by the next, with what was logged."""
    for _ in fault.times(short=3, long=30):
        fault.url = new_database(fault.backend, migrated=False)
        first = fault.start(count=None)
        kill_within(first, "opening", fault.chance.uniform(0, 0.6))
        second = fault.start(count=50)
        second.end()
        fault.verify(first)
        fault.verify(second, status="finished")


def test_in_finish(fault: Fault) -> None:
    """Dying while finish() delivers loses nothing; its last word counts as soon as it is in the journal."""
    for _ in fault.times(short=3, long=30):
        producer = fault.start(count=1_500, rate=0, interval=1_000)
        kill_within(producer, "finishing", fault.chance.uniform(0, 0.3))
        fault.verify(producer, status=None)
        fault.verify(producer, status="finished" if producer.reported.ended else None)


def test_in_a_recovery(fault: Fault) -> None:
    """Recoveries that are killed one after the other leave the rest to the next, and store nothing twice."""
    for _ in fault.times(short=1, long=10):
        producer = fault.start(count=3_000, rate=0, interval=1_000, hold=True)
        producer.wait_for("produced")
        producer.kill()
        for _ in range(4):
            recovering = fault.start(count=0)
            kill_within(recovering, "opening", fault.chance.uniform(0, 0.4))
        fault.verify(producer, status="lost")
