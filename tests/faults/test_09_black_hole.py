"""A network that swallows everything, passes a byte a second, or has forgotten the connection (half-open)."""

from __future__ import annotations

import time

import pytest

from faults.network import SHORT_LIMITS, Network, Way
from faults.oracle import Fault

pytestmark = pytest.mark.parametrize("backend_name", ["postgresql"])
WAYS: tuple[Way, ...] = ("hole", "trickle", "half-open")


def limits(fault: Fault) -> str:
    """The long form meets the time limits that the store ships with."""
    return "" if fault.long else SHORT_LIMITS


@pytest.mark.parametrize("way", WAYS)
def test_for_a_while(fault: Fault, way: Way) -> None:
    """Training goes on meanwhile; when the network is well again everything arrives, and late bytes double nothing."""
    direct = fault.url
    for _ in fault.times(short=1, long=3):
        network = Network(direct, fault.chance)
        producer = fault.start(url=network.url, count=None, rate=500.0, before=limits(fault))
        producer.wait_for(100)
        network.way = way
        time.sleep(600 / 3 if fault.long else 5)
        before = producer.reported.numbers[-1]
        producer.wait_for(before + 200)
        assert "cannot be written" in producer.stderr
        network.way = "pass"
        while "everything is stored" not in producer.stderr:
            producer.wait_for(producer.reported.numbers[-1] + 50)
        producer.kill()
        network.close()
        fault.verify(producer, status="lost")


@pytest.mark.parametrize("way", WAYS)
def test_until_the_end_of_the_process(fault: Fault, way: Way) -> None:
    """finish() and close() come back at their deadline, the process exits with 0, and the journal is named."""
    direct = fault.url
    for _ in fault.times(short=1, long=3):
        network = Network(direct, fault.chance)
        producer = fault.start(url=network.url, count=300, before=limits(fault), hold=True, finish_timeout=1.0)
        producer.wait_for(150)
        network.way = way
        producer.wait_for("produced")
        begun = time.monotonic()
        producer.go_on()
        producer.end()
        took = time.monotonic() - begun
        # finish() 1 s, close() 2 s (10 s) and at least 1 s for the thread to end, interpreter and all.
        assert took < (60 if fault.long else 20)
        assert not producer.reported.stored
        (left,) = (fault.folder / "journals").glob("*/*/meta.json")
        assert str(left.parent.parent) in producer.stderr
        assert "trainstore recover" in producer.stderr
        network.way = "pass"
        network.close()
        fault.verify(producer, status="finished")
