"""Processes that permissions bind, and reading by one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fixtures import forkserver

#: What a process of the tests runs first.
_GIVE_UP = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import powers; powers.give_up(%s)\n"


def bound() -> str:
    """Code after which the permissions of files bind a process: root without its powers is still the owner.

    It may look into other users' folders, where a PostgreSQL server of the tests has its socket, but write nothing.
    """
    return _GIVE_UP % "powers.DAC_READ_SEARCH" if os.geteuid() == 0 else ""


def blind() -> str:
    """The same for a process that may not look into other users' folders, nor into what is closed to their owner."""
    return _GIVE_UP % "" if os.geteuid() == 0 else ""


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


def read(url: str, before: str) -> str:
    """What a process says that runs ``before``, opens a store, lists its runs and recovers."""
    done = forkserver.run(["-c", before + READ, url])
    done.check_returncode()
    return done.stdout + done.stderr
