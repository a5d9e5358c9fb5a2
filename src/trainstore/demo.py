"""A demonstration: four real trainings on real text, recorded by the callback.

Small GPT-2 models learn Python's own documentation (``pydoc_data.topics``) byte by byte: a grid of learning rate ×
width, each trained by ``transformers.Trainer`` with `TrainStoreCallback`. Every tenth topic is held out; ``eval_loss``
is the mean cross entropy on those topics, in nats per byte (ln 256 = 5.55 before any training).
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class DemoRun:
    """One training of the demo: its run, and the loss at its beginning and end."""

    uid: str
    name: str
    first_loss: float
    last_loss: float


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


def run_demo(store: TrainStore, *, steps: int = STEPS, progress: Progress | None = None) -> list[DemoRun]:
    """Train the grid and record one run for each learning rate and width.

    Args:
        store: The store that records the runs, in the project "demo".
        steps: Optimizer steps of each run.
        progress: Called after every step with the run's name, the steps done, and the total number of steps.

    Raises:
        MissingTrainingLibraryError: transformers, torch or accelerate is not installed.
    """
    try:
        import accelerate  # noqa: F401
        import torch  # noqa: F401
        import transformers
    except ImportError as error:
        raise MissingTrainingLibraryError(
            f"the demo needs {error.name}: pip install 'trainstore[transformers]'"
        ) from error

    transformers.utils.logging.set_verbosity_error()
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

        results.append(_train(store, name, width, learning_rate, steps, training, held_out[:64], step_done))
    return results


def _train(
    store: TrainStore,
    name: str,
    width: int,
    learning_rate: float,
    steps: int,
    training: list[dict[str, Any]],
    held_out: list[dict[str, Any]],
    step_done: Callable[[], None],
) -> DemoRun:
    from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments, set_seed

    from trainstore.integrations.transformers import TrainStoreCallback

    class Progress(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            step_done()

    set_seed(SEED)
    config = GPT2Config(
        vocab_size=256, n_positions=BLOCK, n_embd=width, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0
    )
    callback = TrainStoreCallback(store, project=PROJECT, name=name, tags=["demo"], hyperparams={"width": width})
    with tempfile.TemporaryDirectory(prefix="trainstore-demo-") as folder:
        trainer = Trainer(
            model=GPT2LMHeadModel(config),
            args=TrainingArguments(
                output_dir=folder,
                learning_rate=learning_rate,
                max_steps=steps,
                per_device_train_batch_size=BATCH,
                per_device_eval_batch_size=BATCH,
                warmup_steps=max(1, steps // 20),
                eval_strategy="steps",
                eval_steps=max(1, steps // 4),
                logging_steps=50,  # trainstore records the loss of every step anyway
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                use_cpu=True,
                seed=SEED,
                data_seed=SEED,
            ),
            train_dataset=training,
            eval_dataset=held_out,
            callbacks=[callback, Progress],
        )
        # Without progress bars, the Trainer prints its logs; the demo prints better tables.
        trainer.pop_callback(_printer())
        trainer.train()
    uid = callback.run_uid
    losses = store.list_step_logs(uid, metrics=["loss"])["loss"].dropna()
    return DemoRun(uid, name, float(losses.iloc[:10].mean()), float(losses.iloc[-10:].mean()))


def _printer() -> Any:
    from transformers import PrinterCallback

    return PrinterCallback
