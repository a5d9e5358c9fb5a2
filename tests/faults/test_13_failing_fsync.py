"""The disk refuses to flush: fdatasync fails with EIO, again and again

Fault 13 of docs/guarantees.md: the system call fails in the producer's process, for the journal and, on SQLite, for the
database (SQLITE_IOERR_FSYNC). What the kernel then holds is not to be trusted: the journal is written anew, the
transaction runs again. tests/recording/test_journal.py looks at the files. Not tested: a disk that really fails.
"""

from __future__ import annotations

import shutil
import subprocess

import pytest

from faults.oracle import Fault

STRACE = shutil.which("strace")


def can_inject() -> bool:
    """Whether strace is there, and may trace: in some containers it may not."""
    return STRACE is not None and subprocess.run([STRACE, "true"], capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not can_inject(), reason="not tested: strace is not installed, or may not trace")


def failing(fault: Fault, first: int, every: int) -> list[str]:
    """The command that lets each ``every``-th fdatasync fail, from the ``first`` one on."""
    assert STRACE
    log = str(fault.folder / f"strace{len(fault.started)}")
    inject = f"inject=fdatasync:error=EIO:when={first}+{every}"
    return [STRACE, "-f", "-qq", "-o", log, "-e", "trace=fdatasync", "-e", inject]


def injected(fault: Fault) -> int:
    """How many calls failed."""
    return sum(path.read_text().count("(INJECTED)") for path in fault.folder.glob("strace*"))


@pytest.mark.parametrize("every", [2, pytest.param(5, marks=pytest.mark.soak)])
def test_again_and_again(fault: Fault, every: int) -> None:
    """Training goes on, finishes by itself, and everything is stored once."""
    for _ in fault.times(short=1, long=20):
        before = injected(fault)
        producer = fault.start(
            count=600, rate=200, command=failing(fault, fault.chance.randrange(1, 9), every), finish_timeout=60.0
        )
        producer.end()
        assert injected(fault) > before + 2
        # Traced, a call takes longer.
        fault.verify(producer, status="finished", p99_ms=500)
    fault.tally.injected = injected(fault)


def test_killed_between_failures(fault: Fault) -> None:
    """What log() returned for was written, whether the disk took it or not: the death of the process loses nothing."""
    for _ in fault.times(short=1, long=20):
        producer = fault.start(count=None, rate=200, command=failing(fault, 2, 2))
        producer.wait_for(fault.chance.randrange(100, 500))
        subprocess.run(["kill", "-KILL", str(producer.reported.pid)], check=True)
        producer.end(code=-9)
        fault.verify(producer, status="lost", p99_ms=500)
    fault.tally.injected = injected(fault)
