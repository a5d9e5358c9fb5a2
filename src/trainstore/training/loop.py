"""`Loop`: the training itself, the same for both trainers. It is what callbacks see as the trainer.

An epoch is a loop over groups of micro-batches, one group for each step of the optimizer. Between them stand Hugging
Face's events, in Hugging Face's order. What is done with a batch is the `Task`'s, that is, the trainer's that the user
has made: how a loss is computed, how the model is evaluated, how a checkpoint is written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Protocol

import torch
from transformers import TrainerControl, TrainerState

from trainstore.errors import CheckpointError, InvalidArgumentError
from trainstore.integrations.transformers import TrainStoreCallback
from trainstore.integrations.transformers.train_call import watch_train
from trainstore.training import loop_state
from trainstore.training.events import handler_of, heard_events
from trainstore.training.losses import Losses
from trainstore.training.plan import Flow, Plan, length_of
from trainstore.training.position import Position
from trainstore.training.precision import Precision
from trainstore.training.ranks import Ranks
from trainstore.training.schedule import Schedule

logger = logging.getLogger("trainstore")


class Task(Protocol):
    """What a trainer tells its loop."""

    #: A user's own ``train_step``, which makes the optimizer's step itself; None: the loop does.
    user_step: Callable[[Any], Mapping[str, Any]] | None

    def train_micro_batch(self, batch: Any) -> Mapping[str, Any]:
        """Forward and backward pass (by `Loop.backward`); "loss", and more metrics of this batch."""

    def train_epoch(self, train_loader: Any, eval_loader: Any, epoch: int) -> dict[str, float]:
        """One epoch (by `Loop.epoch`); its metrics."""

    def evaluate(self, loader: Any) -> Mapping[str, float]:
        """The metrics of an evaluation (by `Loop.each_batch`)."""

    def arguments(self, plan: Plan) -> Any:
        """What callbacks get as ``args``."""

    def means(self) -> Mapping[str, float]:
        """What is logged beside the mean loss."""

    def epoch_measured(self, metrics: Mapping[str, float]) -> None:
        """An epoch has these metrics; its checkpoint is not written yet."""

    def epoch_done(self, epoch: int, metrics: dict[str, float]) -> None:
        """An epoch is over, and all that belongs to it."""

    def write_checkpoint(self, *, is_due: bool, is_best: bool, at_epoch: bool) -> str | None:
        """Write the files of this moment, with `Loop.state_dict` in them; the path of one. All processes call it."""

    def task_state(self) -> dict[str, Any]:
        """What a checkpoint keeps of the task."""

    def load_task_state(self, saved: dict[str, Any]) -> None:
        """Go on from it."""


class Loop:
    """Trains a model.

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
    ) -> None:
        self.task, self.plain_model, self.optimizer = task, model, optimizer
        self.schedule, self.device, self.ranks, self.precision = schedule, device, ranks, precision
        self.accumulation, self.max_grad_norm = accumulation, max_grad_norm
        self.hyperparams = dict(hyperparams or {})
        self.model = ranks.divide_model(model, device)
        self._is_divided = self.model is not model
        self.flow = Flow(obeys_arguments)
        self.callback_handler = handler_of([self.flow, *callbacks], model, optimizer, schedule.scheduler)
        self.args: Any = None  # these, and what follows, belong to one training
        self.state, self.control = TrainerState(), TrainerControl()
        self.plan: Plan | None = None  # None: no training is under way
        self.epoch_index = 0
        self.failure: str | None = None  # why the training ended badly, without an exception
        self.failure_event: tuple[str, int, dict[str, Any]] | None = None
        self.last_checkpoint: str | None = None
        self.step_metrics: dict[str, float] = {}  # what a user's step returned beside its loss
        self.metric_value: float | None = None  # what the best model is chosen by, last time
        self.grad_norm: Any = None  # of the last step
        self.learning_rate: Any = None
        self.losses, self.position = Losses(device), Position(device, skip_data)
        self._skip_data = skip_data
        self._parameters = list(model.parameters())
        self._resumed: dict[str, Any] | None = None
        self._heard: frozenset[str] = frozenset()
        self._measures_norms = max_grad_norm is not None
        self.is_in_step = self._is_direct = self._is_best = False
        self._micro_batches, self._is_last = 1, True  # of the step under way
        self.bad_epochs = 0  # since the best one
        self.evaluated: tuple[int, dict[str, float]] = (-1, {})  # the last evaluation's step and results
        self._told: dict[str, float] = {}  # the metrics of the epoch that the loop has made
        self._best_before = (0.0, -1)  # the best value and its step before the last change
        self._warned: set[str] = set()
        self._tell("on_init_end")

    # --- Callbacks --------------------------------------------------------------------------------------------------

    @property
    def callbacks(self) -> list[Any]:
        """Those that are called, in their order."""
        found: list[Any] = self.callback_handler.callbacks
        return found

    def add_callback(self, callback: Any) -> None:
        """Call this one, too: an object, or a class."""
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

    # --- A training -------------------------------------------------------------------------------------------------

    def run(self, plan: Plan) -> None:
        """Train as the plan says, from the beginning or from the state that was loaded."""
        self.plan = self.flow.plan = plan
        try:
            self._begin(plan)
            while not self.control.should_training_stop and (plan.epochs is None or self.epoch_index < plan.epochs):
                metrics = self.run_epoch()
                self.epoch_index += 1
                self.task.epoch_done(self.epoch_index - 1, metrics)
            self._tell("on_train_end")
        finally:
            self.plan = self.flow.plan = None

    def _begin(self, plan: Plan) -> None:
        saved, self._resumed = self._resumed, None
        if plan.steps_in_epoch(self.accumulation) == 0:
            raise InvalidArgumentError("the training data loader has no batch")
        self.args = self.task.arguments(plan)
        self.losses, self.position = Losses(self.device), Position(self.device, self._skip_data)
        self.position.eval_loader = plan.eval_loader
        self.state, self.control = self._new_state(plan), TrainerControl()
        self.failure = self.failure_event = self.last_checkpoint = None
        self.metric_value = self.grad_norm = self.learning_rate = None
        self.epoch_index = self.bad_epochs = 0
        self.evaluated, self._is_best = (-1, {}), False
        self._parameters = list(self.plain_model.parameters())
        recorded = any(isinstance(one, TrainStoreCallback) for one in self.callbacks)
        self._measures_norms = recorded or self.max_grad_norm is not None
        if saved is not None:
            loop_state.go_back(self, plan, saved)
        handler = self.callback_handler
        handler.train_dataloader, handler.eval_dataloader = plan.train_loader, plan.eval_loader
        self._expect(plan)
        self._listen()
        self._tell("on_train_begin")
        if saved is not None:
            self.control.should_training_stop |= saved["stopped"]
            self.position.restore()

    def _new_state(self, plan: Plan) -> TrainerState:
        args, is_main = self.args, self.ranks.is_main
        return TrainerState(
            num_train_epochs=plan.epochs or 0,
            logging_steps=plan.log_steps or int(args.logging_steps),
            eval_steps=plan.eval_steps or int(args.eval_steps or args.logging_steps),
            save_steps=plan.save_steps or int(args.save_steps),
            train_batch_size=args.per_device_train_batch_size,
            is_local_process_zero=self.ranks.local_rank == 0,
            is_world_process_zero=is_main,
        )

    def _expect(self, plan: Plan) -> None:
        """How many steps there will be, as known now."""
        taken = self.position.taken_in(self.epoch_index) // self.accumulation
        done = self.state.global_step - taken
        self.state.max_steps = plan.total_steps(self.accumulation, done, self.epoch_index)

    def run_epoch(self) -> dict[str, float]:
        """The next epoch as the trainer makes it, and what follows from its metrics."""
        plan, epoch, before = self._plan_under_way, self.epoch_index, self.state.global_step
        self.flow.epoch, self._told = epoch, {}
        self._expect(plan)
        metrics = self.task.train_epoch(plan.train_loader, plan.eval_loader, epoch)
        if not metrics:
            raise InvalidArgumentError("the training data loader gave no batch")
        self.task.epoch_measured(metrics)
        if self.failure is not None:
            return metrics
        if not self._told:  # a user's own epoch, without `epoch`
            self.position.end_epoch()
            self.state.epoch = float(epoch + 1)
        added = {name: value for name, value in metrics.items() if name not in self._told}
        if added:
            self.log(added)
        value = self.metric_value = self._judge(metrics, plan)
        self._count_patience(plan, before)
        self.schedule.after_epoch(metrics.get("train_loss") if value is None else value)
        self._save_if_due(at_epoch=True)
        return metrics

    @property
    def _plan_under_way(self) -> Plan:
        if self.plan is None:
            raise RuntimeError("no training is under way")
        return self.plan

    # --- An epoch ---------------------------------------------------------------------------------------------------

    def epoch(self, train_loader: Any, eval_loader: Any, epoch: int) -> dict[str, float]:
        """Train on all batches, then evaluate; outside a training without events and checkpoints."""
        plan = self.plan
        if plan is None:
            self.losses, self.position = Losses(self.device), Position(self.device, self._skip_data)
        else:
            self._tell("on_epoch_begin")
        self.model.train()
        limit = None if plan is None else plan.steps_per_epoch
        count, steps = length_of(train_loader), self.position.taken_in(epoch) // self.accumulation
        is_whole = True
        for batches in self._groups(train_loader, epoch):
            self.step(batches)
            steps += 1
            if plan is not None:
                self.state.epoch = float(epoch) if count is None else epoch + min(1.0, self.position.taken / count)
                self._end_step()
                if self.control.should_training_stop or self.control.should_epoch_stop:
                    is_whole = self.position.taken == count
                    break
            if steps == limit:
                break
        if is_whole:
            self.position.end_epoch()
            self.state.epoch = float(epoch + 1)
        return self._end_epoch(eval_loader)

    def _groups(self, loader: Any, epoch: int) -> Iterator[list[Any]]:
        """The micro-batches of each step. Those of the last one may be fewer; its loss is their mean, too."""
        batches, count = self.position.batches(loader, epoch), self.accumulation
        while group := list(islice(batches, count)):
            yield group

    def _end_epoch(self, eval_loader: Any) -> dict[str, float]:
        """After the last step of an epoch, in Hugging Face's order."""
        metrics: dict[str, float] = {}
        loss = self.losses.take_epoch()
        if loss is not None:
            metrics["train_loss"] = self.ranks.mean(loss)
        if self.plan is None:
            if eval_loader is not None:
                metrics |= self.run_evaluation(eval_loader)
            self.schedule.after_epoch(metrics.get("eval_loss", loss))
            return metrics
        self._tell("on_epoch_end")
        if self.control.should_log:
            self._log_means(metrics)
        if self.failure is None:
            metrics |= self._evaluate_if_due(eval_loader)
        self._told = metrics
        return metrics

    # --- A step -----------------------------------------------------------------------------------------------------

    def step(self, batches: list[Any]) -> None:
        """One step of the optimizer on its micro-batches."""
        heard = self._heard if self.plan is not None else ()
        if "on_step_begin" in heard:
            self._tell("on_step_begin")
        if self.step_metrics:
            self.step_metrics = {}
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
        except BaseException:
            self.losses.discard()
            raise
        finally:
            self.is_in_step = False
        self.state.global_step += 1
        self.losses.end_step(self.state.global_step)

    def micro_batch(self, model: Any, batch: Any) -> Any:
        """Forward and backward pass of one micro-batch; its part of the step's loss."""
        task = self.task
        work = task.train_micro_batch if self._is_direct or task.user_step is None else task.user_step
        metrics = work(batch)
        if len(metrics) > 1:
            for name, value in metrics.items():
                if name != "loss":
                    self.step_metrics[name] = self.step_metrics.get(name, 0.0) + value / self._micro_batches
        loss = metrics["loss"]
        return loss if self._micro_batches == 1 else loss / self._micro_batches

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
            self._end_step()
        return {"loss": self.losses.last()} | self.step_metrics

    def backward(self, loss: Any) -> None:
        """The backward pass of a micro-batch's mean loss, which counts as its part of the step."""
        self.precision.backward(loss if self._micro_batches == 1 else loss / self._micro_batches)

    def optimizer_step(self) -> None:
        """Clip the gradients, change the parameters and the learning rate, and clear the gradients."""
        heard, optimizer = self._heard if self.plan is not None else (), self.optimizer
        if self._measures_norms:
            self.precision.unscale(optimizer)
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
            return torch.nn.utils.clip_grad_norm_(self._parameters, self.max_grad_norm)
        return torch.nn.utils.get_total_norm([one.grad for one in self._parameters if one.grad is not None])

    def _end_step(self) -> None:
        """After a step: what is due now."""
        self._tell("on_step_end")
        plan, control = self._plan_under_way, self.control
        if plan.check_for_nan and self.losses.nan_step is not None:
            self._stop_for_nan(f"the loss of step {self.losses.nan_step}", self.losses.nan_step)
            return
        if control.should_log:
            self._log_means({})
        if control.should_evaluate:
            metrics = self._evaluate_if_due(plan.eval_loader)
            if metrics:
                self.metric_value = self._judge(metrics, plan)
        if control.should_save or self._is_best:
            self._save_if_due(at_epoch=False)

    # --- Logs and evaluations ---------------------------------------------------------------------------------------

    def log(self, metrics: Mapping[str, float]) -> None:
        """Tell the callbacks, and remember it in the state's history."""
        logs = {**metrics, "epoch": self.state.epoch}
        self.state.log_history.append({**logs, "step": self.state.global_step})
        if self.plan is not None:
            self._tell("on_log", logs=logs)

    def _log_means(self, more: Mapping[str, float]) -> None:
        logs: dict[str, float] = {}
        loss = self.losses.take_window()
        if loss is not None:
            logs["loss"] = self.ranks.mean(loss)
        if self.grad_norm is not None:
            logs["grad_norm"] = float(self.grad_norm)
        if self.learning_rate is not None:
            logs["learning_rate"] = float(self.learning_rate)
        self.log({**logs, **more, **self.task.means()})

    def run_evaluation(self, loader: Any) -> dict[str, float]:
        """Evaluate; each metric's name begins with ``eval_``."""
        results = self.task.evaluate(loader)
        return {name if name.startswith("eval_") else f"eval_{name}": value for name, value in results.items()}

    def each_batch(self, loader: Any, work: Callable[[Any], None]) -> None:
        """Do something with each batch of an evaluation: without gradients, every module in evaluation mode."""
        modes = [(module, module.training) for module in self.plain_model.modules()]
        told = self.plan is not None and "on_prediction_step" in self._heard
        self.plain_model.eval()
        try:
            with torch.no_grad():
                for batch in loader:
                    work(batch)
                    if told:
                        self._tell("on_prediction_step")
        finally:
            for module, mode in modes:
                module.training = mode

    def _evaluate_if_due(self, loader: Any) -> dict[str, float]:
        is_due, self.control.should_evaluate = self.control.should_evaluate, False
        if not is_due or loader is None:
            return {}
        step, found = self.evaluated
        if step == self.state.global_step:
            return found  # at the end of an epoch whose last step was due
        metrics = self.run_evaluation(loader)
        self.evaluated = (self.state.global_step, metrics)
        self.log(metrics)
        self._tell("on_evaluate", metrics=metrics)
        nan = next((name for name, value in metrics.items() if name.endswith("loss") and value != value), None)
        if nan is not None and self._plan_under_way.check_for_nan:
            self._stop_for_nan(f"{nan} at step {self.state.global_step}", self.state.global_step)
        return metrics

    def _stop_for_nan(self, what: str, step: int) -> None:
        saved = f"the last checkpoint is {self.last_checkpoint}" if self.last_checkpoint else "no checkpoint was saved"
        self.failure = f"{what} is NaN; {saved}"
        self.failure_event = ("nan", step, {"what": what, "checkpoint": self.last_checkpoint})
        self.control.should_training_stop = True
        logger.error("the training stops: %s", self.failure)

    def _judge(self, metrics: Mapping[str, float], plan: Plan) -> float | None:
        """Whether this is the best model so far; the value that it is judged by."""
        best, step = plan.best, self.state.global_step
        value = None if best is None else best.find(metrics, step)
        if best is None or value is None:
            if best is not None:
                self.warn_once(
                    f"the metric {best.metric!r} is not among {', '.join(sorted(metrics))}: none is the best"
                )
            return None
        before = (best.value, best.step)
        if best.improve(value, step):
            self._is_best, self._best_before = True, before
            self.state.best_metric, self.state.best_global_step = best.value, step
        return value

    def _count_patience(self, plan: Plan, before: int) -> None:
        """At an epoch's end, which began after ``before`` steps."""
        if plan.best is None or plan.best.is_missing():
            return
        self.bad_epochs = 0 if plan.best.step > before else self.bad_epochs + 1
        if plan.patience is not None and self.bad_epochs >= plan.patience:
            self.control.should_training_stop = True

    def warn_once(self, message: str) -> None:
        """Log a warning, unless the same one was logged before."""
        if message not in self._warned:
            self._warned.add(message)
            logger.warning("%s", message)

    # --- Checkpoints ------------------------------------------------------------------------------------------------

    def save(self, *, is_due: bool, is_best: bool, at_epoch: bool) -> str | None:
        """Write a checkpoint; its path."""
        return self.task.write_checkpoint(is_due=is_due, is_best=is_best, at_epoch=at_epoch)

    def _save_if_due(self, *, at_epoch: bool) -> None:
        is_due, is_best = self.control.should_save, self._is_best
        self.control.should_save = self._is_best = False
        if not (is_due or is_best):
            return
        try:
            path = self.save(is_due=is_due, is_best=is_best, at_epoch=at_epoch)
        except CheckpointError as error:
            self._not_saved(error, is_best)
            return
        if path is not None:
            self.last_checkpoint = path
            self._tell("on_save")

    def _not_saved(self, error: CheckpointError, is_best: bool) -> None:
        """A full disk, for example: the last checkpoint is whole, and the run knows."""
        plan = self._plan_under_way
        if is_best and plan.best is not None:
            plan.best.value, plan.best.step = self._best_before
        if plan.stops_if_not_saved:
            raise error
        self.warn_once(f"{error}; the training goes on")
        for one in self.callbacks:
            run = one.run_of(self.state) if isinstance(one, TrainStoreCallback) else None
            if run is not None:
                run.alert("a checkpoint was not saved", str(error), level="error")

    def state_dict(self) -> dict[str, Any]:
        """All of the training but model, optimizer and scheduler; every process calls it, between two steps."""
        return loop_state.state_of(self)

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from here in the next `run`. Model, optimizer and scheduler are loaded by whoever calls this."""
        self._resumed = saved


watch_train(Loop, "run")  # so that a `TrainStoreCallback` learns how a training ends
