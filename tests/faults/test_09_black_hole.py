"""A network that swallows everything, passes a byte a second, or has forgotten the connection (half-open)."""

from __future__ import annotations

import time

import pytest

from faults.databases import stored, terminate
from faults.network import SHORT_LIMITS, Network, Way
from faults.oracle import Fault
from recording.support import eventually

pytestmark = pytest.mark.parametrize("backend_name", ["postgresql"])


def limits(fault: Fault) -> str:
    """The long form meets the time limits that the store ships with."""
    return "" if fault.long else SHORT_LIMITS


@pytest.mark.parametrize("way", ["hole", pytest.param("trickle", marks=pytest.mark.soak), "half-open"])
def test_for_a_while(fault: Fault, way: Way) -> None:
    """Training goes on meanwhile; when the network is well again everything arrives, and late bytes double nothing."""
    direct = fault.url
    for _ in fault.times(short=1, long=3):
        network = Network(direct, fault.chance)
        producer = fault.start(url=network.url, count=None, rate=500.0, before=limits(fault))
        producer.wait_for(100)
        network.way = way
        time.sleep(60 if fault.long else 5)
        before = producer.reported.numbers[-1]
        producer.wait_for(before + 200)
        assert "cannot be written" in producer.stderr
        network.way = "pass"
        while "everything is stored" not in producer.stderr:
            producer.wait_for(producer.reported.numbers[-1] + 50)
        producer.kill()
        network.close()
        fault.verify(producer, status="lost")


@pytest.mark.parametrize(
    "way",
    [
        "hole",
        pytest.param("trickle", marks=pytest.mark.soak),
        pytest.param("half-open", marks=pytest.mark.soak),
    ],
)
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


@pytest.mark.parametrize(
    "statement",
    [
        b"version_num",
        pytest.param(b"SELECT store.uid \nFROM", marks=pytest.mark.soak),
        pytest.param(b"set_config", marks=pytest.mark.soak),
        pytest.param(b"INSERT", marks=pytest.mark.soak),
        b"COMMIT",
    ],
)
def test_one_connection_dies_at_a_statement(fault: Fault, statement: bytes) -> None:
    """Whatever the writer was about to ask when it connects again: it waits no longer than its time limit."""
    direct = fault.url
    for _ in fault.times(short=1, long=3):
        network = Network(direct, fault.chance)
        producer = fault.start(url=network.url, count=None, rate=500.0, before=limits(fault))
        producer.wait_for(100)
        network.dies_at = statement
        terminate(direct)
        eventually(lambda network=network: network.dies_at is None, f"{statement!r}")
        told = producer.reported.numbers[-1]
        eventually(lambda told=told, run=producer.run: stored(direct, run) > told, "delivery")
        producer.kill()
        network.close()
        fault.verify(producer, status="lost")


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param(b"pg_catalog.version", marks=pytest.mark.soak),
        b"version_num",
        pytest.param(b"writer.acked", marks=pytest.mark.soak),
        pytest.param(b"set_config", marks=pytest.mark.soak),
        b"INSERT",
        pytest.param(b"COMMIT", marks=pytest.mark.soak),
    ],
)
def test_it_dies_while_a_store_is_opened(fault: Fault, statement: bytes) -> None:
    """Opening ends at its time limit too; what it could not recover, the next opening does."""
    direct = fault.url
    for _ in fault.times(short=1, long=3):
        killed = fault.start(count=None, rate=500.0)
        killed.wait_for(100)
        killed.kill()
        network = Network(direct, fault.chance)
        network.dies_at = statement
        producer = fault.start(url=network.url, count=100, offline_ok=True, before=limits(fault))
        producer.end()
        assert network.dies_at is None
        network.close()
        fault.verify(producer, status="finished")
        fault.verify(killed, status="lost")
