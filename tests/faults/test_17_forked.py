"""Forks, multiprocessing, workers of a DataLoader

Fault 17 of docs/guarantees.md: in the middle of writing, while locks are held, with a garbage collection in the child.
tests/recording/test_processes.py forks while other threads log, flush and query, and a store in memory.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.oracle import Fault, is_gone, read_reports
from recording.support import eventually

pytestmark = pytest.mark.usefixtures("ends_in_full")

BEFORE = "import warnings; warnings.simplefilter('ignore')  # Python warns of a fork beside threads"


@pytest.mark.parametrize("finish", [True, False], ids=["finished", "left"])
def test_forked_children_record(fault: Fault, finish: bool) -> None:
    """Parent and children log into one run at once, each by its own writer; a child that just ends is recovered."""
    for _ in fault.times(short=1, long=20):
        fork = f"import children; pids = [children.fork(run, plan, report, n, finish={finish}) for n in (1, 2, 3)]"
        producer = fault.start(
            count=None, before=BEFORE, then_at=fault.chance.randrange(1, 300), then=fork, interval=0.01
        )
        producer.wait_for(500)
        producer.kill()
        for number in (1, 2, 3):
            report = producer.report.with_name(f"{producer.report.name}-c{number}")
            eventually(lambda report=report: has_ended(report), f"the end of child {number}")
        assert [len(child.numbers) for child in producer.reports[1:]] == [60] * 3
        fault.verify(producer, status="lost")


def has_ended(report: Path) -> bool:
    """Whether the child of this report, which may not have come to its first line yet, is gone."""
    children = read_reports(report)
    return bool(children) and is_gone(children[0].pid)


def test_a_fork_while_locks_are_held(fault: Fault) -> None:
    """A lock that another thread held when the child was made keeps nobody in the child waiting."""
    fault.injected()
    fork = """
import children, threading
from trainstore.recording import journal

service, recorder = run._service, run._recorder
delivery = service._delivery
locks = [recorder.journal._guard, run._guard, delivery._guard, delivery._stored, journal.folder._live_guard]
held, forked = threading.Event(), threading.Event()

def hold():
    for lock in locks:
        lock.acquire()
    held.set()
    forked.wait()
    for lock in reversed(locks):
        lock.release()

threading.Thread(target=hold).start()
held.wait()
pid = children.fork(run, plan, report, 1)
forked.set()
children.wait_for(pid)
"""
    producer = fault.start(count=300, before=BEFORE, then_at=150, then=fork)
    producer.end()
    # The child keeps the parent waiting for longer than a call of log() should take, but not in log().
    fault.verify(producer, status="finished")


def test_forks_between_commits_of_every_kind(fault: Fault) -> None:
    """Many children, one after the other, while the delivery thread commits all the time."""
    fork = f"""
import children
for number in range(1, {41 if fault.long else 9}):
    children.wait_for(children.fork(run, plan, report, number))
"""
    producer = fault.start(count=400, before=BEFORE, then_at=200, then=fork, interval=0.001)
    fault.injected(40 if fault.long else 8)
    producer.end()
    fault.verify(producer, status="finished")


@pytest.mark.parametrize("method", ["fork", pytest.param("forkserver", marks=pytest.mark.soak), "spawn"])
def test_children_of_multiprocessing(fault: Fault, method: str) -> None:
    """Forked children use the handle that they inherit; the others open the store and join the run."""
    fault.injected(2)
    if method == "fork":
        children = "[(children.record, (run, plan, report, n), {'finish': n == 1}) for n in (1, 2)]"
    else:
        children = "[(children.join, (plan.url, run.uid, plan, plan.report, n), {}) for n in (1, 2)]"
    then = f"""
import children, multiprocessing
assert run.flush(60)
context = multiprocessing.get_context({method!r})
processes = [context.Process(target=t, args=a, kwargs=k) for t, a, k in {children}]
for process in processes:
    process.start()
for process in processes:
    process.join()
assert [process.exitcode for process in processes] == [0, 0]
"""
    producer = fault.start(count=300, before=BEFORE, then_at=100, then=then)
    producer.end()
    assert [len(child.numbers) for child in producer.reports[1:]] == [60, 60]
    fault.verify(producer, status="finished")


@pytest.mark.parametrize("method", ["fork", pytest.param("forkserver", marks=pytest.mark.soak)])
def test_workers_of_a_data_loader(fault: Fault, method: str) -> None:
    """Workers that log what they fetch, several at once, end when the loader does; nothing of theirs is missing.

    Forked ones use the handle that they inherit, the others join the run.
    """
    workers = 8 if fault.long else 2
    fault.injected(workers)
    load = f"""
import children
from torch.utils.data import DataLoader
assert run.flush(60)
samples = children.Samples(plan, run.uid, run if {method!r} == "fork" else None, 64)
loader = DataLoader(samples, batch_size=4, num_workers={workers}, multiprocessing_context={method!r})
assert [int(index) for batch in loader for index in batch] == list(range(64))
"""
    producer = fault.start(libraries="trainer", count=300, before=BEFORE, then_at=100, then=load)
    producer.end()
    assert sorted(number for child in producer.reports[1:] for number in child.numbers) == list(range(64))
    fault.verify(producer, status="finished")
