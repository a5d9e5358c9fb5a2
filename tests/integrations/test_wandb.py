"""Scripts written for W&B: what holds for every adapter, and what a script logs, from init to finish."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fixtures.adapter_tests import STEPS, AtStep, LibraryTests, only_run
from trainstore import InvalidArgumentError, TrainStore
from trainstore.integrations import wandb


class TestWandb(LibraryTests):
    """A loop that logs by a run of its own, as several may be open."""

    module = "trainstore.integrations.wandb"
    package = "wandb"  # which is not needed
    adapter = "init"

    def make(self, target: Any, **options: Any) -> Any:
        return wandb.init(store=target, **options)

    def train(self, target: Any, at_step: AtStep, hyperparams: Any = None, **options: Any) -> None:
        with wandb.init(store=target, config=hyperparams, reinit="create_new", **options) as run:
            for step in range(STEPS):
                run.log({"loss": 1 / (step + 1)})
                at_step(step)

    def test_an_argument_that_is_not_known_is_named_with_the_adapter(self, store: TrainStore) -> None:
        """As W&B does: init is a function."""
        with pytest.raises(InvalidArgumentError, match=r"wandb\.init has no argument 'nme'"):
            self.make(store, nme="x")

    def test_unusable_arguments_are_refused_at_once(self, store: TrainStore) -> None:
        """The error names the argument and what can be done."""
        for argument, value, message in (
            ("config", 7, "config cannot be int"),
            ("project", {}, "project {} is not a text"),
            ("mode", "of", "mode 'of' is not one of 'online'"),
            ("reinit", "no", "reinit 'no' is not one of"),
            ("resume", "must", "needs the id of a run"),
            ("fork_from", "x?_step=no", "names no run and step"),
            ("projct", "p", "no argument 'projct': did you mean project"),
            ("config", "absent.yaml", "absent.yaml cannot be read"),
        ):
            with pytest.raises(InvalidArgumentError, match=message):
                wandb.init(store=store, **{argument: value})
        assert wandb.run is None
        assert len(store.list_runs()) == 0

    def test_without_the_library_the_error_names_the_extra(self, start_script: Any) -> None:
        """No library is needed, not even to log media: none of these can be imported here."""
        script = start_script(
            """
            import sys

            sys.modules.update(dict.fromkeys(("wandb", "PIL", "torch", "matplotlib", "plotly", "yaml")))
            from trainstore.integrations import wandb

            run = wandb.init(store="runs.db")
            media = [wandb.Image("a.png"), wandb.Histogram([1, 2]), wandb.Html("<p>"), wandb.Table(data=[[1, 2, 3]])]
            run.log({str(number): one for number, one in enumerate(media)})
            """
        )
        script.finish()
        assert script.stderr == ""


# --- A script --------------------------------------------------------------------------------------------------------


def test_a_quick_start_is_recorded(store: TrainStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module's functions mean the current run; config and summary are attributes and items."""
    monkeypatch.setenv("WANDB_PROJECT", "cats")
    assert wandb.run is None
    wandb.init(store=store, name="first", config={"lr": 0.1, "opt": {"betas": [0.9, 0.99]}}, tags=["a"], group="seeds")
    wandb.config.epochs = 3
    wandb.config.update({"layers": 2}, allow_val_change=True)
    for epoch in range(wandb.config.epochs):
        wandb.log({"acc": 0.5 + epoch / 10, "loss": np.float32(1 / (epoch + 1)), "val": {"acc": epoch}})
    assert (wandb.summary["acc"], wandb.run.summary.get("none", 7)) == (0.7, 7)
    wandb.summary["best"] = 0.9
    wandb.finish()
    assert wandb.run is None

    run = store.get_run("first")
    assert (run.project, run.status, run.source) == ("cats", "finished", "wandb")
    assert run.hyperparams == {"lr": 0.1, "opt": {"betas": [0.9, 0.99]}, "epochs": 3, "layers": 2}
    assert run.tags == {"a": True, "group": "seeds"}
    assert run.metrics == {"acc": 0.7, "best": 0.9, "loss": float(np.float32(1 / 3)), "val.acc": 2}
    assert store.list_step_logs(run)["step"].tolist() == [0, 1, 2]


def test_a_run_that_is_named_by_an_id_goes_on(store: TrainStore) -> None:
    """resume="allow" adds after the last step, as the next attempt; config and summary are there again."""
    for number in range(2):
        given = {"config": {"lr": 0.1}} if number == 0 else {"name": "renamed", "notes": "again"}
        with wandb.init(store=store, id="abc", resume="allow", **given) as run:
            assert run.resumed is bool(number)
            assert (run.config.lr, run.summary.get("best")) == (0.1, 7 if number else None)
            for _ in range(3):
                run.log({"loss": number})
            run.summary["best"] = 7 + number
    run = only_run(store)
    assert (run.name, run.notes, run.metrics) == ("renamed", "again", {"loss": 1, "best": 8})
    assert store.list_step_logs(run)["loss"].tolist() == [0, 0, 0, 1, 1, 1]
    assert len(store.list_attempts(run)) == 2
