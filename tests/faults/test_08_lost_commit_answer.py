"""The server commits, and its answer is lost: each time with probability 0.2."""

from __future__ import annotations

import pytest

from faults.network import SHORT_LIMITS, Network
from faults.oracle import Fault

pytestmark = pytest.mark.parametrize("backend_name", ["postgresql"])


def test_the_answer_to_commit_is_lost(fault: Fault) -> None:
    """The writer cannot know whether its transaction was stored; the watermark tells, and nothing is doubled."""
    direct = fault.url
    network = Network(direct, fault.chance)
    producer = fault.start(url=network.url, count=None, before=SHORT_LIMITS)
    producer.wait_for(0)
    network.swallow = 0.2
    wanted = 200 if fault.long else 8
    while network.swallowed < wanted:
        producer.wait_for(producer.reported.numbers[-1] + 20)
    network.swallow = 0.0
    fault.injected(network.swallowed)
    producer.kill()
    fault.verify(producer, status="lost")
    network.close()


def test_the_answer_to_the_last_commits_is_lost(fault: Fault) -> None:
    """The first commits, which make run and writer, and the last, which end them, are no exception."""
    direct = fault.url
    for _ in fault.times(short=3, long=60):
        network = Network(direct, fault.chance)
        network.swallow = 0.2
        producer = fault.start(url=network.url, count=60, before=SHORT_LIMITS, offline_ok=True)
        producer.end()
        network.close()
        assert producer.reported.stored
        fault.verify(producer, status="finished")
