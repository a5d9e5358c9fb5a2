"""Sees what no event of a training tells: losses and gradient norms, what fails, and what stops the training."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trainstore.integrations.failures import GRAD_NORM, LEARNING_RATE, LOSS
from trainstore.integrations.protocol import attribute_of, callbacks_of
from trainstore.integrations.transformers.steps import StepRecorder
from trainstore.integrations.transformers.training import Training
from trainstore.integrations.transformers.wrappers import Method


@dataclass(frozen=True)
class Watch:
    """Wraps methods of a trainer, those that its `Protocol` names, for the length of one training.

    Attributes:
        training: The training.
        saw_failure: Called with an exception that leaves a part of the training; it may be caught later.
        saw_stop: Called when the Trainer has saved a checkpoint because of a SIGTERM, and is about to stop.
        missed: Called with what could not be recorded, and the reason.
    """

    training: Training
    saw_failure: Callable[[Training, BaseException], None]
    saw_stop: Callable[[Training], None]
    missed: Callable[[str, Exception], None]

    def ends(self, trainer: Any) -> None:
        """Watch for what fails in the training, even if it is caught, and for what stops it."""
        wrap, protocol = self.training.wrappers.wrap, self.training.protocol
        wrap(trainer, protocol.evaluation, self._failures)
        wrap(trainer, protocol.loss, self._failures)
        wrap(trainer, protocol.epoch, self._epoch)
        wrap(trainer, protocol.checkpoint, self._checkpoint)
        for callback in callbacks_of(trainer):
            wrap(callback, protocol.preemption, self._stop)

    def losses(self, trainer: Any, steps: StepRecorder) -> bool:
        """Watch the loss and the gradient norm of each step; False if no method returns the loss."""
        wrap, protocol = self.training.wrappers.wrap, self.training.protocol
        make = self._micro_batch if protocol.micro_batch is not None else self._step
        if not wrap(trainer, protocol.loss, functools.partial(make, steps)):
            return False
        wrap(trainer, protocol.inputs, functools.partial(self._inputs, steps))
        wrap(trainer, protocol.grad_norm, functools.partial(self._grad_norm, steps))
        return True

    def _failures(self, original: Method) -> Method:
        def watched(*args: Any, **kwargs: Any) -> Any:
            try:
                return original(*args, **kwargs)
            except StopIteration:  # the end of the data
                raise
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
        def save_and_stop(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            try:
                self.saw_stop(self.training)
            except Exception as error:  # noqa: BLE001
                self.missed("a stop", error)
            return result

        return save_and_stop

    def _checkpoint(self, original: Method) -> Method:
        def save_checkpoint(*args: Any, **kwargs: Any) -> Any:
            self.training.checkpoint = folder = original(*args, **kwargs)
            return folder

        return save_checkpoint

    def _micro_batch(self, steps: StepRecorder, original: Method) -> Method:
        def training_step(*args: Any, **kwargs: Any) -> Any:
            loss = original(*args, **kwargs)
            if steps is self.training.steps:
                try:
                    steps.add_loss(loss)
                    steps.add_inputs(args[1] if len(args) > 1 else kwargs.get("inputs"))
                except Exception as error:  # noqa: BLE001
                    self.missed(LOSS, error)
            return loss

        return training_step

    def _step(self, steps: StepRecorder, original: Method) -> Method:
        def train_step(*args: Any, **kwargs: Any) -> Any:
            if steps is self.training.steps:
                optimizer = attribute_of(self.training.known_trainer, self.training.protocol.optimizer)
                try:
                    steps.before_optimizer(optimizer)
                except Exception as error:  # noqa: BLE001
                    self.missed(LEARNING_RATE, error)
            result = original(*args, **kwargs)
            if steps is self.training.steps:
                try:
                    loss, norm, *_ = (*result, None) if isinstance(result, tuple) else (result, None)
                    steps.add_loss(loss)
                    if norm is not None:
                        steps.add_grad_norm(norm)
                except Exception as error:  # noqa: BLE001
                    self.missed(LOSS, error)
            return result

        return train_step

    def _inputs(self, steps: StepRecorder, original: Method) -> Method:
        def micro_batch(*args: Any, **kwargs: Any) -> Any:
            if steps is self.training.steps and args:
                steps.add_inputs(args[0])
            return original(*args, **kwargs)

        return micro_batch

    def _grad_norm(self, steps: StepRecorder, original: Method) -> Method:
        def clip_grad_norm(*args: Any, **kwargs: Any) -> Any:
            norm = original(*args, **kwargs)
            if steps is self.training.steps:
                try:
                    steps.add_grad_norm(norm)
                except Exception as error:  # noqa: BLE001
                    self.missed(GRAD_NORM, error)
            return norm

        return clip_grad_norm
