"""Signals and other ends of a process

Fault 3 of docs/guarantees.md: SIGTERM, SIGHUP, SIGINT once and twice, a segmentation fault, os._exit, sys.exit in a
forked child, an exception. tests/recording/test_processes.py has the statuses of runs as context managers.
"""

from __future__ import annotations

import signal
import time

import pytest

from faults.oracle import Fault

pytestmark = pytest.mark.usefixtures("ends_in_full")

#: Ctrl-C as in a shell's foreground, whatever this process was started from.
CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"


@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.soak), signal.SIGINT],
    ids=lambda number: number.name,
)
def test_a_signal_ends_it(fault: Fault, number: signal.Signals) -> None:
    """The process ends by the signal, as if nothing of ours were there; Ctrl-C marks the run interrupted."""
    for _ in fault.times(short=1, long=10):
        producer = fault.start(count=None, before=CTRL_C)
        producer.wait_for(fault.chance.randrange(50, 300))
        producer.signal(number)
        producer.end(code=-number, timeout=60)
        fault.verify(producer, status="interrupted" if number == signal.SIGINT else "lost")


def test_ctrl_c_twice(fault: Fault) -> None:
    """The second one cuts the delivery at exit short; what was not delivered is in the journal."""
    for index in fault.times(short=2, long=10):
        producer = fault.start(count=20_000, rate=0, interval=1_000, before=CTRL_C)
        producer.wait_for(fault.chance.randrange(2_000, 3_000))
        producer.signal(signal.SIGINT)
        time.sleep(0.02 * (index % 5))
        producer.signal(signal.SIGINT)
        assert producer.process.wait(30) in (1, -signal.SIGINT), producer.stderr
        fault.verify(producer, status=None)


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGHUP, marks=pytest.mark.soak),
        pytest.param(signal.SIGINT, marks=pytest.mark.soak),
    ],
    ids=lambda number: number.name,
)
def test_the_users_own_handler_runs(fault: Fault, number: signal.Signals) -> None:
    """A handler that was set before the store was opened is called, and may go on or leave in its own way."""
    fault.injected()
    before = f"import signal; signal.signal({number}, lambda number, frame: report.tell(f'handled {{number}}'))"
    producer = fault.start(count=None, before=before, then_at=400, then=f"raise SystemExit({number + 100})")
    producer.wait_for(100)
    producer.signal(number)
    producer.wait_for(f"handled {number}")
    producer.end(code=number + 100)
    fault.verify(producer, status="lost")


@pytest.mark.parametrize(
    ("code", "exit_status", "status"),
    [
        ("import os; os._exit(3)", 3, "lost"),
        pytest.param("raise SystemExit(4)", 4, "lost", marks=pytest.mark.soak),
        ("raise ValueError('no more data')", 1, "failed"),
        ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV, "lost"),
        pytest.param("import os; os.abort()", -signal.SIGABRT, "lost", marks=pytest.mark.soak),
    ],
    ids=["os._exit", "sys.exit", "exception", "segmentation fault", "abort"],
)
def test_other_ends(fault: Fault, code: str, exit_status: int, status: str) -> None:
    """However it ends, the exit status is its own and what log() returned for is stored."""
    for _ in fault.times(short=1, long=5):
        producer = fault.start(count=None, then_at=fault.chance.randrange(1, 400), then=code)
        producer.end(code=exit_status, timeout=60)
        fault.verify(producer, status=status)


@pytest.mark.parametrize(
    "end",
    [
        "sys.exit(0)",
        pytest.param("os._exit(0)", marks=pytest.mark.soak),
        pytest.param("raise ValueError('in the child')", marks=pytest.mark.soak),
    ],
)
def test_a_forked_child_ends(fault: Fault, end: str) -> None:
    """A child's end, exit handlers and all, is not its parent's: that goes on and finishes its run."""
    fault.injected()
    fork = f"""
import os, sys
pid = os.fork()
if pid == 0:
    {end}
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
assert status == {int("raise" in end)}, status
"""
    producer = fault.start(count=300, then_at=150, then=fork)
    producer.end()
    assert "not stored" not in producer.stderr
    fault.verify(producer, status="finished")
