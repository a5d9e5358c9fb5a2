"""The demo with a small GPT-2, by ``transformers.Trainer`` with `TrainStoreCallback`."""

from __future__ import annotations

import tempfile
from typing import Any

from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from trainstore import demo
from trainstore.integrations.transformers import TrainStoreCallback


def train(task: demo.Task) -> str:
    """Train and record one model; the run's uid."""

    class Progress(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            task.step_done()

    set_seed(demo.SEED)
    config = GPT2Config(
        vocab_size=256, n_positions=demo.BLOCK, n_embd=task.width, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0
    )
    callback = TrainStoreCallback(
        task.store, project=demo.PROJECT, name=task.name, tags=["demo"], hyperparams={"width": task.width}
    )
    with tempfile.TemporaryDirectory(prefix="trainstore-demo-") as folder:
        trainer = Trainer(
            model=GPT2LMHeadModel(config),
            args=TrainingArguments(
                output_dir=folder,
                learning_rate=task.learning_rate,
                max_steps=task.steps,
                per_device_train_batch_size=demo.BATCH,
                per_device_eval_batch_size=demo.BATCH,
                warmup_steps=max(1, task.steps // 20),
                eval_strategy="steps",
                eval_steps=max(1, task.steps // 4),
                logging_steps=50,  # trainstore records the loss of every step anyway
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                use_cpu=True,
                seed=demo.SEED,
                data_seed=demo.SEED,
            ),
            train_dataset=task.training,
            eval_dataset=task.held_out,
            callbacks=[callback, Progress],
        )
        # Without progress bars, the Trainer prints its logs; the demo prints better tables.
        trainer.pop_callback(PrinterCallback)
        trainer.train()
    return callback.run_uid
