"""How a `TrainerModule` validates, tests and evaluates."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch

from trainstore.training import batches
from trainstore.training.module_hooks import ModuleHooks
from trainstore.training.module_parts import ModuleParts
from trainstore.training.module_task import check_loss
from trainstore.training.position import restore_generators, states_of_generators
from trainstore.training.precision import Precision
from trainstore.training.random_states import random_states, restore_random_states
from trainstore.training.sharding import reshard

if TYPE_CHECKING:
    from trainstore.training.loop import Loop

logger = logging.getLogger("trainstore")


class ModuleEvaluation(ModuleParts, ModuleHooks):
    """The evaluating half of `TrainerModule`, on top of its parts and hooks."""

    loop: Loop
    precision: Precision

    def compute_loss(self, batch: Any, train: bool) -> tuple[torch.Tensor, dict[str, Any]]:
        """The loss of a batch that is on the device, and its metrics, with the loss among them."""
        model = self.loop.model if train else self.model
        with self.precision.autocast():
            return check_loss(self.loss_function(model, batch, train=train))

    def _eval_model_in_train_loop(self, val_loader: Any, epoch_idx: int) -> dict[str, Any]:
        """A validation of a training; the loop logs it."""
        self.on_validation_epoch_start(epoch_idx, self.loop.state.global_step)
        metrics = self._measure(val_loader, "val", epoch_idx)
        self.on_validation_epoch_end(metrics, epoch_idx, self.loop.state.global_step)
        return metrics

    def test_model(self, test_loader: Any, apply_callbacks: bool = False, epoch_idx: int = 0) -> dict[str, Any]:
        """Test the model as it is.

        Args:
            test_loader: The batches, or a dict of several loaders.
            apply_callbacks: Whether `on_test_epoch_start` and `on_test_epoch_end` are called.
            epoch_idx: Given to them.

        Returns:
            The metrics; logged as ``test_<name>``.
        """
        if apply_callbacks:
            self.on_test_epoch_start(epoch_idx)
        metrics = self._measure(test_loader, "test", epoch_idx)
        if apply_callbacks:
            self.on_test_epoch_end(metrics, epoch_idx)
        self.loop.log({f"test_{name}": value for name, value in metrics.items()})
        return metrics

    def eval_model(self, data_loader: Any, mode: str, epoch_idx: int = 0) -> dict[str, Any]:
        """Evaluate, and log the metrics as ``<mode>_<name>``.

        Args:
            data_loader: The batches, or a dict of several loaders; their metrics are called ``<key>_<metric>``.
            mode: "val", "test", or any other name.
            epoch_idx: The epoch, for whoever overrides this.

        Returns:
            The means over all examples, or over what the metrics count.
        """
        metrics = self._measure(data_loader, mode, epoch_idx)
        self.loop.log({f"{mode}_{name}": value for name, value in metrics.items()})
        return metrics

    def _measure(self, loader: Any, mode: str, epoch_idx: int) -> dict[str, Any]:
        if not isinstance(loader, Mapping):
            return self._run_model_eval(loader, mode, epoch_idx)
        found = {key: self._run_model_eval(one, mode, epoch_idx) for key, one in loader.items()}
        return {f"{key}_{name}": value for key, metrics in found.items() for name, value in metrics.items()}

    def _run_model_eval(self, data_loader: Any, mode: str = "", epoch_idx: int = -1) -> dict[str, Any]:
        """Evaluate on one loader, and log nothing."""
        metrics = self.init_eval_metrics()

        def add(batch: Any) -> None:
            batch = batches.to_device(batch, self.device)
            metrics.add(self.compute_loss(batch, train=False)[1], size=batches.size_of(batch))
            metrics.end_step()

        # The processes compute a divided model together, so they need as many batches as each other.
        loader = self.ranks.divide_data(data_loader, pads=self.ranks.is_sharded)
        shown = self.tracker(loader, desc=mode.capitalize(), leave=False) if mode else loader
        with self._eval_seed():
            self.loop.each_batch(shown, add)
        if self.ranks.is_sharded:
            reshard(self.model)
        if metrics.is_empty and self.ranks.size == 1:
            logger.warning("there was no batch to evaluate on%s", f" ({mode})" if mode else "")
        return dict(self.get_metric_postprocess_fn()(metrics.take(self.ranks)))

    def test_eval_function(self, val_loader: Any) -> dict[str, Any]:
        """Evaluate on one batch, so that a mistake shows before the training; nothing else changes by it."""
        loader = next(iter(val_loader.values())) if isinstance(val_loader, Mapping) else val_loader
        if isinstance(loader, Iterator):
            return {}
        states = states_of_generators(loader)
        with self._eval_seed():
            first = list(islice(iter(loader), 1))
        restore_generators(loader, states)
        return self._run_model_eval(first) if first else {}

    @contextmanager
    def _eval_seed(self) -> Iterator[None]:
        """Random numbers of their own, so that a training does not notice an evaluation."""
        states = random_states(self.device)
        self.seed(self.trainer_config.seed_eval)
        try:
            yield
        finally:
            restore_random_states(states, self.device)
