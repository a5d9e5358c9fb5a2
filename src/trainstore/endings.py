"""How a run ends if nobody calls ``finish()``: by an exception, with its store, or with its process.

One rule says what an exception means, `ending_of`. A process that ends tells little: ``sys.last_exc`` is an exception
that nobody caught, but a SystemExit is not kept anywhere, so ``sys.exit`` (with ``exit`` and ``quit``) is replaced by a
function that notes its argument and calls the original. Whether the main program was left by an exception at all can be
seen in its frame. If that was a SystemExit of which nothing is known (``raise SystemExit(n)``), the run is left open,
and shown as lost.
"""

from __future__ import annotations

import atexit
import builtins
import functools
import opcode
import os
import sys
import threading
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn, Protocol

import trainstore.recording.service  # noqa: F401 - what is registered for the exit first is called last

Ending = tuple[str, str | None]  # status, error

CHILD_TIMEOUT = 1.0  # seconds that a child of multiprocessing waits until the end of its runs is stored


class Unfinished(Protocol):
    """A run that this process opened and nobody has finished."""

    def _end(self, status: str, error: str | None, by: str) -> None:
        """Record its end, without waiting; never raises."""

    def _belongs_to(self, service: Any) -> bool:
        """Whether this service records it."""

    def _wait_if_reachable(self, timeout: float) -> None:
        """Wait until it is stored, unless the database is away."""


@dataclass
class _Opened:
    """Where and when a run was opened."""

    thread: threading.Thread
    main: FrameType | None
    before: frozenset[tuple[int, int] | None]  # exceptions that were there already: they did not end this run
    ending: Ending | None = None  # of an exception that ended the thread

    def knew(self, error: BaseException | None) -> bool:
        """Whether it was there before the run."""
        return error is not None and identity_of(error) in self.before


_unfinished: dict[Unfinished, _Opened] = {}  # strong: nobody else may hold a handle that was opened in a function
_exit_argument: list[Any] = []  # of the last call of sys.exit in the main thread
_exit = sys.exit
_hooks_set: set[str] = set()


def ending_of(error: BaseException | None) -> Ending:
    """Status and error of a run that ended by itself (None) or by this exception.

    Neither ``sys.exit(0)`` is a failure nor a trial that Optuna prunes.
    """
    if error is None or (isinstance(error, SystemExit) and (error.code is None or error.code == 0)):
        return "finished", None
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", describe_exception(error)
    pruned = any(kind.__name__ == "TrialPruned" and kind.__module__.startswith("optuna") for kind in type(error).mro())
    return "pruned" if pruned else "failed", describe_exception(error)


def describe_exception(error: BaseException) -> str:
    """Type and text of an exception, as ``run.error`` holds it."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001
        text = "(its text cannot be read)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def watch(run: Unfinished) -> None:
    """The run was opened by this process, and ends with it at the latest."""
    thread = threading.current_thread()
    before = [identity_of(error) for error in (_uncaught(), sys.exc_info()[1]) if error is not None]
    _unfinished[run] = _Opened(thread, _main_frame(), frozenset(before))
    if thread is not threading.main_thread():
        _watch_threads()
    _watch_child()


def forget(run: Unfinished) -> None:
    """The run was finished."""
    _unfinished.pop(run, None)


def end_with_store(service: Any) -> None:
    """A store is closed: its runs end, as the exception says that is being handled, if there is one."""
    _end([run for run in list(_unfinished) if run._belongs_to(service)], "close")


def _end(runs: list[Unfinished], by: str) -> None:
    error = sys.exc_info()[1]
    for run in runs:
        opened = _unfinished.pop(run, None)
        if opened is not None:
            run._end(*ending_of(None if opened.knew(error) else error), by)


# --- The end of the process ------------------------------------------------------------------------------------------


def _end_with_process() -> None:
    """Called before recording/service.py delivers at exit."""
    for run, opened in list(_unfinished.items()):
        ending = opened.ending or _ending_of_process(opened)
        if ending is not None:
            run._end(*ending, "exit")
    _unfinished.clear()


def _ending_of_process(opened: _Opened) -> Ending | None:
    error = _uncaught()
    if error is not None and not opened.knew(error):
        return ending_of(error)
    returned = _has_returned(opened.main)
    if returned is not True and _exit_argument:
        return ending_of(SystemExit(_exit_argument[0]))
    return None if returned is False else ("finished", None)


def _uncaught() -> BaseException | None:
    """The last exception that nobody caught: in a script the one that ends it, in a notebook that of some cell."""
    error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    return error if isinstance(error, BaseException) else None


def identity_of(error: BaseException | None) -> tuple[int, int] | None:
    """What tells an exception from another. Not itself: it would keep alive everything that its frames hold."""
    return None if error is None else (id(error), id(error.__traceback__))


def _main_frame() -> FrameType | None:
    """The frame of the main program, if it is a module's, which holds nothing that does not live on anyway."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None and frame.f_back is not None:
        frame = frame.f_back
    return frame if frame is not None and frame.f_code.co_name in ("<module>", "_run_module_as_main") else None


def _has_returned(frame: FrameType | None) -> bool | None:
    """Whether it was left by returning, not by an exception; None if nobody knows. Tried on Python 3.11 to 3.13."""
    current: FrameType | None = sys._getframe()
    while current is not None:
        if current is frame:  # somebody calls the functions for the exit before it
            return None
        current = current.f_back
    if frame is None or frame.f_lasti < 0:
        return None
    return opcode.opname[frame.f_code.co_code[frame.f_lasti]].startswith("RETURN")


@functools.wraps(_exit)
def _noted_exit(status: Any = None, /) -> NoReturn:
    _note_exit(status)
    _exit(status)


def _note_exit(status: Any) -> None:
    if threading.current_thread() is threading.main_thread():
        _exit_argument[:] = [status]


def _note_quitters() -> None:
    """``exit`` and ``quit``, which raise SystemExit without sys.exit. IPython has others, and python -S none."""
    quitter: Any = type(getattr(builtins, "exit", None))
    if quitter.__module__ != "_sitebuiltins":
        return
    call = quitter.__call__

    @functools.wraps(call)
    def noted(self: Any, code: Any = None) -> Any:
        _note_exit(code)
        return call(self, code)

    quitter.__call__ = noted


# --- Threads, processes ----------------------------------------------------------------------------------------------


def _watch_threads() -> None:
    """From now on an exception that ends a thread is known. Once: whoever replaces the hook later may call this one."""
    if "threads" in _hooks_set:
        return
    _hooks_set.add("threads")
    previous = threading.excepthook

    def note(args: threading.ExceptHookArgs, /) -> None:
        for opened in list(_unfinished.values()):
            if opened.thread is args.thread and args.exc_value is not None:
                opened.ending = ending_of(args.exc_value)
        previous(args)

    threading.excepthook = note


def _watch_child() -> None:
    """A child of multiprocessing leaves out the functions for the exit, but not its own finalizers."""
    processes = sys.modules.get("multiprocessing.process")
    if processes is None or processes.parent_process() is None or "child" in _hooks_set:
        return
    from multiprocessing.util import Finalize

    _hooks_set.add("child")
    Finalize(None, _end_with_child, exitpriority=0)


def _end_with_child() -> None:
    runs = list(_unfinished)
    _end(runs, "exit")  # it is called while an exception passes
    for run in runs:
        run._wait_if_reachable(CHILD_TIMEOUT)


def _forget_in_child() -> None:
    """After a fork: the runs are the parent's, and end with it."""
    _unfinished.clear()
    _exit_argument.clear()
    _hooks_set.discard("child")


# At import: `sys.exit(main())` looks the function up before main() opens a run.
sys.exit = _noted_exit
_note_quitters()
atexit.register(_end_with_process)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
