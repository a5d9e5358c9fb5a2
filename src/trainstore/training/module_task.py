"""What a `TrainerModule` tells its loop: its steps, its metrics, its files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import torch

from trainstore.errors import CheckpointError, InvalidArgumentError
from trainstore.training import batches
from trainstore.training.arguments import derived_arguments
from trainstore.training.intermediates import collected_intermediates
from trainstore.training.metrics import MetricAccumulator
from trainstore.training.module_checkpoints import FOLDER, PREFIX, prune, write_folder
from trainstore.training.norms import gradient_norms, parameter_norms, total_norm
from trainstore.training.plan import Plan, length_of

if TYPE_CHECKING:
    from trainstore.training.module import TrainerModule

BARE = ("mean_nopostfix",)


class ModuleTask:
    """The loop's `Task` of one `TrainerModule`.

    Attributes:
        results: What `TrainerModule.train_model` returns.
        test_loader: What is tested on at the end.
        user_step: A subclass's own ``train_step``.
        gradients_ready: Measures the norm of each gradient, if it is wanted.
    """

    def __init__(self, module: TrainerModule, user_step: Callable[[Any], Mapping[str, Any]] | None) -> None:
        self._module, self._config = module, module.trainer_config
        self.user_step = user_step
        self.gradients_ready = self._add_gradients if self._config.log_grad_norm_per_param else None
        self.test_loader: Any = None
        self.begin(None)

    def begin(self, test_loader: Any) -> None:
        """A training begins."""
        self.results: dict[str, dict[str, float]] = {}
        self.test_loader = test_loader
        self._window = MetricAccumulator(self._config.default_train_log_modes)  # since the last log
        self._epoch = MetricAccumulator(BARE, fixed=True)
        self._own: set[str] = set()  # the metrics of the loss function
        self._pending: dict[str, float] | None = None  # taken at an epoch's end, not logged yet
        self._is_epoch_over = False
        self._epoch_began = monotonic()

    # --- Steps ------------------------------------------------------------------------------------------------------

    def train_micro_batch(self, batch: Any) -> Mapping[str, Any]:
        """Forward and backward pass."""
        module, loop = self._module, self._module.loop
        batch = batches.to_device(batch, module.device)
        if self._config.log_intermediates:
            with collected_intermediates() as found:
                loss, metrics = module.compute_loss(batch, train=True)
            self._window.add(found, log_modes=self._config.intermediates_log_modes)
        else:
            loss, metrics = module.compute_loss(batch, train=True)
        loop.backward(loss)
        self._window.add(metrics)
        self._own.update(metrics)
        return {"loss": loss.detach()}

    def _add_gradients(self) -> None:
        norms = gradient_norms(self._module.model)
        self._window.add({f"grad_norm_{name}": norm for name, norm in norms.items()})

    def step_made(self) -> None:
        """The step's metrics are complete."""
        if self._config.log_grad_norm and self._module.loop.grad_norm is not None:
            self._window.add({"grad_norm": self._module.loop.grad_norm})
        self._window.end_step()
        self._module.first_step = False

    def train_epoch(self, train_loader: Any, eval_loader: Any, epoch: int) -> dict[str, float]:
        """One epoch."""
        self._epoch_began, self._is_epoch_over = monotonic(), False
        return self._module.loop.epoch(train_loader, eval_loader, epoch)

    def track(self, batches: Iterator[Any], loader: Any, epoch: int) -> Iterable[Any]:
        """With a bar for each epoch."""
        position = self._module.loop.position
        done = position.taken_in(epoch)
        return self._module.tracker(
            batches, desc=f"Epoch {epoch + 1}", total=length_of(loader), initial=done, leave=False
        )

    # --- Logs -------------------------------------------------------------------------------------------------------

    def _take_window(self) -> dict[str, float]:
        """The metrics since the last log, with the parameters' norms of now."""
        module = self._module
        if self._window.is_empty:
            return {}
        if self._config.log_param_norm or self._config.log_param_norm_per_param:
            norms = parameter_norms(module.model)
            found = {f"param_norm_{name}": norm for name, norm in norms.items()}
            found = found if self._config.log_param_norm_per_param else {}
            if self._config.log_param_norm:
                found["param_norm"] = total_norm(norms)
            self._window.add(found, log_modes=BARE)
            self._window.end_step()
        values = self._window.take(module.loop.ranks, into=self._epoch)
        return self._checked(dict(module.get_metric_postprocess_fn()(values)))

    def _checked(self, values: dict[str, float]) -> dict[str, float]:
        """NaN in any metric ends the training, but is logged."""
        loop = self._module.loop
        name = next((name for name, value in values.items() if value != value), None)
        if name is not None and self._config.check_for_nan and loop.failure is None and loop.plan is not None:
            loop.stop_for_nan(f"the metric {name} at step {loop.state.global_step}", loop.state.global_step)
        return values

    def means(self) -> Mapping[str, float]:
        """What is logged beside the mean loss."""
        pending, self._pending = self._pending, None
        return self._take_window() if pending is None else pending

    def epoch_trained(self, metrics: dict[str, float]) -> None:
        """The epoch's own metrics."""
        module = self._module
        self._pending = self._take_window()
        found = self._epoch.take()
        trained = {name: value for name, value in found.items() if name in self._own}
        trained = dict(module.get_metric_postprocess_fn()(trained))
        trained["epoch_time"] = monotonic() - self._epoch_began
        number = module.loop.epoch_index + 1
        module.on_training_epoch_end(trained, number)
        self.results[f"train_epoch_{number}"] = dict(trained)
        metrics.update({f"train_{name}": value for name, value in trained.items()})
        self._is_epoch_over = True

    # --- Evaluations ------------------------------------------------------------------------------------------------

    def evaluate(self, loader: Any) -> Mapping[str, float]:
        """A validation."""
        loop = self._module.loop
        found = self._module._eval_model_in_train_loop(loader, loop.epoch_index + 1)
        if not self._is_epoch_over:
            self.results[f"val_step_{loop.state.global_step}"] = dict(found)
        return {f"val_{name}": value for name, value in found.items()}

    def epoch_measured(self, metrics: Mapping[str, float]) -> None:
        """The validation of this epoch, if there was one."""
        found = {name.removeprefix("val_"): value for name, value in metrics.items() if name.startswith("val_")}
        if found:
            self.results[f"val_epoch_{self._module.loop.epoch_index + 1}"] = found

    def epoch_done(self, epoch: int, metrics: dict[str, float]) -> None:
        """Nothing to do."""

    def training_done(self) -> None:
        """The test, with the best model."""
        module, loop = self._module, self._module.loop
        if self.test_loader is None or loop.failure is not None:
            return
        module.load_best_weights()
        self.results["test"] = module.test_model(self.test_loader, apply_callbacks=True, epoch_idx=loop.epoch_index)

    # --- What callbacks read ----------------------------------------------------------------------------------------

    def arguments(self, plan: Plan) -> Any:
        """Arguments that say the same as the plan."""
        module, config = self._module, self._config
        return derived_arguments(
            module.device,
            module.ranks,
            output_dir=module.log_path,
            optimizer=module.optimizer,
            precision=module.precision.name,
            plan=plan,
            seed=config.seed,
            max_grad_norm=module.max_grad_norm or 0.0,
            gradient_accumulation_steps=config.gradient_accumulate_steps,
        )

    # --- Checkpoints ------------------------------------------------------------------------------------------------

    def task_state(self) -> dict[str, Any]:
        """The sums of all processes, and the results so far."""
        mine = {"window": self._window.state_dict(), "epoch": self._epoch.state_dict()}
        return {
            "sums": self._module.ranks.gather(mine),
            "own": sorted(self._own),
            "results": self.results,
        }

    def load_task_state(self, saved: dict[str, Any]) -> None:
        """Go on with them."""
        sums = saved["sums"][min(self._module.ranks.rank, len(saved["sums"]) - 1)]
        self._window.load_state_dict(sums["window"])
        self._epoch.load_state_dict(sums["epoch"])
        self._own = set(saved["own"])
        self.results = {name: dict(values) for name, values in saved["results"].items()}

    def write_checkpoint(self, *, is_due: bool, is_best: bool, at_epoch: bool) -> str | None:
        """Write ``checkpoints/checkpoint_<step>/``; its path."""
        module, loop = self._module, self._module.loop
        config = module.checkpoint_config
        if config is None or module.log_path is None:
            return None
        path = module.log_path / FOLDER / f"{PREFIX}{loop.state.global_step}"
        if is_best:
            loop.state.best_model_checkpoint = str(path)
        is_measured = at_epoch or loop.evaluated[0] == loop.state.global_step
        self._write(path, loop.metric_value if is_measured else None)
        if module.ranks.is_main:
            prune(path.parent, config.max_to_keep, monitored=config.monitor is not None)
        return str(path)

    def _write(self, path: Path, value: float | None) -> None:
        module, loop, config = self._module, self._module.loop, self._module.checkpoint_config
        assert config is not None
        metadata = {**module.metadata(), "step": loop.state.global_step, "epoch": loop.state.epoch}
        metrics = {
            "step": loop.state.global_step,
            "metric": config.monitor,
            "mode": config.mode,
            "value": value,
            "metrics": loop.evaluated[1] if loop.evaluated[0] == loop.state.global_step else {},
        }
        model, optimizer = module.model_state(), module.optimizer_state() if config.save_optimizer_state else None
        training = {"training": loop.state_dict(), "loaders": module.loader_states()} if optimizer else None

        def write() -> None:
            try:
                write_folder(path, model, optimizer, training, metadata, metrics)
            except InvalidArgumentError as error:
                raise CheckpointError(str(error)) from error

        module.ranks.do_on_main(write)


def check_loss(found: Any) -> tuple[torch.Tensor, dict[str, Any]]:
    """What a loss function returned: the loss, and its metrics with the loss among them.

    Raises:
        InvalidArgumentError: It is something else.
    """
    loss, metrics = found if isinstance(found, tuple) and len(found) == 2 else (found, {})
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1 or not isinstance(metrics, Mapping):
        raise InvalidArgumentError(
            f"loss_function returned {type(found).__name__}, not (loss, metrics): a tensor of one element and a dict"
        )
    return loss, {"loss": loss, **metrics}
