"""Common mistakes in what a `Trainer` is given, each with an error that names the way out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import torch
from torch.utils.data import Dataset, IterableDataset

from trainstore.errors import InvalidArgumentError
from trainstore.integrations.transformers.wrappers import is_calling
from trainstore.training.batches import describe

logger = logging.getLogger("trainstore")


def check_parts(model: Any, optimizer: Any, loss_fn: Any, scheduler: Any = None) -> None:
    """Whether these can train the model. Raises InvalidArgumentError otherwise."""
    if not isinstance(model, torch.nn.Module):
        raise InvalidArgumentError(f"model {model!r} is not a torch.nn.Module")
    if not hasattr(optimizer, "param_groups"):
        raise InvalidArgumentError(f"optimizer {optimizer!r} is not an optimizer of PyTorch")
    if loss_fn is not None and not callable(loss_fn):
        raise InvalidArgumentError(f"loss_fn {loss_fn!r} is not a function (outputs, targets) -> loss")
    if isinstance(loss_fn, type) and issubclass(loss_fn, torch.nn.Module):
        raise InvalidArgumentError(f"loss_fn is the class {loss_fn.__name__}: pass {loss_fn.__name__}()")
    mine = {id(parameter) for parameter in model.parameters()}
    if not any(id(parameter) in mine for group in optimizer.param_groups for parameter in group["params"]):
        raise InvalidArgumentError("the optimizer has none of the model's parameters: make it from model.parameters()")
    if getattr(scheduler, "optimizer", optimizer) is not optimizer:
        raise InvalidArgumentError("the scheduler is that of another optimizer: the learning rate would never change")


def check_steps_alone(optimizer: Any) -> None:
    """Whether the optimizer can make its step by itself. Raises InvalidArgumentError otherwise."""
    if isinstance(optimizer, torch.optim.LBFGS):
        raise InvalidArgumentError(
            "LBFGS computes the loss several times in a step: override train_step, and call optimizer.step(closure)"
        )


def check_list(callbacks: Any) -> None:
    """Whether these are several callbacks. Raises InvalidArgumentError otherwise."""
    if callbacks is not None and (not isinstance(callbacks, Sequence) or isinstance(callbacks, str)):
        name = getattr(callbacks, "__name__", f"{type(callbacks).__name__}(…)")
        raise InvalidArgumentError(f"callbacks is a {type(callbacks).__name__}, not a list: pass [{name}]")


def check_callbacks(callbacks: Any) -> None:
    """Whether these can be called at every event. Raises InvalidArgumentError otherwise."""
    check_list(callbacks)
    for one in callbacks or ():
        if not hasattr(one, "on_init_end"):
            hint = ": functions belong in train(callbacks=[…])" if callable(one) else ""
            raise InvalidArgumentError(f"callback {one!r} is not a TrainerCallback{hint}")


def check_loader(name: str, loader: Any) -> None:
    """Whether this gives batches. Raises InvalidArgumentError otherwise."""
    if isinstance(loader, (str, bytes)) or not (hasattr(loader, "__iter__") or hasattr(loader, "__getitem__")):
        raise InvalidArgumentError(f"{name} {loader!r} gives no batches: pass a DataLoader, or a list of batches")
    if isinstance(loader, Dataset) and not isinstance(loader, IterableDataset):
        kind = type(loader).__name__
        raise InvalidArgumentError(
            f"{name} is a {kind}, which gives examples: make batches of it by DataLoader({kind}(…), batch_size=…)"
        )


def check_idle(loop: Any) -> None:
    """Raise InvalidArgumentError in the middle of a training. (A copy that was made in one is not in one.)"""
    if loop.plan is not None and is_calling(loop):
        raise InvalidArgumentError("this trainer is in the middle of a training: make another one for a second")


def check_loss(loss: Any) -> None:
    """Whether a loss can be minimised. Raises InvalidArgumentError otherwise."""
    if not isinstance(loss, torch.Tensor):
        raise InvalidArgumentError(f"the loss is a {type(loss).__name__}, not a tensor: return it without .item()")
    if loss.numel() != 1:
        raise InvalidArgumentError(f"the loss has the shape {list(loss.shape)}, and must be a scalar: take its mean()")
    if not loss.requires_grad:
        raise InvalidArgumentError(
            "the loss has no gradient: no parameter that it depends on is trained (requires_grad), or it was detached"
        )


def check_train_metrics(metrics: Any) -> None:
    """Whether a ``train_step`` returned its loss. Raises InvalidArgumentError otherwise."""
    if not isinstance(metrics, Mapping) or "loss" not in metrics:
        raise InvalidArgumentError(f"train_step returned {metrics!r}, and not a dict with the key 'loss'")


def check_eval_metrics(metrics: Any) -> None:
    """Whether an ``eval_step`` returned numbers. Raises InvalidArgumentError otherwise."""
    if not isinstance(metrics, Mapping):
        raise InvalidArgumentError(f"eval_step returned {metrics!r}, and not a dict of metrics")
    for name, value in metrics.items():
        if isinstance(value, torch.Tensor) and value.numel() != 1:
            raise InvalidArgumentError(
                f"eval_step returned {name!r} with the shape {list(value.shape)}: take its mean()"
            )


def about_batch(batch: Any) -> str:
    """What to know about a batch that the model or the loss function failed at."""
    if isinstance(batch, Mapping):
        use = "all but the labels are given to the model by name"
    elif isinstance(batch, (list, tuple)) and len(batch) > 1:
        use = "the last is the targets, the others are given to the model"
    else:
        use = "without targets, the inputs are also the targets, as for an autoencoder"
    return f"The batch was {describe(batch)}: {use}, unless you override _prepare_batch."


def warn_of_misspelt_settings(config: Mapping[str, Any], names: Sequence[str]) -> None:
    """Warn of names that are almost those of a setting; a config may hold anything else."""
    section = config.get("training")
    places = [("", config), ("training.", section if isinstance(section, Mapping) else {})]
    for prefix, values in places:
        for name in values:
            close = get_close_matches(str(name), names, 1, 0.85)
            if close and close[0] != name:
                logger.warning("config: %s%s is not a setting; is %s%s meant?", prefix, name, prefix, close[0])
