"""What a script writes for TensorBoard while W&B's API records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

from fixtures.adapter_tests import only_run
from trainstore import TrainStore
from trainstore.integrations import wandb
from trainstore.integrations.wandb import tensorboard

pytestmark = pytest.mark.usefixtures("fresh_wandb")


def values(store: TrainStore, run: Any) -> dict[str, dict[int, float]]:
    """Of each metric its steps and values."""
    log = store.list_step_logs(run).set_index("step")
    found = {str(name): log[name].dropna().to_dict() for name in log.columns if "/" in str(name)}
    return {name: steps for name, steps in found.items() if steps}


def test_scalars_become_metrics_at_their_steps(store: TrainStore, tmp_path: Path) -> None:
    """As CleanRL's scripts do it; what is no scalar stays in TensorBoard's files, which are written as before."""
    with wandb.init(store=store, sync_tensorboard=True, monitor_gym=True, save_code=True) as run:
        with SummaryWriter(str(tmp_path / "runs")) as writer:
            writer.add_text("hyperparameters", "|lr|0.1|")
            writer.add_histogram("weights/all", np.array([1.0, 2.0]), 0)
            for step in (0, 100, 200):
                writer.add_scalar("losses/value", step / 2, step, new_style=step == 100)
            writer.add_scalars("charts/both", {"a": 1.0, "b": 2.0}, 200)
        run.log({"own/loss": 0.5})
        run.log({"own/loss": 0.25}, step=100)
        assert run.summary["losses/value"] == 100.0
    assert values(store, run.active) == {
        "losses/value": {0: 0.0, 100: 50.0, 200: 100.0},
        "charts_both_a/charts/both": {200: 1.0},
        "charts_both_b/charts/both": {200: 2.0},
        "own/loss": {100: 0.25, 200: 0.5},
    }
    assert list((tmp_path / "runs").glob("events.out.tfevents.*"))


def test_writers_beside_each_other_do_not_mix(store: TrainStore, tmp_path: Path) -> None:
    """The first one's names are as they are, the other's begin with its folder; so in each run of a process."""
    wandb.tensorboard.patch(root_logdir=str(tmp_path))
    for name in ("first", "second"):
        with wandb.init(store=store, name=name):
            for part in ("train", "val"):
                with SummaryWriter(str(tmp_path / name / part)) as writer:
                    writer.add_scalar("epoch/loss", 1.0, 5)
        assert values(store, name) == {"epoch/loss": {5: 1.0}, "val/epoch/loss": {5: 1.0}}


def test_a_failure_of_ours_does_not_reach_the_writer(
    store: TrainStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told once; without an open run nothing is recorded."""
    wandb.init(store=store, sync_tensorboard=True)
    monkeypatch.setattr(tensorboard, "_scalar", lambda value: 1 / 0)
    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_scalar("loss", 1.0, 0)
        writer.add_scalar("loss", 1.0, 1)
        monkeypatch.undo()
        wandb.finish()
        writer.add_scalar("loss", 1.0, 2)
    assert only_run(store).metrics == {}
    (told,) = [record.getMessage() for record in caplog.records if "TensorBoard" in record.getMessage()]
    assert "the training goes on" in told


def test_a_writer_that_is_imported_later_is_heard(start_script: Any, tmp_path: Path) -> None:
    """Nothing is imported for it; and TensorBoard need not be there."""
    script = start_script(
        """
        import sys

        from trainstore.integrations import wandb

        wandb.init(store=sys.argv[1], name="late", sync_tensorboard=True)
        assert "tensorboard" not in sys.modules
        from torch.utils.tensorboard import SummaryWriter

        with SummaryWriter(sys.argv[2]) as writer:
            writer.add_scalar("loss", 0.5, 7)
        """,
        tmp_path / "runs.db",
        tmp_path / "runs",
    )
    script.finish()
    assert script.stderr == ""
    with TrainStore(tmp_path / "runs.db") as store:
        assert store.get_run("late").metrics == {"loss": 0.5}
        assert store.get_run("late").last_step == 7
