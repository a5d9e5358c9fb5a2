"""The events of another library's trainer, whose arguments and state may lack what a Trainer's have."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import distributed
from transformers import TrainerControl, TrainerState, TrainingArguments

_Field = tuple[Callable[[Any], Any], Callable[[], Any]]  # checks and converts a value; the default without one


def _rank() -> int:
    return distributed.get_rank() if _in_group() else int(os.environ.get("RANK") or 0)


def _world_size() -> int:
    return distributed.get_world_size() if _in_group() else int(os.environ.get("WORLD_SIZE") or 1)


def _in_group() -> bool:
    return bool(distributed.is_available() and distributed.is_initialized())


def _device_of(model: Any) -> torch.device:
    try:
        return torch.device(next(iter(model.parameters())).device)
    except Exception:  # noqa: BLE001 - not a torch model, or one without parameters
        return torch.device("cpu")


def _of(kind: type) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if not isinstance(value, kind):
            raise TypeError(type(value).__name__)
        return value

    return check


def _optional_path(value: Any) -> Any:
    return None if value is None else os.fspath(value)


ARGUMENTS: Mapping[str, _Field] = {
    "world_size": (operator.index, _world_size),
    "process_index": (operator.index, _rank),
    "output_dir": (_optional_path, lambda: None),
}
STATE: Mapping[str, _Field] = {
    "global_step": (operator.index, lambda: 0),
    "epoch": (lambda value: value, lambda: None),
    "max_steps": (operator.index, lambda: 0),
    "is_world_process_zero": (_of(bool), lambda: _rank() == 0),
    "log_history": (_of(list), list),
    "stateful_callbacks": (_of(dict), dict),
}
# Optional fields and their defaults: if they are missing, nothing is reported.
OPTIONAL: Mapping[str, Any] = {
    "auto_find_batch_size": False,
    "hub_model_id": None,
    "is_hyper_param_search": False,
    "best_model_checkpoint": None,
    "should_log": False,
    "should_training_stop": False,
}


class Foreign:
    """Reads like ``given``, an object or a mapping. ``fields`` has defaults for what is missing or of another type."""

    __slots__ = ("_fields", "_given", "_name")

    def __init__(self, name: str, given: Any, fields: Mapping[str, _Field]) -> None:
        self._name = name
        self._given = given
        self._fields = fields

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._read(name)
        except Exception:  # noqa: BLE001 - whatever a property of another library raises
            if name in self._fields:
                return self._fields[name][1]()
            if name in OPTIONAL:
                return OPTIONAL[name]
            raise AttributeError(name) from None

    def _read(self, name: str) -> Any:
        value = self._given[name] if isinstance(self._given, Mapping) else getattr(self._given, name)
        return self._fields[name][0](value) if name in self._fields else value


class Events:
    """What one training's events carry: a Trainer's own objects as they are, any others wrapped in a `Foreign`."""

    def __init__(self, model: Any = None) -> None:
        self._model = model  # its device is used if the arguments name none
        self._last: dict[str, Foreign] = {}
        self._steps_ended = 0

    def arguments(self, args: Any) -> Any:
        """The training's arguments."""
        if isinstance(args, TrainingArguments):
            return args
        device = (torch.device, lambda: _device_of(self._model))
        return self._foreign("args", args, {**ARGUMENTS, "device": device})

    def state(self, state: Any, *, step_ends: bool = False) -> Any:
        """The training's state: the same object for the same state. Without ``global_step``, we count the steps."""
        if isinstance(state, TrainerState):
            return state
        self._steps_ended += step_ends
        step = (operator.index, lambda: self._steps_ended)
        return self._foreign("state", state, {**STATE, "global_step": step})

    def control(self, control: Any) -> Any:
        """What callbacks ask the training to do."""
        return control if isinstance(control, TrainerControl) else self._foreign("control", control, {})

    def _foreign(self, name: str, given: Any, fields: Mapping[str, _Field]) -> Foreign:
        last = self._last.get(name)
        if last is None or last._given is not given:
            last = self._last[name] = Foreign(name, given, fields)
        return last


def given(one: Any) -> Any:
    """The object that a `Foreign` wraps; any other object as it is."""
    return one._given if isinstance(one, Foreign) else one


def missing_from(*events: Any) -> Iterator[str]:
    """The names of the fields that each `Foreign` among these lacks, such as "args.world_size"."""
    for one in events:
        if isinstance(one, Foreign):
            for name in one._fields:
                try:
                    one._read(name)
                except Exception:  # noqa: BLE001
                    yield f"{one._name}.{name}"
