"""The demo with a recurrent network of plain PyTorch, by `trainstore.training.Trainer`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler
from transformers import TrainerCallback

from trainstore import demo
from trainstore.training import Trainer

EPOCHS = 4


class ByteModel(nn.Module):  # type: ignore[misc]
    """Predicts the next byte of a text."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(256, width)
        self.recurrent = nn.GRU(width, 2 * width, batch_first=True)
        self.head = nn.Linear(2 * width, 256)

    def forward(self, text: Tensor) -> Tensor:
        """Bytes of shape (batch, length) to scores of shape (batch, 256, length)."""
        states, _ = self.recurrent(self.embedding(text))
        scores: Tensor = self.head(states)
        return scores.transpose(1, 2)


def train(task: demo.Task) -> str:
    """Train and record one model; the run's uid."""

    class Progress(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            task.step_done()

    torch.manual_seed(demo.SEED)
    model = ByteModel(task.width)
    optimizer = torch.optim.AdamW(model.parameters(), lr=task.learning_rate)
    trainer = Trainer(
        model,
        optimizer,
        nn.CrossEntropyLoss(),
        config={"width": task.width, "training": {"max_grad_norm": 1.0, "max_steps": task.steps}},
        device="cpu",
        store=task.store,
        project=demo.PROJECT,
        name=task.name,
        tags=["demo"],
        callbacks=[Progress],
    )
    texts: Any = [(block["input_ids"][:-1], block["input_ids"][1:]) for block in task.training]
    held_out: Any = [(block["input_ids"][:-1], block["input_ids"][1:]) for block in task.held_out]
    per_epoch = -(-task.steps // EPOCHS) * demo.BATCH
    sampler = RandomSampler(texts, replacement=True, num_samples=per_epoch)
    trainer.train(DataLoader(texts, demo.BATCH, sampler=sampler), EPOCHS, DataLoader(held_out, batch_size=demo.BATCH))
    return trainer.run_uid
