"""`Loop`: the training itself, the same for both trainers. It is what callbacks see as the trainer.

An epoch is a loop over groups of micro-batches, one group for each step of the optimizer. Between them stand Hugging
Face's events, in Hugging Face's order. What is done with a batch is the `Task`'s, that is, the trainer's that the user
has made: how a loss is computed, how the model is evaluated, how a checkpoint is written.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import torch
from transformers import TrainerControl, TrainerState

from trainstore.callbacks.best_metric import BestMetric
from trainstore.errors import CheckpointError, InvalidArgumentError
from trainstore.integrations.transformers import TrainStoreCallback
from trainstore.integrations.transformers.train_call import watch_train
from trainstore.training import loop_state
from trainstore.training.losses import Losses
from trainstore.training.plan import Plan, length_of
from trainstore.training.position import Position
from trainstore.training.steps import Steps, number_of

logger = logging.getLogger("trainstore")


class Loop(Steps):
    """Trains a model: epochs of steps, with logs, evaluations and checkpoints; the arguments are those of `Steps`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.position = Position(self.device, self.skip_data)
        self.epoch_index = 0
        self.failure: str | None = None  # why the training ended badly, without an exception
        self.ending_event: tuple[str, int, dict[str, Any]] | None = None
        self.last_checkpoint: str | None = None
        self.metric_value: float | None = None  # what the best model is chosen by, last time
        self.bad_epochs = 0  # since the best one
        self.evaluated: tuple[int, dict[str, float]] = (-1, {})  # the last evaluation's step and results
        self._resumed: tuple[dict[str, Any], str | None] | None = None  # what was loaded, and from where
        self.is_ended = False  # whether what follows an epoch's last step has been done
        self._told: dict[str, float] = {}  # the metrics of the epoch that the loop has made
        self._is_best = False  # since the last checkpoint
        self._best_before = (0.0, -1)  # the best value and its step before the last change
        self._warned: set[str] = set()
        self.args = self.task.arguments(Plan(None))
        self._tell("on_init_end")

    # --- A training -------------------------------------------------------------------------------------------------

    def run(self, plan: Plan) -> None:
        """Train as the plan says, from the beginning or from the state that was loaded."""
        self.plan = self.flow.plan = plan
        try:
            self._begin(plan)
            while not self._is_over(plan):
                metrics = self.run_epoch()
                self.epoch_index += 1
                self.task.epoch_done(self.epoch_index - 1, metrics)
            self.task.training_done()
            self._tell("on_train_end")
        finally:
            self.plan = self.flow.plan = None

    def _is_over(self, plan: Plan) -> bool:
        if plan.epochs is not None and self.epoch_index >= plan.epochs:
            return True
        # If it was resumed between its last step and the end of that step's epoch, that end is still to come.
        return self._stops(plan) and (self.is_ended or not self.position.taken_in(self.epoch_index))

    def _stops(self, plan: Plan) -> bool:
        """Whether no step is to be made any more."""
        is_last = plan.max_steps is not None and self.state.global_step >= plan.max_steps
        return self.control.should_training_stop or is_last

    def _begin(self, plan: Plan) -> None:
        (saved, path), self._resumed = self._resumed or (None, None), None
        if plan.steps_in_epoch(self.accumulation) == 0:
            raise InvalidArgumentError("the training data loader has no batch")
        self.args = self.task.arguments(plan)
        self.losses, self.position = Losses(self.device), Position(self.device, self.skip_data)
        self.position.eval_loader = plan.eval_loader
        self.state, self.control = self._new_state(plan), TrainerControl()
        self.failure = self.ending_event = None
        self.last_checkpoint = path
        self.metric_value = self.grad_norm = self.learning_rate = None
        self.epoch_index = self.bad_epochs = 0
        self.is_ended = False
        self.evaluated, self._is_best = (-1, {}), False
        self._parameters = list(self.plain_model.parameters())
        recorded = any(isinstance(one, TrainStoreCallback) for one in self.callbacks)
        self._measures_norms = recorded or self._wants_norms
        if saved is not None:
            loop_state.go_back(self, plan, saved)
        handler = self.callback_handler
        handler.train_dataloader, handler.eval_dataloader = plan.train_loader, plan.eval_loader
        self._expect(plan)
        self.optimizer.zero_grad()  # what a failed training may have left
        self._listen()
        self._tell("on_train_begin")
        if saved is not None:
            # What other callbacks had asked for, a limit of time perhaps, they ask for again.
            self.control.should_training_stop |= plan.patience is not None and self.bad_epochs >= plan.patience
            self.position.restore()

    def _new_state(self, plan: Plan) -> TrainerState:
        args, is_main = self.args, self.ranks.is_main
        return TrainerState(
            num_train_epochs=plan.epochs or 0,
            logging_steps=plan.log_steps or 500,
            eval_steps=plan.eval_steps or 500,
            save_steps=plan.save_steps or 500,
            train_batch_size=args.per_device_train_batch_size,
            is_local_process_zero=self.ranks.local_rank == 0,
            is_world_process_zero=is_main,
        )

    def _expect(self, plan: Plan) -> None:
        """How many steps there will be, as known now."""
        taken = self.position.taken_in(self.epoch_index) // self.accumulation
        done = self.state.global_step - taken
        self.state.max_steps = plan.total_steps(self.accumulation, done, self.epoch_index)
        if self.flow.obeys_arguments:
            self.state.compute_steps(self.args, self.state.max_steps)

    def run_epoch(self) -> dict[str, float]:
        """The next epoch as the trainer makes it, and what follows from its metrics."""
        plan, epoch, before = self._plan_under_way, self.epoch_index, self.state.global_step
        self.flow.epoch, self._told, self.is_ended = epoch, {}, False
        self._expect(plan)
        metrics = self.task.train_epoch(plan.train_loader, plan.eval_loader, epoch)
        if not metrics and self.state.global_step == before:
            raise InvalidArgumentError(
                f"the training data loader gave no batch in epoch {epoch + 1} (an iterator has them once only)"
            )
        self.is_ended = True
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
            self.losses, self.position = Losses(self.device), Position(self.device, self.skip_data)
        else:
            self._tell("on_epoch_begin")
        self.model.train()
        limit = None if plan is None else plan.steps_per_epoch
        count, steps = length_of(train_loader), self.position.taken_in(epoch) // self.accumulation
        is_over = plan is not None and self._stops(plan)
        is_whole = not is_over or self.position.taken_in(epoch) == count or steps == limit
        for batches in () if is_over else self._groups(train_loader, epoch):
            self.step(batches)
            steps += 1
            if plan is not None:
                done = 0.0 if count is None else self.position.taken / count
                self.state.epoch = epoch + min(1.0, done if limit is None else steps / limit)
                self.end_step()
                if self.control.should_training_stop or self.control.should_epoch_stop:
                    is_whole = self.position.taken == count or steps == limit
                    break
            if steps == limit:
                break
        if is_whole:
            self.position.end_epoch()
            self.state.epoch = float(epoch + 1)
        return self._end_epoch(eval_loader)

    def _groups(self, loader: Any, epoch: int) -> Iterator[list[Any]]:
        """The micro-batches of each step. Those of the last one may be fewer; its loss is their mean, too."""
        batches, count = iter(self.task.track(self.position.batches(loader, epoch), loader, epoch)), self.accumulation
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
        self.task.epoch_trained(metrics)
        self._tell("on_epoch_end")
        if self.control.should_log:
            self._log_means(metrics)
        self._check_losses()
        if self.failure is None:
            metrics |= self._evaluate_if_due(eval_loader)
        self._told = dict(metrics)
        return metrics

    def end_step(self) -> None:
        """After a step: what is due now."""
        super().end_step()
        plan, control = self._plan_under_way, self.control
        if self._check_losses():
            return
        if control.should_log:
            self._log_means({})
            if self.failure is not None:
                return
        if control.should_evaluate:
            metrics = self._evaluate_if_due(plan.eval_loader)
            if plan.best is not None and plan.best.is_among(metrics):
                self.metric_value = self._judge(metrics, plan)
        if control.should_save or self._is_best:
            self._save_if_due(at_epoch=False)

    def _check_losses(self) -> bool:
        """Whether a loss was NaN, which stops the training."""
        step = self.losses.nan_step
        if step is None or not self._plan_under_way.check_for_nan:
            return False
        if self.failure is None:
            self.stop_for_nan(f"the loss of step {step}", step)
        return True

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
        """Evaluate."""
        return {name: number_of(value) for name, value in self.task.evaluate(loader).items()}

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
            self.stop_for_nan(f"{nan} at step {self.state.global_step}", self.state.global_step)
        return metrics

    def stop_for_nan(self, what: str, step: int) -> None:
        """End the training after this step, as failed.

        Args:
            what: Which value is NaN.
            step: Since when.
        """
        saved = f"the last checkpoint is {self.last_checkpoint}" if self.last_checkpoint else "no checkpoint was saved"
        self.failure = f"{what} is NaN; {saved}"
        self.ending_event = ("nan", step, {"what": what, "checkpoint": self.last_checkpoint})
        self.control.should_training_stop = True
        logger.error("the training stops: %s", self.failure)

    def _judge(self, metrics: Mapping[str, float], plan: Plan) -> float | None:
        """Whether this is the best model so far; the value that it is judged by."""
        best, step = plan.best, self.state.global_step
        value = None if best is None else best.find(metrics, step)
        if best is None or value is None:
            if best is not None:
                self.warn_once(
                    f"the best model's metric {best.metric!r} is not among {', '.join(sorted(metrics))}: "
                    "no model is the best, and nothing stops the training early"
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
            if self.failure is None:
                self.ending_event = (
                    "no_improvement",
                    self.state.global_step,
                    _why_it_stopped(plan.best, plan.patience),
                )

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

    def load_state_dict(self, saved: dict[str, Any], path: str | None = None) -> None:
        """Go on from here in the next `run`. Model, optimizer and scheduler are loaded by whoever calls this.

        Args:
            saved: What `state_dict` has returned.
            path: The checkpoint that it comes from.
        """
        self._resumed = (saved, path)


watch_train(Loop, "run")  # so that a `TrainStoreCallback` learns how a training ends


def _why_it_stopped(best: BestMetric, patience: int) -> dict[str, Any]:
    """The details of an event, the same as those of `EarlyStoppingCallback`."""
    return {
        "metric": best.metric,
        "mode": best.mode,
        "best": best.value if math.isfinite(best.value) else None,
        "best_step": best.step,
        "patience": patience,
    }
