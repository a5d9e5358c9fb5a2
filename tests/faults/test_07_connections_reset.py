"""Connections to PostgreSQL are reset at random, in the middle of anything."""

from __future__ import annotations

import pytest

from faults.network import SHORT_LIMITS, Network
from faults.oracle import Fault

pytestmark = pytest.mark.parametrize("backend_name", ["postgresql"])


def test_at_random_while_recording(fault: Fault) -> None:
    """A reset may meet the start of a connection, a transaction, its COMMIT: nothing is lost or doubled."""
    direct = fault.url
    network = Network(direct, fault.chance)
    producer = fault.start(url=network.url, count=None, before=SHORT_LIMITS, hold=True)
    producer.wait_for(0)
    network.reset = 0.05
    wanted = 300 if fault.long else 20
    while network.resets < wanted:
        producer.wait_for(producer.reported.numbers[-1] + 20)
    network.reset = 0.0
    fault.injected(network.resets)
    assert producer.process.poll() is None
    producer.kill()
    fault.verify(producer, status="lost")
    network.close()


def test_to_the_end_of_a_run(fault: Fault) -> None:
    """Also finish() and close() under resets: the run ends finished, and everything is stored."""
    direct = fault.url
    for _ in fault.times(short=2, long=30):
        network = Network(direct, fault.chance)
        producer = fault.start(url=network.url, count=400, before=SHORT_LIMITS)
        producer.wait_for(0)
        network.reset = 0.02
        producer.end()
        network.close()
        fault.verify(producer, status="finished")
