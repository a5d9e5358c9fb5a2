"""How a `TrainerModule` makes its parts: model, optimizer, callbacks. Subclasses override what they need."""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm
from transformers import TrainerCallback

from trainstore.callbacks.progress import shows_bars
from trainstore.errors import InvalidArgumentError
from trainstore.training import batches
from trainstore.training.config import CallbackConfig, CheckpointConfig, LoggerConfig, OptimizerConfig, TrainerConfig
from trainstore.training.metrics import MetricAccumulator
from trainstore.training.optimizers import build_optimizer, build_scheduler
from trainstore.training.ranks import Ranks
from trainstore.training.sharding import shard

logger = logging.getLogger("trainstore")


class ModuleParts:
    """The making half of `TrainerModule`."""

    trainer_config: TrainerConfig
    model_config: Any
    model: torch.nn.Module
    device: torch.device
    ranks: Ranks
    log_path: Path | None
    checkpoint_config: CheckpointConfig | None
    scheduler: Any
    mesh: Any

    # --- What a subclass gives --------------------------------------------------------------------------------------

    def build_model(self, model_config: Any) -> torch.nn.Module:
        """The model. Subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__} does not define build_model(model_config)")

    def loss_function(self, model: Any, batch: Any, train: bool = True) -> Any:
        """The loss of a batch, and metrics of it. Subclasses define it.

        Args:
            model: The model, to be called.
            batch: The batch, on the device.
            train: Whether it is a step of the training; otherwise the model is in evaluation mode.

        Returns:
            The loss, a tensor of one element, and a dict of metrics as `MetricAccumulator` takes them.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define loss_function(model, batch, train)")

    @staticmethod
    def batch_to_input(batch: Any) -> Any:
        """The inputs of a batch: all but its targets."""
        return batches.split(batch, has_own_loss=False)[0]

    def get_metric_postprocess_fn(self) -> Callable[[dict[str, float]], Mapping[str, float]]:
        """What is done with metrics before they are logged: nothing."""
        return lambda metrics: metrics

    # --- Model and optimizer ----------------------------------------------------------------------------------------

    def init_model(self, exmp_input: Any) -> torch.nn.Module:
        """Build the model under the seed, on the device. Lazy layers see the example batch."""
        model = self.build_model(self.model_config)
        if not isinstance(model, torch.nn.Module):
            raise InvalidArgumentError(f"build_model returned {model!r}, not a torch.nn.Module")
        model = model.to(self.device)
        if any(isinstance(one, torch.nn.UninitializedParameter) for one in model.parameters()):
            if exmp_input is None:
                raise InvalidArgumentError("the model has lazy layers: pass an example batch to the TrainerModule")
            with torch.no_grad():
                _call(model, batches.to_device(self.batch_to_input(exmp_input), self.device))
        return model

    def run_model_init(self, exmp_input: Any, init_rng: int) -> dict[str, torch.Tensor]:
        """The weights that the model begins with under a seed; the trainer's own model stays as it is."""
        with torch.random.fork_rng():
            torch.manual_seed(init_rng)
            return dict(self.init_model(exmp_input).state_dict())

    def init_optimizer(self, optimizer_config: Any) -> tuple[torch.optim.Optimizer, Any]:
        """The optimizer, and the scheduler that steps with it, or None."""
        if not isinstance(optimizer_config, OptimizerConfig):
            raise InvalidArgumentError(
                f"optimizer_config {optimizer_config!r} is not an OptimizerConfig: override init_optimizer for others"
            )
        optimizer = build_optimizer(optimizer_config, self.model)
        return optimizer, build_scheduler(optimizer_config.scheduler, optimizer)

    def init_mesh(self, model_config: Any, mesh: Any = None) -> Any:
        """The mesh of processes: the one given, or None, for data parallelism over all that there are."""
        return mesh

    def shard_model(self, model: torch.nn.Module) -> None:
        """Divide the model's parameters over the processes of the mesh, in place, before the optimizer is made."""
        shard(model, self.mesh)

    def create_jitted_functions(self) -> None:
        """Compile the model, if the configuration says so."""
        if self.trainer_config.compile_model and not self.trainer_config.debug:
            self.model.compile()

    @staticmethod
    def get_model_rng(rng: int) -> dict[str, torch.Generator]:
        """Generators of random numbers for "params" and "dropout", of one seed, for models that take some."""
        return {name: torch.Generator().manual_seed(rng + number) for number, name in enumerate(("params", "dropout"))}

    def init_train_metrics(self, batch: Any = None) -> MetricAccumulator:
        """An empty accumulator, as for training steps."""
        return MetricAccumulator(self.trainer_config.default_train_log_modes)

    def init_eval_metrics(self, batch: Any = None) -> MetricAccumulator:
        """An empty accumulator, as for evaluations."""
        return MetricAccumulator(("mean_nopostfix",), fixed=True)

    # --- Logs and callbacks -----------------------------------------------------------------------------------------

    def init_logger(self, logger_config: LoggerConfig | None) -> LoggerConfig:
        """What is logged where; the folder is made when the first checkpoint is written."""
        config = logger_config or LoggerConfig()
        self.log_path = None if config.log_path is None else Path(config.log_path)
        return config

    def init_callbacks(self, callback_configs: Sequence[Any]) -> list[Any]:
        """The callbacks: what the configurations create, and those that are there already."""
        found: list[Any] = []
        self.checkpoint_config = None
        for one in callback_configs:
            if isinstance(one, CheckpointConfig):
                if self.checkpoint_config is not None:
                    raise InvalidArgumentError("callbacks has two CheckpointConfigs: a training has one")
                if self.log_path is None:
                    raise InvalidArgumentError("a CheckpointConfig needs a folder: LoggerConfig(log_path=…)")
                self.checkpoint_config = one
                continue
            if isinstance(one, CallbackConfig):
                if one.main_process_only and not self.ranks.is_main:
                    continue
                found.append(one.create(self))
                continue
            found.append(one() if isinstance(one, type) else one)
        wrong = next((one for one in found if not isinstance(one, TrainerCallback)), None)
        if wrong is not None:
            raise InvalidArgumentError(f"the callback {wrong!r} is neither a CallbackConfig nor a TrainerCallback")
        return found

    def tracker(self, iterator: Iterable[Any], **kwargs: Any) -> Iterable[Any]:
        """An iterator with a bar around it, in the main process, in a terminal or notebook; or as it is.

        Args:
            iterator: What is gone through.
            **kwargs: Arguments of ``tqdm``.
        """
        if self.trainer_config.enable_progress_bar and self.ranks.is_main and shows_bars():
            bar: Iterable[Any] = tqdm(iterator, **kwargs)
            return bar
        return iterator

    # --- What the model is ------------------------------------------------------------------------------------------

    def get_num_params(self) -> int:
        """The number of the model's parameters."""
        return sum(one.numel() for one in self.model.parameters())

    def tabulate_params(self) -> str:
        """A table of the model's parameters: name, shape, dtype, number, whether they are trained."""
        rows = [("Name", "Shape", "Dtype", "Count", "Trained")]
        for name, one in self.model.named_parameters():
            kind = str(one.dtype).removeprefix("torch.")
            shape = "×".join(map(str, one.shape)) or "scalar"
            rows.append((name, shape, kind, f"{one.numel():,}", "yes" if one.requires_grad else "no"))
        rows.append(("Total", "", "", f"{self.get_num_params():,}", ""))
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        lines = ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
        rule = "─" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])

    def seed(self, seed: int) -> None:
        """Set the random numbers of PyTorch, Python and NumPy."""
        torch.manual_seed(seed)
        random.seed(seed)
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            numpy.random.seed(seed % 2**32)


def _aligned(row: tuple[str, ...], widths: list[int]) -> list[str]:
    """The numbers to the right, the rest to the left."""
    cells = enumerate(zip(row, widths, strict=True))
    return [text.rjust(width) if column == 3 else text.ljust(width) for column, (text, width) in cells]


def _call(model: torch.nn.Module, inputs: Any) -> Any:
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, (list, tuple)) else model(inputs)
