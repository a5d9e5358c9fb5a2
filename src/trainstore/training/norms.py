"""Norms of gradients and parameters, by one operation over all of them, and without a read of the device."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from trainstore.training.sharding import whole


def gradient_norms(model: torch.nn.Module) -> dict[str, Any]:
    """The norm of each parameter's gradient, by the parameter's name; those without a gradient are left out."""
    return _norms((name, one.grad) for name, one in model.named_parameters() if one.grad is not None)


def parameter_norms(model: torch.nn.Module) -> dict[str, Any]:
    """The norm of each parameter, by its name."""
    return _norms((name, one.detach()) for name, one in model.named_parameters())


def total_norm(norms: dict[str, Any]) -> Any:
    """The norm of all together."""
    if not norms:
        return torch.zeros(())
    values = list(norms.values())
    return torch.linalg.vector_norm(torch.stack([one.to(values[0].device) for one in values]))


def _norms(named: Iterable[tuple[str, torch.Tensor]]) -> dict[str, Any]:
    names, tensors = [], []
    for name, tensor in named:
        names.append(name)
        tensors.append(tensor)
    if not tensors:
        return {}
    with torch.no_grad():
        norms = torch._foreach_norm(tensors)
    return {name: whole(norm) for name, norm in zip(names, norms, strict=True)}
