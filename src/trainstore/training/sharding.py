"""Models whose parameters are divided over the processes (FSDP2, by ``fully_shard``), and their states, whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from trainstore.errors import InvalidArgumentError

DIMENSIONS = ("dp", "fsdp")


def check_mesh(mesh: Any, size: int) -> None:
    """A mesh of all processes, with the dimensions that are known.

    Raises:
        InvalidArgumentError: It has others, or is not of all processes.
    """
    if mesh is None:
        return
    names = getattr(mesh, "mesh_dim_names", None)
    if not names or not set(names) <= set(DIMENSIONS):
        raise InvalidArgumentError(
            f"mesh {mesh!r} has not the dimensions 'dp' (copies of the model), 'fsdp' (its parameters divided) or "
            "both: make it by init_device_mesh(…, mesh_dim_names=…)"
        )
    if mesh.size() != size:
        raise InvalidArgumentError(f"the mesh has {mesh.size()} processes, and there are {size}")


def is_sharded(mesh: Any) -> bool:
    """Whether the model's parameters are divided."""
    return mesh is not None and "fsdp" in mesh.mesh_dim_names


def shard(model: torch.nn.Module, mesh: Any) -> None:
    """Divide a model's parameters, in place: those of each block of a list of modules together, then the rest."""
    from torch.distributed.fsdp import fully_shard

    part = mesh[DIMENSIONS] if "dp" in mesh.mesh_dim_names else mesh
    for module in list(model.modules()):
        if isinstance(module, torch.nn.ModuleList):
            for block in module:
                fully_shard(block, mesh=part)
    fully_shard(model, mesh=part)


def reshard(model: torch.nn.Module) -> None:
    """Divide the parameters that an evaluation has put together: otherwise a backward pass does it."""
    for module in model.modules():
        divide = getattr(module, "reshard", None)
        if callable(divide):
            divide()


def whole(value: Any) -> Any:
    """A divided tensor as a whole one; all processes call it. Anything else as it is."""
    full = getattr(value, "full_tensor", None)
    return value if full is None else full()


def whole_model_state(model: torch.nn.Module) -> dict[str, Any]:
    """A divided model's state on the CPU, in the main process; empty in the others, which call it, too."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    found: dict[str, Any] = get_model_state_dict(model, options=options)
    return found


def whole_optimizer_state(model: torch.nn.Module, optimizer: Any) -> dict[str, Any]:
    """The same for the optimizer; its parameters are named."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return dict(get_optimizer_state_dict(model, optimizer, options=options))


def load_whole_states(
    model: torch.nn.Module, optimizer: Any, model_state: Mapping[str, Any], optimizer_state: Mapping[str, Any] | None
) -> None:
    """Load whole states into a divided model and its optimizer; all processes call it, with the same states."""
    from torch.distributed.checkpoint.state_dict import (
        StateDictOptions,
        set_model_state_dict,
        set_optimizer_state_dict,
    )

    options = StateDictOptions(full_state_dict=True)
    set_model_state_dict(model, dict(model_state), options=options)
    if optimizer_state is not None:
        named = _named(optimizer_state, model, optimizer)
        set_optimizer_state_dict(model, optimizer, named, options=options)


def _named(state: Mapping[str, Any], model: torch.nn.Module, optimizer: Any) -> dict[str, Any]:
    """An optimizer's state by its parameters' names: that of a model that was not divided has numbers instead."""
    own = {id(one): name for name, one in model.named_parameters()}
    names = [own[id(one)] for group in optimizer.param_groups for one in group["params"]]
    keys = [key for group in state["param_groups"] for key in group["params"]]
    named = dict(zip(keys, names, strict=True))
    groups = [{**group, "params": [named[key] for key in group["params"]]} for group in state["param_groups"]]
    return {"state": {named[key]: value for key, value in state["state"].items()}, "param_groups": groups}
