"""What is known of a model and its trainer when a training begins."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any


def model_facts(module: Any) -> dict[str, Any]:
    """The module's class and its numbers of parameters, as the other adapters name them."""
    return _known(
        {
            "model_class": lambda: type(module).__name__,
            "num_parameters": lambda: sum(one.numel() for one in module.parameters()),
            "num_trainable_parameters": lambda: sum(one.numel() for one in module.parameters() if one.requires_grad),
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


def _known(getters: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    """Each by itself: a parameter may not be there yet, as a lazy module's."""
    facts = {}
    for name, get in getters.items():
        with suppress(Exception):
            facts[name] = get()
    return facts
