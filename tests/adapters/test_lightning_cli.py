"""`LightningCLI`, which makes the logger from a configuration; it needs jsonargparse."""

import sys

import lightning.pytorch as pl
import pytest
from lightning.pytorch.cli import LightningCLI

from fixtures.adapter_tests import only_run
from fixtures.lightning_models import Family

LIGHTNING = Family("lightning.pytorch", "trainstore.integrations.lightning")


class Model(LIGHTNING.model):
    """Its class has to be one that a module holds."""


@pytest.mark.parametrize("place", ["logger", "callbacks"])
def test_the_command_line_names_logger_and_store(place, store, database_url, tmp_path, monkeypatch):
    """The run has the module's hyperparameters, and what the configuration says beside the defaults."""
    monkeypatch.chdir(tmp_path)
    named = f"--trainer.{place}" + ("+" if place == "callbacks" else "")
    ours = f"{named}=trainstore.integrations.lightning.TrainStoreLogger"
    arguments = [ours, f"{named}.store_or_run={database_url}", f"{named}.name=cli", "--model.lr=0.125"]
    monkeypatch.setattr(sys, "argv", ["script.py", "fit", *arguments])
    LightningCLI(Model, trainer_defaults={"max_epochs": 1, "log_every_n_steps": 1, "enable_progress_bar": False})
    run = only_run(store)
    assert (run.name, run.status, run.hyperparams["lr"]) == ("cli", "finished", 0.125)
    assert run.hyperparams["config"]["model"] == {"lr": 0.125}
    assert "_instantiator" not in run.hyperparams
    assert "logger" not in run.hyperparams["config"].get("trainer", {})
    assert pl.__version__ in str(store.list_attempts(run)["versions"][0])
