"""`Task`: what a trainer tells the loop that trains for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from trainstore.training.plan import Plan


class Task(Protocol):
    """What a trainer tells its loop."""

    #: A user's own ``train_step``, which makes the optimizer's step itself; None: the loop does.
    user_step: Callable[[Any], Mapping[str, Any]] | None
    #: Called when a step's gradients are complete, before they are clipped; None: nothing to do.
    gradients_ready: Callable[[], None] | None
    #: Called when a step has been made; None: nothing to do.
    step_made: Callable[[], None] | None

    def train_micro_batch(self, batch: Any) -> Mapping[str, Any]:
        """Forward and backward pass (by `Loop.backward`); "loss", and more metrics of this batch."""

    def train_epoch(self, train_loader: Any, eval_loader: Any, epoch: int) -> dict[str, float]:
        """One epoch (by `Loop.epoch`); its metrics."""

    def track(self, batches: Iterator[Any], loader: Any, epoch: int) -> Iterable[Any]:
        """The batches of an epoch, with a bar around them or without."""

    def evaluate(self, loader: Any) -> Mapping[str, float]:
        """The metrics of an evaluation (by `Loop.each_batch`), under the names that they are recorded by."""

    def arguments(self, plan: Plan) -> Any:
        """What callbacks get as ``args``."""

    def means(self) -> Mapping[str, float]:
        """What is logged beside the mean loss."""

    def epoch_trained(self, metrics: dict[str, float]) -> None:
        """An epoch's steps are made, with these metrics; what is added to them is logged. The evaluation follows."""

    def epoch_measured(self, metrics: Mapping[str, float]) -> None:
        """An epoch has these metrics; its checkpoint is not written yet."""

    def epoch_done(self, epoch: int, metrics: dict[str, float]) -> None:
        """An epoch is over, and all that belongs to it."""

    def training_done(self) -> None:
        """All epochs are over, the run not yet."""

    def write_checkpoint(self, *, is_due: bool, is_best: bool, at_epoch: bool) -> str | None:
        """Write the files of this moment, with `Loop.state_dict` in them; the path of one. All processes call it."""

    def task_state(self) -> dict[str, Any]:
        """What a checkpoint keeps of the task."""

    def load_task_state(self, saved: dict[str, Any]) -> None:
        """Go on from it."""
