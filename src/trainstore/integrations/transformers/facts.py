"""What is known when a training begins: arguments, model, data, environment. Reading them changes no live object.

Each fact is read by itself (`Incomplete.read`): if one cannot be read, the others still are.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import enum
import os
import platform
import sys
import types
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from trainstore import __version__
from trainstore.integrations.parameters import count_parameters
from trainstore.integrations.protocol import attribute_of, protocol_of
from trainstore.integrations.transformers.datasets import dataset_facts
from trainstore.integrations.transformers.foreign import given
from trainstore.integrations.transformers.incomplete import Incomplete

LIBRARIES = ("transformers", "accelerate", "datasets", "peft", "trl", "sentence_transformers", "setfit", "forgather")


def facts_of(
    trainer: Any | None,
    args: Any,
    state: Any,
    hyperparams: Mapping[str, Any] | Any | None,
    event: Mapping[str, Any],
    incomplete: Incomplete,
) -> dict[str, Callable[[], dict[str, Any]]]:
    """For each namespace, how to get what is known when a training begins.

    Args:
        trainer: The trainer, if it is known.
        args: Its arguments.
        state: Its state.
        hyperparams: What the user passed, a mapping or a dataclass; kept instead of arguments with the same name.
        event: The event's keyword arguments: model and dataloaders.
        incomplete: Notes the facts that cannot be read.
    """

    def hyper() -> dict[str, Any]:
        sources: dict[str, Callable[[], dict[str, Any]]] = {
            "arguments": lambda: _arguments(trainer, args, incomplete),
            "trial": lambda: trial_facts(trainer, state),
            "hyperparams": lambda: fields_of(hyperparams or {}, "hp", incomplete),
        }
        facts: dict[str, Any] = {}
        for name, get in sources.items():
            facts |= incomplete.attempt(f"hp.{name}", get, {})
        return facts

    return {
        "hp": hyper,
        "mth": lambda: model_facts(event.get("model"), getattr(trainer, "model", None), incomplete),
        "dbh": lambda: data_facts(trainer, event.get("train_dataloader"), event.get("eval_dataloader"), incomplete),
        "env": lambda: environment_facts(trainer, args, event.get("train_dataloader"), incomplete),
    }


def _arguments(trainer: Any | None, args: Any, incomplete: Incomplete) -> dict[str, Any]:
    """What the trainer was told to do: its own mapping, or the arguments."""
    own = attribute_of(trainer, protocol_of(trainer).hyperparams)
    return training_arguments(given(args), incomplete) if own is None else fields_of(own, "hp", incomplete)


def trial_facts(trainer: Any | None, state: Any) -> dict[str, Any]:
    """The parameters of a trial of a hyperparameter search, its number and its name, if it has one."""
    trial = attribute_of(trainer, protocol_of(trainer).trial)
    if trainer is not None and trial is None:
        return {}  # even if the state, loaded from a trial's checkpoint, names one
    facts = {"trial_number": getattr(trial, "number", None), "trial_name": getattr(state, "trial_name", None)}
    facts = {name: value for name, value in facts.items() if value is not None}
    return facts | dict(getattr(state, "trial_params", None) or {})


def training_arguments(args: Any, incomplete: Incomplete) -> dict[str, Any]:
    """Every field of the arguments, by name. Not by ``to_dict()``, which changes nested dicts of the live arguments.

    Another library's arguments may also be a mapping or a namespace. Any other object may hold the model or the data:
    only its plain values are taken.
    """
    if dataclasses.is_dataclass(args) or isinstance(args, (Mapping, argparse.Namespace, types.SimpleNamespace)):
        return fields_of(args, "hp", incomplete)
    plain = (bool, int, float, str, enum.Enum, os.PathLike, type(None))
    found = fields_of(args, "hp", incomplete) if hasattr(args, "__dict__") else {}
    return {name: value for name, value in found.items() if isinstance(value, plain)}


def fields_of(one: Any, namespace: str, incomplete: Incomplete) -> dict[str, Any]:
    """The items of a mapping, the fields of a dataclass, or the public attributes of an object."""
    if isinstance(one, Mapping):
        return incomplete.read(namespace, {name: partial(one.__getitem__, name) for name in one})
    if dataclasses.is_dataclass(one):
        names = [field.name for field in dataclasses.fields(one)]
    else:
        names = [name for name in vars(one) if not name.startswith("_")]
    return incomplete.read(namespace, {name: partial(getattr, one, name, None) for name in names})


def model_facts(model: Any, trained: Any, incomplete: Incomplete) -> dict[str, Any]:
    """The model's configuration, its class and its numbers of parameters.

    Args:
        model: The event's. SetFit's is not a module: it holds one, which is trained, and a classifier.
        trained: The trainer's.
        incomplete: Notes the facts that cannot be read.
    """
    if model is None:
        return {}
    module = model if hasattr(model, "parameters") or not hasattr(trained, "parameters") else trained
    facts: dict[str, Any] = incomplete.attempt("mth.config", lambda: _configuration(module, incomplete), {})
    getters = {
        "peft": lambda: _peft(module, incomplete),
        "model_class": lambda: type(model).__name__,
        "num_parameters": lambda: count_parameters(module),
        "num_trainable_parameters": lambda: count_parameters(module, trainable=True),
    }
    found = incomplete.read("mth", getters)
    return facts | {name: value for name, value in found.items() if value is not None}


def _configuration(model: Any, incomplete: Incomplete) -> dict[str, Any]:
    """A copy of the model's ``config``, which may be anything if the model is not from transformers."""
    config = getattr(model, "config", None)
    if config is None:
        return {}
    if hasattr(config, "to_dict"):
        try:
            return dict(config.to_dict())
        except Exception:  # noqa: BLE001 - one field that cannot be copied fails them all; read them one by one
            names = [name for name in vars(config) if not name.startswith("_")]
            facts = incomplete.read("mth", {name: partial(_copied, config, name) for name in names})
            return facts | {"model_type": getattr(config, "model_type", None)}
    return fields_of(config, "mth", incomplete)


def _copied(config: Any, name: str) -> Any:
    value = getattr(config, name)
    return value.to_dict() if hasattr(value, "to_dict") else copy.deepcopy(value)


def _peft(model: Any, incomplete: Incomplete) -> dict[str, Any] | None:
    adapters = getattr(model, "peft_config", None)
    if not isinstance(adapters, dict):
        return None
    getters = {str(name): partial(_adapter, adapter) for name, adapter in adapters.items()}
    return incomplete.read("mth.peft", getters)


def _adapter(config: Any) -> dict[str, Any]:
    """With sets as sorted lists, as PEFT saves them: a set's order differs between processes."""
    values = config.to_dict().items()
    return {key: sorted(item, key=str) if isinstance(item, (set, frozenset)) else item for key, item in values}


def data_facts(
    trainer: Any | None, train_dataloader: Any, eval_dataloader: Any, incomplete: Incomplete
) -> dict[str, Any]:
    """Classes, sizes, columns and fingerprints of the training and the evaluation data."""
    facts: dict[str, Any] = {}
    for part, dataloader in (("train", train_dataloader), ("eval", eval_dataloader)):
        dataset = incomplete.attempt(f"dbh.{part}", partial(dataset_of, trainer, part, dataloader))
        several = dataset.items() if isinstance(dataset, dict) else [(None, dataset)]
        for name, one in several:
            if one is not None:
                facts |= dataset_facts(part if name is None else f"{part}_{name}", one, incomplete)
    return facts


def dataset_of(trainer: Any | None, part: str, dataloader: Any) -> Any:
    """The trainer's; otherwise that of the data loader, which a Trainer makes only when it evaluates."""
    dataset = getattr(trainer, f"{part}_dataset", None)
    return getattr(dataloader, "dataset", None) if dataset is None else dataset


def environment_facts(trainer: Any | None, args: Any, loader: Any, incomplete: Incomplete) -> dict[str, Any]:
    """Versions, device, number of processes, precision, and the batch size actually used."""
    device = getattr(args, "device", None)
    getters: dict[str, Callable[[], Any]] = {
        "python": platform.python_version,
        "platform": platform.platform,
        "cpu_count": os.cpu_count,
        "trainstore": lambda: __version__,
        "torch": lambda: str(torch.__version__),
        "device": lambda: None if device is None else str(device),
        "world_size": lambda: getattr(args, "world_size", 1),
        "precision": lambda: _precision(args),
    }
    if getattr(device, "type", None) == "cuda":
        getters["cuda"] = lambda: torch.version.cuda
        getters["device_name"] = lambda: torch.cuda.get_device_name(device)
    facts = incomplete.read("env", getters)
    batch_size = _batch_size(trainer, loader)
    if batch_size is not None:
        facts["train_batch_size"] = batch_size
    return facts | {name: release for name in LIBRARIES if (release := _release_of(name)) is not None}


def _batch_size(trainer: Any | None, loader: Any) -> Any | None:
    """The trainer's own: auto_find_batch_size may use a smaller one than the arguments say.

    SetFit's trainer changes the arguments instead, which its data loader shows.
    """
    own = attribute_of(trainer, protocol_of(trainer).batch_size)
    told, used = attribute_of(trainer, "args.train_batch_size"), attribute_of(loader, "batch_sampler.batch_size")
    return told if own is not None and told is not None and told == used else own


@cache
def _release_of(library: str) -> str | None:
    """The loaded version, else the installed one, which takes milliseconds to read."""
    loaded = getattr(sys.modules.get(library), "__version__", None)
    if isinstance(loaded, str):
        return loaded
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def _precision(args: Any) -> str:
    given = getattr(args, "mixed_precision", None)  # of accelerate and other libraries
    if given in ("bf16", "fp16"):
        return str(given)
    return "bf16" if getattr(args, "bf16", False) else "fp16" if getattr(args, "fp16", False) else "fp32"
