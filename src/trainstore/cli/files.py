"""Writing files: each is complete under its own name, or does not exist."""

from __future__ import annotations

import os
import signal
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from trainstore.errors import TrainStoreError

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
    """A file that gets its name when the block succeeds, and leaves nothing behind otherwise, not even after SIGTERM.

    Without ``force``, a file that already exists, or that another process creates meanwhile, is kept: an error.
    """
    path = Path(os.path.realpath(path))
    check_free(path, force=force)
    partial = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex[:8]}.partial")
    with ended_by_signals():
        try:
            with _explained(path):
                file = partial.open("xb")
            with file, _explained(path):
                yield file
                file.flush()
            with _explained(path):
                _publish(partial, path, force=force)
        finally:
            with suppress(OSError):
                partial.unlink()


def check_free(path: Path, *, force: bool) -> None:
    """Raise `TrainStoreError` if no file can be written at this path."""
    if path.is_dir():
        raise TrainStoreError(f"{path} is a folder; name a file")
    if path.exists() and not path.is_file():
        raise TrainStoreError(f"{path} is not a regular file; for standard output write --output -")
    if path.exists() and not force:
        raise TrainStoreError(f"{path} already exists; --force overwrites it")
    if not path.parent.is_dir():
        raise TrainStoreError(f"the folder {path.parent} does not exist")


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


def _publish(partial: Path, path: Path, *, force: bool) -> None:
    if not force:
        try:
            os.link(partial, path)  # unlike a rename, never replaces another file
            return
        except OSError as error:  # the file exists, or the file system has no links
            if isinstance(error, FileExistsError) or path.exists():
                raise TrainStoreError(f"{path} already exists; --force overwrites it") from error
    partial.replace(path)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise TrainStoreError(f"{path} cannot be written: {error.strerror or error}") from error
