"""What a training is configured with, and what it logs, as values that may be written and shown: without secrets."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from trainstore.callbacks.models import unwrapped
from trainstore.queries.training_arguments import is_default
from trainstore.redaction import redact
from trainstore.values import Json, canonical, canonical_hyperparams


def arguments_of(args: Any) -> dict[str, Json]:
    """The training's arguments, whatever their class."""
    try:
        return canonical_hyperparams(args)
    except TypeError:  # not a dataclass or the like
        fields = getattr(args, "__dict__", {})
        return canonical_hyperparams({name: value for name, value in fields.items() if not name.startswith("_")})


def chosen_arguments(args: Any) -> dict[str, Json]:
    """Those of the arguments that somebody chose: they differ from the defaults of transformers, and are not None."""
    return {
        name: value for name, value in arguments_of(args).items() if value is not None and not is_default(name, value)
    }


def plain_metrics(metrics: Any) -> Json:
    """What was logged, as strict JSON. Most logs are numbers alone, and stay as they are."""
    if type(metrics) is dict and all(
        type(name) is str and (type(value) is int or (type(value) is float and isfinite(value)))
        for name, value in metrics.items()
    ):
        return metrics
    return redact(canonical(metrics))


def model_config_of(model: Any) -> dict[str, Json]:
    """The model's configuration; nothing if it has none."""
    config = getattr(unwrapped(model), "config", None)
    if config is None:
        return {}
    values = config.to_dict() if hasattr(config, "to_dict") else config
    return canonical_hyperparams(values if isinstance(values, Mapping) else vars(values))
