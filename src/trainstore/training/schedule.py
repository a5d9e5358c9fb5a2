"""When a learning-rate scheduler steps: after each batch, or after each epoch, with a metric if it needs one."""

from __future__ import annotations

import logging
from typing import Any

from torch.optim.lr_scheduler import ReduceLROnPlateau

from trainstore.errors import InvalidArgumentError

logger = logging.getLogger("trainstore")


class Schedule:
    """A scheduler, or none.

    Args:
        scheduler: Any with ``step()``; ``ReduceLROnPlateau`` is given the metric of each epoch.
        per_batch: Whether it steps after each step of the optimizer, and not after each epoch.

    Raises:
        InvalidArgumentError: It needs a metric, which there is for an epoch only.
    """

    def __init__(self, scheduler: Any, per_batch: bool = False) -> None:
        self.scheduler = scheduler
        self.needs_metric = isinstance(scheduler, ReduceLROnPlateau)
        if self.needs_metric and per_batch:
            raise InvalidArgumentError(
                "ReduceLROnPlateau needs a metric, which there is after an epoch only: leave scheduler_step_per_batch "
                "False"
            )
        self.steps_with_batch = scheduler is not None and per_batch
        self._steps_with_epoch = scheduler is not None and not per_batch

    def after_batch(self) -> None:
        """The optimizer has made a step."""
        if self.steps_with_batch:
            self.scheduler.step()

    def after_epoch(self, metric: float | None) -> None:
        """An epoch is over; ``metric`` is what the best model is chosen by, or the training loss."""
        if not self._steps_with_epoch:
            return
        if not self.needs_metric:
            self.scheduler.step()
        elif metric is not None:
            self.scheduler.step(metric)
