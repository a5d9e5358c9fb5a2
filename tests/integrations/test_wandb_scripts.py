"""Whole scripts that are written for W&B, run with the one line changed that imports it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trainstore import TrainStore

SCRIPTS = Path(__file__).with_name("wandb_scripts")


@pytest.fixture
def recorded(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a script in an empty folder, into the database that TRAINSTORE_URL names."""
    monkeypatch.setenv("TRAINSTORE_URL", database_url)
    monkeypatch.chdir(tmp_path)
    stores: list[TrainStore] = []

    def run(name: str) -> TrainStore:
        source = (SCRIPTS / f"{name}.py").read_text(encoding="utf-8")
        assert source.count("\nimport wandb\n") == 1
        changed = source.replace("\nimport wandb\n", "\nfrom trainstore.integrations import wandb\n")
        exec(compile(changed, name, "exec"), {"__name__": "__main__"})
        assert list(tmp_path.glob("wandb*")) == []  # no folder of W&B's
        stores.append(TrainStore(database_url))
        return stores[-1]

    yield run
    for store in stores:
        store.close()


def test_a_quick_start(recorded: Any) -> None:
    """Steps are counted; numbers are exact."""
    store = recorded("quick_start")
    run = store.get_run("quick")
    assert (run.status, run.project, run.notes) == ("finished", "quick-start", "the quick start")
    assert run.hyperparams == {"learning_rate": 0.02, "architecture": "CNN", "epochs": 5}
    assert run.tags == {"baseline": True, "cnn": True, "group": "first", "job_type": "train"}
    log = store.list_step_logs(run)
    assert log["acc"].tolist() == [1 - 2**-epoch - 0.02 / epoch for epoch in (2, 3, 4)] + [1.0]
    assert log["big.value"].dropna().tolist() == [2.0**50 + epoch for epoch in (2, 3, 4)]


def test_a_training_as_a_class(recorded: Any) -> None:
    """Two runs one after the other; evaluations at their steps, samples, the model as an event."""
    store = recorded("trainer_loop")
    assert sorted(store.list_runs(project="loop")["name"]) == ["loop-1", "loop-2"]
    for run in map(store.get_run, ("loop-1", "loop-2")):
        assert run.status == "finished"
        assert run.hyperparams["optim"] == {"lr": 0.1}
        log = store.list_step_logs(run).set_index("step")
        assert log["train/loss"].tolist() == [1 / step for step in range(1, 7)]
        assert log["eval/loss"].dropna().to_dict() == {3: 2.0, 6: 1.0}
        assert log["epoch"].dropna().to_dict() == {3: 1.0, 6: 2.0}
        assert run.metrics["best_loss"] == 1.0
        assert store.list_samples(run, name="eval/samples")["completion"].tolist() == ["upon 0", "upon 1"]
        (model,) = store.list_events(run, kind="artifact")["details"]
        assert (model["type"], model["files"], model["metadata"]) == ("model", 1, {"loss": 1.0})


def test_the_function_of_a_sweep(recorded: Any) -> None:
    """Each call is a run with its own configuration."""
    store = recorded("sweep_function")
    best = store.get_best_run("loss", "min", project="sweep")
    assert (best.name, best.hyperparams) == ("trial-0.2", {"lr": 0.2, "layers": 2, "epochs": 3})
    assert store.list_runs(project="sweep")["status"].tolist() == ["finished"] * 2


def test_metrics_with_axes(recorded: Any) -> None:
    """The true steps; an epoch is no axis."""
    store = recorded("axes")
    log = store.list_step_logs("axes").set_index("step")
    assert log["train/loss"].dropna().to_dict() == {step: 1 / (step + 1) for step in range(0, 40, 10)}
    assert log["val/loss"].dropna().to_dict() == {0: 2.0, 20: 2 / 21}
    assert log["per_epoch"].dropna().to_dict() == {2: 0, 6: 20}
    assert log["epoch"].dropna().to_dict() == {2: 0.0, 6: 1.0}
