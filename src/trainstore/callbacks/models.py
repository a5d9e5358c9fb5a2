"""A model without what distributed training, compilation and adapters put around it."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel


def unwrapped(model: Any) -> Any:
    """The model inside DDP, DataParallel, FSDP, DeepSpeed and ``torch.compile``. Adapters of PEFT stay."""
    while True:
        inner = _inside(model)
        if inner is None or inner is model:
            return model
        model = inner


def without_adapters(model: Any) -> Any:
    """`unwrapped`, and inside PEFT: the model whose layers have the names that its class gave them."""
    model = unwrapped(model)
    if hasattr(model, "peft_config") and hasattr(model, "get_base_model"):
        return model.get_base_model()
    return model


def is_sharded(model: Any) -> bool:
    """Whether several processes hold parts of its parameters or gradients (FSDP, DeepSpeed, tensor parallelism)."""
    if type(model).__name__ == "DeepSpeedEngine":
        return True
    if any(type(module).__name__ == "FullyShardedDataParallel" for module in model.modules()):
        return True
    return any(hasattr(parameter, "ds_id") or hasattr(parameter, "device_mesh") for parameter in model.parameters())


def _inside(model: Any) -> Any | None:
    if not isinstance(model, nn.Module):
        return None
    compiled = vars(model).get("_modules", {}).get("_orig_mod")
    if compiled is not None:
        return compiled
    is_wrapper = isinstance(model, (DataParallel, DistributedDataParallel)) or type(model).__name__ in (
        "FullyShardedDataParallel",
        "DeepSpeedEngine",
    )
    return getattr(model, "module", None) if is_wrapper else None
