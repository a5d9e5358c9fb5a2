"""`Steps`: the steps of a training, that is, what happens between two events.

The micro-batches of a step are computed one by one, each with its part of the loss; then the gradients are clipped, the
optimizer makes its step, and the learning rate changes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from transformers import TrainerControl, TrainerState

from trainstore.integrations.transformers import TrainStoreCallback
from trainstore.training.events import handler_of, heard_events
from trainstore.training.losses import Losses
from trainstore.training.mistakes import check_train_metrics
from trainstore.training.plan import Flow, Plan
from trainstore.training.precision import Precision
from trainstore.training.ranks import Ranks
from trainstore.training.schedule import Schedule
from trainstore.training.sharding import whole
from trainstore.training.task import Task
from trainstore.values import scalar_of

logger = logging.getLogger("trainstore")


def number_of(value: Any) -> Any:
    """A metric of whatever library as a number of Python; anything else as it is."""
    number = scalar_of(value)
    return value if number is None else number


class Steps:
    """Makes steps, and tells callbacks about them.

    Args:
        task: The trainer.
        model: On its device already.
        optimizer: Of the model's parameters.
        schedule: The learning rate's.
        device: The model's.
        ranks: The processes.
        precision: Of the forward pass.
        callbacks: Hugging Face's kind.
        accumulation: Micro-batches of a step.
        max_grad_norm: Gradients are clipped to this norm; None: they are not.
        obeys_arguments: Whether the arguments come from the user, and also say when to log, evaluate and save.
        hyperparams: What is recorded as the run's hyperparameters.
        skip_data: How the data are skipped when a training is resumed in the middle of an epoch.
        measures_norms: Whether the gradients' norm is wanted, even if it is neither recorded nor limited.
    """

    def __init__(
        self,
        task: Task,
        model: torch.nn.Module,
        optimizer: Any,
        schedule: Schedule,
        device: torch.device,
        ranks: Ranks,
        precision: Precision,
        callbacks: list[Any],
        *,
        accumulation: int = 1,
        max_grad_norm: float | None = None,
        obeys_arguments: bool = False,
        hyperparams: Mapping[str, Any] | None = None,
        skip_data: str = "batches",
        measures_norms: bool = False,
    ) -> None:
        self.task, self.plain_model, self.optimizer = task, model, optimizer
        self.schedule, self.device, self.ranks, self.precision = schedule, device, ranks, precision
        self.accumulation, self.max_grad_norm = accumulation, max_grad_norm
        self.hyperparams = dict(hyperparams or {})
        self.skip_data = skip_data
        self.model = ranks.divide_model(model, device)
        self._is_divided = self.model is not model
        self.flow = Flow(obeys_arguments)
        self.callback_handler = handler_of([self.flow, *callbacks], model, optimizer, schedule.scheduler)
        self._heard: frozenset[str] = frozenset()
        self.args: Any = None
        self.state, self.control = TrainerState(), TrainerControl()
        self.plan: Plan | None = None  # None: no training is under way
        self.losses = Losses(device)
        self.step_metrics: dict[str, float] = {}  # what a user's step returned beside its loss
        self.grad_norm: Any = None  # of the last step
        self.learning_rate: Any = None
        self.is_in_step = self._is_direct = self._optimizer_stepped = False
        self._was_computed = not self._is_divided  # whether a step went through the model that averages gradients
        if self._is_divided:
            self.model.register_forward_pre_hook(self._note_computing)
        self._parameters = list(model.parameters())
        self._wants_norms = measures_norms or max_grad_norm is not None
        self._measures_norms = self._wants_norms
        self._micro_batches, self._is_last = 1, True  # of the step under way

    # --- Callbacks --------------------------------------------------------------------------------------------------

    @property
    def callbacks(self) -> list[Any]:
        """Those that are called, in their order."""
        found: list[Any] = self.callback_handler.callbacks
        return found

    def add_callback(self, callback: Any) -> None:
        """Call this one, too: an object, or a class."""
        if self.plan is not None and isinstance(callback, TrainStoreCallback):
            logger.warning("a TrainStoreCallback that is added in the middle of a training records the next one only")
        self.callback_handler.add_callback(callback)
        self._listen()

    def pop_callback(self, callback: Any) -> Any:
        """Call this one, or the first one of this class, no longer; it is returned, or None."""
        found = self.callback_handler.pop_callback(callback)
        self._listen()
        return found

    def _listen(self) -> None:
        """Find out which events anybody hears: sending the others would cost more than all else in a step."""
        self._heard = heard_events(self.callbacks)

    def _tell(self, event: str, **more: Any) -> None:
        told = getattr(self.callback_handler, event)(self.args, self.state, self.control, **more)
        self.control = self.control if told is None else told

    # --- A step -----------------------------------------------------------------------------------------------------

    def step(self, batches: list[Any]) -> None:
        """One step of the optimizer on its micro-batches."""
        heard = self._heard if self.plan is not None else ()
        if "on_step_begin" in heard:
            self._tell("on_step_begin")
        if self.step_metrics:
            self.step_metrics = {}
        if self.task.user_step is not None:  # it may make the optimizer's step itself
            self.learning_rate = self.optimizer.param_groups[0].get("lr")
            self._optimizer_stepped = False
        self._micro_batches, last = len(batches), len(batches) - 1
        self.is_in_step = True
        try:
            for index, batch in enumerate(batches):
                self._is_last = index == last
                if self._is_last or not self._is_divided:
                    loss = self.micro_batch(self.model, batch)
                else:
                    with self.model.no_sync():
                        loss = self.micro_batch(self.model, batch)
                self.losses.add(loss)
                if index != last and "on_substep_end" in heard:
                    self._tell("on_substep_end")
            if self._is_direct or self.task.user_step is None:
                self.optimizer_step()
            elif not self._optimizer_stepped:
                self._user_has_stepped()
        except BaseException:
            self.losses.discard()
            raise
        finally:
            self.is_in_step = False
        self.state.global_step += 1
        self.losses.end_step(self.state.global_step)
        if self.task.step_made is not None:
            self.task.step_made()

    def _note_computing(self, *args: Any) -> None:
        self._was_computed = True

    def _user_has_stepped(self) -> None:
        """A user's own step has made the optimizer's, without ours."""
        self.step_metrics.setdefault("learning_rate", self.learning_rate)
        if not self._was_computed:
            self._was_computed = True  # told once
            logger.warning(
                "train_step calls the plain model: its gradients are not averaged, and the %d processes train apart; "
                "call self._forward_pass(inputs), or super().train_step(batch)",
                self.ranks.size,
            )

    def micro_batch(self, model: Any, batch: Any) -> Any:
        """Forward and backward pass of one micro-batch; its part of the step's loss."""
        task = self.task
        if self._is_direct or task.user_step is None:
            metrics = task.train_micro_batch(batch)
        else:
            metrics = task.user_step(batch)
            check_train_metrics(metrics)
        if len(metrics) > 1:
            for name, value in metrics.items():
                if name != "loss":
                    self._add_metric(name, number_of(value))
        loss = metrics["loss"]
        return loss if self._micro_batches == 1 else loss / self._micro_batches

    def _add_metric(self, name: str, value: Any) -> None:
        """A step's metric is the mean of its micro-batches'; what is no number is the last one's."""
        if isinstance(value, (int, float)):
            value = self.step_metrics.get(name, 0.0) + value / self._micro_batches
        self.step_metrics[name] = value

    def train_step(self, batch: Any) -> dict[str, float]:
        """A step of one batch, called by a user, or by a user's own ``train_step``; its metrics as numbers."""
        if self.is_in_step:
            metrics = self.task.train_micro_batch(batch)
            if self._is_last:
                self.optimizer_step()
            return {name: float(value) for name, value in metrics.items()}
        self._is_direct = True
        try:
            self.step([batch])
        finally:
            self._is_direct = False
        if self.plan is not None:
            self.end_step()
        return {"loss": self.losses.last()} | self.step_metrics

    def backward(self, loss: Any) -> None:
        """The backward pass of a micro-batch's mean loss, which counts as its part of the step."""
        self.precision.backward(loss if self._micro_batches == 1 else loss / self._micro_batches)

    def optimizer_step(self) -> None:
        """Clip the gradients, change the parameters and the learning rate, and clear the gradients."""
        heard, optimizer = self._heard if self.plan is not None else (), self.optimizer
        self._optimizer_stepped = True
        if self._measures_norms:
            self.precision.unscale(optimizer)
            if self.task.gradients_ready is not None:
                self.task.gradients_ready()
            self.grad_norm = self.clip_grad_norm()
        if "on_pre_optimizer_step" in heard:
            self._tell("on_pre_optimizer_step")
        self.learning_rate = optimizer.param_groups[0].get("lr")
        was_made = self.precision.step(optimizer)
        if "on_optimizer_step" in heard:
            self._tell("on_optimizer_step")
        if was_made:
            self.schedule.after_batch()
        optimizer.zero_grad()

    def clip_grad_norm(self) -> Any:
        """Clip the gradients, if there is a limit; their norm before that."""
        if self.max_grad_norm is not None:
            return whole(torch.nn.utils.clip_grad_norm_(self._parameters, self.max_grad_norm))
        return whole(torch.nn.utils.get_total_norm([one.grad for one in self._parameters if one.grad is not None]))

    def end_step(self) -> None:
        """After a step: what is due now."""
        self._tell("on_step_end")
