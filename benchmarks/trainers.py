"""What a step costs in a `Trainer` of ours, beside a bare loop that computes the same, and beside other trainers.

Each trains the same model on the same batches from memory, in turn, in one process and on one core. A step is what
lies between the moments at which two batches are asked for, so it is measured in the same way everywhere: the loss, the
gradients, clipping, AdamW, events, and the record if there is a store. What comes before the first step and after the
last one is not in it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.cases import Cases, Figures, Place, check
from trainstore import TrainStore

case = Cases("trainers")
WARM_UP = 20  # steps that do not count
MAX_NORM = 1.0
LOG_EVERY = 50  # steps, of a module


class Batches:
    """Batches of one epoch, and the moments at which they were asked for. A loader for every trainer."""

    def __init__(self, batches: list[Any], steps: int) -> None:
        self._batches, self._steps = batches, steps
        self.moments: list[int] = []
        self.around_ms = 0.0  # what the training took beside its steps

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[Any]:
        clock, ask, batches = time.perf_counter_ns, self.moments.append, self._batches
        count = len(batches)
        for step in range(self._steps):
            ask(clock())
            yield batches[step % count]

    def named(self) -> Batches:
        """The same as mappings, as a model of transformers takes them."""
        self._batches = [{"inputs": inputs, "labels": targets} for inputs, targets in self._batches]
        return self

    def median_us(self) -> float:
        """Of a step."""
        return statistics.median(after - before for before, after in pairwise(self.moments[WARM_UP:])) / 1e3

    def mean_us(self) -> float:
        """Of a step, with what other threads did on this core meanwhile."""
        return (self.moments[-1] - self.moments[WARM_UP]) / (len(self.moments) - WARM_UP - 1) / 1e3


Train = Callable[[Any, Batches], None]  # trains a model


def _adam(model: Any) -> Any:
    import torch

    return torch.optim.AdamW(model.parameters(), lr=1e-3)


def bare(model: Any, batches: Batches) -> None:
    """A loop of plain PyTorch."""
    import torch

    optimizer, parameters = _adam(model), list(model.parameters())
    for inputs, targets in batches:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, MAX_NORM)
        optimizer.step()


def ours(model: Any, batches: Batches, store: TrainStore | None = None) -> None:
    """`trainstore.training.Trainer`."""
    import torch

    from trainstore.training import Trainer

    config = {"max_grad_norm": MAX_NORM}
    loss = torch.nn.functional.cross_entropy
    Trainer(model, _adam(model), loss, config, "cpu", store=store).train(batches, 1)


def bare_measured(model: Any, batches: Batches) -> None:
    """A loop of plain PyTorch that also adds up losses and norms, and reads them at each log, as a module does."""
    import torch

    parameters = list(model.parameters())
    others = [[one for one in parameters if one.dim() > 1], [one for one in parameters if one.dim() < 2]]
    groups = [{"params": group, "weight_decay": 0.0} for group in others]
    optimizer = torch.optim.AdamW(groups, lr=1e-3)
    sums = torch.zeros(2)
    for step, (inputs, targets) in enumerate(batches, 1):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, MAX_NORM)
        optimizer.step()
        sums += torch.stack([loss.detach(), norm])
        if step % LOG_EVERY == 0:
            norm = torch.nn.utils.get_total_norm([one.detach() for one in parameters])
            sums.tolist(), norm.item()
            sums.zero_()


def module(model: Any, batches: Batches, store: TrainStore | None = None) -> None:
    """`trainstore.training.TrainerModule`."""
    import torch

    from trainstore.training import LoggerConfig, OptimizerConfig, SchedulerConfig, TrainerConfig, TrainerModule

    class Classifier(TrainerModule):
        def build_model(self, model_config: Any) -> Any:
            return model

        def loss_function(self, model: Any, batch: Any, train: bool = True) -> Any:
            inputs, targets = batch
            return torch.nn.functional.cross_entropy(model(inputs), targets), {}

    config = TrainerConfig(logger=LoggerConfig(log_every_n_steps=LOG_EVERY))
    optimizer = OptimizerConfig(scheduler=SchedulerConfig(lr=1e-3), grad_clip_norm=MAX_NORM)
    Classifier(config, None, optimizer, device="cpu", store=store).train_model(batches, num_epochs=1)


def accelerated(model: Any, batches: Batches) -> None:
    """The loop of accelerate's documentation."""
    import torch
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model, optimizer = accelerator.prepare(model, _adam(model))
    for inputs, targets in batches:
        with accelerator.accumulate(model):
            loss = torch.nn.functional.cross_entropy(model(inputs), targets)
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), MAX_NORM)
            optimizer.step()
            optimizer.zero_grad()


def transformers(model: Any, batches: Batches, folder: Path, store: TrainStore | None = None) -> None:
    """``transformers.Trainer``, with our callback if there is a store."""
    import torch
    from transformers import PrinterCallback, Trainer, TrainingArguments

    from trainstore.integrations.transformers import TrainStoreCallback

    class WithLoss(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, inputs: Any, labels: Any) -> dict[str, Any]:
            outputs = self.model(inputs)
            return {"loss": torch.nn.functional.cross_entropy(outputs, labels), "logits": outputs}

    class FromMemory(Trainer):
        def get_train_dataloader(self) -> Any:
            return batches.named()

    arguments = TrainingArguments(
        str(folder / "output"), max_steps=len(batches), max_grad_norm=MAX_NORM, logging_strategy="no",
        save_strategy="no", report_to="none", disable_tqdm=True, use_cpu=True, lr_scheduler_type="constant",
    )  # fmt: skip
    trainer = FromMemory(
        WithLoss(), arguments, train_dataset=[0] * 8 * len(batches), optimizers=(_adam(model), None),
        callbacks=[] if store is None else [TrainStoreCallback(store)],
    )  # fmt: skip
    trainer.pop_callback(PrinterCallback)
    trainer.train()


def _in_turn(ways: dict[str, Train], make: Callable[[], Any], batches: list[Any], steps: int, runs: int) -> Figures:
    """Each way so many times, in turns: of each the median step, and how much more it is than the bare loop's."""
    import torch

    torch.set_num_threads(1)
    found: dict[str, list[Batches]] = {name: [] for name in ways}
    weights: dict[str, float] = {}
    for number in range(runs):
        for name in reversed(list(ways)) if number % 2 else ways:
            torch.manual_seed(0)
            model, loader = make(), Batches(batches, steps)
            began = time.perf_counter_ns()
            ways[name](model, loader)
            loader.around_ms = (time.perf_counter_ns() - began - (loader.moments[-1] - loader.moments[0])) / 1e6
            check("batches", len(loader.moments), steps)
            found[name].append(loader)
            weights[name] = sum(parameter.double().sum().item() for parameter in model.parameters())
    for name, weight in weights.items():
        check(f"the weights of {name}", weight, weights["bare"], tolerance=1e-5)
    figures = {}
    for name, loaders in found.items():
        figures[f"{name}_us"] = statistics.median(one.median_us() for one in loaders)
        figures[f"{name}_around_ms"] = statistics.median(one.around_ms for one in loaders)
        figures[f"{name}_mean_us"] = statistics.median(one.mean_us() for one in loaders)
        if name != "bare":
            pairs = zip(loaders, found["bare"], strict=True)
            figures[f"{name}_more_us"] = statistics.median(one.median_us() - least.median_us() for one, least in pairs)
    return figures


def _classifier(*sizes: int) -> Any:
    import torch

    layers = [layer for two in pairwise(sizes) for layer in (torch.nn.Linear(*two), torch.nn.ReLU())]
    return torch.nn.Sequential(*layers[:-1])


def _batches(size: int, features: int) -> list[Any]:
    import torch

    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(size, features, generator=generator) for _ in range(16)]
    return [(one, (one.sum(1) > 0).long()) for one in inputs]


@case()
def small(place: Place) -> Figures:
    """A model of 114 parameters: what is measured is not its own work."""
    size = place.size
    with TrainStore(place.url) as store:
        ways: dict[str, Train] = {
            "bare": bare,
            "ours": ours,
            "stored": partial(ours, store=store),
            "accelerate": accelerated,
            "transformers": partial(transformers, folder=place.folder),
            "transformers_stored": partial(transformers, folder=place.folder, store=store),
        }
        figures = _in_turn(ways, partial(_classifier, 4, 16, 2), _batches(8, 4), size.trainer_steps, size.trainer_runs)
        _check_losses(store, 2 * size.trainer_runs, size.trainer_steps)
    return figures


@case()
def small_module(place: Place) -> Figures:
    """The same for a `TrainerModule`."""
    size = place.size
    with TrainStore(place.url) as store:
        ways: dict[str, Train] = {"bare": bare_measured, "ours": module, "stored": partial(module, store=store)}
        figures = _in_turn(ways, partial(_classifier, 4, 16, 2), _batches(8, 4), size.trainer_steps, size.trainer_runs)
        _check_losses(store, size.trainer_runs, size.trainer_steps)
    return figures


@case()
def large(place: Place) -> Figures:
    """A model whose step takes some five milliseconds."""
    size = place.size
    with TrainStore(place.url) as store:
        ways: dict[str, Train] = {"bare": bare, "stored": partial(ours, store=store)}
        make = partial(_classifier, 64, 512, 512, 2)
        figures = _in_turn(ways, make, _batches(128, 64), size.trainer_steps, size.trainer_runs)
        _check_losses(store, size.trainer_runs, size.trainer_steps)
    return figures


def _check_losses(store: TrainStore, runs: int, steps: int) -> None:
    """Every step of every training has its loss, and the same step of each training the same one."""
    frame = store.list_step_logs(store.list_runs(), metrics=["loss"])
    check("losses", int(frame["loss"].count()), runs * steps)
    spread = frame.groupby("step")["loss"].agg(lambda losses: losses.max() - losses.min()).max()
    check("the losses of a step", float(spread) < 1e-5, True)
