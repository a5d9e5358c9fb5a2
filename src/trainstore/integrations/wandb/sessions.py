"""The runs of this process: those that are open, and the one that the module's functions mean."""

from __future__ import annotations

import atexit
import os
import sys
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from trainstore.integrations.wandb.runs import Run

_all: WeakSet[Run] = WeakSet()
_open: list[Run] = []
_current: list[Run] = []  # at most one
_last: list[Run] = []  # likewise: the current one, or the one before that ended

_watched: list[object] = []  # the finalizer of a child of multiprocessing


def current() -> Run | None:
    """``wandb.run``."""
    return _current[0] if _current else None


def latest() -> Run | None:
    """The run that is logged into: the current one, or the last one, though it has ended."""
    return _last[0] if _last else None


def open_runs() -> list[Run]:
    """The runs that this process began and nobody has finished, the newest first."""
    return _open[::-1]


def known(run: Run) -> None:
    """A run of this process, also if it came here in a pickle."""
    _all.add(run)


def opened(run: Run, *, is_global: bool) -> None:
    """A run was begun."""
    _open.append(run)
    _watch_child()
    if is_global:
        _current[:] = _last[:] = [run]


def ended(run: Run) -> None:
    """A run was finished."""
    if run in _open:
        _open.remove(run)
    if _current and _current[0] is run:
        _current.clear()


def _watch_child() -> None:
    """A child of multiprocessing leaves out the functions for the exit, but not its own finalizers."""
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None and processes.parent_process() is not None and not _watched:
        from multiprocessing.util import Finalize

        _watched.append(Finalize(None, _release, exitpriority=1))  # before that of endings.py


def _release() -> None:
    """At exit: what waits for its axis is recorded; how the runs end is settled by endings.py after this."""
    for run in open_runs():
        run.release()


def _leave_to_parent() -> None:
    """In a forked child: what it logs is recorded too, but the runs are the parent's."""
    for run in list(_all):
        run.renew()
    _open.clear()
    _watched.clear()


atexit.register(_release)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
