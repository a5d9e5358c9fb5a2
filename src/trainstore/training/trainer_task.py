"""What a `Trainer` tells its loop: its steps, its files, its history."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from trainstore.callbacks.models import unwrapped
from trainstore.errors import CheckpointError, InvalidArgumentError
from trainstore.training.arguments import derived_arguments
from trainstore.training.checkpoint_file import newest_checkpoint, plain, write_checkpoint
from trainstore.training.differences import group_differences, model_differences
from trainstore.training.plan import Plan
from trainstore.training.ranks import Ranks

if TYPE_CHECKING:
    from trainstore.training.trainer import Trainer

BEST = "best_model.pt"
PATTERN = "checkpoint_*.pt"


#: Settings of PyTorch's optimizers that say how something is computed, and not what.
HOW = ("lr", "initial_lr", "foreach", "fused", "capturable", "differentiable", "decoupled_weight_decay")


def is_callback(one: Any) -> bool:
    """Whether it is a callback of Hugging Face's kind, an object or a class, and not a function."""
    return isinstance(one, TrainerCallback) or (isinstance(one, type) and issubclass(one, TrainerCallback))


class TrainerTask:
    """The loop's `Task` of one `Trainer`.

    Attributes:
        history: For each metric a list with a value for each epoch.
        user_step: A subclass's own ``train_step``.
    """

    def __init__(
        self, trainer: Trainer, ranks: Ranks, args: Any, user_step: Callable[[Any], Mapping[str, Any]] | None
    ) -> None:
        self._trainer, self._ranks, self._args = trainer, ranks, args
        self.history: dict[str, list[float]] = {}
        self._epochs = 0  # in the history
        self._functions: list[Callable[..., Any]] = []
        self._save_dir: Path | None = None
        self.user_step = user_step
        self.gradients_ready = self.step_made = None

    def begin(self, plan: Plan, save_dir: Any, functions: list[Callable[..., Any]], config: Mapping[str, Any]) -> None:
        """A training begins.

        Raises:
            InvalidArgumentError: Checkpoints are wanted, and the config holds more than plain data.
        """
        self.history, self._epochs, self._functions = {}, 0, functions
        self._save_dir = None if save_dir is None else Path(save_dir)
        if save_dir is not None:
            plain(config)
        self._trainer.loop.hyperparams = {**self._facts(plan), **config}

    def _facts(self, plan: Plan) -> dict[str, Any]:
        """What is recorded as hyperparameters beside the config."""
        trainer, settings = self._trainer, self._trainer.settings
        group = trainer.optimizer.param_groups[0]
        facts = {
            "optimizer": type(trainer.optimizer).__name__,
            **{name: value for name, value in _plain_of(group).items() if name not in HOW and value is not False},
            "learning_rate": group.get("initial_lr", group.get("lr")),
            "scheduler": None if trainer.scheduler is None else type(trainer.scheduler).__name__,
            "loss_fn": None if trainer.loss_fn is None else _name_of(trainer.loss_fn),
            "num_epochs": plan.epochs,
            "batch_size": getattr(plan.train_loader, "batch_size", None),
            "max_grad_norm": settings.max_grad_norm,
            "gradient_accumulation_steps": settings.gradient_accumulation_steps,
            "mixed_precision": settings.mixed_precision,
            "best_model_metric": None if plan.best is None else plan.best.metric,
            "early_stopping_patience": plan.patience,
        }
        facts = {name: value for name, value in facts.items() if value is not None}
        if self._args is not None:
            facts = {**_plain_of(vars(self._args)), **facts}
        return facts

    # --- The loop asks ----------------------------------------------------------------------------------------------

    def train_micro_batch(self, batch: Any) -> Mapping[str, Any]:
        """Forward and backward pass."""
        return self._trainer._train_micro_batch(batch)

    def train_epoch(self, train_loader: Any, eval_loader: Any, epoch: int) -> dict[str, float]:
        """One epoch, as a subclass may make it."""
        return dict(self._trainer.train_epoch(train_loader, eval_loader, epoch) or {})

    def track(self, batches: Iterator[Any], loader: Any, epoch: int) -> Iterator[Any]:
        """Without a bar: `ProgressCallback` has one."""
        return batches

    def evaluate(self, loader: Any) -> Mapping[str, float]:
        """An evaluation, as a subclass may make it; each metric's name begins with ``eval_``."""
        results = self._trainer.evaluate(loader)
        return {name if name.startswith("eval_") else f"eval_{name}": value for name, value in results.items()}

    def arguments(self, plan: Plan) -> Any:
        """The user's arguments, or some that say the same as the plan."""
        if self._args is not None:
            return self._args
        settings = self._trainer.settings
        return derived_arguments(
            self._trainer.device,
            self._ranks,
            output_dir=self._save_dir,
            optimizer=self._trainer.optimizer,
            precision=settings.mixed_precision,
            plan=plan,
            max_grad_norm=settings.max_grad_norm or 0.0,
            gradient_accumulation_steps=settings.gradient_accumulation_steps,
            **({"save_strategy": "no"} if self._save_dir is None else {}),
        )

    def means(self) -> Mapping[str, float]:
        """Nothing beside the mean loss."""
        return {}

    def epoch_trained(self, metrics: dict[str, float]) -> None:
        """Nothing to add."""

    def training_done(self) -> None:
        """Nothing to do."""

    def epoch_done(self, epoch: int, metrics: dict[str, float]) -> None:
        """The functions hear of it."""
        for function in self._functions:
            function(self._trainer, epoch, metrics)

    def epoch_measured(self, metrics: Mapping[str, float]) -> None:
        """The history grows."""
        for name in {**self.history, **metrics}:
            past = self.history.setdefault(name, [float("nan")] * self._epochs)
            past.append(metrics.get(name, float("nan")))
        self._epochs += 1

    def task_state(self) -> dict[str, Any]:
        """The history."""
        return {"history": self.history, "epochs": self._epochs}

    def load_task_state(self, saved: dict[str, Any]) -> None:
        """Go on with it."""
        self.history = {name: list(values) for name, values in saved["history"].items()}
        self._epochs = saved["epochs"]

    # --- Files ------------------------------------------------------------------------------------------------------

    def newest_checkpoint(self) -> Path | None:
        """The newest checkpoint in the folder of this training; None if there is none."""
        if self._save_dir is None:
            raise InvalidArgumentError("resume_from=True needs save_dir, the folder with the checkpoints")
        found = [newest_checkpoint(self._save_dir, pattern) for pattern in (PATTERN, BEST)]
        return max((path for path in found if path is not None), key=lambda path: path.stat().st_mtime_ns, default=None)

    def write_checkpoint(self, *, is_due: bool, is_best: bool, at_epoch: bool) -> str | None:
        """Write ``best_model.pt``, ``checkpoint_epoch_<n>.pt`` or ``checkpoint_step_<n>.pt``; the path."""
        folder, loop = self._save_dir, self._trainer.loop
        if folder is None:
            return None
        epoch, value = loop.epoch_index, loop.metric_value
        paths = []
        if is_best:
            paths.append(folder / BEST)
            loop.state.best_model_checkpoint = str(paths[0])
        if is_due:
            number = f"epoch_{epoch + 1}" if at_epoch else f"step_{loop.state.global_step}"
            paths.append(folder / f"checkpoint_{number}.pt")
        for path in paths:
            self._trainer._save_checkpoint(path, epoch, value)
        self._delete_old(folder)
        return str(paths[-1])

    def write(self, path: Path, epoch: int, metric_value: float | None, config: Mapping[str, Any]) -> None:
        """Write one checkpoint, and let all processes know whether it is there."""
        trainer, loop = self._trainer, self._trainer.loop
        content = {
            "epoch": epoch,
            "step": loop.state.global_step,
            "model_state_dict": unwrapped(trainer.model).state_dict(),
            "optimizer_state_dict": trainer.optimizer.state_dict(),
            "config": config,
            "training": loop.state_dict(),
        }
        if trainer.scheduler is not None:
            content["scheduler_state_dict"] = trainer.scheduler.state_dict()
        if metric_value is not None:
            content["metric_value"] = float(metric_value)
        loop.ranks.do_on_main(lambda: write_checkpoint(path, content))

    def _delete_old(self, folder: Path) -> None:
        limit, loop = self._trainer.settings.save_total_limit, self._trainer.loop
        if limit is None or not loop.ranks.is_main:
            return
        found = sorted(folder.glob(PATTERN), key=lambda path: path.stat().st_mtime_ns)
        for path in found[:-limit]:
            path.unlink(missing_ok=True)

    def load_states(self, path: Path, saved: Mapping[str, Any], optimizer: bool, scheduler: bool) -> None:
        """Load what was read into the trainer's parts. Raises CheckpointError, and then nothing was changed."""
        trainer = self._trainer
        model = unwrapped(trainer.model)  # inside torch.compile
        wanted: list[tuple[str, Any]] = [("model_state_dict", model)]
        if optimizer:
            wanted.append(("optimizer_state_dict", trainer.optimizer))
        if scheduler and "scheduler_state_dict" in saved:
            wanted.append(("scheduler_state_dict", trainer.scheduler))
        missing = next((name for name, _ in wanted if name not in saved), None)
        if missing is not None:
            raise CheckpointError(f"{path} has no {missing}: it is not a checkpoint of a Trainer")
        problem = model_differences(model.state_dict(), saved["model_state_dict"])
        if problem is None and optimizer:
            problem = group_differences(trainer.optimizer, saved["optimizer_state_dict"])
        if problem is not None:
            raise CheckpointError(f"{path} does not fit: {problem}")
        for name, part in wanted:
            try:
                part.load_state_dict(saved[name])
            except (RuntimeError, ValueError, KeyError, TypeError) as error:
                raise CheckpointError(f"{path}: {name} does not fit ({error})") from error


def _plain_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are plain, by their public names."""
    kinds = (bool, int, float, str, tuple)
    return {name: value for name, value in values.items() if isinstance(value, kinds) and not name.startswith("_")}


def _name_of(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))
