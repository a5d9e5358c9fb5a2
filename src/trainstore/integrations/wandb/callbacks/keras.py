"""``wandb.integration.keras``: what it logs, through ``wandb.log``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import keras

from trainstore.integrations import wandb
from trainstore.integrations.wandb.callbacks.begun import needs_a_run

__all__ = ["WandbCallback", "WandbMetricsLogger", "WandbModelCheckpoint"]

WandbModelCheckpoint = keras.callbacks.ModelCheckpoint


class WandbMetricsLogger(keras.callbacks.Callback):  # type: ignore[misc]
    """Logs what Keras reports of each epoch, ``epoch/loss``, with the learning rate.

    Args:
        log_freq: "batch", or a number of batches: also ``batch/loss`` of each, or of each so many. Keras's values of a
            batch are means since the epoch began.
        initial_global_step: Not needed here.

    Raises:
        Error: ``wandb.init`` was not called.
    """

    def __init__(self, log_freq: Literal["epoch", "batch"] | int = "epoch", initial_global_step: int = 0) -> None:
        super().__init__()
        needs_a_run("WandbMetricsLogger")
        self._every = None if log_freq == "epoch" else 1 if log_freq == "batch" else int(log_freq)
        self._batches = 0
        kind, axis = ("epoch", "epoch") if self._every is None else ("batch", "batch_step")
        wandb.define_metric(f"{kind}/{axis}")
        wandb.define_metric(f"{kind}/*", step_metric=f"{kind}/{axis}")

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Log an epoch."""
        wandb.log(_named("epoch", logs) | {"epoch/epoch": epoch} | self._rate("epoch"))

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Log a batch, if it is the turn of one."""
        if self._every is not None and batch % self._every == 0:
            wandb.log(_named("batch", logs) | {"batch/batch_step": self._batches} | self._rate("batch"))
            self._batches += self._every

    def _rate(self, kind: str) -> dict[str, float]:
        try:
            return {f"{kind}/learning_rate": float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))}
        except Exception:  # noqa: BLE001 - an optimizer without one, or of another kind
            return {}


class WandbCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """W&B's first callback: each epoch's values, and the best one with its epoch in the summary.

    Args:
        monitor: The metric that says which epoch is the best.
        mode: "min", "max", or "auto": the largest if its name says accuracy, the smallest otherwise.
        **others: What W&B's takes besides, for models, predictions and gradients: not kept here.

    Raises:
        Error: ``wandb.init`` was not called.
    """

    def __init__(self, monitor: str = "val_loss", mode: str = "auto", **others: Any) -> None:
        super().__init__()
        needs_a_run("WandbCallback")
        self.monitor = monitor
        self._is_max = mode == "max" or (mode == "auto" and "acc" in monitor)
        self._best: float | None = None

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Log an epoch, and whether it is the best."""
        wandb.log({**(logs or {}), "epoch": epoch})
        value = (logs or {}).get(self.monitor)
        if value is None or (self._best is not None and (value <= self._best if self._is_max else value >= self._best)):
            return
        self._best = value
        wandb.summary.update({f"best_{self.monitor}": value, "best_epoch": epoch})


def _named(kind: str, logs: Mapping[str, Any] | None) -> dict[str, Any]:
    return {f"{kind}/{name}": value for name, value in (logs or {}).items()}
