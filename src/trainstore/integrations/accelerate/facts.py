"""What is known of a training: processes, precision, models; and what can be said of an image."""

from __future__ import annotations

from typing import Any

from trainstore.arrays import is_array
from trainstore.integrations.parameters import count_parameters


def environment(accelerator: Any) -> dict[str, Any]:
    """How the training is spread and computed."""
    precision = str(accelerator.mixed_precision)
    return {
        "world_size": accelerator.num_processes,
        "distributed_type": str(getattr(accelerator.distributed_type, "value", accelerator.distributed_type)),
        "precision": "fp32" if precision == "no" else precision,
        "gradient_accumulation_steps": accelerator.gradient_accumulation_steps,
        "device": str(accelerator.device),
    }


def models(accelerator: Any) -> dict[str, Any]:
    """Class and size of the model that was prepared; lists of them if there are several."""
    prepared = [accelerator.unwrap_model(model) for model in accelerator._models]
    if not prepared:
        return {}
    facts: dict[str, list[Any]] = {
        "model_class": [type(model).__name__ for model in prepared],
        "num_parameters": [count_parameters(model) for model in prepared],
        "num_trainable_parameters": [count_parameters(model, trainable=True) for model in prepared],
    }
    return {name: found if len(found) > 1 else found[0] for name, found in facts.items()}


def image_facts(image: Any) -> dict[str, Any]:
    """What can be said of an image without reading it."""
    if is_array(image):
        return {"shape": list(image.shape), "dtype": str(image.dtype).replace("torch.", "")}
    if is_picture(image):
        return {"width": image.size[0], "height": image.size[1], "mode": str(image.mode)}
    return {"type": type(image).__qualname__}


def is_picture(value: Any) -> bool:
    """Whether it is an image of PIL's."""
    return isinstance(getattr(value, "size", None), tuple) and hasattr(value, "mode")
