"""Libraries that import wandb, in whose place trainstore's module is: what they tell W&B is recorded."""

import os
import warnings

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")

from fixtures.in_place import in_place
from fixtures.lightning_models import BATCHES, Family
from trainstore import TrainStore
from trainstore.integrations import wandb

__all__ = ["in_place"]

RANDOM = np.random.default_rng(0)
X = RANDOM.random((24, 3)).astype("float32")
Y = (X.sum(1) > 1.5).astype("float32")


@pytest.fixture
def begun(in_place, local_url, monkeypatch, tmp_path):
    """A run of ``wandb.init``."""
    monkeypatch.setenv("TRAINSTORE_URL", local_url)
    monkeypatch.chdir(tmp_path)
    return wandb.init(project="libraries", name="begun")


def curve(store, run, metric):
    """Step → value of a metric."""
    frame = store.list_step_logs(run)[["step", metric]].dropna()
    return dict(frame.itertuples(index=False))


def test_transformers_reports_to_wandb(in_place, make_trainer, database_url, monkeypatch):
    """At the Trainer's steps, with its arguments, under W&B's names and project; checkpoints as artifacts."""
    monkeypatch.setenv("TRAINSTORE_URL", database_url)
    monkeypatch.setenv("WANDB_LOG_MODEL", "checkpoint")
    trainer = make_trainer(
        max_steps=6, logging_steps=2, save_strategy="steps", save_steps=3, report_to="wandb", run_name="tiny"
    )
    trainer.train()
    wandb.finish()
    with TrainStore(database_url) as store:
        run = store.get_run("tiny")
        assert (run.project, run.status, run.last_step) == ("huggingface", "finished", 6)
        told = {entry["step"]: entry["loss"] for entry in trainer.state.log_history if "loss" in entry}
        assert curve(store, run, "train/loss") == pytest.approx(told)
        assert list(told) == [2, 4, 6]
        assert run.hyperparams["max_steps"] == 6
        assert run.hyperparams["model/num_parameters"] == trainer.model.num_parameters()
        assert run.metrics["train_loss"] == pytest.approx(trainer.state.log_history[-1]["train_loss"])
        artifacts = store.list_events(run, kind="artifact")["details"]
        assert "checkpoint_global_step_3" in artifacts.iloc[1]["aliases"]


@pytest.mark.parametrize("package", ["lightning.pytorch", "pytorch_lightning"])
def test_lightning_has_a_wandb_logger(in_place, package, database_url, monkeypatch, tmp_path):
    """Its metrics come at the trainer's steps; hyperparameters, tables and pictures through the logger's methods."""
    monkeypatch.setenv("TRAINSTORE_URL", database_url)
    monkeypatch.chdir(tmp_path)
    family = Family(package, "trainstore.integrations.lightning")
    logger = family.package.loggers.WandbLogger(project="cats", name="tiny", log_model="all")
    logger.watch(family.model())
    checkpoint = family.callbacks.ModelCheckpoint(dirpath=tmp_path)
    family.fit(family.trainer(logger, checkpoint))
    logger.log_table("samples", columns=["prompt"], data=[["once"]])
    logger.log_image("picture", [np.zeros((4, 4, 3))], caption=["black"])
    wandb.finish()
    with TrainStore(database_url) as store:
        run = store.get_run("tiny")
        assert (run.project, run.status, logger.version) == ("cats", "finished", run.uid)
        assert curve(store, run, "loss") == pytest.approx({step: 0.25**step for step in range(BATCHES)})
        assert list(curve(store, run, "val_loss")) == [BATCHES - 1]
        assert (run.hyperparams["lr"], run.model_hyperparams["model_class"]) == (0.25, "Model")
        assert store.list_samples(run)["prompt"].tolist() == ["once"]
        assert store.list_events(run, kind="image")["details"].iloc[0]["items"][0]["caption"] == "black"
        assert len(store.list_events(run, kind="artifact")) == 1


def test_keras_callbacks_log_what_keras_reports(begun, local_store):
    """Each epoch, and each batch at its number; the best epoch in the summary."""
    import keras
    from wandb.integration.keras import WandbMetricsLogger, WandbModelCheckpoint
    from wandb.keras import WandbCallback

    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    callbacks = [WandbMetricsLogger("batch"), WandbCallback(), WandbModelCheckpoint("a.keras")]
    history = model.fit(X, Y, epochs=2, batch_size=8, verbose=0, validation_split=0.25, callbacks=callbacks).history
    wandb.finish()
    run = local_store.get_run("begun")
    frame = local_store.list_step_logs(run)
    assert frame["epoch/loss"].dropna().tolist() == pytest.approx(history["loss"])
    assert frame["val_loss"].dropna().tolist() == pytest.approx(history["val_loss"])
    assert curve(local_store, run, "batch/loss").keys() == set(range(6))
    assert frame["epoch/learning_rate"].dropna().tolist() == pytest.approx([0.01] * 2)
    assert run.metrics["best_val_loss"] == pytest.approx(min(history["val_loss"]))
    assert run.status == "finished"


def test_xgboost_callback_logs_each_round(begun, local_store):
    """Evaluations, the booster's configuration, the best round, and how important features are."""
    import xgboost
    from wandb.integration.xgboost import WandbCallback

    data = xgboost.DMatrix(X, Y)
    found = {}
    xgboost.train(
        {"objective": "binary:logistic", "nthread": 1},
        data,
        4,
        evals=[(data, "train")],
        evals_result=found,
        callbacks=[WandbCallback()],
        early_stopping_rounds=3,
        verbose_eval=False,
    )
    wandb.finish()
    run = local_store.get_run("begun")
    logged = local_store.list_step_logs(run)["train-logloss"].dropna()
    assert logged.tolist() == pytest.approx(found["train"]["logloss"])
    assert run.hyperparams["learner"]["objective"]["name"] == "binary:logistic"
    assert run.metrics["best_iteration"] == 3
    assert local_store.list_samples(run)["Feature"].tolist() == ["f0", "f1", "f2"]


def test_lightgbm_callback_logs_each_iteration(begun, local_store):
    """Evaluations and parameters; of cross-validation, means and standard deviations."""
    import lightgbm
    from wandb.integration.lightgbm import log_summary, wandb_callback

    params = {"objective": "binary", "metric": "binary_logloss", "verbose": -1, "min_data_in_leaf": 1, "num_threads": 1}
    found = {}
    data = lightgbm.Dataset(X, Y, params={"verbose": -1})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = lightgbm.train(
            params,
            data,
            3,
            valid_sets=[data],
            valid_names=["train"],
            callbacks=[wandb_callback(), lightgbm.record_evaluation(found)],
        )
        log_summary(model)
        lightgbm.cv(params, data, 2, nfold=2, callbacks=[wandb_callback(log_params=False)])
    wandb.finish()
    run = local_store.get_run("begun")
    frame = local_store.list_step_logs(run)
    assert frame["train_binary_logloss"].dropna().tolist() == pytest.approx(found["train"]["binary_logloss"])
    assert frame["valid_binary_logloss-mean"].dropna().size == 2
    assert (run.hyperparams["metric"], run.metrics["best_iteration"]) == ("binary_logloss", 0)
    assert local_store.list_samples(run)["Importance"].size == 3


def test_a_callback_needs_a_run(in_place):
    """As an error before the training."""
    from wandb.integration.xgboost import WandbCallback

    with pytest.raises(wandb.Error, match=r"^WandbCallback records into the run of wandb.init, which"):
        WandbCallback()
