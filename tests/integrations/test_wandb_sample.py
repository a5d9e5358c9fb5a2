"""The scenario of the W&B sample, through W&B's API: the store holds what the sample's truth says, and more."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from importing.harness import Point, stored_points
from importing.sources import SOURCES
from trainstore import TrainStore
from trainstore.importing import import_runs
from trainstore.integrations import wandb

(SAMPLE,) = [source for source in SOURCES if source.tool == "wandb"]
RUNS = {run["source_id"]: run for run in SAMPLE.runs().values()}
#: What W&B drops, and is kept here: in the truth it stands apart.
DROPPED = "logged_but_dropped_by_wandb"


def loss_at(step: int) -> float:
    return round(2 / (step + 1), 6)


def begin(store: TrainStore, source_id: str, **more: Any) -> wandb.Run:
    """``init`` with the names that the truth gives a run."""
    run = RUNS[source_id]
    given = {"project": run["project"], "id": source_id, "name": run["name"], "config": run["params"]}
    return wandb.init(store=store, **given | more)


def first(store: TrainStore) -> None:
    """NaN and infinities, Unicode, nested values, long and large hyperparameters, a summary, an alert."""
    run = RUNS["first001"]
    labels = {name: run[name] for name in ("group", "job_type", "notes", "tags")}
    begin(store, "first001", config={**run["params"], "lr": 0.001}, **labels)
    wandb.config.update({"lr": 0.002}, allow_val_change=True)
    for step in range(40):
        loss = {7: math.nan, 8: math.inf, 9: -math.inf}.get(step, loss_at(step))
        row = {"loss": loss, "train/lr": 0.001 * (1 - step / 40)}
        if step % 10 == 9:
            row |= {"eval/größe": round(0.5 + step / 100, 2), "epoch": step // 40}
        wandb.log(row)
    wandb.log({"nested": {"a": 1, "b": {"c": 2.5}}, "text": "hallo"})
    wandb.alert("diverged", "NaN at 7", level=wandb.AlertLevel.WARN)
    wandb.run.summary["best"] = 0.5
    wandb.finish()


def resumed(store: TrainStore) -> None:
    """Cut off after step 25, begun again from what was saved at 20."""
    begin(store, "resumed1")
    for step in range(26):
        wandb.log({"loss": loss_at(step)}, step=step)
    wandb.finish()
    begin(store, "resumed1", resume="allow")
    for step in range(21, 36):
        wandb.log({"loss": round(0.25 + 2 / (step + 1), 6)}, step=step)
    wandb.finish()


def failed(store: TrainStore) -> None:
    """A step twice, an older step, a gap, an exception."""
    with begin(store, "failed01"):
        for step in range(12):
            wandb.log({"loss": loss_at(step)}, step=step)
            if step == 5:
                wandb.log({"loss": 0.555}, step=5)
            if step == 10:
                wandb.log({"loss": 0.333, "late": 1.0}, step=3)
        wandb.log({"loss": 0.02}, step=20)
        raise RuntimeError("out of memory")


def counted(store: TrainStore) -> None:
    """Steps that W&B counts; one of two calls."""
    begin(store, "counted1")
    for step in range(12):
        wandb.log({"loss": loss_at(step), "global_step": 100 * step})
    wandb.log({"eval_loss": 0.5}, commit=False)
    wandb.log({"loss": 0.1})
    wandb.finish()


def axis(store: TrainStore) -> None:
    """As the Trainer's callback logs: the true step is a metric."""
    begin(store, "axis0001")
    wandb.define_metric("train/global_step")
    wandb.define_metric("*", step_metric="train/global_step", step_sync=True)
    for step in range(8):
        wandb.log({"train/loss": loss_at(step), "train/global_step": 10 * step + 10})
    wandb.finish()


def test_the_scenario_has_no_difference_to_its_truth(store: TrainStore) -> None:
    """Every point at its true step, W&B's own drops kept; names, tags, notes, parameters and status."""
    scenes: list[Callable[[TrainStore], None]] = [first, resumed, counted, axis]
    for scene in scenes:
        scene(store)
    with pytest.raises(RuntimeError):
        failed(store)
    expected = SAMPLE.expected()
    kept: list[Point] = [(name, step, repr(float(value))) for name, step, value in RUNS["failed01"][DROPPED]]
    expected["failed"] = sorted([*expected["failed"], *kept])
    assert stored_points(store) == expected
    for run in RUNS.values():
        record = store.get_run(run["name"])
        assert (record.project, record.status, record.notes) == (run["project"], run["status"], run.get("notes"))
        assert record.hyperparams == run["params"]
        labels = {name: run[name] for name in ("group", "job_type") if name in run}
        assert record.tags == {**dict.fromkeys(run.get("tags", ()), True), **labels, "wandb_id": run["source_id"]}
    assert store.get_run("failed").error == "RuntimeError: out of memory"
    (alert,) = store.list_events(RUNS["first001"]["name"], kind="alert")["details"]
    assert alert == {"title": "diverged", "text": "NaN at 7", "level": "warn"}


def test_what_w_and_b_recorded_goes_on_in_its_words(store: TrainStore) -> None:
    """An id means the run that an import made of W&B's folder: it is rewound, resumed, forked from."""
    import_runs(store, SAMPLE.path)
    project = RUNS["resumed1"]["project"]
    with wandb.init(store=store, project=project, resume_from="resumed1?_step=20") as run:
        assert (run.id, run.resumed, run.starting_step, run.config.lr) == ("resumed1", True, 21, 0.1)
        run.log({"loss": 7.0})
    log = store.list_step_logs("resumed")
    assert log["step"].tolist() == list(range(22))
    assert log["loss"].iloc[-1] == 7.0
    assert len(store.list_step_logs("resumed", attempts="all")) > 36

    with wandb.init(store=store, project=project, fork_from="first001?_step=30", name="fork") as run:
        run.log({"loss": 1.0})
        assert run.step == 32
    fork = store.get_run("fork")
    assert fork.hyperparams == RUNS["first001"]["params"]
    assert (fork.parent_uid, fork.parent_step) == (store.get_run(RUNS["first001"]["name"]).uid, 30)
