"""The configurations of a `TrainerModule`: dataclasses with keyword arguments, checked when they are made."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainstore.callbacks.best_metric import MODES
from trainstore.errors import InvalidArgumentError
from trainstore.training.config_base import Config
from trainstore.training.metrics import check_log_modes
from trainstore.values import scalar_of

LOGGER = logging.getLogger("trainstore")

OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "linear", "cosine_decay", "exponential_decay")


def check_interval(name: str, value: Any) -> None:
    """Every so many epochs or steps, or -1 for never. Raises InvalidArgumentError."""
    if isinstance(value, bool) or not isinstance(value, int) or not (value == -1 or value > 0):
        raise InvalidArgumentError(f"{name} {value!r} is neither an integer from 1 on nor -1, which is never")


def check_number(name: str, value: Any, least: float = 0.0, most: float = math.inf) -> None:
    """A finite number in a range. Raises InvalidArgumentError."""
    number = scalar_of(value)
    if isinstance(number, (bool, str)) or number is None or not (least <= number <= most and number < math.inf):
        bounds = f"from {least:g} on" if most == math.inf else f"from {least:g} to {most:g}"
        raise InvalidArgumentError(f"{name} {value!r} is not a number {bounds}")


def check_whole(name: str, value: Any, least: int) -> None:
    """An integer. Raises InvalidArgumentError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidArgumentError(f"{name} {value!r} is not an integer from {least} on")


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """One of some texts. Raises InvalidArgumentError."""
    if value not in choices:
        raise InvalidArgumentError(f"{name} {value!r} is not one of {', '.join(map(repr, choices))}")


def check_switch(name: str, value: Any) -> None:
    """True or False. Raises InvalidArgumentError."""
    if not isinstance(value, bool):
        raise InvalidArgumentError(f"{name} {value!r} is not True or False")


@dataclass(kw_only=True)
class LoggerConfig(Config):
    """What is logged, how often and where.

    Attributes:
        log_path: The folder of this training: checkpoints go into its ``checkpoints``. None: nothing is written.
        log_every_n_steps: Metrics are logged every so many steps.
        store: A path or URL: the training is recorded there. None: it is not.
        project: The run's.
        name: The run's.
        tags: The run's.
    """

    log_path: str | os.PathLike[str] | None = None
    log_every_n_steps: int = 50
    store: str | None = None
    project: str | None = None
    name: str | None = None
    tags: Any = None

    def __post_init__(self) -> None:
        """Check the values."""
        check_whole("log_every_n_steps", self.log_every_n_steps, 1)

    @property
    def log_dir(self) -> str:
        """`log_path` as text."""
        return "" if self.log_path is None else Path(self.log_path).as_posix()


@dataclass(kw_only=True)
class CallbackConfig(Config):
    """A callback that is built from a configuration. Subclasses define `create`.

    Attributes:
        every_n_epochs: The filtered methods of a `ModuleCallback` are called every so many epochs; -1: never.
        every_n_steps: The same for steps.
        main_process_only: Whether the callback is there in the main process only.
    """

    every_n_epochs: int = 1
    every_n_steps: int = -1
    main_process_only: bool = False

    def __post_init__(self) -> None:
        """Check the values."""
        check_interval("every_n_epochs", self.every_n_epochs)
        check_interval("every_n_steps", self.every_n_steps)
        check_switch("main_process_only", self.main_process_only)

    def create(self, trainer: Any) -> Any:
        """The callback: a `ModuleCallback`, or one of Hugging Face's kind.

        Args:
            trainer: The `TrainerModule`.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define create(trainer)")


@dataclass(kw_only=True)
class CheckpointConfig(CallbackConfig):
    """Checkpoints of everything, in ``<log_path>/checkpoints/checkpoint_<step>/``.

    Attributes:
        every_n_epochs: One after every so many epochs, and its validation; -1: none.
        every_n_steps: One after every so many steps; -1: none.
        max_to_keep: How many are kept. With `monitor`, the newest is kept beside the best ones.
        monitor: The metric of the validation that the best model is chosen by, "loss" for example.
        mode: "min" or "max", which values of it are better.
        save_optimizer_state: Whether a training can go on from them.
        stop_if_not_saved: Whether a checkpoint that cannot be written ends the training.
    """

    max_to_keep: int | None = 1
    monitor: str | None = None
    mode: str = "min"
    save_optimizer_state: bool = True
    stop_if_not_saved: bool = False

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        if self.max_to_keep is not None:
            check_whole("max_to_keep", self.max_to_keep, 1)
        check_choice("mode", self.mode, MODES)
        check_switch("save_optimizer_state", self.save_optimizer_state)
        check_switch("stop_if_not_saved", self.stop_if_not_saved)
        if self.monitor is not None and (not isinstance(self.monitor, str) or not self.monitor):
            raise InvalidArgumentError(f"monitor {self.monitor!r} is not the name of a metric, such as 'loss'")


@dataclass(kw_only=True)
class SchedulerConfig(Config):
    """A learning rate for each step.

    Attributes:
        name: "constant", "linear", "cosine_decay" or "exponential_decay".
        lr: The highest learning rate.
        decay_steps: The steps of the whole training, warmup and cooldown too. Not needed for "constant".
        end_lr: The learning rate at the end of the decay; None: ``end_lr_factor`` times ``lr``.
        end_lr_factor: Used if there is no ``end_lr``.
        warmup_steps: The learning rate grows from 0 in these.
        cooldown_steps: It falls to ``cooldown_lr`` in the last ones, linearly.
        cooldown_lr: The learning rate at the very end, if there are ``cooldown_steps``.
    """

    name: str = "constant"
    lr: float = 1e-3
    decay_steps: int = 0
    end_lr: float | None = None
    end_lr_factor: float | None = None
    warmup_steps: int = 0
    cooldown_steps: int = 0
    cooldown_lr: float = 0.0

    def __post_init__(self) -> None:
        """Check the values."""
        check_choice("the scheduler's name", self.name, SCHEDULES)
        for name in ("lr", "cooldown_lr"):
            check_number(name, getattr(self, name))
        for name in ("end_lr", "end_lr_factor"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name))
        for name in ("decay_steps", "warmup_steps", "cooldown_steps"):
            check_whole(name, getattr(self, name), 0)
        needs_end = self.name != "constant" or self.cooldown_steps > 0
        if needs_end and self.decay_steps <= self.warmup_steps + self.cooldown_steps:
            raise InvalidArgumentError(
                f"decay_steps {self.decay_steps} must be more than warmup_steps {self.warmup_steps} and cooldown_steps "
                f"{self.cooldown_steps} together: it is the number of steps of the whole training"
            )
        if self.name == "exponential_decay" and not self.last_lr > 0:
            raise InvalidArgumentError("exponential_decay needs an end_lr or end_lr_factor above 0")

    @property
    def last_lr(self) -> float:
        """The learning rate at the end of the decay."""
        if self.name == "constant":
            return self.lr
        return self.end_lr if self.end_lr is not None else self.lr * (self.end_lr_factor or 0.0)


@dataclass(kw_only=True)
class OptimizerConfig(Config):
    """An optimizer of PyTorch and its learning rates.

    Attributes:
        name: "adam", "adamw" or "sgd".
        scheduler: The learning rates.
        beta1: Of Adam and AdamW.
        beta2: Of Adam and AdamW.
        eps: Of Adam and AdamW.
        momentum: Of SGD.
        nesterov: Of SGD.
        weight_decay: Of the parameters with two dimensions and more; biases and norms have none.
        weight_decay_all: Whether the others have it, too.
        grad_clip_norm: Gradients are clipped to this norm; None: they are not.
    """

    name: str = "adamw"
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    weight_decay_all: bool = False
    grad_clip_norm: float | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        check_choice("the optimizer's name", self.name, OPTIMIZERS)
        for name in ("beta1", "beta2", "momentum"):
            check_number(name, getattr(self, name), 0.0, 1.0)
        for name in ("eps", "weight_decay"):
            check_number(name, getattr(self, name))
        for name in ("nesterov", "weight_decay_all"):
            check_switch(name, getattr(self, name))
        if self.grad_clip_norm is not None:
            check_number("grad_clip_norm", self.grad_clip_norm)
        if not isinstance(self.scheduler, SchedulerConfig):
            raise InvalidArgumentError(f"scheduler {self.scheduler!r} is not a SchedulerConfig")


@dataclass(kw_only=True)
class TrainerConfig(Config):
    """How a `TrainerModule` trains.

    Attributes:
        seed: Of the model's first weights and of the training.
        debug: Whether the model is never compiled.
        donate_train_state: Kept for configurations of the JAX trainer; PyTorch updates in place anyway.
        enable_progress_bar: Whether bars are shown, in a terminal or notebook, by the main process.
        gradient_accumulate_steps: Batches of one step of the optimizer.
        gradient_accumulate_scan: Kept for configurations of the JAX trainer, without effect.
        check_val_every_n_epoch: Validate after every so many epochs; -1: never.
        check_val_every_n_steps: Validate after every so many steps, too; -1: never.
        check_for_nan: Whether a metric that is NaN ends the training.
        log_grad_norm: Whether the gradients' norm, before clipping, is logged.
        log_grad_norm_per_param: Also that of each parameter.
        log_param_norm: Whether the parameters' norm is logged.
        log_param_norm_per_param: Also that of each parameter.
        log_intermediates: Whether what the model records by `record_intermediate` is logged.
        default_train_log_modes: Modes of metrics that name none, see `MetricAccumulator`.
        intermediates_log_modes: Those of intermediate values.
        logger: What is logged where.
        callbacks: `CallbackConfig`, or callbacks of Hugging Face's kind, objects or classes.
        seed_eval: Of evaluations; a training does not notice them.
        compile_model: Whether ``torch.compile`` is used, unless `debug` is set.
    """

    seed: int = 0
    debug: bool = False
    donate_train_state: bool = True
    enable_progress_bar: bool = True
    gradient_accumulate_steps: int = 1
    gradient_accumulate_scan: bool = False
    check_val_every_n_epoch: int = 1
    check_val_every_n_steps: int = -1
    check_for_nan: bool = True
    log_grad_norm: bool = True
    log_grad_norm_per_param: bool = False
    log_param_norm: bool = True
    log_param_norm_per_param: bool = False
    log_intermediates: bool = False
    default_train_log_modes: Sequence[str] = ("mean",)
    intermediates_log_modes: Sequence[str] = ("mean",)
    logger: LoggerConfig | None = None
    callbacks: Sequence[Any] = ()
    seed_eval: int = 0
    compile_model: bool = False

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("seed", "seed_eval"):
            check_whole(name, getattr(self, name), 0)
        for name in SWITCHES:
            check_switch(name, getattr(self, name))
        check_whole("gradient_accumulate_steps", self.gradient_accumulate_steps, 1)
        for name in ("check_val_every_n_epoch", "check_val_every_n_steps"):
            check_interval(name, getattr(self, name))
        self.default_train_log_modes = check_log_modes("default_train_log_modes", self.default_train_log_modes)
        self.intermediates_log_modes = check_log_modes("intermediates_log_modes", self.intermediates_log_modes)
        if self.logger is not None and not isinstance(self.logger, LoggerConfig):
            raise InvalidArgumentError(f"logger {self.logger!r} is not a LoggerConfig")
        self.callbacks = tuple(self.callbacks or ())


SWITCHES = (
    "debug",
    "donate_train_state",
    "enable_progress_bar",
    "gradient_accumulate_scan",
    "check_for_nan",
    "log_grad_norm",
    "log_grad_norm_per_param",
    "log_param_norm",
    "log_param_norm_per_param",
    "log_intermediates",
    "compile_model",
)
