"""What `Trainer` reads from a configuration, whatever kind of object that is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trainstore.configs import plain_config
from trainstore.errors import InvalidArgumentError
from trainstore.values import scalar_of


def as_plain(config: Any) -> dict[str, Any]:
    """A configuration as nested dicts: a mapping, a dataclass, a namespace, an OmegaConf, or an object's attributes.

    Raises:
        InvalidArgumentError: It is none of these.
    """
    if config is None:
        return {}
    found = _plain(config)
    if isinstance(found, dict):
        return found
    if hasattr(config, "__dict__") and not callable(config):
        return {name: _plain(value) for name, value in vars(config).items() if not name.startswith("_")}
    raise InvalidArgumentError(f"config {config!r} is neither a mapping nor an object with attributes")


def _plain(value: Any) -> Any:
    value = plain_config(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


@dataclass(frozen=True)
class TrainerSettings:
    """The settings of a `Trainer`: from ``training.<name>`` of its configuration, or ``<name>`` alone.

    Attributes:
        weight_decay: Set in the optimizer's parameter groups; None: they stay as they are.
        max_grad_norm: Gradients are clipped to this norm; None: they are not.
        scheduler_step_per_batch: Whether the scheduler steps after each step of the optimizer, not after each
            epoch.
        gradient_accumulation_steps: Batches of one step of the optimizer.
        mixed_precision: "no", "bf16" or "fp16".
        max_steps: Optimizer steps at most; None: as many as the epochs have.
        logging_steps: Log means every so many steps too; 0: at the ends of epochs only.
        eval_steps: Evaluate every so many steps too; 0: at the ends of epochs only.
        save_steps: Save every so many steps too; 0: at the ends of epochs only.
        save_total_limit: How many checkpoints are kept beside the best; None: all.
        check_for_nan: Whether a loss that is NaN ends the training.
        stop_if_not_saved: Whether a checkpoint that cannot be written ends the training.
    """

    weight_decay: float | None = None
    max_grad_norm: float | None = None
    scheduler_step_per_batch: bool = False
    gradient_accumulation_steps: int = 1
    mixed_precision: str = "no"
    max_steps: int | None = None
    logging_steps: int = 0
    eval_steps: int = 0
    save_steps: int = 0
    save_total_limit: int | None = None
    check_for_nan: bool = False
    stop_if_not_saved: bool = False

    @classmethod
    def of(cls, config: Mapping[str, Any], **given: Any) -> TrainerSettings:
        """From a plain configuration; what is given by name and not None wins.

        Raises:
            InvalidArgumentError: A value that cannot be used.
        """
        section = config.get("training")
        found = {**_named(config), **(_named(section) if isinstance(section, Mapping) else {})}
        found |= {name: value for name, value in given.items() if value is not None}
        return cls(**{name: _CHECKS[name](name, value) for name, value in found.items()})


def _named(section: Mapping[str, Any]) -> dict[str, Any]:
    return {name: section[name] for name in _CHECKS if section.get(name) is not None}


def _number(name: str, value: Any) -> float:
    number = scalar_of(value)
    if isinstance(number, (bool, str)) or number is None or not 0 <= number < math.inf:
        raise InvalidArgumentError(f"{name} {value!r} is not a number from 0 on")
    return float(number)


def _norm(name: str, value: Any) -> float | None:
    return _number(name, value) or None  # 0, as in TrainingArguments: no clipping


def whole(name: str, value: Any, least: int = 1) -> int:
    """An integer from ``least`` on. Raises InvalidArgumentError otherwise."""
    number = scalar_of(value)
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise InvalidArgumentError(f"{name} {value!r} is not an integer from {least} on")
    return number


def _count(name: str, value: Any) -> int:
    return whole(name, value, least=0)


def _switch(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidArgumentError(f"{name} {value!r} is not True or False")
    return value


def _text(name: str, value: Any) -> str:
    return str(value)


_CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "weight_decay": _number,
    "max_grad_norm": _norm,
    "scheduler_step_per_batch": _switch,
    "gradient_accumulation_steps": whole,
    "mixed_precision": _text,
    "max_steps": whole,
    "logging_steps": _count,
    "eval_steps": _count,
    "save_steps": _count,
    "save_total_limit": whole,
    "check_for_nan": _switch,
    "stop_if_not_saved": _switch,
}
