"""The metrics of an evaluation: means over its examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from trainstore.training.ranks import Ranks


class Means:
    """Adds up the metrics of batches, weighted by their sizes, without reading the device before the end."""

    def __init__(self) -> None:
        self._sums: dict[str, Any] = {}
        self._counts: dict[str, int] = {}

    def add(self, metrics: Mapping[str, Any], size: int) -> None:
        """A batch of so many examples has these metrics."""
        for name, value in metrics.items():
            if isinstance(value, torch.Tensor):
                value = value.detach().double() if value.device.type != "mps" else value.detach().float()
            self._sums[name] = self._sums.get(name, 0.0) + value * size
            self._counts[name] = self._counts.get(name, 0) + size

    def means(self, ranks: Ranks) -> dict[str, float]:
        """The means over all examples of all processes, by name."""
        mine = {name: (float(total), self._counts[name]) for name, total in self._sums.items()}
        sums: dict[str, list[float]] = {}
        for found in ranks.gather(mine):
            for name, (total, count) in found.items():
                both = sums.setdefault(name, [0.0, 0])
                both[0] += total
                both[1] += count
        return {name: total / count for name, (total, count) in sums.items() if count}
