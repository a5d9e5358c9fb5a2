"""Sees what no event of a training tells: losses and gradient norms, what fails, and what stops the training."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trainstore.integrations.transformers.steps import StepRecorder
from trainstore.integrations.transformers.training import Training
from trainstore.integrations.transformers.wrappers import Method, attribute_of, callbacks_of


@dataclass(frozen=True)
class Watch:
    """Wraps methods of a trainer for the length of one training.

    Attributes:
        training: The training.
        saw_failure: Called with an exception that leaves a part of the training; it may be caught later.
        saw_stop: Called when the Trainer has saved a checkpoint because of a SIGTERM, and is about to stop.
        missed: Called with the name of a method and the reason why its result could not be recorded.
    """

    training: Training
    saw_failure: Callable[[Training, BaseException], None]
    saw_stop: Callable[[Training], None]
    missed: Callable[[str, Exception], None]

    def ends(self, trainer: Any) -> None:
        """Watch for what fails in the training, even if it is caught, and for what stops it."""
        wrap = self.training.wrappers.wrap
        wrap(trainer, "_evaluate", self._failures)
        wrap(trainer, "training_step", self._failures)
        wrap(trainer, "_run_epoch", self._epoch)
        for callback in callbacks_of(trainer):
            manager = attribute_of(callback, "jit_manager")  # of enable_jit_checkpoint
            if manager is not None:
                wrap(manager, "execute_jit_checkpoint", self._stop)

    def losses(self, trainer: Any, steps: StepRecorder) -> bool:
        """Watch the loss and the gradient norm of each step; False if there is no ``training_step``."""
        wrap = self.training.wrappers.wrap
        if not wrap(trainer, "training_step", functools.partial(self._training_step, steps)):
            return False
        wrap(attribute_of(trainer, "accelerator"), "clip_grad_norm_", functools.partial(self._grad_norm, steps))
        return True

    def _failures(self, original: Method) -> Method:
        def watched(*args: Any, **kwargs: Any) -> Any:
            try:
                return original(*args, **kwargs)
            except BaseException as error:
                self.saw_failure(self.training, error)
                raise

        return watched

    def _epoch(self, original: Method) -> Method:
        def run_epoch(*args: Any, **kwargs: Any) -> Any:
            self.training.in_epoch = True
            try:
                result = original(*args, **kwargs)
            except BaseException as error:
                self.training.in_epoch = False
                self.saw_failure(self.training, error)
                raise
            self.training.in_epoch = False
            return result

        return run_epoch

    def _stop(self, original: Method) -> Method:
        def execute_jit_checkpoint(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            try:
                self.saw_stop(self.training)
            except Exception as error:  # noqa: BLE001
                self.missed("execute_jit_checkpoint", error)
            return result

        return execute_jit_checkpoint

    def _training_step(self, steps: StepRecorder, original: Method) -> Method:
        def training_step(*args: Any, **kwargs: Any) -> Any:
            loss = original(*args, **kwargs)
            if steps is self.training.steps:
                try:
                    steps.add_micro_batch(loss, args[1] if len(args) > 1 else kwargs.get("inputs"))
                except Exception as error:  # noqa: BLE001
                    self.missed("training_step", error)
            return loss

        return training_step

    def _grad_norm(self, steps: StepRecorder, original: Method) -> Method:
        def clip_grad_norm_(*args: Any, **kwargs: Any) -> Any:
            norm = original(*args, **kwargs)
            if steps is self.training.steps:
                try:
                    steps.add_grad_norm(norm)
                except Exception as error:  # noqa: BLE001
                    self.missed("clip_grad_norm_", error)
            return norm

        return clip_grad_norm_
