"""The precision of a training: ``torch.autocast`` around the forward pass, and a scaler for float16."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from trainstore.errors import InvalidArgumentError

DTYPES = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """How one training computes.

    Args:
        name: "no" (or None): as the model's parameters are. "bf16", "fp16": matrix products and the like in that type.
        device: The model's.

    Attributes:
        name: "no", "bf16" or "fp16".
        scaler: Of float16, whose gradients would vanish without it; None otherwise.
        is_full: Whether nothing is to be done around the forward pass.

    Raises:
        InvalidArgumentError: Another name.
    """

    def __init__(self, name: str | None, device: torch.device) -> None:
        self.name = "no" if name is None else name
        if self.name not in DTYPES:
            raise InvalidArgumentError(f"mixed_precision {name!r} is not one of 'no', 'bf16', 'fp16'")
        self._dtype = DTYPES[self.name]
        self._device_type = device.type
        self.is_full = self._dtype is None
        self.scaler: Any = torch.amp.GradScaler(device.type) if self.name == "fp16" else None

    def autocast(self) -> AbstractContextManager[Any]:
        """Around a forward pass and its loss."""
        return nullcontext() if self.is_full else torch.autocast(self._device_type, dtype=self._dtype)

    def backward(self, loss: Any) -> None:
        """The backward pass."""
        if self.scaler is None:
            loss.backward()
        else:
            self.scaler.scale(loss).backward()

    def unscale(self, optimizer: Any) -> None:
        """Make the gradients what they are, before their norm is measured."""
        if self.scaler is not None:
            self.scaler.unscale_(optimizer)

    def step(self, optimizer: Any) -> bool:
        """The optimizer's step; False if a float16 gradient was not finite, and the step was left out."""
        if self.scaler is None:
            optimizer.step()
            return True
        before = self.scaler.get_scale()
        self.scaler.step(optimizer)
        self.scaler.update()
        return bool(self.scaler.get_scale() >= before)
