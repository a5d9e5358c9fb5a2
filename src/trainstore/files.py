"""Writing files: each is complete under its own name, or does not exist."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from trainstore.errors import TrainStoreError


@contextmanager
def new_file(path: Path, *, force: bool) -> Iterator[IO[bytes]]:
    """A file that gets its name when the block succeeds, and leaves nothing behind otherwise.

    Without ``force``, a file that already exists, or that another process creates meanwhile, is kept: an error.
    """
    path = Path(os.path.realpath(path))
    check_free(path, force=force)
    partial = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex[:8]}.partial")
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
