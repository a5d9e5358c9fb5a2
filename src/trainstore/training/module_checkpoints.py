"""The checkpoints of a `TrainerModule`: a folder for each, whole or not there.

::

    checkpoints/checkpoint_<step>/
        model.safetensors   the weights
        optimizer.pt        the states of optimizer and scheduler
        training.pt         everything else that a training needs to go on
        metadata.json       the step, the epoch, and the configurations
        metrics.json        the metrics, and the value that the best model is chosen by
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from trainstore.errors import CheckpointError
from trainstore.training.checkpoint_file import read_checkpoint, write_checkpoint

FOLDER = "checkpoints"
PREFIX = "checkpoint_"
WRITING = ".writing-"  # begins the name of a folder that is being written
REPLACED = ".replaced-"  # and that of one whose place a new one takes
MODEL, OPTIMIZER, TRAINING = "model.safetensors", "optimizer.pt", "training.pt"
METADATA, METRICS = "metadata.json", "metrics.json"


def write_folder(
    path: Path,
    model: Mapping[str, torch.Tensor],
    optimizer: Mapping[str, Any] | None,
    training: Mapping[str, Any] | None,
    metadata: Mapping[str, Any],
    metrics: Mapping[str, Any],
) -> None:
    """Write one checkpoint; until it is whole and on the disk, a former one of the same step stays.

    Raises:
        CheckpointError: It cannot be written.
        InvalidArgumentError: Something in it is not plain data.
    """
    beside = path.parent / f"{WRITING}{path.name}"
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        tensors, names = _flat(model)
        save_file(tensors, beside / MODEL, names)
        if optimizer is not None:
            write_checkpoint(beside / OPTIMIZER, optimizer)
        if training is not None:
            write_checkpoint(beside / TRAINING, training)
        for name, content in ((METADATA, metadata), (METRICS, metrics)):
            text = json.dumps(_strict(content), indent=2, default=str)
            (beside / name).write_text(text + "\n", encoding="utf-8")
        for file in (*beside.iterdir(), beside):
            _sync(file)
        _put(beside, path)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise CheckpointError(f"{path} cannot be written ({error})") from error
    except CheckpointError:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _put(beside: Path, path: Path) -> None:
    replaced = path.parent / f"{REPLACED}{path.name}"
    shutil.rmtree(replaced, ignore_errors=True)
    if path.exists():
        os.replace(path, replaced)
    os.replace(beside, path)
    _sync(path.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flat(model: Mapping[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors without shared ones, and for each of these the name that it is kept under."""
    tensors: dict[str, torch.Tensor] = {}
    names: dict[str, str] = {}
    first: dict[tuple[Any, ...], str] = {}
    for name, value in model.items():
        if not isinstance(value, torch.Tensor):
            raise CheckpointError(f"{name!r} in the model's state is a {type(value).__name__}, not a tensor")
        key = (value.device, value.data_ptr(), tuple(value.shape), value.stride(), value.dtype)
        if value.numel() and key in first:
            names[name] = first[key]
            continue
        first[key] = name
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
    return tensors, names


def read_model(path: Path) -> dict[str, torch.Tensor]:
    """The weights in a checkpoint. Raises CheckpointError."""
    file = path / MODEL
    try:
        from safetensors import safe_open

        tensors: dict[str, torch.Tensor] = load_file(file)
        with safe_open(file, "pt") as opened:
            names = opened.metadata() or {}
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is not a checkpoint of a TrainerModule: it has no {MODEL}") from error
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file} cannot be read: it is cut short or damaged ({error})") from error
    return {**tensors, **{name: tensors[kept] for name, kept in names.items() if kept in tensors}}


def read_json(file: Path) -> dict[str, Any]:
    """A file of a checkpoint. Raises CheckpointError."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{file.parent} has no {file.name}") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file} cannot be read ({error})") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{file} holds no JSON object")
    return found


def read_part(path: Path, name: str) -> dict[str, Any] | None:
    """Plain data of a checkpoint; None if it has none. Raises CheckpointError."""
    file = path / name
    return read_checkpoint(file) if file.exists() else None


# --- Which ones there are ---------------------------------------------------------------------------------------------


def checkpoints_in(folder: Path) -> dict[int, Path]:
    """The checkpoints in a folder by their steps, the earliest first."""
    found: dict[int, Path] = {}
    for path in folder.glob(f"{PREFIX}*"):
        number = path.name.removeprefix(PREFIX)
        if number.isdigit() and path.is_dir():
            found[int(number)] = path
    return dict(sorted(found.items()))


def mend(folder: Path) -> None:
    """Put back what a killed process has moved away, and remove what it left half-written."""
    for replaced in folder.glob(f"{REPLACED}*"):
        path = folder / replaced.name.removeprefix(REPLACED)
        if not path.exists():
            with suppress(OSError):
                os.replace(replaced, path)
        shutil.rmtree(replaced, ignore_errors=True)
    for left in folder.glob(f"{WRITING}*"):
        shutil.rmtree(left, ignore_errors=True)


def find_checkpoint(place: Path, step: int = -1, *, best: bool = False) -> Path:
    """One checkpoint.

    Args:
        place: Its folder, or the one that it is in, or the ``log_path`` above that.
        step: Which one; -1: the newest, or the best.
        best: The best one, if any is known to be.

    Raises:
        CheckpointError: There is none.
    """
    if (place / MODEL).exists():
        return place
    folder = place / FOLDER if (place / FOLDER).is_dir() else place
    found = checkpoints_in(folder)
    if not found:
        raise CheckpointError(f"there is no checkpoint in {place}")
    if step != -1:
        if step not in found:
            raise CheckpointError(f"there is no checkpoint of step {step} in {folder}; there are {_list(found)}")
        return found[step]
    if best:
        values = {path: one for path in found.values() if (one := best_rank(path)) is not None}
        if values:
            return min(values, key=lambda path: values[path])
    return list(found.values())[-1]


def best_rank(path: Path) -> float | None:
    """How good a checkpoint is, the best being the least; None if nothing says it."""
    try:
        metrics = read_json(path / METRICS)
    except CheckpointError:
        return None
    value = metrics.get("value")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if metrics.get("mode") != "max" else -float(value)


def prune(folder: Path, limit: int | None, *, monitored: bool) -> None:
    """Remove what is more than the limit: the newest one stays, and the best ones, or the newest ones."""
    if limit is None:
        return
    found = list(checkpoints_in(folder).values())
    kept = found[-limit:]
    if monitored:
        ranks = {path: one for path in found if (one := best_rank(path)) is not None}
        kept = [*sorted(ranks, key=lambda path: ranks[path])[:limit], *found[-1:]]
    for path in found:
        if path not in kept:
            shutil.rmtree(path, ignore_errors=True)


def _list(found: Mapping[int, Path]) -> str:
    steps = list(found)
    return ", ".join(map(str, steps[:8])) + (", …" if len(steps) > 8 else "")


def _strict(value: Any) -> Any:
    """JSON knows no NaN: as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): _strict(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(one) for one in value]
    return value
