"""How many parameters a model has, however they are stored: sharded, flattened, quantized."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any


def count_parameters(model: Any, *, trainable: bool = False) -> int:
    """The number of the model's parameters, or of its trainable ones.

    Counted at full size on every rank: with DeepSpeed's ZeRO-3 and FSDP, a rank holds a part of each parameter or
    nothing, and 4-bit weights are packed into bytes. (``DTensor``, which FSDP2 uses, knows its full size itself.)
    """
    return sum(size for size, is_trained in _sizes(model) if is_trained or not trainable)


def _sizes(model: Any) -> Iterator[tuple[int, bool]]:
    """Size and ``requires_grad`` of each parameter."""
    counted = set()
    for flat in _flat_parameters(model):
        originals = flat._params or [flat] * len(flat._shapes)  # _params: with use_orig_params
        counted |= {id(flat), *map(id, originals), *map(id, flat._shared_params or ())}
        for shape, parameter in zip(flat._shapes, originals, strict=True):
            yield math.prod(shape), parameter.requires_grad
    for parameter in model.parameters():
        if id(parameter) not in counted:
            yield _size(parameter), parameter.requires_grad


def _flat_parameters(model: Any) -> list[Any]:
    """The flat parameters that FSDP (version 1) made, one for each module that it wraps."""
    handles = (getattr(module, "_handle", None) for module in model.modules())
    found = (getattr(handle, "flat_param", None) for handle in handles)
    return [flat for flat in found if hasattr(flat, "_shapes")]


def _size(parameter: Any) -> int:
    partitioned = getattr(parameter, "ds_numel", None)  # ZeRO-3
    if partitioned is not None:
        return int(partitioned)
    packed = getattr(getattr(parameter, "quant_state", None), "shape", None)  # bitsandbytes, 4 bits
    return int(parameter.numel()) if packed is None else math.prod(packed)
