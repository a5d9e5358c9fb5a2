"""`TrainerModule`: trains a model from configurations."""

from __future__ import annotations

import copy
import json
import logging
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from trainstore.callbacks.best_metric import BestMetric
from trainstore.errors import InvalidArgumentError
from trainstore.integrations.transformers import TrainStoreCallback
from trainstore.redaction import redact
from trainstore.run import ActiveRun
from trainstore.store import TrainStore
from trainstore.training.config import CheckpointConfig, OptimizerConfig, TrainerConfig
from trainstore.training.config_base import CLASS, class_name, plain_values
from trainstore.training.devices import find_device
from trainstore.training.loop import Loop
from trainstore.training.mistakes import check_idle, check_loader
from trainstore.training.module_checkpoints import FOLDER, mend
from trainstore.training.module_evaluation import ModuleEvaluation
from trainstore.training.module_hooks import HookCaller
from trainstore.training.module_loading import LOADERS, ModuleLoading
from trainstore.training.module_task import ModuleTask
from trainstore.training.plan import Plan, length_of
from trainstore.training.precision import Precision
from trainstore.training.random_states import random_states
from trainstore.training.ranks import Ranks
from trainstore.training.schedule import Schedule
from trainstore.training.settings import whole

logger = logging.getLogger("trainstore")

#: Of a `TrainerConfig`: where things are written, what is shown, and what has no effect.
NOT_RECORDED = ("logger", "enable_progress_bar", "donate_train_state", "gradient_accumulate_scan")


class TrainerModule(ModuleEvaluation, ModuleLoading):
    """Trains, validates and tests a model that a subclass builds; recorded if it has a store.

    A subclass defines ``build_model(model_config)`` and ``loss_function(model, batch, train)``; it may override any
    other method.

    Args:
        trainer_config: How it is trained.
        model_config: Given to ``build_model``; anything. It is recorded, and kept in checkpoints.
        optimizer_config: An `OptimizerConfig`; anything if ``init_optimizer`` is overridden. None: AdamW's defaults.
        batch: An example batch, for models with lazy layers.
        mesh: A ``DeviceMesh`` with the dimensions "dp" (copies of the model), "fsdp" (its parameters divided by
            ``fully_shard``), or both; None: copies of the model in all processes that there are.
        device: "cpu", "cuda", …; None: a GPU if there is one.
        mixed_precision: "no", "bf16" or "fp16".
        callbacks: Further callbacks of Hugging Face's kind.
        store: An open `TrainStore`, or a path or URL, before that of the `LoggerConfig`.
        project: The run's, before that of the `LoggerConfig`.
        name: The same.
        tags: The same.
        hyperparams: Recorded beside the configurations.
        skip_data: As for `Trainer`.

    Attributes:
        model: The model.
        optimizer: Its optimizer.
        scheduler: Of the learning rate; None: it is constant.
        exmp_batch: The example batch.
        mesh: The mesh of processes.
        callbacks: Those of the configuration and those given.
        first_step: Whether no step was made yet.
        dataset: What `set_dataset` was given.
        log_path: The folder of this training.

    Raises:
        InvalidArgumentError: An argument that cannot be used.
    """

    def __init__(
        self,
        trainer_config: TrainerConfig,
        model_config: Any,
        optimizer_config: Any = None,
        batch: Any = None,
        mesh: Any = None,
        *,
        device: str | torch.device | None = None,
        mixed_precision: str | None = None,
        callbacks: Sequence[Any] = (),
        store: TrainStore | str | os.PathLike[str] | None = None,
        project: str | None = None,
        name: str | None = None,
        tags: Any = None,
        hyperparams: Mapping[str, Any] | None = None,
        skip_data: str = "batches",
    ) -> None:
        if not isinstance(trainer_config, TrainerConfig):
            raise InvalidArgumentError(f"trainer_config {trainer_config!r} is not a TrainerConfig")
        self.trainer_config, self.model_config = trainer_config, model_config
        self.optimizer_config = OptimizerConfig() if optimizer_config is None else optimizer_config
        self.exmp_batch, self.dataset, self.first_step = batch, None, True
        self.device = find_device(device)
        self.precision = Precision(mixed_precision, self.device)
        self.mesh = self.init_mesh(model_config, mesh)
        self.ranks = Ranks(self.device, self.mesh)
        self.seed(trainer_config.seed)
        self.model = self.init_model(batch)
        if self.ranks.is_sharded:
            self.shard_model(self.model)
        self.optimizer, self.scheduler = self.init_optimizer(self.optimizer_config)
        self.seed(trainer_config.seed + self.ranks.rank)  # the processes' weights are equal, their dropout is not
        self.max_grad_norm: float | None = getattr(self.optimizer_config, "grad_clip_norm", None)
        log = self.logger_config = self.init_logger(trainer_config.logger)
        self.callbacks = self.init_callbacks([*trainer_config.callbacks, *callbacks])
        self._hyperparams = dict(hyperparams or {})
        self._loaders: dict[str, Any] = {}
        target = store if store is not None else log.store
        recorder = TrainStoreCallback(target, project or log.project, name or log.name, tags or log.tags)
        own_step = type(self).train_step is not TrainerModule.train_step
        self._task = ModuleTask(self, self.train_step if own_step else None)
        self.loop = Loop(
            self._task,
            self.model,
            self.optimizer,
            Schedule(self.scheduler, per_batch=True),
            self.device,
            self.ranks,
            self.precision,
            [*([recorder] if target is not None else []), HookCaller(self), *self.callbacks],
            accumulation=trainer_config.gradient_accumulate_steps,
            max_grad_norm=self.max_grad_norm or None,
            skip_data=skip_data,
            measures_norms=trainer_config.log_grad_norm or trainer_config.log_grad_norm_per_param,
        )
        self.create_jitted_functions()

    # --- What it is -------------------------------------------------------------------------------------------------

    @property
    def state(self) -> Any:
        """The ``TrainerState`` of transformers; `train_state` has the model's and the optimizer's."""
        return self.loop.state

    @property
    def global_step(self) -> int:
        """The steps made."""
        return int(self.loop.state.global_step)

    @property
    def run(self) -> ActiveRun | None:
        """The run that is being recorded, or the last one; None if nothing is."""
        return next((one.run for one in self.loop.callbacks if isinstance(one, TrainStoreCallback)), None)

    def train_state(self) -> dict[str, Any]:
        """A copy of the states of model, optimizer, scheduler and random numbers, as `restore_model` takes them."""
        parts = self.optimizer_state()
        state = {
            "params": self.model_state(),
            "opt_state": parts["optimizer"],
            "scheduler_state": parts.get("scheduler"),
            "step": self.global_step,
            "rng": random_states(self.device),
        }
        return copy.deepcopy(state)  # an optimizer that loads states keeps their tensors, and changes them

    def set_dataset(self, dataset: Any) -> None:
        """Remember a data set, and tell the callbacks of it."""
        self.dataset = dataset
        self._forward("set_dataset", dataset)

    def metadata(self) -> dict[str, Any]:
        """What a checkpoint keeps of the configurations, without secrets."""
        trainer = self.trainer_config.to_dict()
        trainer["callbacks"] = [one for one in trainer["callbacks"] if isinstance(one, dict)]
        found = {
            "module": class_name(type(self)),
            "trainer": trainer,
            "model": plain_values(self.model_config),
            "optimizer": plain_values(self.optimizer_config),
        }
        plain: dict[str, Any] = redact(json.loads(json.dumps(found, default=str)))
        return plain

    def loader_states(self) -> dict[str, Any]:
        """The states of the loaders that have a ``state_dict`` of their own."""
        return {name: one.state_dict() for name, one in self._loaders.items() if hasattr(one, "state_dict")}

    # --- Steps ------------------------------------------------------------------------------------------------------

    def train_step(self, batch: Any) -> dict[str, float]:
        """Train on one batch; inside `train_model` it is a micro-batch, outside a whole step. "loss" is returned."""
        return self.loop.train_step(batch)

    def create_training_step_function(self) -> Any:
        """The function that trains on one batch and returns its metrics."""
        return self.train_step

    def create_evaluation_step_function(self) -> Any:
        """The function that evaluates on one batch and returns its metrics."""
        return lambda batch: self._run_model_eval([batch])

    # --- Training ---------------------------------------------------------------------------------------------------

    def train_model(
        self,
        train_loader: Any,
        val_loader: Any = None,
        test_loader: Any = None,
        num_epochs: int | None = None,
        num_train_steps: int | None = None,
        steps_per_epoch: int | None = None,
    ) -> dict[str, dict[str, float]]:
        """Train; validate as the configuration says; test the best model at the end.

        Args:
            train_loader: The batches of an epoch.
            val_loader: Those to validate on, or a dict of several; their metrics are called ``<key>_<metric>``.
            test_loader: The same for the test. It is done with the best model, whose weights the model then has.
            num_epochs: How many epochs, also counting those of a training that goes on.
            num_train_steps: Or how many steps of the optimizer.
            steps_per_epoch: Steps of an epoch, if it is not to end with the loader.

        Returns:
            The metrics by what they are of: ``train_epoch_<n>``, ``val_epoch_<n>``, ``val_step_<n>``, ``test``.

        Raises:
            InvalidArgumentError: An argument that cannot be used.
            CheckpointError: A checkpoint cannot be written, and `CheckpointConfig` says that this ends the training.
        """
        check_idle(self.loop)
        check_loader("train_loader", train_loader)
        for name, loader in (("val_loader", val_loader), ("test_loader", test_loader)):
            _check_loader(name, loader)
        plan = self._plan(train_loader, val_loader, num_epochs, num_train_steps, steps_per_epoch)
        loaders = dict(zip(LOADERS, (train_loader, val_loader, test_loader), strict=True))
        self._loaders = {name: one for name, one in loaders.items() if one is not None}
        self._task.begin(test_loader)
        self.loop.hyperparams = self._recorded(plan)
        if self.log_path is not None and self.ranks.is_main:
            mend(self.log_path / FOLDER)
        self.log_training_info(
            plan.epochs,
            plan.max_steps,
            plan.steps_in_epoch(self.loop.accumulation),
            train_loader,
            val_loader,
            test_loader,
        )
        if val_loader is not None:
            self.test_eval_function(val_loader)
        self.seed(self.trainer_config.seed + self.ranks.rank)
        self.loop.run(plan)
        return self._task.results

    def _plan(self, train: Any, val: Any, epochs: int | None, steps: int | None, steps_per_epoch: int | None) -> Plan:
        config, saves = self.trainer_config, self.checkpoint_config
        if (epochs is None) == (steps is None):
            raise InvalidArgumentError("give num_epochs or num_train_steps, and not both")
        count = length_of(train)
        available = None if count is None else math.ceil(count / config.gradient_accumulate_steps)
        if steps_per_epoch is not None:
            whole("steps_per_epoch", steps_per_epoch)
            if available is not None and steps_per_epoch > available > 0:
                raise InvalidArgumentError(
                    f"steps_per_epoch {steps_per_epoch} is more than the {available} steps of the loader's {count} "
                    "batches"
                )
        return Plan(
            train_loader=self.ranks.divide_data(train, pads=True),
            eval_loader=val,
            epochs=None if epochs is None else whole("num_epochs", epochs),
            max_steps=None if steps is None else whole("num_train_steps", steps),
            steps_per_epoch=steps_per_epoch,
            log_steps=self.logger_config.log_every_n_steps,
            eval_steps=max(0, config.check_val_every_n_steps),
            eval_epochs=max(0, config.check_val_every_n_epoch),
            save_steps=max(0, saves.every_n_steps) if saves else 0,
            save_epochs=max(0, saves.every_n_epochs) if saves else 0,
            best=None if saves is None or saves.monitor is None else _best(saves),
            check_for_nan=config.check_for_nan,
            stops_if_not_saved=saves is not None and saves.stop_if_not_saved,
        )

    def _recorded(self, plan: Plan) -> dict[str, Any]:
        """What is recorded as hyperparameters."""
        group = self.optimizer.param_groups[0]
        facts = {
            "learning_rate": group.get("initial_lr", group.get("lr")),
            "batch_size": getattr(plan.train_loader, "batch_size", None),
            "num_epochs": plan.epochs,
            "num_train_steps": plan.max_steps,
            "steps_per_epoch": plan.steps_per_epoch,
            "mixed_precision": self.precision.name,
        }
        configs = {name: one for name, one in self.metadata().items() if name != "module"}
        configs["trainer"] = {name: one for name, one in configs["trainer"].items() if name not in NOT_RECORDED}
        known = {name: value for name, value in facts.items() if value is not None}
        return {**known, **_chosen(configs), **self._hyperparams}

    def log_training_info(
        self,
        num_epochs: int | None,
        num_train_steps: int | None,
        steps_per_epoch: int | None,
        train_loader: Any,
        val_loader: Any,
        test_loader: Any,
    ) -> None:
        """Log what the training will be."""
        length = f"{num_epochs} epochs" if num_epochs is not None else f"{num_train_steps} steps"
        steps = "" if steps_per_epoch is None else f" of {steps_per_epoch} steps"
        parts = [f"{length}{steps if num_epochs is not None else ''}", f"{self.get_num_params():,} parameters"]
        for name, loader in (("train", train_loader), ("val", val_loader), ("test", test_loader)):
            count = None if loader is None else length_of(loader)
            if count is not None and not isinstance(loader, Mapping):
                parts.append(f"{count} batches to {name}" if name == "train" else f"{count} {name} batches")
        logger.info("training: %s", ", ".join(parts))


def _best(config: CheckpointConfig) -> BestMetric:
    name = str(config.monitor)
    known = ("val_", "train_")
    return BestMetric(name if name.startswith(known) else f"val_{name}", config.mode)


def _check_loader(name: str, loader: Any) -> None:
    parts = loader if isinstance(loader, Mapping) else {"": loader}
    if isinstance(loader, Mapping) and not loader:
        raise InvalidArgumentError(f"{name} is an empty dict")
    for key, one in parts.items():
        if one is not None:
            check_loader(name, one)
        if one is not None and length_of(one) == 0:
            raise InvalidArgumentError(f"{name}{f' {key!r}' if key else ''} has no batch")


def _chosen(value: Any) -> Any:
    """Configurations without their classes, and without what is None."""
    if isinstance(value, Mapping):
        return {name: _chosen(one) for name, one in value.items() if name != CLASS and one is not None}
    return [_chosen(one) for one in value] if isinstance(value, list) else value
