"""A demonstration: four real trainings on real text, recorded step by step.

Small models learn Python's own documentation (``pydoc_data.topics``) byte by byte, in a grid of learning rate × width:
GPT-2 trained by ``transformers.Trainer`` (``gpt2.py``), or a recurrent network of plain PyTorch by our own `Trainer`
(``gru.py``). Every tenth topic is held out; ``eval_loss`` is the mean cross entropy on those topics, in nats per byte
(ln 256 = 5.55 before any training).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from trainstore.errors import TrainStoreError

if TYPE_CHECKING:
    from torch import Tensor

    from trainstore.store import TrainStore

PROJECT = "demo"
LEARNING_RATES = (3e-4, 3e-3)
WIDTHS = (32, 64)  # of the embedding
STEPS = 200
BLOCK = 64  # bytes
BATCH = 16
SEED = 1
TRAINERS = {"transformers": "gpt2", "torch": "gru"}  # and the modules that train with them

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class DemoRun:
    """One training of the demo: its run, and the loss at its beginning and end."""

    uid: str
    name: str
    first_loss: float
    last_loss: float


@dataclass(frozen=True)
class Task:
    """What one training of the demo is given: a run's name and size, and the text in blocks."""

    store: TrainStore
    name: str
    width: int
    learning_rate: float
    steps: int
    training: list[dict[str, Tensor]]
    held_out: list[dict[str, Tensor]]
    step_done: Callable[[], None]


class MissingTrainingLibraryError(TrainStoreError):
    """The demo trains with transformers and torch, which are not installed."""


def texts() -> tuple[bytes, bytes]:
    """The text to train on and the text to evaluate on: Python's documentation, with every tenth topic held out."""
    from pydoc_data.topics import topics

    names = sorted(topics)
    held_out = names[::10]
    training = [name for name in names if name not in set(held_out)]
    return tuple("\n".join(topics[name] for name in part).encode() for part in (training, held_out))  # type: ignore[return-value]


def blocks(text: bytes) -> list[dict[str, Tensor]]:
    """The text as examples of `BLOCK` bytes. The labels of a causal language model are its inputs."""
    import torch

    count = len(text) // BLOCK
    tokens = torch.frombuffer(bytearray(text[: count * BLOCK]), dtype=torch.uint8).long().view(count, BLOCK)
    return [{"input_ids": row, "labels": row} for row in tokens]


def check_libraries() -> None:
    """Raise `MissingTrainingLibraryError` if transformers, torch or accelerate is not installed."""
    try:
        import accelerate  # noqa: F401
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise MissingTrainingLibraryError(
            f"the demo needs {error.name}: pip install 'trainstore[transformers]'"
        ) from error


def run_demo(
    store: TrainStore, *, trainer: str = "transformers", steps: int = STEPS, progress: Progress | None = None
) -> list[DemoRun]:
    """Train the grid and record one run for each learning rate and width.

    Args:
        store: The store that records the runs, in the project "demo".
        trainer: "transformers": GPT-2, by ``transformers.Trainer``. "torch": a recurrent network, by our `Trainer`.
        steps: Optimizer steps of each run.
        progress: Called after every step with the run's name, the steps done, and the total number of steps.

    Raises:
        MissingTrainingLibraryError: transformers, torch or accelerate is not installed.
    """
    check_libraries()
    import transformers

    transformers.utils.logging.set_verbosity_error()
    train = import_module(f"trainstore.demo.{TRAINERS[trainer]}").train
    training, held_out = (blocks(text) for text in texts())
    grid = list(itertools.product(WIDTHS, LEARNING_RATES))
    done = 0
    results = []
    for width, learning_rate in grid:
        name = f"width-{width}-lr-{learning_rate:g}"

        def step_done(name: str = name) -> None:
            nonlocal done
            done += 1
            if progress is not None:
                progress(name, done, steps * len(grid))

        task = Task(store, name, width, learning_rate, steps, training, held_out[:64], step_done)
        uid = train(task)
        losses = store.list_step_logs(uid, metrics=["loss"])["loss"].dropna()
        results.append(DemoRun(uid, name, float(losses.iloc[:10].mean()), float(losses.iloc[-10:].mean())))
    return results
