"""What is known when a training begins: hyperparameters, the model, the trainer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from trainstore.integrations.parameters import count_parameters

_OF_LIGHTNING = ("_class_path", "_instantiator")  # what LightningCLI keeps among a module's hyperparameters


def hyperparams_of(params: Any) -> dict[str, Any]:
    """What ``log_hyperparams`` was given, as a dict: a mapping, a namespace, or nothing."""
    if params is None:
        return {}
    values = params if isinstance(params, Mapping) else vars(params)
    return {name: value for name, value in values.items() if name not in _OF_LIGHTNING}


def model_facts(module: Any) -> dict[str, Any]:
    """The module's class and its numbers of parameters, as the other adapters name them."""
    return _known(
        {
            "model_class": lambda: type(module).__name__,
            "num_parameters": lambda: count_parameters(module),
            "num_trainable_parameters": lambda: count_parameters(module, trainable=True),
        }
    )


def trainer_facts(trainer: Any) -> dict[str, Any]:
    """Where and how it trains."""
    return _known(
        {
            "device": lambda: str(trainer.strategy.root_device),
            "world_size": lambda: int(trainer.world_size),
            "strategy": lambda: type(trainer.strategy).__name__,
            "precision": lambda: str(trainer.precision),
        }
    )


def trainer_settings(trainer: Any) -> dict[str, Any]:
    """The arguments of a trainer that change the result, where they were given."""
    settings = _known(
        {
            "max_epochs": lambda: trainer.max_epochs,
            "max_steps": lambda: trainer.max_steps,
            "accumulate_grad_batches": lambda: trainer.accumulate_grad_batches,
            "gradient_clip_val": lambda: trainer.gradient_clip_val,
        }
    )
    defaults = {"max_epochs": None, "max_steps": -1, "accumulate_grad_batches": 1, "gradient_clip_val": None}
    return {name: value for name, value in settings.items() if value != defaults[name]}


def cli_config(trainer: Any) -> dict[str, Any]:
    """What ``LightningCLI`` was told that differs from the defaults, but for loggers; nothing without it."""
    for callback in trainer.callbacks:
        if any(kind.__name__ == "SaveConfigCallback" for kind in type(callback).__mro__):
            text = callback.parser.dump(callback.config, format="json", skip_default=True, skip_validation=True)
            config = json.loads(text)
            config.get("trainer", {}).pop("logger", None)
            return {"config": config}
    return {}


def _known(getters: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    """Each by itself: a parameter may not be there yet, as a lazy module's."""
    facts = {}
    for name, get in getters.items():
        with suppress(Exception):
            facts[name] = get()
    return facts
