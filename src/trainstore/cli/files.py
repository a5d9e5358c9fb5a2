"""Files that a command writes: whole or not there, whatever signal ends the command."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from trainstore import files
from trainstore.errors import TrainStoreError
from trainstore.files import check_free

__all__ = ["check_free", "ended_by_signals", "new_file", "path_of"]

_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


def path_of(text: str) -> Path:
    """A path as a user typed it; ``~`` is the home folder."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise TrainStoreError(
            f"no home folder is known for the ~ in {text}; set HOME, or write the full path"
        ) from error


@contextmanager
def new_file(path: Path, *, force: bool) -> Iterator[IO[bytes]]:
    """As `files.new_file`; nothing is left behind after SIGTERM either."""
    with ended_by_signals(), files.new_file(path, force=force) as file:
        yield file


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise `SystemExit`, so that an incomplete file is removed.

    Only while a command writes one; such a process is not training.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _frame: Any) -> None:
        for each in _ENDING:
            signal.signal(each, signal.SIG_IGN)  # a second signal would interrupt the clean-up
        sys.exit(128 + number)

    # An ignored signal (nohup) stays ignored.
    before = {each: signal.signal(each, end) for each in _ENDING if signal.getsignal(each) is not signal.SIG_IGN}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
