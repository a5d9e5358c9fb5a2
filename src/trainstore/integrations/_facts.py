"""What is known when a Trainer begins: arguments, model, data, environment. Nothing live is changed by reading it."""

from __future__ import annotations

import dataclasses
import functools
import os
import platform
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from trainstore import __version__
from trainstore.values import safely

LIBRARIES = ("transformers", "accelerate", "datasets", "peft", "trl")


def facts_of(
    trainer: Any | None, args: Any, state: Any, hyperparams: Mapping[str, Any] | None, event: Mapping[str, Any]
) -> dict[str, Callable[[], dict[str, Any]]]:
    """By namespace, how to get what is known when a training begins.

    Args:
        trainer: The trainer, where it is known.
        args: Its arguments.
        state: Its state.
        hyperparams: What the user passed; it wins over arguments of the same name.
        event: The event's keyword arguments: model and dataloaders.
    """

    def hyper() -> dict[str, Any]:
        return {**training_arguments(args), **trial_facts(trainer, state), **(hyperparams or {})}

    return {
        "hp": hyper,
        "mth": lambda: model_facts(event.get("model")),
        "dbh": lambda: data_facts(trainer, event.get("train_dataloader"), event.get("eval_dataloader")),
        "env": lambda: environment_facts(args),
    }


def trial_facts(trainer: Any | None, state: Any) -> dict[str, Any]:
    """The parameters of a trial of a hyperparameter search, its number and its name, if it has one."""
    trial = getattr(trainer, "_trial", None)
    if trainer is not None and trial is None:
        return {}  # whatever the state of a trial's checkpoint says
    facts = {"trial_number": getattr(trial, "number", None), "trial_name": getattr(state, "trial_name", None)}
    facts = {name: value for name, value in facts.items() if value is not None}
    return facts | dict(getattr(state, "trial_params", None) or {})


def training_arguments(args: Any) -> dict[str, Any]:
    """Every field of the arguments, by its name. Not ``to_dict()``, which changes nested dicts of the live ones."""
    fields = dataclasses.fields(args) if dataclasses.is_dataclass(args) else ()
    return {field.name: getattr(args, field.name, None) for field in fields}


def model_facts(model: Any) -> dict[str, Any]:
    """The model's configuration, its class and its numbers of parameters."""
    if model is None:
        return {}
    config = getattr(model, "config", None)
    facts: dict[str, Any] = safely("the model's configuration", lambda: _configuration(config), {})
    peft = safely("the PEFT configuration", lambda: _peft(model))
    if peft:
        facts["peft"] = peft
    facts["model_class"] = type(model).__name__
    parameters = safely("the model's parameters", lambda: list(model.parameters()), [])
    facts["num_parameters"] = sum(parameter.numel() for parameter in parameters)
    facts["num_trainable_parameters"] = sum(p.numel() for p in parameters if p.requires_grad)
    return facts


def _configuration(config: Any) -> dict[str, Any]:
    """A copy, whatever a model outside transformers keeps under this name."""
    if config is None:
        return {}
    if dataclasses.is_dataclass(config) and not hasattr(config, "to_dict"):
        return {field.name: getattr(config, field.name, None) for field in dataclasses.fields(config)}
    return dict(config.to_dict() if hasattr(config, "to_dict") else config)


def _peft(model: Any) -> dict[str, Any] | None:
    adapters = getattr(model, "peft_config", None)
    if not isinstance(adapters, dict):
        return None
    return {str(name): _without_sets(adapter.to_dict()) for name, adapter in adapters.items()}


def _without_sets(values: Mapping[str, Any]) -> dict[str, Any]:
    """Sets as sorted lists, as PEFT saves them: the text of a set is in another order in each process."""
    return {key: sorted(item, key=str) if isinstance(item, (set, frozenset)) else item for key, item in values.items()}


def data_facts(trainer: Any, train_dataloader: Any, eval_dataloader: Any) -> dict[str, Any]:
    """Sizes, columns and fingerprints of the training and the evaluation data."""
    facts: dict[str, Any] = {}
    for part, dataloader in (("train", train_dataloader), ("eval", eval_dataloader)):
        dataset = getattr(trainer, f"{part}_dataset", None)
        if dataset is None:
            dataset = getattr(dataloader, "dataset", None)
        several = dataset.items() if isinstance(dataset, dict) else [(None, dataset)]
        for name, one in several:
            if one is not None:
                label = part if name is None else f"{part}_{name}"
                facts |= safely("a dataset", functools.partial(_dataset, label, one), {})
    return facts


def _dataset(part: str, dataset: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {f"{part}_class": type(dataset).__name__}
    if hasattr(dataset, "__len__"):
        facts[f"{part}_size"] = safely("a dataset's length", lambda: len(dataset))
    columns = getattr(dataset, "column_names", None)
    if columns is not None:
        facts[f"{part}_columns"] = columns
    features = getattr(dataset, "features", None)
    if features is not None:
        facts[f"{part}_features"] = {str(name): str(kind) for name, kind in dict(features).items()}
    fingerprint = getattr(dataset, "_fingerprint", None)
    if fingerprint is not None:
        facts[f"{part}_fingerprint"] = fingerprint
    return facts


def environment_facts(args: Any) -> dict[str, Any]:
    """Versions, device, number of processes, precision."""
    device = getattr(args, "device", None)
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "trainstore": __version__,
        "torch": str(torch.__version__),
        "device": None if device is None else str(device),
        "world_size": getattr(args, "world_size", 1),
        "precision": _precision(args),
    }
    for name in LIBRARIES:
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            continue
    if device is not None and device.type == "cuda":
        facts["cuda"] = torch.version.cuda
        facts["device_name"] = safely("the device's name", lambda: torch.cuda.get_device_name(device))
    return facts


def _precision(args: Any) -> str:
    return "bf16" if getattr(args, "bf16", False) else "fp16" if getattr(args, "fp16", False) else "fp32"
