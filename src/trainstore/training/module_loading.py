"""How a `TrainerModule` loads its checkpoints."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch

from trainstore.errors import CheckpointError, InvalidArgumentError
from trainstore.redaction import REDACTED
from trainstore.training import module_checkpoints as files
from trainstore.training.batches import first_examples
from trainstore.training.config import OptimizerConfig, TrainerConfig
from trainstore.training.config_base import CLASS, Config, imported_class
from trainstore.training.differences import group_differences, model_differences
from trainstore.training.random_states import restore_random_states
from trainstore.training.ranks import Ranks
from trainstore.training.sharding import load_whole_states, whole_model_state, whole_optimizer_state

if TYPE_CHECKING:
    from trainstore.training.loop import Loop

logger = logging.getLogger("trainstore")

LOADERS = ("train", "val", "test")


class ModuleLoading:
    """The loading half of `TrainerModule`."""

    log_path: Path | None
    loop: Loop
    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: Any
    device: torch.device
    ranks: Ranks
    model_config_class: type | None = None
    optimizer_config_class: type | None = OptimizerConfig

    def load_model(self, step_idx: int = -1, raise_if_not_found: bool = True) -> int | None:
        """Load a checkpoint of this training's own folder, and go on from it in the next `train_model`.

        Args:
            step_idx: The step of it; -1: the newest.
            raise_if_not_found: Whether it is an error if there is none; otherwise a warning is logged.

        Returns:
            The step; None if there is no checkpoint.

        Raises:
            CheckpointError: There is none, it cannot be read, or it is of another model.
        """
        try:
            if self.log_path is None:
                raise CheckpointError("there is no checkpoint: the trainer has no log_path in its LoggerConfig")
            path = files.find_checkpoint(self.log_path, step_idx)
        except CheckpointError as error:
            if raise_if_not_found:
                raise
            logger.warning("no model is loaded: %s", error)
            return None
        return self._load(path, optimizer=True)

    def load_pretrained_model(
        self,
        checkpoint_path: str | os.PathLike[str],
        step_idx: int = -1,
        load_best: bool = False,
        load_optimizer: bool = True,
        train_loader: Any = None,
        val_loader: Any = None,
        test_loader: Any = None,
        delete_params_before_loading: bool = True,
    ) -> int:
        """Load a checkpoint from any folder.

        Args:
            checkpoint_path: The checkpoint, the folder that it is in, or a training's ``log_path``.
            step_idx: The step of it; -1: the newest, or the best.
            load_best: Whether the best one is taken, by its ``monitor``.
            load_optimizer: Whether the next `train_model` goes on from there, with the optimizer's state, the random
                states and the place in the data, bit for bit on the CPU. Otherwise only the weights are loaded.
            train_loader: Its place is found again by `train_model`: nothing is done to it here.
            val_loader: Given its own state back, if it has a ``state_dict``.
            test_loader: The same.
            delete_params_before_loading: Without effect: weights are read into the memory of the CPU and copied into
                the model's.

        Returns:
            The step of the checkpoint.

        Raises:
            CheckpointError: There is none, it cannot be read, or it is of another model. Nothing was loaded then.
        """
        path = files.find_checkpoint(Path(checkpoint_path), step_idx, best=load_best)
        step = self._load(path, optimizer=load_optimizer)
        if load_optimizer:
            self.restore_data_loaders(self._loader_states_in(path), None, val_loader, test_loader)
        return step

    def load_data_loaders(
        self, step_idx: int = -1, train_loader: Any = None, val_loader: Any = None, test_loader: Any = None
    ) -> None:
        """Give data loaders with a ``load_state_dict`` the states back that a checkpoint of this training has.

        A training that goes on does not need it: `train_model` finds its place in the data itself.

        Args:
            step_idx: The step of the checkpoint; -1: the newest.
            train_loader: One that is read outside of `train_model`.
            val_loader: The validation's.
            test_loader: The test's.

        Raises:
            CheckpointError: There is no checkpoint, or it cannot be read.
        """
        if self.log_path is None:
            raise CheckpointError("there is no checkpoint: the trainer has no log_path in its LoggerConfig")
        states = self._loader_states_in(files.find_checkpoint(self.log_path, step_idx))
        self.restore_data_loaders(states, train_loader, val_loader, test_loader)

    @staticmethod
    def restore_data_loaders(
        state_dict: Mapping[str, Any], train_loader: Any = None, val_loader: Any = None, test_loader: Any = None
    ) -> None:
        """Give data loaders with a ``load_state_dict`` their states back.

        Args:
            state_dict: The states of "train", "val" and "test", as far as there are any.
            train_loader: Given that of "train".
            val_loader: Given that of "val".
            test_loader: Given that of "test".
        """
        for name, loader in zip(LOADERS, (train_loader, val_loader, test_loader), strict=True):
            if loader is not None and state_dict.get(name) is not None and hasattr(loader, "load_state_dict"):
                loader.load_state_dict(state_dict[name])

    def restore_model(self, state_dict: Mapping[str, Any]) -> None:
        """Load states into the model and what belongs to it.

        Args:
            state_dict: "params", the model's; and as far as they are there, "opt_state", the optimizer's,
                "scheduler_state", "step", and "rng", the random states.

        Raises:
            CheckpointError: There is no "params", or something does not fit. Nothing was loaded then.
        """
        if "params" not in state_dict:
            raise CheckpointError(f"the state has no 'params'; it has {', '.join(map(str, state_dict)) or 'nothing'}")
        optimizer = state_dict.get("opt_state")
        problem = model_differences(self.model.state_dict(), state_dict["params"])
        if problem is None and optimizer is not None:
            problem = group_differences(self.optimizer, optimizer)
        if problem is not None:
            raise CheckpointError(f"the checkpoint does not fit: {problem}")
        self.load_states(state_dict["params"], optimizer)
        if state_dict.get("scheduler_state") is not None and self.scheduler is not None:
            self.scheduler.load_state_dict(state_dict["scheduler_state"])
        if state_dict.get("step") is not None:
            self.loop.state.global_step = int(state_dict["step"])
        if state_dict.get("rng") is not None:
            restore_random_states(state_dict["rng"], self.device)

    @classmethod
    def load_from_checkpoint(
        cls, checkpoint: str | os.PathLike[str], exmp_input: Any = None, batch_size: int = -1, **options: Any
    ) -> Self:
        """A new module with the configurations of a checkpoint, and its weights.

        Args:
            checkpoint: The checkpoint, the folder that it is in, or a training's ``log_path``: then its newest.
            exmp_input: The example batch.
            batch_size: How many examples of it are used; -1: all.
            **options: Further arguments of the constructor.

        Returns:
            The module; the next `train_model` goes on from the checkpoint.

        Raises:
            CheckpointError: There is none, or it cannot be read.
            InvalidArgumentError: A configuration's class is not imported: import its module, or set
                ``model_config_class``.
        """
        path = files.find_checkpoint(Path(checkpoint))
        metadata = files.read_json(path / files.METADATA)
        configs = [metadata.get(name) for name in ("trainer", "model", "optimizer")]
        trainer = dict(configs[0] or {})
        trainer["callbacks"] = [one for one in trainer.get("callbacks") or () if isinstance(one, Mapping)]
        logging_config = dict(trainer.get("logger") or {})
        if REDACTED in str(logging_config.get("store")):
            logger.warning("the training's store had a password, which no checkpoint keeps: pass store= to record")
            logging_config["store"] = None
        trainer["logger"] = {**logging_config, "log_path": str(path.parent.parent)}
        module = cls(
            Config.from_dict(TrainerConfig, trainer),  # type: ignore[call-arg]
            _config_of(cls.model_config_class, configs[1], "model_config_class"),
            _config_of(cls.optimizer_config_class, configs[2], "optimizer_config_class"),
            exmp_input if batch_size == -1 or exmp_input is None else first_examples(exmp_input, batch_size),
            **options,
        )
        module._load(path, optimizer=True)
        return module

    # --- Parts ------------------------------------------------------------------------------------------------------

    def _load(self, path: Path, *, optimizer: bool) -> int:
        step = int(files.read_json(path / files.METADATA).get("step", 0))
        state: dict[str, Any] = {"params": files.read_model(path)}
        training: dict[str, Any] | None = None
        if optimizer:
            training = files.read_part(path, files.TRAINING)
            parts = files.read_part(path, files.OPTIMIZER)
            if parts is None or training is None:
                logger.warning("%s has no state of an optimizer: only the weights are loaded", path)
                parts = training = None
            else:
                state |= {"opt_state": parts["optimizer"], "scheduler_state": parts.get("scheduler"), "step": step}
        try:
            self.restore_model(state)
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path} does not fit ({error})") from error
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error
        if training is not None:
            self.loop.load_state_dict(training["training"], str(path))
        return step

    def load_best_weights(self) -> None:
        """Load the weights of the best checkpoint of this training, if one is known."""
        best = self.loop.state.best_model_checkpoint
        if best is not None and Path(best).is_dir():
            self.restore_model({"params": files.read_model(Path(best))})

    @staticmethod
    def _loader_states_in(path: Path) -> Mapping[str, Any]:
        return (files.read_part(path, files.TRAINING) or {}).get("loaders") or {}

    def model_state(self) -> dict[str, torch.Tensor]:
        """The model's weights and buffers, whole; of a divided model in the main process only."""
        if self.ranks.is_sharded:
            return whole_model_state(self.model)
        return dict(self.model.state_dict())

    def optimizer_state(self) -> dict[str, Any]:
        """The states of optimizer and scheduler, whole; of a divided model in the main process only."""
        sharded = self.ranks.is_sharded
        found = {
            "optimizer": whole_optimizer_state(self.model, self.optimizer) if sharded else self.optimizer.state_dict()
        }
        return found if self.scheduler is None else {**found, "scheduler": self.scheduler.state_dict()}

    def load_states(self, model: Mapping[str, Any], optimizer: Mapping[str, Any] | None) -> None:
        """Load whole states into the model and the optimizer."""
        if self.ranks.is_sharded:
            load_whole_states(self.model, self.optimizer, model, optimizer)
            return
        self.model.load_state_dict(model)
        if optimizer is not None:
            self.optimizer.load_state_dict(dict(optimizer))


def _config_of(kind: type | None, data: Any, name: str) -> Any:
    """A configuration as it was: of its class, or plain data."""
    if not isinstance(data, Mapping):
        return data
    found = imported_class(str(data[CLASS])) if CLASS in data else None
    if found is not None and kind is not None and not issubclass(found, kind):
        found = kind
    if found is None and kind is None and CLASS in data:
        raise InvalidArgumentError(f"the class {data[CLASS]!r} is not imported: import its module, or set {name}")
    found = found or kind
    if CLASS not in data or found is None:
        return dict(data)
    return Config.from_dict(found, data, strict_classname_parsing=False)
