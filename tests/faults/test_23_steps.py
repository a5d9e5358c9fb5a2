"""Steps go backwards, come twice; attempts race

Fault 23 of docs/guarantees.md: odd orders of steps, resuming from a checkpoint before the last step, two live processes
on one run, the late delivery of an attempt that was superseded. tests/recording/test_flush.py has the rules one by one,
tests/properties/test_histories.py random histories; None and negative steps stand in tests/test_run.py.
"""

from __future__ import annotations

import pytest

from faults.oracle import Fault, Producer, metrics_of
from trainstore.store import TrainStore


@pytest.mark.parametrize("killed", [False, True], ids=["finished", "killed"])
@pytest.mark.parametrize(
    "steps",
    [
        "499 - seq",
        pytest.param("seq // 2", marks=pytest.mark.soak),
        pytest.param("(seq * 7_919) % 101", marks=pytest.mark.soak),
        pytest.param("seq % 3 * 2**61 + seq // 9", marks=pytest.mark.soak),
    ],
)
def test_odd_orders(fault: Fault, steps: str, killed: bool) -> None:
    """Each step is there once, with the last value of each metric."""
    for _ in fault.times(short=1, long=10):
        producer = fault.start(count=500, steps=steps, interval=0.01, hold=killed)
        if killed:
            producer.wait_for(fault.chance.randrange(100, 490))
            producer.kill()
        else:
            producer.end()
        fault.verify(producer, status="lost" if killed else "finished")


def shown(fault: Fault, run: str) -> dict[int, int]:
    """Step → whole number of the history that is shown."""
    with TrainStore(fault.url) as store:
        frame = store.list_step_logs(run)
        return dict(zip(frame["step"].tolist(), frame["whole"].tolist(), strict=True))


def logged(producer: Producer) -> dict[int, int]:
    """The same of one producer's report."""
    reported = producer.reported
    return {n: metrics_of(reported.plan.seed, n, 0)["whole"] for n in reported.numbers}


def test_resumed_from_checkpoints(fault: Fault) -> None:
    """Each attempt takes over after its checkpoint, wherever that lies; nothing of the others is deleted."""
    producers = [fault.start(count=300)]
    expected: dict[int, int] = {}
    run = producers[0].run
    start = -1
    for _ in fault.times(short=3, long=30):
        producers[-1].wait_for(start + 1 + fault.chance.randrange(250))
        producers[-1].kill()
        with TrainStore(fault.url) as store:
            last = store.get_current_step(run)
        expected = {step: whole for step, whole in expected.items() if step <= start} | logged(producers[-1])
        # The record that nobody was told of may be there.
        extra = producers[-1].reported.next_number
        found = shown(fault, run)
        assert {step: whole for step, whole in found.items() if step in expected} == expected
        assert found.keys() - expected.keys() <= {extra}
        expected = found
        start = fault.chance.choice([last, fault.chance.randrange(-1, last or 0)])
        producers.append(fault.start(count=300, run=run, resume_at=start, first=start + 1))
    producers[-1].end()
    expected = {step: whole for step, whole in expected.items() if step <= start} | logged(producers[-1])
    assert shown(fault, run) == expected
    fault.verify(*producers, status="finished")


@pytest.mark.parametrize("first_to_end", ["former", pytest.param("later", marks=pytest.mark.soak)])
def test_two_live_attempts(fault: Fault, first_to_end: str) -> None:
    """A process that was superseded and does not know it goes on: all is kept, and the later one is what is shown."""
    for _ in fault.times(short=1, long=20):
        former = fault.start(count=600, rate=1_000, interval=0.01, hold=True, then_at=20, then="assert run.flush(60)")
        former.wait_for(fault.chance.randrange(100, 300))
        start = fault.chance.randrange(10, 90)
        later = fault.start(count=400, run=former.run, resume_at=start, first=start + 1, interval=0.01, hold=True)
        for producer in (former, later) if first_to_end == "former" else (later, former):
            producer.wait_for("produced")
            producer.go_on()
            producer.end()
        expected = {step: whole for step, whole in logged(former).items() if step <= start} | logged(later)
        assert shown(fault, former.run) == expected
        fault.verify(former, later, status="finished")


@pytest.mark.parametrize("end", ["killed", pytest.param("failed", marks=pytest.mark.soak)])
def test_a_late_delivery_of_a_superseded_attempt(fault: Fault, end: str) -> None:
    """What the former process held back arrives while, or after, the next attempt records: it changes no status."""
    for index in fault.times(short=2, long=20):
        former = fault.start(
            count=None,
            rate=1_000,
            interval=1_000,
            then_at=20,
            then="assert run.flush(60)",
        )
        former.wait_for(300)
        start = fault.chance.randrange(10, 250)
        later = fault.start(count=300, run=former.run, resume_at=start, first=start + 1, interval=0.01, hold=True)
        if index % 2:
            later.wait_for("produced")
        else:
            later.wait_for(start + fault.chance.randrange(1, 200))
        if end == "killed":
            former.kill()
        else:
            former.signal(2)
            assert former.process.wait(60) in (1, -2)
        with TrainStore(fault.url) as store:
            assert store.get_run(former.run).status == "running"
        later.go_on()
        later.end()
        expected = {step: whole for step, whole in logged(former).items() if step <= start} | logged(later)
        assert shown(fault, former.run) == expected
        fault.verify(former, later, status="finished")
