"""What is known of a fit when it begins: how the model was compiled, what fit() was called with, the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

_OF_FIT = {  # with what they are if nobody says otherwise
    "epochs": None,
    "initial_epoch": 0,
    "steps_per_epoch": None,
    "validation_split": 0,
    "validation_steps": None,
    "validation_freq": 1,
    "shuffle": True,
}


def hyperparams_of(model: Any, arguments: Mapping[str, Any], batch_size: int | None) -> dict[str, Any]:
    """Optimizer, loss, metrics, and the arguments of fit() that are not data.

    Args:
        model: Compiled.
        arguments: Of fit(), if they are known.
        batch_size: If it is known.
    """
    told: dict[str, Any] = {}
    compiled = model.get_compile_config() if model.compiled else None
    if compiled:
        told["loss"] = _name(compiled.get("loss"))
        told["metrics"] = _name(compiled.get("metrics"))
        told |= {name: compiled[name] for name in ("jit_compile", "steps_per_execution") if name in compiled}
    optimizer = getattr(model, "optimizer", None)
    if isinstance(optimizer, keras.optimizers.Optimizer):
        config = {name: value for name, value in optimizer.get_config().items() if value is not None}
        rate = config.pop("learning_rate", None)
        config.pop("name", None)
        told["optimizer"] = {"class": type(optimizer).__name__, **config}
        told["learning_rate"] = _plain(rate) if isinstance(rate, (int, float)) else _named_config(rate)
    told["batch_size"] = batch_size or arguments.get("batch_size")
    told |= {name: arguments[name] for name, usual in _OF_FIT.items() if arguments.get(name, usual) != usual}
    return {name: value for name, value in told.items() if value is not None}


def facts_of(model: Any) -> dict[str, Any]:
    """The model's class, size and place."""
    facts = {
        "model_class": type(model).__name__,
        "name": model.name,
        "layers": len(model.layers),
        "dtype": getattr(model.dtype_policy, "name", None),
        "backend": keras.backend.backend(),
    }
    if model.built:
        facts["num_parameters"] = model.count_params()
        facts["num_trainable_parameters"] = sum(int(np.prod(one.shape)) for one in model.trainable_weights)
    return facts


def learning_rate_of(model: Any) -> float | None:
    """As it is now; read from the device if it lies there."""
    rate = getattr(getattr(model, "optimizer", None), "learning_rate", None)
    return None if rate is None else _plain(keras.ops.convert_to_numpy(rate))


def iterations_of(model: Any) -> int | None:
    """The optimizer's steps so far; None: it does not count them."""
    iterations = getattr(getattr(model, "optimizer", None), "iterations", None)
    return None if iterations is None else int(keras.ops.convert_to_numpy(iterations))


def _plain(number: Any) -> float:
    """0.001, not 0.0010000000474974513: Keras keeps it in single precision."""
    return float(str(np.float32(number)))


def _named_config(rate: Any) -> Any:
    """A schedule as a dict of its class and its numbers."""
    if isinstance(rate, Mapping) and "class_name" in rate:
        config = {name: value for name, value in dict(rate.get("config") or {}).items() if value is not None}
        return {"class": rate["class_name"], **config}
    return None


def _name(compiled: Any) -> Any:
    """A loss or metric, or several, by name."""
    if isinstance(compiled, Mapping):
        if "class_name" not in compiled:
            return {str(name): _name(value) for name, value in compiled.items()}
        config = compiled.get("config")
        if compiled["class_name"] == "function" and isinstance(config, str):
            return config
        return compiled["class_name"]
    if isinstance(compiled, (list, tuple)):
        return [_name(value) for value in compiled]
    return compiled
