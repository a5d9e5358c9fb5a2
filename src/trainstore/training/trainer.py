"""`Trainer`: trains any PyTorch model."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from trainstore.callbacks.best_metric import BestMetric
from trainstore.errors import CheckpointError, InvalidArgumentError, RunNotFoundError
from trainstore.integrations.transformers import TrainStoreCallback
from trainstore.queries.metric_names import better_direction
from trainstore.redaction import redact
from trainstore.run import ActiveRun
from trainstore.store import TrainStore
from trainstore.training import batches, mistakes
from trainstore.training.checkpoint_file import plain, read_checkpoint
from trainstore.training.devices import find_device
from trainstore.training.evaluation import Means
from trainstore.training.loop import Loop
from trainstore.training.plan import Plan, length_of
from trainstore.training.precision import Precision
from trainstore.training.ranks import Ranks
from trainstore.training.schedule import Schedule
from trainstore.training.settings import TrainerSettings, as_plain, whole
from trainstore.training.trainer_task import TrainerTask, is_callback

logger = logging.getLogger("trainstore")

Function = Callable[[Any, int, dict[str, float]], Any]  # (trainer, epoch, metrics)


class Trainer:
    """Trains a model, evaluates it, keeps the best one and goes on from a checkpoint; recorded if it has a store.

    Args:
        model: Any module, also one of transformers. It is moved to the device.
        optimizer: Of the model's parameters.
        loss_fn: ``(outputs, targets) -> loss``, a scalar tensor. None: the model computes its own, as those of
            transformers do if they are given ``labels``.
        config: A mapping, a dataclass, an OmegaConf, or an object with attributes. Its ``training.<name>`` (or
            ``<name>``) are read as `TrainerSettings` says; all of it is recorded.
        device: "cpu", "cuda", …; None: a GPU if there is one.
        scheduler: A learning-rate scheduler. It steps after each epoch, or after each step of the optimizer
            (``scheduler_step_per_batch``); ``ReduceLROnPlateau`` is given the metric of the best model.
        callbacks: Callbacks of Hugging Face's kind, objects or classes: those of transformers and of
            `trainstore.callbacks`.
        store: An open `TrainStore`, or a path or URL: the training is recorded there, by a `TrainStoreCallback`.
        project: The run's, as for `TrainStoreCallback`.
        name: The run's.
        tags: The run's.
        hyperparams: Recorded beside the config.
        args: ``TrainingArguments`` for the callbacks; they also say when to log, evaluate and save, beside what is said
            here. None: made from what is known.
        mixed_precision: "no", "bf16" or "fp16", before the config's.
        gradient_accumulation_steps: Before the config's.
        best_model_mode: "min" or "max", which values of the best model's metric are better. None: as its name says, and
            "max" if it does not.
        skip_data: What a resumed training does with the batches of its epoch that it has had: "batches" loads them once
            more and discards them, which is exact; "sampler" skips their indices, which is faster, and exact if nothing
            in the data set is random; "loader" asks the loader's own ``state_dict()``.

    Raises:
        InvalidArgumentError: An argument that cannot be used.

    Subclasses may override ``train_step``, ``eval_step``, ``train_epoch``, ``evaluate``, ``_prepare_batch``,
    ``_forward_pass``, ``_compute_loss`` and ``_save_checkpoint``: training and evaluation go through them.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        loss_fn: Callable[[Any, Any], Any] | None,
        config: Any = None,
        device: str | torch.device | None = None,
        scheduler: Any = None,
        *,
        callbacks: Sequence[Any] | None = None,
        store: TrainStore | str | os.PathLike[str] | None = None,
        project: str | None = None,
        name: str | None = None,
        tags: Mapping[str, Any] | Sequence[str] | None = None,
        hyperparams: Mapping[str, Any] | None = None,
        args: Any = None,
        mixed_precision: str | None = None,
        gradient_accumulation_steps: int | None = None,
        best_model_mode: str | None = None,
        skip_data: str = "batches",
    ) -> None:
        mistakes.check_parts(model, optimizer, loss_fn, scheduler)
        if type(self).train_step is Trainer.train_step:
            mistakes.check_steps_alone(optimizer)
        mistakes.check_callbacks(callbacks)
        self.config = config
        self._config = as_plain(config)
        self.settings = TrainerSettings.of(
            self._config,
            mixed_precision=mixed_precision,
            gradient_accumulation_steps=gradient_accumulation_steps,
        )
        mistakes.warn_of_misspelt_settings(self._config, [field.name for field in fields(TrainerSettings)])
        self.device = find_device(device)
        self.model = model.to(self.device)
        self.optimizer, self.loss_fn, self.scheduler = optimizer, loss_fn, scheduler
        self._set_weight_decay()
        self._mode = BestMetric("loss", best_model_mode).mode if best_model_mode is not None else None
        recorder = [] if store is None else [TrainStoreCallback(store, project, name, tags, hyperparams)]
        ranks = Ranks(self.device)
        own_step = type(self).train_step is not Trainer.train_step
        self._task = TrainerTask(self, ranks, args, self.train_step if own_step else None)
        self._precision = Precision(self.settings.mixed_precision, self.device)
        self._loop = Loop(
            self._task,
            self.model,
            optimizer,
            Schedule(scheduler, self.settings.scheduler_step_per_batch),
            self.device,
            ranks,
            self._precision,
            [*recorder, *(callbacks or ())],
            accumulation=self.settings.gradient_accumulation_steps,
            max_grad_norm=self.settings.max_grad_norm,
            obeys_arguments=args is not None,
            skip_data=skip_data,
        )

    # --- What a training is -----------------------------------------------------------------------------------------

    @property
    def loop(self) -> Loop:
        """What sends the events; callbacks see it as their trainer."""
        return self._loop

    @property
    def state(self) -> Any:
        """The ``TrainerState`` of transformers: ``global_step``, ``epoch``, ``best_metric``, ``log_history``, …"""
        return self._loop.state

    @property
    def control(self) -> Any:
        """The ``TrainerControl`` of transformers: ``should_training_stop`` and so on, which may be set."""
        return self._loop.control

    @property
    def run(self) -> ActiveRun | None:
        """The run that is being recorded, or the last one; None if nothing is."""
        return next((one.run for one in self._loop.callbacks if isinstance(one, TrainStoreCallback)), None)

    @property
    def run_uid(self) -> str:
        """The uid of that run. Raises `RunNotFoundError` if there is none."""
        if self.run is None:
            raise RunNotFoundError("nothing was recorded yet: pass store= to the Trainer")
        return self.run.uid

    def add_callback(self, callback: Any) -> None:
        """Call this callback too, an object or a class; after those that are there."""
        self._loop.add_callback(callback)

    def pop_callback(self, callback: Any) -> Any:
        """Call this callback, or the first one of this class, no longer; it is returned, or None."""
        return self._loop.pop_callback(callback)

    def remove_callback(self, callback: Any) -> None:
        """The same, and nothing is returned."""
        self._loop.pop_callback(callback)

    # --- Steps ------------------------------------------------------------------------------------------------------

    def train_step(self, batch: Any) -> dict[str, float]:
        """Train on one batch.

        Inside `train` it is a micro-batch: the optimizer makes its step when the accumulation is complete. Otherwise it
        is a whole step. An override may call it, and add metrics, which are recorded with the step; if it makes the
        optimizer's step itself, it need not. Overriding it costs a read of the device at each step.

        Returns:
            "loss", and what an override adds.
        """
        return self._loop.train_step(batch)

    def eval_step(self, batch: Any) -> dict[str, float]:
        """Evaluate on one batch. An override may add metrics, which `evaluate` averages over the examples.

        Returns:
            "loss", and what an override adds.
        """
        with torch.no_grad():
            return {name: float(value) for name, value in self._eval_batch(batch).items()}

    def train_epoch(self, train_dataloader: Any, eval_dataloader: Any = None, epoch: int = 0) -> dict[str, float]:
        """Train on all batches once, then evaluate if there is something to evaluate on.

        Args:
            train_dataloader: The batches.
            eval_dataloader: Those to evaluate on, or None.
            epoch: The number of the epoch, from 0; data samplers are told.

        Returns:
            "train_loss", the mean of the steps' losses, and "eval_<name>" for each metric of the evaluation.
        """
        return self._loop.epoch(train_dataloader, eval_dataloader, epoch)

    def evaluate(self, dataloader: Any) -> dict[str, float]:
        """Evaluate; the model's mode and the random numbers of a training are left as they are, but for the loader's.

        Returns:
            "eval_<name>" for each metric of `eval_step`: its mean over the examples of all processes.
        """
        means = Means()
        step = self._eval_batch if type(self).eval_step is Trainer.eval_step else self._checked_eval_step
        loader = self._loop.ranks.divide_data(dataloader, pads=False)
        self._loop.each_batch(loader, lambda batch: means.add(step(batch), batches.size_of(batch)))
        return {f"eval_{name}": value for name, value in means.means(self._loop.ranks).items()}

    def _checked_eval_step(self, batch: Any) -> dict[str, Any]:
        metrics = self.eval_step(batch)
        mistakes.check_eval_metrics(metrics)
        return metrics

    def _train_micro_batch(self, batch: Any) -> dict[str, Any]:
        loss = self._loss_of(batch)
        mistakes.check_loss(loss)
        self._loop.backward(loss)
        return {"loss": loss.detach()}

    def _eval_batch(self, batch: Any) -> dict[str, Any]:
        return {"loss": self._loss_of(batch)}

    def _loss_of(self, batch: Any) -> Any:
        inputs, targets = self._prepare_batch(batch)
        try:
            if self._precision.is_full:
                return self._compute_loss(self._forward_pass(inputs), targets)
            with self._precision.autocast():
                return self._compute_loss(self._forward_pass(inputs), targets)
        except Exception as error:
            error.add_note(mistakes.about_batch(batch))
            raise

    def _prepare_batch(self, batch: Any) -> tuple[Any, Any]:
        """Inputs and targets, on the device."""
        return batches.split(batches.to_device(batch, self.device), has_own_loss=self.loss_fn is None)

    def _forward_pass(self, inputs: Any) -> Any:
        """The model's outputs: a mapping is given by name, a tuple or list as several arguments."""
        model = self._loop.model if self._loop.is_in_step else self.model
        if isinstance(inputs, Mapping):
            return model(**inputs)
        if isinstance(inputs, (list, tuple)):
            return model(*inputs)
        return model(inputs)

    def _compute_loss(self, outputs: Any, targets: Any) -> Any:
        """The loss: of ``loss_fn``, else the model's own."""
        if self.loss_fn is not None:
            is_tensor = isinstance(outputs, torch.Tensor)  # asking a tensor for what it lacks is slow
            return self.loss_fn(outputs if is_tensor else getattr(outputs, "logits", outputs), targets)
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else getattr(outputs, "loss", None)
        if loss is None and isinstance(outputs, (list, tuple)) and outputs:
            loss = outputs[0]
        if loss is None and isinstance(outputs, torch.Tensor):
            loss = outputs
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
            raise InvalidArgumentError(
                "the model returned no loss: pass a loss_fn, or give a model of transformers batches with 'labels'"
            )
        return loss

    # --- Trainings --------------------------------------------------------------------------------------------------

    def train(
        self,
        train_dataloader: Any,
        num_epochs: int,
        eval_dataloader: Any = None,
        save_dir: str | os.PathLike[str] | None = None,
        save_freq: int = 1,
        best_model_metric: str = "eval_loss",
        early_stopping_patience: int | None = None,
        callbacks: Sequence[Any] | None = None,
        *,
        resume_from: str | os.PathLike[str] | bool | None = None,
    ) -> dict[str, list[float]]:
        """Train for some epochs.

        Args:
            train_dataloader: The batches of an epoch.
            num_epochs: How many epochs, also counting those of a training that is resumed.
            eval_dataloader: Evaluate on these after each epoch.
            save_dir: Where checkpoints go: ``best_model.pt``, and ``checkpoint_epoch_<n>.pt`` (n from 1).
            save_freq: Every so many epochs.
            best_model_metric: The metric that the best model is chosen by. Without an evaluation, "eval_loss" stands
                for "train_loss". NaN is never the best.
            early_stopping_patience: Stop when so many epochs in a row had no better one.
            callbacks: Functions ``f(trainer, epoch, metrics)``, called at the very end of each epoch, with its number
                from 0; or callbacks of Hugging Face's kind, for this training.
            resume_from: Go on from this checkpoint, as if the training had not been interrupted. True: from the newest
                one in ``save_dir``, if there is one.

        Returns:
            The history: for each metric a list with a value for each epoch; NaN where an epoch lacked it.

        Raises:
            InvalidArgumentError: An argument that cannot be used.
            CheckpointError: A checkpoint that cannot be read, or is of another model.
        """
        mistakes.check_idle(self._loop)
        mistakes.check_list(callbacks)
        plan = self._plan(train_dataloader, num_epochs, eval_dataloader, save_dir, save_freq, best_model_metric)
        plan.patience = (
            None if early_stopping_patience is None else whole("early_stopping_patience", early_stopping_patience)
        )
        functions = [one for one in callbacks or () if not is_callback(one)]
        wrong = next((one for one in functions if not callable(one)), None)
        if wrong is not None:
            raise InvalidArgumentError(f"callback {wrong!r} is neither a function nor a TrainerCallback")
        self._task.begin(plan, save_dir, functions, self._config)
        self._resume(resume_from)
        added = [one() if isinstance(one, type) else one for one in callbacks or () if is_callback(one)]
        for one in added:
            self._loop.add_callback(one)
        try:
            self._loop.run(plan)
        finally:
            for one in added:
                self._loop.pop_callback(one)
        return self._task.history

    def _plan(self, train: Any, epochs: int, evaluation: Any, save_dir: Any, save_freq: int, metric: str) -> Plan:
        whole("save_freq", save_freq)
        mistakes.check_loader("train_dataloader", train)
        if evaluation is not None:
            mistakes.check_loader("eval_dataloader", evaluation)
        if save_dir is not None and Path(save_dir).exists() and not Path(save_dir).is_dir():
            raise InvalidArgumentError(f"save_dir {str(save_dir)!r} is a file, not a folder")
        if evaluation is not None and length_of(evaluation) == 0:
            raise InvalidArgumentError("the evaluation data loader has no batch")
        settings, ranks = self.settings, self._loop.ranks
        chosen = "train_loss" if metric == "eval_loss" and evaluation is None else metric
        BestMetric(metric, None)  # checks it
        return Plan(
            train_loader=ranks.divide_data(train, pads=True),
            eval_loader=evaluation,
            epochs=whole("num_epochs", epochs),
            max_steps=settings.max_steps,
            log_steps=settings.logging_steps,
            eval_steps=settings.eval_steps,
            save_steps=settings.save_steps if save_dir is not None else 0,
            save_epochs=save_freq if save_dir is not None else 0,
            best=BestMetric(chosen, self._mode or better_direction(chosen) or "max"),
            check_for_nan=settings.check_for_nan,
            stops_if_not_saved=settings.stop_if_not_saved,
        )

    def _resume(self, given: str | os.PathLike[str] | bool | None) -> None:
        path = self._task.newest_checkpoint() if given is True else None if given is False else given
        if path is None:
            if given is True:
                logger.info("there is no checkpoint to resume from: the training begins")
            return
        saved = self.load_checkpoint(path)
        if not isinstance(saved.get("training"), dict):
            raise CheckpointError(f"{path} holds a model, but not the state of a training to go on with")
        self._loop.load_state_dict(saved["training"], str(Path(path)))

    # --- Checkpoints ------------------------------------------------------------------------------------------------

    def load_checkpoint(
        self, path: str | os.PathLike[str], load_optimizer: bool = True, load_scheduler: bool = True
    ) -> dict[str, Any]:
        """Load what `train` has saved into the model, the optimizer and the scheduler.

        Args:
            path: The file.
            load_optimizer: Whether the optimizer's state is loaded, too.
            load_scheduler: Whether the scheduler's state is loaded, too.

        Returns:
            All that is in the checkpoint: ``epoch`` (from 0), ``step``, ``model_state_dict``, ``optimizer_state_dict``,
            ``config``, and if they were there ``scheduler_state_dict``, ``metric_value``, ``training``.

        Raises:
            CheckpointError: It cannot be read, or is of another model or optimizer; nothing was loaded then.
        """
        saved = read_checkpoint(path)
        if load_scheduler and self.scheduler is None and "scheduler_state_dict" in saved:
            logger.warning("%s has the state of a scheduler, and this trainer has none: its learning rate stays", path)
        self._task.load_states(Path(path), saved, load_optimizer, load_scheduler and self.scheduler is not None)
        return saved

    def _save_checkpoint(self, path: str | os.PathLike[str], epoch: int, metric_value: float | None = None) -> None:
        """Write a checkpoint; all processes call it, and the main one writes.

        Args:
            path: The file; whole, or what was there before.
            epoch: From 0.
            metric_value: Of the metric that the best model is chosen by.

        Raises:
            CheckpointError: It cannot be written.
            InvalidArgumentError: The config, or a callback's state, holds more than plain data.
        """
        self._task.write(Path(path), epoch, metric_value, redact(plain(self._config)))

    # --- Construction -----------------------------------------------------------------------------------------------

    def _set_weight_decay(self) -> None:
        decay = self.settings.weight_decay
        if decay is None:
            return
        groups = [group for group in self.optimizer.param_groups if "weight_decay" in group]
        # A group without decay beside one that has it, of biases and norms, is meant to have none.
        groups = [group for group in groups if group["weight_decay"]] or groups
        for group in groups:
            group["weight_decay"] = decay
        if groups:
            logger.info("the config's weight_decay %g is set in the optimizer's parameter groups", decay)
        else:
            logger.warning("the optimizer %s has no weight_decay to set", type(self.optimizer).__name__)
