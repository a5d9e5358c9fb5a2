"""SIGKILL: at random times while records are logged; in start-up, first migration, finish() and recovery.

Number 1 of the menu. tests/recording/test_killed.py kills attempts of one run that is resumed again and again.
"""

from __future__ import annotations

import time

from faults.oracle import Fault


def test_at_random_times(fault: Fault) -> None:
    """Whenever it dies: what log() returned for is stored once, and the run is shown as lost."""
    for _ in fault.times(short=4):
        producer = fault.start(count=None)
        producer.wait_for(fault.chance.randrange(100))
        time.sleep(fault.chance.uniform(0, 0.5))
        producer.kill()
        fault.verify(producer, status="lost")
