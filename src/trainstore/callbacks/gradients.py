"""The norms of a model's gradients, layer by layer, by a few operations on the device and one reading of it."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence
from math import isfinite
from statistics import median
from typing import Any

import torch
from torch import Tensor

HISTORY = 20  # norms of a layer that its next ones are compared with
ENOUGH = 5  # of them, before there is a comparison


def layer_of(parameter: str) -> str:
    """The layer that a parameter belongs to: the block whose number is in its name, else the module that holds it."""
    parts = parameter.split(".")
    number = next((place for place, part in enumerate(parts) if re.fullmatch(r"\d+", part)), None)
    return ".".join(parts[: number + 1 if number is not None else max(1, len(parts) - 1)])


class Layers:
    """The parameters of a model, and the layers that they belong to.

    Attributes:
        names: Of the layers, in the order of the model.
        unknown: Names that were asked for and that no parameter has.
    """

    def __init__(self, model: Any, tracked: Sequence[str] | None) -> None:
        named = [(_plain(name), parameter) for name, parameter in model.named_parameters()]
        self.parameters = [parameter for _, parameter in named]
        self.known = list(dict.fromkeys(layer_of(name) for name, _ in named))
        inside = _places(model, self.parameters, tracked or ())
        self.unknown = [name for name, places in inside.items() if not places]
        if tracked is None:
            self.names = self.known
            order = {name: place for place, name in enumerate(self.names)}
            self._of = [[order[layer_of(name)]] for name, _ in named]
        else:
            self.names = sorted((name for name in inside if inside[name]), key=lambda name: inside[name][0])
            self._of = [[] for _ in named]
            for layer, name in enumerate(self.names):
                for place in inside[name]:
                    self._of[place].append(layer)
        self._there: list[int] = []
        self._pairs: tuple[Tensor, Tensor] | None = None  # of the gradients' places and their layers

    def norms(self, gradients: Sequence[Tensor | None], scale: Any = None) -> tuple[float, dict[str, float]]:
        """The norm of all gradients, and of each layer that has any.

        Args:
            gradients: Of each parameter, or its norm.
            scale: What they were multiplied by.
        """
        there = [place for place, gradient in enumerate(gradients) if gradient is not None]
        if not there:
            return 0.0, {}
        first = gradients[there[0]]
        assert first is not None
        device = first.device
        norms = torch.stack([norm.to(device) for norm in _norms([_dense(gradients[place]) for place in there])])
        if scale is not None:
            norms = norms / scale
        exact = torch.float32 if device.type == "mps" else torch.float64
        places, layers = self._placed(there, device)
        squares = norms.to(exact).square()
        by_layer = torch.zeros(len(self.names), dtype=exact, device=device)
        by_layer.index_add_(0, layers, squares[places])
        total = torch.linalg.vector_norm(norms).to(exact)
        all_, *each = torch.cat([total[None], by_layer.sqrt()]).tolist()
        with_any = {layer for place in there for layer in self._of[place]}
        return all_, {
            name: norm for layer, (name, norm) in enumerate(zip(self.names, each, strict=True)) if layer in with_any
        }

    def _placed(self, there: list[int], device: Any) -> tuple[Tensor, Tensor]:
        """Which gradients belong to which layers; mostly the same ones as at the last time."""
        if self._pairs is None or there != self._there or self._pairs[0].device != device:
            pairs = [(number, layer) for number, place in enumerate(there) for layer in self._of[place]]
            columns = torch.tensor(pairs, dtype=torch.int64, device=device).reshape(-1, 2)
            self._there, self._pairs = there, (columns[:, 0].contiguous(), columns[:, 1].contiguous())
        return self._pairs


def norm_of(gradient: Any) -> Tensor:
    """The norm of one gradient, on its device."""
    (norm,) = _norms([_dense(gradient)])
    return norm


def _plain(name: str) -> str:
    """A parameter's name without what wrappers put into it."""
    return name.replace("_orig_mod.", "").removeprefix("module.").removeprefix("base_model.model.")


def _places(model: Any, parameters: Sequence[Any], layers: Sequence[str]) -> dict[str, list[int]]:
    """Which parameters are in each of these layers. A tied one is in several: in the embedding and in the head."""
    order = {id(parameter): place for place, parameter in enumerate(parameters)}
    names = [(_plain(name), order[id(one)]) for name, one in model.named_parameters(remove_duplicate=False)]
    return {layer: sorted({place for name, place in names if _is_in(name, layer)}) for layer in layers}


def _is_in(parameter: str, layer: str) -> bool:
    return parameter == layer or parameter.startswith(f"{layer}.")


def _dense(gradient: Any) -> Tensor:
    found: Tensor = gradient.coalesce().values() if gradient.is_sparse else gradient
    return found


def _norms(gradients: list[Tensor]) -> Iterable[Tensor]:
    """The norm of each; as `clip_grad_norm_` computes them, but never in half precision."""
    norms: list[Tensor | None] = [None] * len(gradients)
    groups: dict[Any, list[int]] = {}
    for place, gradient in enumerate(gradients):
        groups.setdefault((gradient.device, gradient.dtype), []).append(place)
    for (_, dtype), places in groups.items():
        half = {"dtype": torch.float32} if dtype in (torch.float16, torch.bfloat16) else {}
        found = torch._foreach_norm([gradients[place] for place in places], 2.0, **half)
        for place, norm in zip(places, found, strict=True):
            norms[place] = norm
    return [norm for norm in norms if norm is not None]


class Watchdog:
    """Tells which layers' norms are not finite, or far from what they were.

    Args:
        factor: How many times larger or smaller a layer's norm must be than its usual one, the median of the last ones.
    """

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._history: dict[str, deque[float]] = {}
        self._told: dict[str, str] = {}  # what was told of each layer, until it is as usual again

    def judge(self, norms: dict[str, float], *, scaled: bool = False) -> dict[str, dict[str, dict[str, float | None]]]:
        """What has become wrong: ``{"exploding": {layer: {"norm": …, "usual": …}}, …}``.

        Args:
            norms: Of each layer.
            scaled: Gradients are scaled for float16: then infinities are usual, and the scaler skips the step.
        """
        found: dict[str, dict[str, dict[str, float | None]]] = {}
        for layer, norm in norms.items():
            past = self._history.setdefault(layer, deque(maxlen=HISTORY))
            usual = median(past) if len(past) >= ENOUGH else None
            what = self._what(norm, usual)
            if what == "not finite" and scaled:
                continue
            if what and self._told.get(layer) != what:
                found.setdefault(what, {})[layer] = {"norm": norm, "usual": usual}
            self._told[layer] = what
            if isfinite(norm):
                past.append(norm)
        return found

    def _what(self, norm: float, usual: float | None) -> str:
        if not isfinite(norm):
            return "not finite"
        if not usual:  # not known, or zero, as that of an adapter in the first steps
            return ""
        if norm > usual * self._factor:
            return "exploding"
        return "vanishing" if norm < usual / self._factor else ""
