"""What a `TrainerModule` calls at the beginnings and ends of things, and callbacks that hear of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from trainstore.training.config import CallbackConfig

if TYPE_CHECKING:
    from trainstore.training.module import TrainerModule


class ModuleHooks:
    """Methods that subclasses of `TrainerModule` may override; by default they call the callbacks' methods.

    Epochs count from 1. Metrics that are added to the dictionaries are recorded, too.
    """

    callbacks: list[Any]

    def _forward(self, name: str, *values: Any) -> None:
        for callback in self.callbacks:
            method = getattr(callback, name, None)
            if method is not None:
                method(*values)

    def on_training_start(self) -> None:
        """Before the first epoch; the run is there already."""
        self._forward("on_training_start")

    def on_training_end(self) -> None:
        """After the last epoch, and after the test; the run is still there."""
        self._forward("on_training_end")

    def on_training_epoch_start(self, epoch_idx: int) -> None:
        """Before the first step of an epoch."""
        self._forward("on_training_epoch_start", epoch_idx)

    def on_training_epoch_end(self, train_metrics: dict[str, Any], epoch_idx: int) -> None:
        """After the last step of an epoch, before its validation.

        Args:
            train_metrics: The means over the epoch, and ``epoch_time``; recorded as ``train_<name>``.
            epoch_idx: The epoch, from 1.
        """
        self._forward("on_training_epoch_end", train_metrics, epoch_idx)

    def on_validation_epoch_start(self, epoch_idx: int, step_idx: int) -> None:
        """Before a validation, after an epoch or some steps."""
        self._forward("on_validation_epoch_start", epoch_idx, step_idx)

    def on_validation_epoch_end(self, eval_metrics: dict[str, Any], epoch_idx: int, step_idx: int) -> None:
        """After a validation.

        Args:
            eval_metrics: Its results; recorded as ``val_<name>``.
            epoch_idx: The epoch under way, from 1.
            step_idx: The steps made.
        """
        self._forward("on_validation_epoch_end", eval_metrics, epoch_idx, step_idx)

    def on_test_epoch_start(self, epoch_idx: int) -> None:
        """Before a test."""
        self._forward("on_test_epoch_start", epoch_idx)

    def on_test_epoch_end(self, test_metrics: dict[str, Any], epoch_idx: int) -> None:
        """After a test; ``test_metrics`` are recorded as ``test_<name>``."""
        self._forward("on_test_epoch_end", test_metrics, epoch_idx)


class HookCaller(TrainerCallback):  # type: ignore[misc]
    """Calls the module's methods at the loop's events."""

    def __init__(self, module: TrainerModule) -> None:
        self._module = module

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The training begins."""
        self._module.on_training_start()

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """An epoch begins."""
        self._module.on_training_epoch_start(self._module.loop.epoch_index + 1)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The training ends."""
        self._module.on_training_end()


class ModuleCallback(TrainerCallback):  # type: ignore[misc]
    """A callback of a `TrainerModule`, made by the ``create`` of a `CallbackConfig`.

    It may have any method of `ModuleHooks`, and Hugging Face's events, too. The methods with ``filtered`` in their
    names are called as the configuration's ``every_n_epochs`` and ``every_n_steps`` say.

    Args:
        config: Its configuration.
        trainer: The `TrainerModule`.
    """

    def __init__(self, config: CallbackConfig, trainer: Any) -> None:
        self.config, self.trainer = config, trainer
        self.dataset: Any = None

    def set_dataset(self, dataset: Any) -> None:
        """The trainer was given a data set."""
        self.dataset = dataset

    def _is_due(self, epoch_idx: int) -> bool:
        return self.config.every_n_epochs != -1 and epoch_idx % self.config.every_n_epochs == 0

    def on_training_epoch_start(self, epoch_idx: int) -> None:
        """Calls `on_filtered_training_epoch_start` if it is due."""
        if self._is_due(epoch_idx):
            self.on_filtered_training_epoch_start(epoch_idx)

    def on_training_epoch_end(self, train_metrics: dict[str, Any], epoch_idx: int) -> None:
        """Calls `on_filtered_training_epoch_end` if it is due."""
        if self._is_due(epoch_idx):
            self.on_filtered_training_epoch_end(train_metrics, epoch_idx)

    def on_validation_epoch_start(self, epoch_idx: int, step_idx: int) -> None:
        """Calls `on_filtered_validation_epoch_start` if it is due."""
        if self._is_validation_due(epoch_idx, step_idx):
            self.on_filtered_validation_epoch_start(epoch_idx, step_idx)

    def on_validation_epoch_end(self, eval_metrics: dict[str, Any], epoch_idx: int, step_idx: int) -> None:
        """Calls `on_filtered_validation_epoch_end` if it is due."""
        if self._is_validation_due(epoch_idx, step_idx):
            self.on_filtered_validation_epoch_end(eval_metrics, epoch_idx, step_idx)

    def _is_validation_due(self, epoch_idx: int, step_idx: int) -> bool:
        steps = self.config.every_n_steps
        return self._is_due(epoch_idx) or (steps != -1 and step_idx % steps == 0)

    def on_filtered_training_epoch_start(self, epoch_idx: int) -> None:
        """Override this."""

    def on_filtered_training_epoch_end(self, train_metrics: dict[str, Any], epoch_idx: int) -> None:
        """Override this."""

    def on_filtered_validation_epoch_start(self, epoch_idx: int, step_idx: int) -> None:
        """Override this."""

    def on_filtered_validation_epoch_end(self, eval_metrics: dict[str, Any], epoch_idx: int, step_idx: int) -> None:
        """Override this."""
