"""A `TrainerModule` with a store: what its run holds, and how it ends."""

import pytest

from fixtures.torch_models import loader, same, weights
from fixtures.torch_modules import Classifier, ModelConfig, bare_training, module_of
from fixtures.trainers import Crash, CrashAt
from trainstore.training import CheckpointConfig, LoggerConfig, OptimizerConfig, SchedulerConfig, TrainerConfig


def recorded(store, folder=None, kind=Classifier, **options):
    """A module whose run is called "run"."""
    return module_of(folder, kind, options={"store": store, "name": "run"}, **options)


def test_every_step_is_recorded_as_it_was(store):
    """Its true loss, norm and rate, and at the steps that are logged the metrics in their modes."""
    optimizer = OptimizerConfig(
        scheduler=SchedulerConfig(name="linear", lr=1e-2, decay_steps=10, warmup_steps=2), grad_clip_norm=0.5
    )
    recorded(store, optimizer=optimizer, default_train_log_modes=["mean", "max"]).train_model(loader(), num_epochs=2)
    losses = bare_training(module_of(optimizer=optimizer), loader(), 2)
    log = store.list_step_logs("run").set_index("step")
    assert log["loss"].tolist() == losses
    assert log["learning_rate"].tolist()[:3] == [0.0, 0.005, 0.01]
    assert log["samples"].tolist() == [4] * 10
    assert (log["grad_norm"] > 0).all()
    assert (log["step_time"] > 0).all()
    assert log.index[log["loss_mean"].notna()].tolist() == [2, 4, 5, 6, 8, 10]
    assert log["loss_mean"].loc[4] == pytest.approx((losses[2] + losses[3]) / 2)
    assert log["loss_max"].loc[4] == pytest.approx(max(losses[2:4]))
    assert log["accuracy_mean"].loc[10] <= 1
    assert log["grad_norm_mean"].loc[2] == pytest.approx(log["grad_norm"].loc[[1, 2]].mean())
    assert log["param_norm"].notna().sum() == 6
    assert "incomplete" not in store.get_run("run").environment


def test_recording_changes_nothing(store):
    """The weights are those of a training without a store."""
    first, second = recorded(store, model=ModelConfig(dropout=0.5)), module_of(model=ModelConfig(dropout=0.5))
    for module in (first, second):
        module.train_model(loader(shuffle=True), loader(8), num_epochs=2)
    assert same(weights(first.model), weights(second.model))


class Adds(Classifier):
    """Adds a metric at each end."""

    def on_training_epoch_end(self, train_metrics, epoch_idx):
        train_metrics["added"] = float(epoch_idx)

    def on_validation_epoch_end(self, eval_metrics, epoch_idx, step_idx):
        eval_metrics["added"] = float(step_idx)

    def on_test_epoch_end(self, test_metrics, epoch_idx):
        test_metrics["added"] = 7.0


def test_validations_tests_and_what_hooks_add_are_recorded(store):
    """In the rows of their steps, under ``train_``, ``val_`` and ``test_``."""
    module = recorded(store, kind=Adds, check_val_every_n_steps=3)
    results = module.train_model(loader(), {"a": loader(8), "b": loader(4)}, loader(8), num_epochs=2)
    log = store.list_step_logs("run").set_index("step")
    assert log.index[log["val_a_loss"].notna()].tolist() == [3, 5, 6, 9, 10]
    assert log["val_b_accuracy"].loc[5] == results["val_epoch_1"]["b_accuracy"]
    assert log["val_added"].dropna().tolist() == [3, 5, 6, 9, 10]
    assert log["train_added"].dropna().to_dict() == {5: 1, 10: 2}
    assert log["train_loss"].loc[5] == results["train_epoch_1"]["loss"]
    assert log["test_loss"].dropna().to_dict() == {10: results["test"]["loss"]}
    assert log["test_added"].loc[10] == 7
    assert not any("eval_" in name for name in log.columns)


def test_the_run_says_how_it_was_trained(store, tmp_path):
    """The configurations are its hyperparameters, by section."""
    module = recorded(store, tmp_path, checkpoint=CheckpointConfig(), seed=3, model=ModelConfig(width=6))
    module.train_model(loader(), loader(8), num_epochs=1)
    run = store.get_run("run")
    assert (run.status, run.source) == ("finished", "trainstore")
    hyperparams = run.hyperparams
    assert hyperparams["trainer"]["seed"] == 3
    assert hyperparams["model"] == {"width": 6, "dropout": 0.0}
    assert hyperparams["optimizer"]["scheduler"]["lr"] == 0.01
    assert (hyperparams["learning_rate"], hyperparams["batch_size"], hyperparams["num_epochs"]) == (0.01, 4, 1)
    assert "_target_" not in str(hyperparams)
    assert not {"logger", "donate_train_state", "enable_progress_bar"} & hyperparams["trainer"].keys()
    assert "grad_clip_norm" not in hyperparams["optimizer"]
    assert run.model_hyperparams["num_parameters"] == module.get_num_params()
    assert module.run.uid == run.uid
    assert len(store.list_runs(where="hp.model.width = 6")) == 1


def test_the_logger_config_may_name_the_store(database_url, store):
    """And project, name and tags."""
    log = LoggerConfig(store=database_url, project="lines", name="from the config", tags=["small"])
    module = Classifier(TrainerConfig(logger=log), ModelConfig(), device="cpu")
    module.train_model(loader(), num_epochs=1)
    run = store.get_run("from the config")
    assert (run.project, run.status) == ("lines", "finished")


class Broken(Classifier):
    """A metric is NaN from the eighth step on."""

    def loss_function(self, model, batch, train=True):
        loss, metrics = super().loss_function(model, batch, train)
        bad = train and self.global_step >= 7
        return loss, {**metrics, "ratio": float("nan") if bad else 1.0}


def test_nan_fails_the_run_and_the_row_with_it_is_there(store, tmp_path):
    """An event names the metric and the last checkpoint."""
    module = recorded(store, tmp_path, Broken, checkpoint=CheckpointConfig())
    module.train_model(loader(), num_epochs=3)
    run = store.get_run("run")
    path = str(tmp_path / "checkpoints" / "checkpoint_5")
    assert run.status == "failed"
    assert run.error == f"the metric ratio_mean at step 8 is NaN; the last checkpoint is {path}"
    events = store.list_events(run).set_index("kind")
    assert events.loc["nan", "step"] == 8
    log = store.list_step_logs("run").set_index("step")
    assert log.index[-1] == 8
    assert log["ratio_mean"].loc[6] == 1.0


def test_checkpoints_and_the_best_model_are_events(store, tmp_path):
    """With the folders that were written."""

    class Scripted(Classifier):
        def on_validation_epoch_end(self, eval_metrics, epoch_idx, step_idx):
            eval_metrics["score"] = [0.1, 0.9, 0.3][epoch_idx - 1]

    config = CheckpointConfig(monitor="score", mode="max", max_to_keep=None)
    recorded(store, tmp_path, Scripted, checkpoint=config).train_model(loader(), loader(8), num_epochs=3)
    events = store.list_events("run")
    found = [(kind, step) for kind, step in zip(events["kind"], events["step"], strict=True)]
    assert found == [("checkpoint", 5), ("checkpoint", 10), ("checkpoint", 15), ("best_model", 10)]
    folder = tmp_path / "checkpoints"
    assert [details["path"] for details in events["details"]] == [
        str(folder / f"checkpoint_{step}") for step in (5, 10, 15, 10)
    ]


@pytest.mark.parametrize("what", ["loss function", "hook", "callback"])
def test_an_exception_fails_the_run(store, what):
    """The steps that were made are there."""

    class Own(Classifier):
        def loss_function(self, model, batch, train=True):
            if what == "loss function" and train and self.global_step == 3:
                raise Crash(what)
            return super().loss_function(model, batch, train)

        def on_validation_epoch_end(self, eval_metrics, epoch_idx, step_idx):
            if what == "hook":
                raise Crash(what)

    module = recorded(store, kind=Own, callbacks=[CrashAt(3, Crash(what))] if what == "callback" else ())
    with pytest.raises(Crash):
        module.train_model(loader(), loader(8), num_epochs=2)
    run = store.get_run("run")
    assert (run.status, run.error) == ("failed", f"Crash: {what}")
    assert store.list_step_logs("run")["loss"].count() == (5 if what == "hook" else 3)


def test_a_training_that_goes_on_is_the_next_attempt(store, tmp_path):
    """Its steps are those of the unbroken one."""
    options = {"model": ModelConfig(dropout=0.5), "check_val_every_n_steps": 4}
    unbroken = module_of(tmp_path / "unbroken", options={"store": store, "name": "unbroken"}, **options)
    unbroken.train_model(loader(shuffle=True), loader(8), num_epochs=3)
    folder, config = tmp_path / "broken", CheckpointConfig(every_n_steps=3, max_to_keep=None)
    module = recorded(store, folder, checkpoint=config, callbacks=[CrashAt(8, Crash("once"))], **options)
    with pytest.raises(Crash):
        module.train_model(loader(shuffle=True), loader(8), num_epochs=3)
    module = recorded(store, folder, checkpoint=config, **options)
    assert module.load_model() == 6
    module.train_model(loader(shuffle=True), loader(8), num_epochs=3)
    run = store.get_run("run")
    assert run.status == "finished"
    assert len(store.list_attempts(run)) == 2
    first, second = (store.list_step_logs(name).set_index("step") for name in ("unbroken", "run"))
    kept = [name for name in first.columns if "time" not in name and name not in ("attempt", "logged_at", "run_uid")]
    for name in kept:
        if first[name].dtype.kind in "fi":
            assert second[name].equals(first[name]), name
    assert {"loss", "loss_mean", "val_loss", "train_loss", "param_norm", "epoch"} <= set(kept)
