"""What two new users do in their first hour: fine-tuning on a laptop, and training loops beside one server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fixtures.trainers import Crash, CrashAt, build_trainer, tokens
from trainstore import TrainStore
from trainstore.integrations.transformers import TrainStoreCallback

# As people write it who come from elsewhere: configuration nested, no finish().
LOOP = """
import argparse, sys, time
from trainstore import TrainStore

args = argparse.Namespace(seed=int(sys.argv[1]), optim={"name": "adamw", "lr": float(sys.argv[2])})
store = TrainStore()
run = store.start_run(project="cluster", name=f"seed{args.seed}", hyperparams=args)
for step in range(20):
    run.log({"train/loss": args.optim["lr"] * (20 - step), "val/loss": args.optim["lr"] * (25 - step)})
if sys.argv[3:] == ["hang"]:
    run.flush()
    print("hangs")
    time.sleep(600)
"""


def test_the_laptop(database_url, call, monkeypatch, tmp_path):
    """Two trainings, one of which crashes and is resumed; then the commands and the notebook that follow."""
    monkeypatch.setenv("TRAINSTORE_URL", database_url)
    for rate in (1e-2, 1e-3):
        options: dict[str, Any] = {
            "eval_dataset": tokens(8),
            "learning_rate": rate,
            "save_strategy": "steps",
            "max_steps": 12,
            "save_steps": 4,
            "eval_strategy": "steps",
            "eval_steps": 4,
            "output_dir": str(tmp_path / f"out{rate}"),
            "run_name": f"lr{rate}",
        }
        callback = TrainStoreCallback(project="dickens")
        if rate == 1e-2:
            with pytest.raises(Crash):
                build_trainer(tmp_path, callbacks=[callback, CrashAt(10)], **options).train()
            callback = TrainStoreCallback(project="dickens")
            build_trainer(tmp_path, callbacks=[callback], **options).train(resume_from_checkpoint=True)
        else:
            build_trainer(tmp_path, callbacks=[callback], **options).train()

    table = call("runs").out
    assert "lr0.01" in table
    assert "eval_loss" in table
    assert "learning_rate" in table
    assert "accelerator_config" not in table
    shown = call("show", "lr0.01").out
    assert len(shown.splitlines()) <= 50
    assert "attempt" in shown.lower()
    assert "learning_rate" in shown
    best = call("best", "eval_loss").out
    assert "lr0.001" in best
    assert "lr0.01" in best
    compared = call("compare", "lr0.01", "lr0.001").out
    assert "hp.learning_rate" in compared
    assert "runtime" not in compared
    assert "lr0.001" in call("runs", "--where", "hp.learning_rate < 5e-3").out
    both = tmp_path / "both.csv"
    assert call("export", "lr0.01", "lr0.001", "-o", both).code == 0
    assert len(both.read_text().splitlines()) == 25

    with TrainStore() as store:
        runs = store.list_runs(hyperparams="varying")
        assert set(runs["attempts"]) == {1, 2}
        record = store.get_best_run("eval_loss")
        assert record is not None
        assert len(repr(record).splitlines()) == 1
        steps = store.list_step_logs(runs)
        assert steps.groupby("name")["loss"].count().to_dict() == {"lr0.01": 12, "lr0.001": 12}
        (axes,) = {store.plot("eval_loss", runs)}
        assert len(axes.get_lines()) >= 2


def test_the_cluster(database_url, call, monkeypatch, start_script: Callable[..., Any]):
    """A plain loop in several processes, one of which is killed; what they and their SQL find afterwards."""
    monkeypatch.setenv("TRAINSTORE_URL", database_url)
    assert call("db", "upgrade").code == 0
    assert call("db", "check").code == 0
    scripts = [start_script(LOOP, seed, rate) for seed, rate in enumerate((0.1, 0.01, 0.001))]
    for script in scripts:
        script.finish()
    hanging = start_script(LOOP, 9, 1.0, "hang")
    hanging.wait_for("hangs")
    hanging.kill()

    runs = call("runs").out
    assert runs.count("finished") == 3
    assert runs.count("lost") == 1
    assert "val/loss" in runs
    assert call("close", "seed9", "--status", "failed", "--reason", "node lost").code == 0
    assert "failed" in call("runs", "--status", "failed").out
    found = call("runs", "--where", "hp.optim.lr < 0.05 and metric.val/loss.min < 1").out
    assert "seed1" in found
    assert "seed0" not in found
    assert "seed2" in call("best", "train/loss").out.splitlines()[3]
    with TrainStore() as store:
        assert list(store.list_runs(hyperparams={"optim.lr": 0.01})["name"]) == ["seed1"]
        best = store.get_best_run("val/loss", where="status = finished")
        assert best is not None
        assert best.hyperparams["optim"] == {"name": "adamw", "lr": 0.001}
