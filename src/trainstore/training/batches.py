"""What is in a batch: inputs and targets, on the device; and how many examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

TARGETS = ("labels", "label", "targets", "target", "y")  # names of the targets in a mapping


def to_device(batch: Any, device: torch.device) -> Any:
    """A batch with its tensors on the device, in whatever containers they are."""
    if isinstance(batch, torch.Tensor):
        return batch if batch.device == device else batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return {name: to_device(value, device) for name, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(to_device(value, device) for value in batch))
    if isinstance(batch, (list, tuple)):
        return [to_device(value, device) for value in batch]
    return batch


def split(batch: Any, *, has_own_loss: bool) -> tuple[Any, Any]:
    """Inputs and targets of a batch.

    Args:
        batch: A tensor: inputs that are also the targets, as for an autoencoder. A tuple or list: the last is the
            targets. A mapping: its ``labels`` (or ``label``, ``targets``, ``target``, ``y``) are the targets.
        has_own_loss: Whether the model computes the loss. It is then given all of a mapping, the targets too.
    """
    if isinstance(batch, Mapping):
        name = next((name for name in TARGETS if name in batch), None)
        targets = None if name is None else batch[name]
        if has_own_loss:
            return batch, targets
        inputs = {other: value for other, value in batch.items() if other != name}
        return inputs, targets
    if isinstance(batch, (list, tuple)):
        if len(batch) == 2:
            return batch[0], batch[1]
        if len(batch) == 1:
            return batch[0], batch[0]
        return batch[:-1], batch[-1]
    return batch, batch


def describe(batch: Any) -> str:
    """What a batch consists of, for a message: ``(float32 [32, 10], int64 [32])``."""
    if isinstance(batch, torch.Tensor):
        return f"{str(batch.dtype).removeprefix('torch.')} {list(batch.shape)}"
    if isinstance(batch, Mapping):
        return "{" + ", ".join(f"{name!r}: {describe(value)}" for name, value in batch.items()) + "}"
    if isinstance(batch, (list, tuple)):
        shown = [describe(value) for value in batch[:4]] + (["…"] if len(batch) > 4 else [])
        return "(" + ", ".join(shown) + ")"
    return type(batch).__name__


def size_of(batch: Any) -> int:
    """The number of examples: the first dimension of the first tensor; 1 if there is none."""
    if isinstance(batch, torch.Tensor):
        return len(batch) if batch.dim() else 1
    values = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, (list, tuple)) else ()
    for value in values:
        if isinstance(value, (torch.Tensor, Mapping, list, tuple)):
            return size_of(value)
    return 1


def first_examples(batch: Any, count: int) -> Any:
    """The first examples of a batch."""
    if isinstance(batch, torch.Tensor):
        return batch[:count] if batch.dim() else batch
    if isinstance(batch, Mapping):
        return {name: first_examples(value, count) for name, value in batch.items()}
    if isinstance(batch, (list, tuple)):
        return [first_examples(value, count) for value in batch]
    return batch
