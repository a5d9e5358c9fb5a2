"""Values from inside a model, recorded with the step: by a call in its ``forward``, or by hooks on its modules."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from trainstore.errors import InvalidArgumentError

logger = logging.getLogger("trainstore")

_local = threading.local()  # .found: what is collected in this thread now


def record_intermediate(name: str, value: Any) -> None:
    """Record a number from inside a model's ``forward``; it costs next to nothing if nobody collects it.

    It is logged if ``TrainerConfig.log_intermediates`` is set, in ``intermediates_log_modes``. A value that comes
    several times in a step is averaged. What is not a single number is left out, with one warning.

    Args:
        name: As it is to be logged.
        value: A number, or a tensor of one element. It is not part of the backward pass.
    """
    found = getattr(_local, "found", None)
    if found is None:
        return
    if isinstance(value, torch.Tensor):
        if value.numel() != 1:
            _warn_once(name, f"a tensor of the shape {tuple(value.shape)}")
            return
        value = value.detach()
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        _warn_once(name, repr(value))
        return
    found.setdefault(name, []).append(value)


_warned: set[str] = set()


def _warn_once(name: str, what: str) -> None:
    if name not in _warned:
        _warned.add(name)
        logger.warning("the intermediate value %s is %s, not a number: it is not recorded", name, what)


@contextmanager
def collected_intermediates() -> Iterator[dict[str, Any]]:
    """Collect what `record_intermediate` is called with; the sums and counts are there when the block ends."""
    before = getattr(_local, "found", None)
    found: dict[str, list[Any]] = {}
    _local.found = found
    metrics: dict[str, Any] = {}
    try:
        yield metrics
    finally:
        _local.found = before
    for name, values in found.items():
        metrics[name] = {"value": sum(values), "count": len(values)}


def watch_modules(model: torch.nn.Module, functions: Mapping[str, Callable[[Any], Any]]) -> list[Any]:
    """Record a number of each output of some modules, without a change to the model.

    Args:
        model: The model.
        functions: For a module's name, as in ``model.named_modules()``, a function of its output that gives a number.
            It is recorded under the module's name.

    Returns:
        The hooks; ``remove()`` takes one away.

    Raises:
        InvalidArgumentError: The model has no module of that name.
    """
    modules = dict(model.named_modules())
    wrong = next((name for name in functions if name not in modules), None)
    if wrong is not None:
        names = ", ".join(name for name in list(modules)[:8] if name)
        raise InvalidArgumentError(f"the model has no module {wrong!r}; it has {names}, …")
    return [modules[name].register_forward_hook(_hook(name, function)) for name, function in functions.items()]


def _hook(name: str, function: Callable[[Any], Any]) -> Callable[..., None]:
    def hook(module: Any, inputs: Any, output: Any) -> None:
        if getattr(_local, "found", None) is not None:
            with torch.no_grad():
                record_intermediate(name, function(output))

    return hook
