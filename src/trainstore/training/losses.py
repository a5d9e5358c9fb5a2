"""The losses of a training: their means since the last log and in the epoch, and the first that is NaN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from trainstore.integrations.transformers.losses import DirectLoss, RingLoss


class Losses:
    """Keeps the steps' losses on the device, and reads them when they are needed or when enough have come together.

    Attributes:
        add: Called with the loss of each micro-batch, a tensor or a number, divided by their number in the step.
        nan_step: The first step whose loss is NaN; None: none so far.
    """

    def __init__(self, device: torch.device) -> None:
        self._reader = DirectLoss() if device.type == "cpu" else RingLoss(device)
        self.add: Callable[[Any], None] = self._reader.add_loss
        self.nan_step: int | None = None
        self._last = float("nan")
        self._window: list[float] = [0.0, 0]  # sum and count
        self._epoch: list[float] = [0.0, 0]

    def end_step(self, step: int) -> None:
        """The step's losses are complete."""
        values = self._reader.end_step(step)
        if values:
            self._count(step, values["loss"])
        elif self._reader.is_behind:
            self._read(wait=False)

    def _read(self, *, wait: bool) -> None:
        for step, values in self._reader.later(wait=wait):
            if "loss" in values:
                self._count(step, values["loss"])

    def _count(self, step: int, loss: float) -> None:
        self._last = loss
        for sums in (self._window, self._epoch):
            sums[0] += loss
            sums[1] += 1
        if loss != loss and self.nan_step is None:
            self.nan_step = step

    @property
    def window(self) -> tuple[float, int]:
        """The sum of the losses since the last log that were read, and their number."""
        return self._window[0], int(self._window[1])

    def last(self) -> float:
        """The loss of the last step."""
        self._read(wait=True)
        return self._last

    def take_window(self) -> float | None:
        """The mean of the losses since the last call; None if there are none."""
        self._read(wait=True)
        window, self._window = self._window, [0.0, 0]
        return _mean(window)

    def take_epoch(self) -> float | None:
        """The same since the epoch began."""
        self._read(wait=True)
        epoch, self._epoch = self._epoch, [0.0, 0]
        return _mean(epoch)

    def discard(self) -> None:
        """Forget the losses of a step that was not finished."""
        self._reader.discard()

    def state_dict(self) -> dict[str, Any]:
        """The sums, for a checkpoint between two steps."""
        self._read(wait=True)
        return {"window": list(self._window), "epoch": list(self._epoch)}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from these sums."""
        self._window, self._epoch = list(saved["window"]), list(saved["epoch"])


def _mean(sums: list[float]) -> float | None:
    return sums[0] / sums[1] if sums[1] else None
