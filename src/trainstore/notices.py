"""The lines on standard error that say where a run goes, and how it ended.

They go through the logger ``trainstore`` at INFO if the program shows that, and are else printed. Silent with
``TRAINSTORE_QUIET=1``, by the logger's level, and in pytest. Nothing here raises, waits, or asks the database.
"""

from __future__ import annotations

import logging
import os
import select
import shlex
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from trainstore.backends import Backend
from trainstore.commands import command_on, place_of
from trainstore.display import duration_text

logger = logging.getLogger("trainstore")

QUIET_VARIABLE = "TRAINSTORE_QUIET"
MAX_NAME = 80  # characters; a run with a longer name is named by its uid in a command
MAX_ERROR = 120

_remarked: set[str] = set()  # names of which it was said that several runs have them


def are_wanted() -> bool:
    """Whether the lines are to be shown."""
    quiet = os.environ.get(QUIET_VARIABLE, "").lower()
    if quiet not in ("", "0", "false", "no", "off") or (not quiet and "PYTEST_CURRENT_TEST" in os.environ):
        return False
    return logger.level <= logging.INFO and not logger.disabled and logging.root.manager.disable < logging.INFO


def tell_created(backend: Backend) -> None:
    """A query found a store that its opening had just created: a mistyped path must not look like lost runs."""
    if not backend.in_memory:
        _tell(lambda: f"{place_of(backend)} is a new store, without runs")


def tell_begun(backend: Backend, prefix: str, *, name: str, uid: str, project: str, start_step: int) -> None:
    """A run begins, or goes on after ``start_step``."""

    def line() -> str:
        resumed = f" goes on after step {start_step}" if start_step >= 0 else ""
        where = "" if project == "default" else f" (project {_visible(project)})"
        look = _how_to_look(backend, prefix, _reference(name, uid))
        return f"run {_visible(name)}{resumed}{where} → {_visible(place_of(backend))}{look}"

    _tell(line)


def tell_ended(
    backend: Backend,
    prefix: str,
    *,
    name: str,
    uid: str,
    status: str,
    error: str | None,
    step: int | None,
    seconds: float,
    namesakes: int,
) -> None:
    """A run has ended; if several runs have its name, which is said once, by which uid it is found."""

    def line() -> str:
        steps = "without steps" if step is None else f"at step {step}"
        reason = f": {_visible(error.strip().splitlines()[0][:MAX_ERROR])}" if error and error.strip() else ""
        remark = ""
        if namesakes > 1 and name not in _remarked:
            _remarked.add(name)
            remark = f"; {namesakes} runs are called {_visible(name)}{_how_to_look(backend, prefix, uid)}"
        after = duration_text(timedelta(seconds=max(0.0, seconds)))  # a clock may have been set back
        return f"run {_visible(name)} {status} {steps} after {after}{reason}{remark}"

    _tell(line)


# --- A command to paste ----------------------------------------------------------------------------------------------


def _how_to_look(backend: Backend, prefix: str, run: str) -> str:
    if backend.in_memory:
        return ""
    return f"; look: {command_on(backend, prefix, f'show {run}')}"


def _reference(name: str, uid: str) -> str:
    """A run as a command takes it. Digits may be an id, a hyphen begins an option."""
    plain = name.isprintable() and not name.isdecimal() and not name.startswith(("-", "id:", "name:"))
    return shlex.quote(name) if plain and len(name) <= MAX_NAME else uid


# --- Where the lines go ----------------------------------------------------------------------------------------------


def _tell(line: Callable[[], str]) -> None:
    try:
        if not are_wanted():
            return
        if logger.isEnabledFor(logging.INFO) and logger.hasHandlers():
            logger.info("%s", line())
        else:
            _print(f"trainstore: {line()}\n")
    except Exception:  # noqa: BLE001 - no folder, nobody who reads standard error
        return


def _print(text: str) -> None:
    stream = sys.stderr
    if stream is None:  # a program without a console
        return
    encoding = stream.encoding or "ascii"
    if not _fits(text, encoding):
        text = text.replace("→", "->").encode("ascii", "replace").decode()
    data = text.encode(encoding)
    bars: Any = getattr(sys.modules.get("tqdm.std"), "tqdm", None)
    if getattr(bars, "_instances", None):
        bars.write(text, file=stream, end="")  # above the bars, which are drawn again
    elif stream is sys.__stderr__ and stream is not None:
        stream.flush()
        descriptor = stream.fileno()
        # Past the stream's buffer, which would try again at exit; and not into a pipe that is full.
        if select.select([], [descriptor], [], 0)[1]:
            os.write(descriptor, data)
    else:
        stream.write(text)
        stream.flush()


def _fits(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _visible(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
