"""A checkpoint as one file of plain data: whole or not there, and read without running anything in it."""

from __future__ import annotations

import enum
import glob
import logging
import os
import pickle
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from trainstore.configs import plain_config
from trainstore.errors import CheckpointError, InvalidArgumentError

logger = logging.getLogger("trainstore")

VERSION = 1  # of what we put into a checkpoint
KEY = "trainstore_version"
BESIDE = ".writing-"  # begins the name of a file that is being written


def plain(content: Any, where: str = "") -> Any:
    """A copy that ``torch.load(weights_only=True)`` reads: tensors, numbers, texts, and containers of them.

    Numbers and arrays of NumPy, enums, paths and configuration objects become what they mean.

    Raises:
        InvalidArgumentError: Something else, named by its place.
    """
    if content is None or type(content) in (bool, int, float, str, bytes, complex):
        return content
    if isinstance(content, torch.Tensor):
        return content
    if isinstance(content, enum.Enum):
        return plain(content.value, where)
    if isinstance(content, os.PathLike):
        return os.fspath(content)
    if type(content).__module__ == "numpy":
        return _of_numpy(content, where)
    content = plain_config(content)
    if isinstance(content, Mapping):
        return {plain(name, where): plain(value, f"{where}.{name}".strip(".")) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        items = [plain(value, f"{where}[{index}]") for index, value in enumerate(content)]
        return tuple(items) if isinstance(content, tuple) else items
    if isinstance(content, (bool, int, float, str)):  # a subclass, as numpy.float64 is
        return next(kind(content) for kind in (bool, int, float, str) if isinstance(content, kind))
    if isinstance(content, (torch.dtype, torch.device, torch.Size)):
        return content
    raise InvalidArgumentError(
        f"{where or 'the checkpoint'} is a {type(content).__qualname__}, which a checkpoint cannot keep: it holds "
        "tensors, numbers, texts, and lists and dicts of them"
    )


def _of_numpy(value: Any, where: str) -> Any:
    if getattr(value, "ndim", 0) == 0:
        return plain(value.item(), where)
    try:
        return torch.from_numpy(value.copy())
    except TypeError:  # of texts or objects
        return plain(value.tolist(), where)


def write_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file of plain data; until it is whole and on the disk, the former one stays.

    Raises:
        CheckpointError: It cannot be written; the former file is as it was.
        InvalidArgumentError: The content is not plain data.
    """
    data = plain({KEY: VERSION, **content})
    beside = path.parent / f"{BESIDE}{os.getpid()}-{path.name}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        with open(beside, "wb") as file:
            torch.save(data, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        _sync(path.parent)
    except (OSError, RuntimeError) as error:  # PyTorch says RuntimeError when a disk is full
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise CheckpointError(f"{path} cannot be written ({error})") from error


def _remove_leftovers(path: Path) -> None:
    """What a killed process left of this file."""
    for left in path.parent.glob(f"{BESIDE}*-{glob.escape(path.name)}"):
        with suppress(OSError):
            left.unlink()


def _sync(folder: Path) -> None:
    """Make the renaming last. Some systems cannot sync a folder."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a file of plain data, its tensors on the CPU.

    Raises:
        CheckpointError: It is not there, is cut short, is not a checkpoint, holds more than plain data (which is not
            loaded, since it could run any code), or was written by a later trainstore.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no checkpoint {os.fspath(path)}") from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{os.fspath(path)} holds more than plain data, or is not a checkpoint; it is not loaded, because that "
            "could run any code in it"
        ) from error
    except Exception as error:  # what PyTorch raises depends on the place of the damage
        raise CheckpointError(
            f"{os.fspath(path)} cannot be read: it is cut short or not a checkpoint ({error})"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{os.fspath(path)} holds a {type(content).__name__}, not a checkpoint")
    version = content.pop(KEY, VERSION)
    if not isinstance(version, int) or version > VERSION:
        raise CheckpointError(
            f"{os.fspath(path)} has the format {version}, which this trainstore does not know (it knows {VERSION}): "
            "install a later one"
        )
    return content


def newest_checkpoint(folder: Path, pattern: str) -> Path | None:
    """The file that was written last; None if there is none."""
    found = [path for path in folder.glob(pattern) if not path.name.startswith(BESIDE)]
    return max(found, key=lambda path: (path.stat().st_mtime_ns, path.name), default=None)
