"""What recording costs a training whose every step is logged: processor time, beside a Trainer that records nothing.

Pairs of trainings, one recorded and one not, in turn and in one process; of each pair the difference in the processor
time of the whole process, hooks and threads, from the start of ``train()`` to its end. Time on the clock would be that
of whatever else the machine does. A script on its own too, ``python benchmarks/training.py TRACKER FOLDER STEPS PAIRS
[SITE]``, so that another tracker can be loaded from its own environment, whose ``site-packages`` is SITE.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def differences(recorded: Callable[[], dict[str, Any]], folder: Path, steps: int, pairs: int) -> list[float]:
    """Microseconds a step that each pair differs by.

    Args:
        recorded: Further arguments of the Trainer (``callbacks``) and of its TrainingArguments for the training that
            is recorded.
        folder: For what the Trainer writes.
        steps: Of each training.
        pairs: How many count; one before them does not.
    """
    found = []
    for number in range(pairs + 1):
        order = (recorded, dict) if number % 2 else (dict, recorded)
        spent = {make: _train(folder, steps, **make()) for make in order}
        found.append((spent[recorded] - spent[dict]) / steps / 1e3)
    return found[1:]


def figures_of(found: list[float]) -> dict[str, float]:
    """The median, and the quartiles as its spread."""
    low, middle, high = statistics.quantiles(found, n=4) if len(found) > 1 else found * 3
    return {"more_us": middle, "more_low_us": low, "more_high_us": high}


def _train(folder: Path, steps: int, *, callbacks: Any = (), **arguments: Any) -> int:
    """Nanoseconds of processor time."""
    import torch
    from transformers import (
        GPT2Config,
        GPT2LMHeadModel,
        PrinterCallback,
        Trainer,
        TrainingArguments,
        default_data_collator,
    )

    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_positions=16, n_embd=16, n_layer=1, n_head=1))
    data = [{key: torch.randint(0, 64, (8,)) for key in ("input_ids", "labels")} for _ in range(64)]
    options = {"logging_steps": 1, "report_to": "none", **arguments}
    trainer = Trainer(
        model=model, train_dataset=data, data_collator=default_data_collator, callbacks=list(callbacks),
        args=TrainingArguments(
            str(folder / "output"), max_steps=steps, per_device_train_batch_size=2, disable_tqdm=True,
            save_strategy="no", use_cpu=True, **options,
        ),
    )  # fmt: skip
    trainer.pop_callback(PrinterCallback)
    gc.collect()
    began = time.process_time_ns()
    trainer.train()
    return time.process_time_ns() - began


def _trainstore(folder: Path) -> Callable[[], dict[str, Any]]:
    from trainstore.integrations.transformers import TrainStoreCallback

    return lambda: {"callbacks": [TrainStoreCallback(folder / "runs.db")]}


def _trackio(folder: Path) -> Callable[[], dict[str, Any]]:
    os.environ |= {"TRACKIO_DIR": str(folder), "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    numbers = iter(range(1_000_000))
    return lambda: {"report_to": "trackio", "project": "benchmark", "run_name": f"run-{next(numbers)}"}


TRACKERS = {"trainstore": _trainstore, "trackio": _trackio}


def main() -> None:
    """One tracker's figures on the last line of standard output."""
    name, place, steps, pairs, *site = sys.argv[1:]
    sys.path.extend(site)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # before any thread is there: all of them inherit it
    folder = Path(place)
    found = differences(TRACKERS[name](folder), folder, int(steps), int(pairs))
    print(json.dumps({**figures_of(found), "pairs": found}), flush=True)
    os._exit(0)  # some keep servers and threads


if __name__ == "__main__":
    main()
