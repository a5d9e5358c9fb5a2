"""`InfoCallback`: a table at the beginning of a training: model, data, device, plan, arguments, run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from trainstore.callbacks.base import Callback
from trainstore.callbacks.models import unwrapped
from trainstore.callbacks.snapshot import arguments_of, chosen_arguments, model_config_of
from trainstore.integrations.parameters import count_parameters
from trainstore.integrations.transformers.facts import dataset_of
from trainstore.integrations.transformers.wrappers import calling_trainer
from trainstore.run import ActiveRun


class InfoCallback(Callback):
    """Prints a table when a training begins, on standard output.

    It says how many parameters the model has, how many are trained and how much memory they take; how large the data
    sets are; on which device it runs; how many steps, and examples or epochs, are to come; which arguments differ from
    their defaults; and which run records it. What cannot be read is left out.

    Args:
        verbose: Print all arguments, the model's configuration and layers, the optimizer and the scheduler as well.
    """

    def __init__(self, verbose: bool = False) -> None:
        super().__init__()
        self._verbose = verbose

    def _reset(self) -> None:
        super()._reset()
        self._waits = False  # for the run, which a callback further down the list begins

    def target(self) -> object | None:
        """There is one training to describe."""
        return "the information"

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Print it, unless the run is yet to begin."""
        self._waits = bool(self._recorders) and self.run is None
        if not self._waits:
            self._print(args, state, kwargs)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Print it, if that has waited for the run."""
        self.on_step_begin(args, state, control, **kwargs)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The same, in a loop without epochs."""
        if self._waits:
            self._waits = False
            self._print(args, state, kwargs)

    def _print(self, args: Any, state: Any, event: dict[str, Any]) -> None:
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE, show_header=False, pad_edge=False, title="Training", title_justify="left")
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, read in self._facts(args, state, event):
            value = _read(read)
            if value:
                table.add_row(name, Text(value))
        Console(highlight=False).print(table)

    def _facts(self, args: Any, state: Any, event: dict[str, Any]) -> Iterator[tuple[str, Callable[[], Any]]]:
        model, run = event.get("model"), self.run
        yield "run", lambda: None if run is None else _run_text(run)
        yield "model", lambda: type(unwrapped(model)).__name__ if model is not None else None
        yield "parameters", lambda: _parameters_text(model)
        yield "device", lambda: _device_text(args, model)
        trainer = calling_trainer(self)
        for part, title in (("train", "training data"), ("eval", "evaluation data")):
            yield title, partial(_examples_text, dataset_of(trainer, part, event.get(f"{part}_dataloader")))
        yield "batch", lambda: _batch_text(args)
        yield "to come", lambda: _plan_text(args, state)
        yield "arguments", lambda: _lines(chosen_arguments(args))
        if self._verbose:
            yield "all arguments", lambda: _lines(arguments_of(args))
            yield "configuration", lambda: _lines(model_config_of(model))
            optimizer, scheduler = event.get("optimizer"), event.get("lr_scheduler")  # perhaps inside accelerate's
            yield "optimizer", lambda: optimizer and repr(getattr(optimizer, "optimizer", optimizer))
            yield "scheduler", lambda: scheduler and type(getattr(scheduler, "scheduler", scheduler)).__name__
            yield "layers", lambda: model if model is None else repr(model)


def _read(read: Callable[[], Any]) -> str | None:
    """A fact as text; None if it cannot be read."""
    try:
        value = read()
    except Exception:  # noqa: BLE001 - any library's objects; one that cannot be read is not shown
        return None
    return None if value is None else str(value)


def _run_text(run: ActiveRun) -> str:
    project = "" if run.project == "default" else f" of project {run.project}"
    return f"{run.name}{project}, {run.uid}"


def _parameters_text(model: Any) -> str:
    total, trained = count_parameters(model), count_parameters(model, trainable=True)
    held = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    trains = "all trained" if trained == total else f"{_short(trained)} trained ({trained / max(total, 1):.1%})"
    return f"{_short(total)}, {trains}, {_bytes_text(held)}"


def _device_text(args: Any, model: Any) -> str:
    device = torch.device(getattr(args, "device", None) or next(model.parameters()).device)
    processes = getattr(args, "world_size", 1)
    several = f", {processes} processes" if processes > 1 else ""
    if device.type != "cuda":
        return f"{device}{several}"
    properties = torch.cuda.get_device_properties(device)
    return f"{device}, {properties.name}, {_bytes_text(properties.total_memory)}{several}"


def _examples_text(dataset: Any | None) -> str | None:
    if dataset is None:
        return None
    if isinstance(dataset, dict):
        return ", ".join(f"{name}: {len(one):,}" for name, one in dataset.items()) + " examples"
    return f"{len(dataset):,} examples"


def _batch_size(args: Any) -> int:
    return int(args.per_device_train_batch_size * getattr(args, "world_size", 1) * max(1, getattr(args, "n_gpu", 1)))


def _batch_text(args: Any) -> str:
    size, accumulated = _batch_size(args), args.gradient_accumulation_steps
    if accumulated == 1:
        return f"{size} examples a step"
    return f"{size * accumulated} examples a step: {accumulated} micro-batches of {size}"


def _plan_text(args: Any, state: Any) -> str:
    """The steps, and what was asked for if that is not their number: the last batch of an epoch may be smaller."""
    done, epochs = state.global_step, getattr(args, "num_train_epochs", None)
    steps = f"{state.max_steps - done:,} steps" + (f", after step {done:,}" if done else "")
    if epochs and getattr(args, "max_steps", 0) <= 0:
        return f"{steps}, up to epoch {epochs:g}" if done else f"{steps}, {epochs:g} epochs"
    examples = (state.max_steps - done) * _batch_size(args) * args.gradient_accumulation_steps
    return f"{steps}, {examples:,} examples"


def _lines(values: dict[str, Any]) -> str:
    return "\n".join(f"{name} = {value}" for name, value in values.items())


def _short(count: int) -> str:
    for size, unit in ((1e9, " B"), (1e6, " M"), (1e3, " k")):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return str(count)


def _bytes_text(count: int) -> str:
    for size, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} B"
