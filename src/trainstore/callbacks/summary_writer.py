"""TensorBoard's writer: given as an object, or as a folder in which one is opened when it is first used."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainstore.errors import InvalidArgumentError, TrainStoreError

METHODS = ("add_scalar", "add_text", "flush")


class MissingTensorBoardError(TrainStoreError):
    """A folder for TensorBoard was given, and TensorBoard is not installed."""


class SummaryWriterSource:
    """The writer of one callback; None as its folder and writer: there is none.

    A writer holds threads and an open file. A pickle or a copy carries its folder instead, where the copy opens a
    writer of its own.
    """

    def __init__(self, given: Any | None) -> None:
        self._writer: Any | None = None
        self._folder: str | None = None
        self._is_own = False  # opened here, so closed here
        if given is None:
            return
        if isinstance(given, (str, os.PathLike)):
            _import_writer()
            self._folder = os.fspath(Path(given).absolute())
        elif all(callable(getattr(given, name, None)) for name in METHODS):
            self._writer = given
        else:
            raise InvalidArgumentError(
                f"summary_writer {given!r} has no {' and '.join(METHODS[:2])}; give a SummaryWriter of "
                "torch.utils.tensorboard, or the folder in which one is opened"
            )

    def __bool__(self) -> bool:
        return self._writer is not None or self._folder is not None

    @property
    def folder(self) -> str | None:
        """The folder of the event files, as far as it is known."""
        get = getattr(self._writer, "get_logdir", None)
        return self._folder if get is None else os.fspath(get())

    def make_folder(self) -> None:
        """Make the folder that was given: one that cannot be made is known before there is anything to write."""
        if self._writer is None and self._folder is not None:
            os.makedirs(self._folder, exist_ok=True)

    def open(self) -> Any | None:
        """The writer; None if there is none. Raises if it cannot be opened."""
        if self._writer is None and self._folder is not None:
            self._writer = _import_writer()(self._folder)
            self._is_own = True
        return self._writer

    def close(self) -> None:
        """Write what is buffered; close a writer that was opened here. It may be used again."""
        if self._writer is None:
            return
        if self._is_own:
            self._folder = self.folder
            writer, self._writer = self._writer, None
            writer.close()
        else:
            self._writer.flush()

    def __getstate__(self) -> dict[str, Any]:
        folder = self.folder
        return {"_writer": None if folder else self._writer, "_folder": folder, "_is_own": False}


def write_scalars(writer: Any, scalars: Mapping[str, float], step: int) -> None:
    """Write numbers, by their tags: all in one event where ``add_scalar`` would write one for each."""
    file = file_writer_of(writer)
    if file is None:
        for tag, value in scalars.items():
            writer.add_scalar(tag, value, step)
    elif scalars:
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        file.add_summary(Summary(value=values), step)


def as_code(text: str) -> str:
    """A text as a block of code, which is shown as it is: TensorBoard reads texts as Markdown."""
    return "\n".join(f"    {line}" for line in text.split("\n"))


def file_writer_of(writer: Any) -> Any | None:
    """What is inside the writer of torch, and takes whole summaries; None if it is another library's.

    tensorboardX has something of that name, too, which takes summaries of its own. A subclass that changes
    ``add_scalar`` wants to see each scalar.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    is_of_torch = getattr(type(writer), "add_scalar", None) is SummaryWriter.add_scalar
    return writer._get_file_writer() if is_of_torch else None


def _import_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingTensorBoardError("TensorBoard is not installed: pip install 'trainstore[tensorboard]'") from error
    return SummaryWriter
