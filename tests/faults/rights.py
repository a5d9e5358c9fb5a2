"""Processes that permissions bind, and reading by one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOT_TESTED = "not tested: as root, without setpriv"


def bound() -> tuple[str, ...]:
    """What comes before a command so that the permissions of files bind it: root without its powers is still the owner.

    It may look into other users' folders, where a PostgreSQL server of the tests has its socket, but write nothing.
    """
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip(NOT_TESTED)
    return ("setpriv", "--inh-caps=-all", "--bounding-set=-all,+dac_read_search")


def blind() -> tuple[str, ...]:
    """The same for a process that may not look into other users' folders, nor into what is closed to their owner."""
    return () if os.geteuid() != 0 else (*bound()[:-1], "--bounding-set=-all")


@contextmanager
def mode(path: Path, bits: int) -> Iterator[None]:
    """A file or folder with these permissions for the length of a block."""
    before = path.stat().st_mode & 0o777
    path.chmod(bits)
    try:
        yield
    finally:
        path.chmod(before)


READ = """
import sys
from trainstore.store import TrainStore
try:
    with TrainStore(sys.argv[1]) as store:
        print("runs", len(store.list_runs()))
        print("failed", *store.recovered.failed.values(), sep=":")
        print("recovered", len(store.recovered.runs))
except Exception as error:
    print(type(error).__name__, error)
"""


def read(url: str, command: tuple[str, ...]) -> str:
    """What a process says that opens a store, lists its runs and recovers."""
    script = [*command, sys.executable, "-c", READ, url]
    done = subprocess.run(script, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout + done.stderr
