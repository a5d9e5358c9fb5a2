"""What one training is to do, and when: the data, its length, how often to log, evaluate and save."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

from transformers import DefaultFlowCallback

from trainstore.callbacks.best_metric import BestMetric


def length_of(loader: Any) -> int | None:
    """The number of batches; None if the loader does not know."""
    try:
        return len(loader)
    except TypeError:  # an iterator, or a DataLoader of an iterable data set
        return None


@dataclass
class Plan:
    """One training.

    Attributes:
        train_loader: The batches of an epoch.
        eval_loader: Those to evaluate on; None: no evaluation.
        epochs: How many; None: as many as `max_steps` takes.
        max_steps: Optimizer steps at most.
        steps_per_epoch: Optimizer steps of an epoch, if it is not to end with the loader.
        log_steps: Log the means every so many steps. 0: never (the same below).
        eval_steps: Evaluate every so many steps.
        save_steps: Save every so many steps.
        log_epochs: Log every so many epochs.
        eval_epochs: Evaluate every so many epochs.
        save_epochs: Save every so many epochs.
        best: Follows the metric that the best model is chosen by; None: no model is the best.
        patience: Stop after so many epochs without a better one.
        check_for_nan: Stop if a loss is NaN.
        stops_if_not_saved: Whether a checkpoint that cannot be written ends the training.
    """

    train_loader: Any
    eval_loader: Any = None
    epochs: int | None = None
    max_steps: int | None = None
    steps_per_epoch: int | None = None
    log_steps: int = 0
    eval_steps: int = 0
    save_steps: int = 0
    log_epochs: int = 1
    eval_epochs: int = 1
    save_epochs: int = 1
    best: BestMetric | None = None
    patience: int | None = None
    check_for_nan: bool = False
    stops_if_not_saved: bool = False

    def steps_in_epoch(self, accumulation: int) -> int | None:
        """Optimizer steps of an epoch; None if the loader has no length."""
        length = length_of(self.train_loader)
        found = None if length is None else math.ceil(length / accumulation)
        if self.steps_per_epoch is None:
            return found
        return self.steps_per_epoch if found is None else min(found, self.steps_per_epoch)

    def total_steps(self, accumulation: int, done: int, epoch: int) -> int:
        """Optimizer steps of the whole training, as known when an epoch begins; very many if that is not known.

        Args:
            accumulation: Micro-batches of a step.
            done: Steps before this epoch.
            epoch: Which one, from 0.
        """
        steps = self.steps_in_epoch(accumulation)
        known = sys.maxsize if steps is None or self.epochs is None else done + steps * max(0, self.epochs - epoch)
        return known if self.max_steps is None else min(known, self.max_steps)


class Flow(DefaultFlowCallback):  # type: ignore[misc]
    """Asks for logs, evaluations and checkpoints as the plan says, and also as arguments say that the user made."""

    def __init__(self, obeys_arguments: bool) -> None:
        self.obeys_arguments = obeys_arguments
        self.plan: Plan | None = None
        self.epoch = 0  # that is under way, from 0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """After each step."""
        if self.obeys_arguments:
            stops = control.should_training_stop
            super().on_step_end(args, state, control, **kwargs)
            control.should_training_stop = stops  # it goes by state.max_steps, which is an estimate
        plan, step = self.plan, state.global_step
        if plan is not None:
            if plan.log_steps and step % plan.log_steps == 0:
                control.should_log = True
            if plan.eval_steps and step % plan.eval_steps == 0:
                control.should_evaluate = True
            if plan.save_steps and step % plan.save_steps == 0:
                control.should_save = True
            if plan.max_steps is not None and step >= plan.max_steps:
                control.should_training_stop = True

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """After each epoch."""
        if self.obeys_arguments:
            super().on_epoch_end(args, state, control, **kwargs)
        plan, count = self.plan, self.epoch + 1
        if plan is not None:
            control.should_log |= bool(plan.log_epochs) and count % plan.log_epochs == 0
            control.should_evaluate |= bool(plan.eval_epochs) and count % plan.eval_epochs == 0
            control.should_save |= bool(plan.save_epochs) and count % plan.save_epochs == 0
