"""stub"""
from __future__ import annotations
from collections.abc import Iterator
from typing import Any
class Position:
    def __init__(self, device: Any, skip_data: str = "batches") -> None:
        self.taken = 0; self.epoch = 0
    def taken_in(self, epoch: int) -> int: return self.taken if epoch == self.epoch else 0
    def batches(self, loader: Any, epoch: int) -> Iterator[Any]:
        self.epoch = epoch
        self.taken = 0
        for b in loader:
            self.taken += 1
            yield b
    def end_epoch(self) -> None: self.epoch += 1; self.taken = 0
    def state_dict(self) -> dict[str, Any]: return {"epoch": self.epoch, "taken": self.taken}
    def load_state_dict(self, s: dict[str, Any]) -> None: self.epoch, self.taken = s["epoch"], s["taken"]
