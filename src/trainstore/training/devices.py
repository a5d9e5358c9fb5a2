"""On which device a model is trained."""

from __future__ import annotations

import os

import torch

from trainstore.errors import InvalidArgumentError


def find_device(device: str | torch.device | None) -> torch.device:
    """The device: the one given, else a GPU if there is one (CUDA, then MPS), else the CPU.

    Each process of a machine gets a CUDA device of its own, by torchrun's ``LOCAL_RANK``.

    Raises:
        InvalidArgumentError: There is no such device.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InvalidArgumentError(
            f"device {device!r} is not a device of PyTorch, such as 'cpu' or 'cuda:0'"
        ) from error
    if found.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if found.index is None and count:
            found = torch.device("cuda", int(os.environ.get("LOCAL_RANK") or 0) % count)
        if found.index is None or found.index >= count:
            raise InvalidArgumentError(f"device {str(device)!r} is not there: this process sees {count} CUDA devices")
    if found.type == "mps" and not torch.backends.mps.is_available():
        raise InvalidArgumentError("device 'mps' is not there")
    return found
