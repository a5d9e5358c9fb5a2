"""The random states of a process, as plain data: PyTorch's, the device's, NumPy's and Python's."""

from __future__ import annotations

import random
import sys
from typing import Any

import torch


def random_states(device: torch.device) -> dict[str, Any]:
    """The states now, so that ``torch.load(weights_only=True)`` reads them from a checkpoint."""
    states: dict[str, Any] = {"python": random.getstate(), "torch": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        name, keys, position, has_gauss, gauss = numpy.random.get_state()
        # Signed, because PyTorch reads no unsigned numbers of 32 bits.
        keys = torch.from_numpy(keys.astype("int64"))
        states["numpy"] = (name, keys, int(position), int(has_gauss), float(gauss))
    return states


def restore_random_states(states: dict[str, Any], device: torch.device) -> None:
    """Go back to these states."""
    random.setstate(states["python"])
    torch.set_rng_state(states["torch"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])
    if "numpy" in states:
        import numpy

        name, keys, *rest = states["numpy"]
        numpy.random.set_state((name, keys.numpy().astype("uint32"), *rest))
