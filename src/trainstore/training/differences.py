"""How a checkpoint differs from the model and the optimizer that it is to be loaded into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def model_differences(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str | None:
    """How two models' states differ in names and shapes; None: they do not."""
    missing, more = sorted(mine.keys() - theirs.keys()), sorted(theirs.keys() - mine.keys())
    if missing or more:
        parts = [
            f"lacks {_some(missing)}" if missing else "",
            f"has {_some(more)}, which this model has not" if more else "",
        ]
        return "the checkpoint's model " + " and ".join(part for part in parts if part)
    for name, value in mine.items():
        other = theirs[name]
        if hasattr(value, "shape") and tuple(value.shape) != tuple(getattr(other, "shape", ())):
            return f"{name} has the shape {tuple(getattr(other, 'shape', ()))} there and {tuple(value.shape)} here"
    return None


def group_differences(optimizer: Any, saved: Mapping[str, Any]) -> str | None:
    """How an optimizer's parameter groups differ from those of a state; None: they do not."""
    mine = [len(group["params"]) for group in optimizer.param_groups]
    theirs = [len(group["params"]) for group in saved.get("param_groups", ())]
    if mine != theirs:
        return f"its optimizer has parameter groups of {theirs} parameters, and this one of {mine}"
    return None


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
