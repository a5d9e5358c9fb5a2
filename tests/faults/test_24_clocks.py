"""The clock jumps

Fault 24 of docs/guarantees.md: the process's clock goes back or on by an hour while it records, or between two
attempts. The jump is in Python's time.time and time.time_ns, which is all that the store reads; libfaketime is not
used, and neither are two machines.
"""

from __future__ import annotations

import pytest

from faults.oracle import Fault
from faults.test_23_steps import logged, shown
from trainstore.errors import RunActiveError
from trainstore.store import TrainStore

CLOCK = """
import time
offset = [{seconds}]
real, real_ns = time.time, time.time_ns
time.time = lambda: real() + offset[0]
time.time_ns = lambda: real_ns() + offset[0] * 1_000_000_000
"""

HOURS = pytest.mark.parametrize(
    "seconds", [-3_600, pytest.param(3_600, marks=pytest.mark.soak)], ids=["an hour back", "an hour on"]
)


@HOURS
def test_while_it_records(fault: Fault, seconds: int) -> None:
    """Everything is stored in its order; the run is alive while its process is, and lost when that is killed."""
    for _ in fault.times(short=1, long=10):
        producer = fault.start(
            count=400,
            before=CLOCK.format(seconds=0),
            then_at=fault.chance.randrange(50, 350),
            hold=True,
            then=f"offset[0] = {seconds}",
        )
        producer.wait_for("produced")
        with TrainStore(fault.url) as store:
            assert store.get_run(producer.run).status == "running"
            with pytest.raises(RunActiveError):
                store.delete_run(producer.run)
        producer.kill()
        fault.verify(producer, status="lost")


@HOURS
def test_it_finishes(fault: Fault, seconds: int) -> None:
    """A run whose clock jumped ends as it would otherwise."""
    fault.injected()
    then = f"offset[0] = {seconds}"
    producer = fault.start(count=400, before=CLOCK.format(seconds=0), then_at=200, then=then)
    producer.end()
    fault.verify(producer, status="finished")


@HOURS
def test_between_attempts(fault: Fault, seconds: int) -> None:
    """An attempt is later than all that it can know of, whatever the clock of its machine says."""
    fault.injected()
    first = fault.start(count=200)
    first.end()
    second = fault.start(
        count=200, run=first.run, resume_at=99, first=100, before=CLOCK.format(seconds=seconds), hold=True
    )
    second.wait_for("produced")
    third = fault.start(count=200, run=first.run, resume_at=149, first=150, before=CLOCK.format(seconds=-seconds))
    third.end()
    second.go_on()
    second.end()
    expected = {step: whole for step, whole in logged(first).items() if step <= 99}
    expected |= {step: whole for step, whole in logged(second).items() if step <= 149}
    assert shown(fault, first.run) == expected | logged(third)
    fault.verify(first, second, third, status="finished")
