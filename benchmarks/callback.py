"""What the Hugging Face callback costs the training's thread: all its hooks and wrappers, in a training that runs.

Each hook, and each method of the trainer that the callback replaces, is timed in place; of a replaced method the time
of the original is taken off. The sum is what one optimizer step pays. The clock's own cost, about 0.3 µs for each of
them, is in the figure. The floor is an empty callback in the same training, timed in the same way.
"""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from benchmarks.cases import Cases, Figures, Place, check
from benchmarks.training import differences, figures_of
from trainstore import TrainStore

case = Cases("callback")
WARM_UP = 20  # steps that are not counted
HOOKS = ("on_step_begin", "on_substep_end", "on_pre_optimizer_step", "on_optimizer_step", "on_step_end", "on_log")


class Stopwatch:
    """Adds up what one step costs, and keeps the sums."""

    def __init__(self) -> None:
        self.spent = 0
        self.steps: list[int] = []  # ns

    def timed(self, function: Callable[..., Any], sign: int = 1) -> Callable[..., Any]:
        """The function, its time added to the step under way; taken off with sign -1."""
        clock = time.perf_counter_ns

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            began = clock()
            try:
                return function(*args, **kwargs)
            finally:
                self.spent += sign * (clock() - began)

        return call

    def watch(self, callback: Any) -> None:
        """Time the hooks of a callback object."""
        for name in HOOKS:
            setattr(callback, name, self.timed(getattr(callback, name)))

    def end_step(self) -> None:
        """Keep what the step cost, the log that follows its predecessor included."""
        self.steps.append(self.spent)
        self.spent = 0

    def median_us(self) -> float:
        """Of the steps that count."""
        counted = sorted(self.steps[WARM_UP:])
        return counted[len(counted) // 2] / 1e3


@contextmanager
def _timed_wrappers(stopwatch: Stopwatch) -> Iterator[None]:
    """Time what `Wrappers.wrap` puts in place of a method, without the method itself."""
    from trainstore.integrations.transformers.wrappers import Wrappers

    wrap = Wrappers.wrap

    def timed(self: Wrappers, owner: Any, name: str, make: Callable[..., Any]) -> bool:
        if name == "_run_epoch":  # once an epoch, and a whole epoch inside
            return wrap(self, owner, name, make)
        return wrap(self, owner, name, lambda original: stopwatch.timed(make(stopwatch.timed(original, -1))))

    with patch.object(Wrappers, "wrap", timed):
        yield


def _train(place: Place, accumulation: int) -> Figures:
    import torch
    from transformers import (
        GPT2Config,
        GPT2LMHeadModel,
        Trainer,
        TrainerCallback,
        TrainingArguments,
        default_data_collator,
    )

    from trainstore.integrations.transformers import TrainStoreCallback

    ours, empty = Stopwatch(), Stopwatch()

    class LastOfStep(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            ours.end_step()
            empty.end_step()

    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_positions=16, n_embd=16, n_layer=1, n_head=1))
    data = [{key: torch.randint(0, 64, (8,)) for key in ("input_ids", "labels")} for _ in range(64)]
    steps = place.size.training_steps
    true_losses: defaultdict[int, float] = defaultdict(float)
    arguments = TrainingArguments(
        str(place.folder / "output"),
        max_steps=steps,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=accumulation,
        logging_steps=50,
        report_to="none",
        disable_tqdm=True,
        save_strategy="no",
        use_cpu=True,
    )
    with TrainStore(place.url) as store, _timed_wrappers(ours):
        callback, nothing = TrainStoreCallback(store, name="benchmark"), TrainerCallback()
        ours.watch(callback)
        empty.watch(nothing)
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=data,
            data_collator=default_data_collator,
            callbacks=[callback, nothing, LastOfStep()],
        )
        training_step = trainer.training_step

        def remember_loss(*args: Any, **kwargs: Any) -> Any:
            loss = training_step(*args, **kwargs)
            true_losses[trainer.state.global_step + 1] += loss.item()
            return loss

        trainer.training_step = remember_loss
        trainer.train()
        frame = store.list_step_logs(store.list_runs(), metrics=["loss"])
        check("steps", len(frame), steps)
        check("steps that were timed", len(ours.steps), steps)
        for step, loss in zip(frame["step"].tolist(), frame["loss"].tolist(), strict=True):
            check(f"the loss of step {step}", loss, true_losses[step], tolerance=1e-6)  # added up in 32 bits
    return {
        "us": ours.median_us(),
        "mean_us": sum(ours.steps[WARM_UP:]) / len(ours.steps[WARM_UP:]) / 1e3,
        "empty_us": empty.median_us(),
    }


@case()
def plain(place: Place) -> Figures:
    return _train(place, 1)


@case()
def accumulated(place: Place) -> Figures:
    return _train(place, 4)


@case()
def every_step_logged(place: Place) -> Figures:
    """Processor time that a recorded training takes more than one that is not; see benchmarks/training.py."""
    from trainstore.integrations.transformers import TrainStoreCallback

    steps, pairs = place.size.paired_steps, place.size.pairs
    found = differences(lambda: {"callbacks": [TrainStoreCallback(place.url)]}, place.folder, steps, pairs)
    with TrainStore(place.url) as store:
        check("steps", len(store.list_step_logs(store.list_runs())), steps * (pairs + 1))
    return figures_of(found)
