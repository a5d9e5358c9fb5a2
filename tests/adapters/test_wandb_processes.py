"""Launched scripts whose libraries look for W&B's package, or start processes, beside W&B's package itself."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from trainstore import TrainStore

LAUNCH = (sys.executable, "-W", "ignore", "-m", "trainstore.integrations.wandb")
ACCELERATE = """
    import numpy as np
    from accelerate import Accelerator
    import wandb

    accelerator = Accelerator(cpu=True, log_with="wandb")
    accelerator.init_trackers("accelerate", config={"lr": 0.1}, init_kwargs={"wandb": {"name": "tracked"}})
    for step in range(6):
        accelerator.log({"loss": 1 / (step + 1)}, step=step)
    for tracker in accelerator.trackers:
        tracker.log({"validation": [wandb.Image(np.zeros((4, 4, 3)), caption="black")]})
    accelerator.end_training()
"""
IGNITE = """
    from ignite.engine import Engine, Events
    from ignite.handlers.wandb_logger import WandBLogger

    trainer = Engine(lambda engine, batch: batch)
    logger = WandBLogger(project="ignite", name="tracked", config={"lr": 0.1})
    transform = lambda output: {"loss": output}
    logger.attach_output_handler(trainer, Events.ITERATION_COMPLETED, tag="training", output_transform=transform)
    trainer.run([1.0, 0.5, 0.25], max_epochs=2)
    logger.close()
"""
LIGHTNING = """
    import sys
    import lightning.pytorch as pl
    import torch

    class Model(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Linear(1, 1)

        def training_step(self, batch, index):
            loss = self.net(batch).mean()
            self.log("loss", loss)
            return loss

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    if __name__ == "__main__":
        logger = pl.loggers.WandbLogger(project="lightning", name="tracked")
        trainer = pl.Trainer(
            max_epochs=1, logger=logger, accelerator="cpu", devices=2, strategy=sys.argv[1], log_every_n_steps=1,
            enable_progress_bar=False, enable_checkpointing=False,
        )
        trainer.fit(Model(), torch.utils.data.DataLoader(torch.ones(12, 1)))
"""
TORCHRUN = """
    import os
    import wandb

    run = wandb.init(project="torchrun", name="tracked", mode=None if os.environ["RANK"] == "0" else "disabled")
    for step in range(6):
        run.log({"loss": 1 / (step + 1)})
"""


@pytest.mark.parametrize(
    ("code", "arguments", "project", "metric", "last_step"),
    [
        (ACCELERATE, ("script.py",), "accelerate", "loss", 5),
        (IGNITE, ("script.py",), "ignite", "training/loss", 6),
        (LIGHTNING, ("script.py", "ddp"), "lightning", "loss", 5),
        (LIGHTNING, ("script.py", "ddp_spawn"), "lightning", "loss", 5),
        (TORCHRUN, ("-m", "torch.distributed.run", "--nproc-per-node=2", "script.py"), "torchrun", "loss", 5),
    ],
    ids=["accelerate", "ignite", "ddp", "ddp_spawn", "torchrun"],
)
def test_a_launched_script_records_one_run(
    code: str,
    arguments: tuple[str, ...],
    project: str,
    metric: str,
    last_step: int,
    new_database: Callable[[str], str],
    tmp_path: Path,
) -> None:
    """Whichever process logs, and though W&B's package is installed."""
    (tmp_path / "script.py").write_text(textwrap.dedent(code), encoding="utf-8")
    url = new_database("sqlite")
    environment = os.environ | {"TRAINSTORE_URL": url, "WANDB_API_KEY": "", "WANDB_MODE": "online"}
    done = subprocess.run(
        [*LAUNCH, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr
    with TrainStore(url) as store:
        runs = store.list_runs()
        assert runs[["project", "name", "status"]].values.tolist() == [[project, "tracked", "finished"]]
        logged = store.list_step_logs("tracked")[["step", metric]].dropna()
        assert len(logged) == 6
        assert logged["step"].max() == last_step
