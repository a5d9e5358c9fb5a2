"""The parent is killed, its children live

Fault 18 of docs/guarantees.md: a forked child keeps what it inherited open, and must hold no journal by that.
tests/recording/test_processes.py has a child that sleeps.
"""

from __future__ import annotations

from faults.oracle import Fault, is_gone
from recording.support import eventually

BEFORE = "import warnings; warnings.simplefilter('ignore')"
FORK = """
import os, sys, time, children
for number in (1, 2):
    pid = os.fork()
    if pid == 0:
        if number == 2:
            children.record(run, plan, report, 2, finish=False)  # and has a journal of its own open
        report.child(f"pid{number}").tell(str(os.getpid()))
        stop = report.path + "-stop"
        while not os.path.exists(stop):
            time.sleep(0.01)
        if number == 2:
            assert run.finish(timeout=60)
        os._exit(0)
"""


def test_the_parents_journal_is_recovered_at_once(fault: Fault) -> None:
    """While one child sleeps and another still records, what the parent logged reaches the database."""
    for _ in fault.times(short=2, long=30):
        producer = fault.start(count=None, before=BEFORE, then_at=200, then=FORK, interval=1_000)
        beside = producer.report.parent
        try:
            producer.wait_for(250)
            told = [beside / f"{producer.report.name}-pid{number}" for number in (1, 2)]
            pids = [int(eventually(lambda file=file: file.exists() and file.read_text())) for file in told]
            producer.kill()
            # The second child's journal is its own and alive.
            fault.verify(producer.reports[0], status=None, journals_left=1)
        finally:
            (beside / f"{producer.report.name}-stop").touch()
        for pid in pids:
            eventually(lambda pid=pid: is_gone(pid), "the end of a child")
        fault.verify(*producer.reports, status="lost")
