"""Keras 3: a fit is a run, an optimizer step a step; epochs, batches, resumed fits."""

from __future__ import annotations

import os
import pickle
from copy import deepcopy

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")
import keras
from keras import layers
from keras.callbacks import BackupAndRestore, Callback, CallbackList, EarlyStopping, ModelCheckpoint

from fixtures.adapter_tests import STEPS, DivergedError, LibraryTests, fails_at, only_run
from trainstore import InvalidArgumentError, RunNotFoundError
from trainstore.integrations.keras import TrainStoreCallback

RANDOM = np.random.default_rng(0)
X = RANDOM.random((22, 3)).astype("float32")  # six batches of 4, the last of 2
Y = X.sum(1, keepdims=True) + RANDOM.normal(size=(22, 1)).astype("float32")


class AtStep(Callback):
    """Something happens in a step."""

    def __init__(self, at_step):
        super().__init__()
        self.at_step = at_step

    def on_train_batch_end(self, batch, logs=None):
        self.at_step(batch)


class Watched(keras.Model):
    """A model that keeps the loss of each of its batches."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(1)
        self.losses_seen = []

    def call(self, x):
        return self.dense(x)

    def compute_loss(self, *args, training=True, **kwargs):
        loss = super().compute_loss(*args, training=training, **kwargs)
        if training:
            self.losses_seen.append(float(loss.detach()))
        return loss


def compiled(model=None, **options):
    model = Watched() if model is None else model
    model.compile(**{"optimizer": keras.optimizers.SGD(0.01), "loss": "mse", "metrics": ["mae"], **options})
    return model


def fit(model, *callbacks, x=X, y=Y, **options):
    options = {"batch_size": 4, "epochs": 1, "verbose": 0, "shuffle": False} | options
    return model.fit(x, y, callbacks=list(callbacks), **options)


class TestKeras(LibraryTests):
    module = "trainstore.integrations.keras"
    package = "keras"
    metric = "batch_loss"
    steps = list(range(1, STEPS + 1))

    def train(self, target, at_step, **options):
        fit(compiled(), self.make(target, **options), AtStep(at_step))


def test_batches_have_their_own_loss_and_epochs_their_means(store):
    """Of single batches Keras tells means over the epoch so far; the smaller last batch counts less in them."""
    model = compiled()
    history = fit(model, TrainStoreCallback(store), epochs=2, validation_split=0.1).history
    log = store.list_step_logs(only_run(store))
    assert log["step"].tolist() == list(range(1, 11))
    assert log["batch_loss"].tolist() == pytest.approx(model.losses_seen[-10:], rel=1e-5)
    assert log["epoch"].tolist() == pytest.approx([n / 5 for n in range(1, 11)])
    ends = log[log["step"].isin([5, 10])]
    for name, values in history.items():
        assert ends[name].tolist() == pytest.approx(values)
        assert log[name].notna().sum() == 2
    assert ends["learning_rate"].tolist() == [0.01, 0.01]


def test_what_was_compiled_is_recorded(local_store):
    """Optimizer, loss, metrics and what fit() was called with; the model's size; no defaults."""
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    fit(compiled(optimizer=keras.optimizers.Adam(schedule)), TrainStoreCallback(local_store), epochs=2)
    run = only_run(local_store)
    params = run.hyperparams
    assert (params["loss"], params["metrics"], params["batch_size"], params["epochs"]) == ("mse", ["mae"], 4, 2)
    assert (params["optimizer"]["class"], params["optimizer"]["beta_1"]) == ("Adam", 0.9)
    assert (params["learning_rate"]["class"], params["learning_rate"]["decay_steps"]) == ("ExponentialDecay", 10)
    assert not {"validation_freq", "initial_epoch"} & set(params)
    facts = run.model_hyperparams
    assert (facts["model_class"], facts["num_parameters"], facts["backend"]) == ("Watched", 4, "torch")
    rates = local_store.list_step_logs(run)["learning_rate"].dropna().tolist()
    assert rates == pytest.approx([float(schedule(6)), float(schedule(12))], rel=1e-6)


def test_with_every_a_record_has_the_mean_of_the_steps_between(local_store):
    """0 leaves the batches out."""
    model = compiled()
    fit(model, TrainStoreCallback(local_store, name="a", every=2), x=X[:20], y=Y[:20], batch_size=5)
    fit(compiled(), TrainStoreCallback(local_store, name="b", every=0))
    log = local_store.list_step_logs("a")
    assert log["step"].tolist() == [2, 4]
    pairs = np.array(model.losses_seen[-4:]).reshape(2, 2).mean(1)
    assert log["batch_loss"].tolist() == pytest.approx(pairs.tolist(), rel=1e-5)
    assert local_store.list_step_logs("b")["step"].tolist() == [6]
    with pytest.raises(InvalidArgumentError, match="every must be a whole number of steps"):
        TrainStoreCallback(local_store, every=0.5)


def test_with_gradient_accumulation_a_step_is_the_optimizers(local_store):
    """Three batches a step, over the end of an epoch: the mean of those that are in it."""
    optimizer = keras.optimizers.SGD(0.01, gradient_accumulation_steps=4)
    fit(compiled(optimizer=optimizer), TrainStoreCallback(local_store), epochs=2)
    log = local_store.list_step_logs(only_run(local_store))
    assert log["step"].tolist() == [1, 2, 3]
    assert log["batch_loss"].notna().all()
    assert log.set_index("step")["loss"].notna().tolist() == [True, False, True]


def test_a_loader_that_drops_the_last_batch_is_counted_right(local_store):
    """Keras takes its batches for 4 and 2, there are only whole ones."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    loader = DataLoader(TensorDataset(torch.tensor(X), torch.tensor(Y)), batch_size=4, drop_last=True)
    model = compiled()
    model.fit(loader, verbose=0, callbacks=[TrainStoreCallback(local_store)])
    log = local_store.list_step_logs(only_run(local_store))
    assert log["batch_loss"].tolist() == pytest.approx(model.losses_seen[-5:], rel=1e-5)


class Uneven(keras.utils.PyDataset):
    """Batches whose sizes Keras does not know."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        rows = slice(*((0, 7), (7, 9), (9, 22))[index])
        return X[rows], Y[rows]


def test_batches_of_unknown_sizes_have_their_own_loss_where_the_model_can_be_asked(local_store):
    """In the training's own thread it counts them; in another one the mean so far is recorded, by that name."""
    asked, told = compiled(), compiled()
    asked.fit(
        Uneven(),
        verbose=0,
        shuffle=False,
        callbacks=[TrainStoreCallback(local_store, name="a"), AtStep(lambda batch: None)],
    )
    told.fit(Uneven(), verbose=0, shuffle=False, callbacks=[TrainStoreCallback(local_store, name="b")])
    log = local_store.list_step_logs("a")
    assert log["batch_loss"].tolist() == pytest.approx(asked.losses_seen[-3:], rel=1e-5)
    assert "loss_mean_so_far" not in log
    log = local_store.list_step_logs("b")
    if "loss_mean_so_far" in log:  # an older Keras tells in its own thread alone
        means = np.cumsum(np.array(told.losses_seen[-3:]) * [7, 2, 13]) / [7, 9, 22]
        assert log["loss_mean_so_far"].tolist() == pytest.approx(means.tolist(), rel=1e-5)
        assert "batch_loss" not in log


def test_a_train_step_of_your_own_tells_its_own_values(local_store):
    """What it returns besides metrics is the batch's; its mean loss is called what it is."""

    class Own(Watched):
        def __init__(self):
            super().__init__()
            self.mean_loss = keras.metrics.Mean(name="loss")

        def train_step(self, data):
            super().train_step(data)
            self.mean_loss.update_state(self.losses_seen[-1])
            return {"loss": self.mean_loss.result(), "plain": self.losses_seen[-1]}

    model = compiled(Own())
    fit(model, TrainStoreCallback(local_store))
    log = local_store.list_step_logs(only_run(local_store))
    assert log["batch_plain"].tolist() == pytest.approx(model.losses_seen[-6:])
    assert log["loss_mean_so_far"].tolist() == pytest.approx(
        (np.cumsum(model.losses_seen[-6:]) / np.arange(1, 7)).tolist(), rel=1e-5
    )


def test_after_a_loss_that_is_not_finite_no_batch_of_the_epoch_has_one(local_store):
    """Keras' mean stays NaN, so nobody knows the others; the next epoch begins anew."""
    x = X.copy()
    x[9] = np.nan
    model = compiled(optimizer=keras.optimizers.SGD(0.0))
    fit(model, TrainStoreCallback(local_store), AtStep(lambda batch: model.dense.kernel.assign(np.ones((3, 1)))), x=x)
    log = local_store.list_step_logs(only_run(local_store))
    assert log["batch_loss"].notna().tolist()[:2] == [True, True]
    assert log["batch_loss"].isna().tolist()[2:] == [True] * (len(log) - 2)


def test_only_rank_0_records(store, monkeypatch, tmp_path):
    """Of several processes that train together, which PyTorch knows."""
    from torch import distributed

    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        for rank in (1, 0):
            monkeypatch.setattr(distributed, "get_rank", lambda *group, rank=rank: rank)
            callback = TrainStoreCallback(store)
            model = compiled()
            fit(model, callback)
            model.evaluate(X, Y, verbose=0, callbacks=[callback])
            assert len(store.list_runs()) == (rank == 0)
        assert store.list_step_logs(only_run(store))["test_loss"].notna().sum() == 1
    finally:
        distributed.destroy_process_group()


def test_a_second_fit_of_the_same_model_goes_on_with_the_run(store):
    """Another epoch, another attempt; compiled anew it is another run, with another callback too."""
    callback, model = TrainStoreCallback(store, name="a"), compiled()
    fit(model, callback)
    fit(model, callback, epochs=2, initial_epoch=1)
    assert store.list_step_logs("a")["step"].tolist() == list(range(1, 13))
    assert store.get_run("a").attempts == 2
    fit(compiled(model), callback)
    assert store.list_runs()["last_step"].tolist() == [6, 12]


def test_two_models_in_one_open_run_follow_each_other(local_store):
    """The second one's steps come after the first one's."""
    with local_store.start_run() as run:
        callback, second = TrainStoreCallback(run), compiled()
        fit(compiled(), callback)
        fit(second, callback)
        fit(second, callback)
    assert local_store.list_step_logs(run)["step"].tolist() == list(range(1, 19))


def test_weights_without_the_optimizer_go_on_after_the_last_step(local_store, tmp_path):
    """The optimizer counts from 0; nothing of the run is given up."""
    first, model = TrainStoreCallback(local_store, name="a"), keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    fit(compiled(model), first)
    for resume in ("a", first.run):
        fit(compiled(keras.models.clone_model(model)), TrainStoreCallback(local_store, resume=resume))
    assert local_store.list_step_logs("a")["step"].tolist()[:12] == list(range(1, 13))
    with pytest.raises(RunNotFoundError):
        fit(compiled(model), TrainStoreCallback(local_store, resume="nowhere"))


def test_an_interrupted_fit_with_a_backup_finds_its_run(store, tmp_path):
    """A BackupAndRestore names the run in its folder: a new process goes on with it where the weights are."""

    def train(at_step, epochs):
        model = compiled()
        model.build((None, 3))
        fit(model, TrainStoreCallback(store), BackupAndRestore(tmp_path / "backup"), AtStep(at_step), epochs=epochs)

    seen = []

    def fails_in_the_second_epoch(batch):
        seen.append(batch)
        if len(seen) == 9:
            raise DivergedError

    with pytest.raises(DivergedError):
        train(fails_in_the_second_epoch, 3)
    failed = only_run(store)
    assert (failed.status, failed.last_step) == ("failed", 9)
    train(lambda batch: None, 3)
    run = only_run(store)
    assert (run.status, run.attempts, run.last_step) == ("finished", 2, 18)
    log = store.list_step_logs(run)
    assert log["step"].tolist() == list(range(1, 19))
    assert log["loss"].notna().sum() == 3
    assert not (tmp_path / "backup").exists()  # Keras removes it


def test_a_model_that_was_saved_goes_on_with_the_run_that_is_named(store, tmp_path):
    """The steps go on from those of the optimizer that was saved; the files are events."""
    path = tmp_path / "best.keras"
    sequential = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    fit(compiled(sequential), TrainStoreCallback(store, name="a"), ModelCheckpoint(path), epochs=2)
    checkpoints = store.list_events("a", kind="checkpoint")
    assert checkpoints["step"].tolist() == [6, 12]
    assert checkpoints["details"].tolist()[1] == {"path": str(path), "epoch": 2}
    fit(keras.models.load_model(path), TrainStoreCallback(store, resume="a"), epochs=3, initial_epoch=2)
    assert store.list_step_logs("a")["step"].tolist() == list(range(1, 19))
    assert store.get_run("a").attempts == 2


def test_evaluations_after_a_fit_go_into_its_run(local_store):
    """At the step at which they happen; that of a model without a run makes one."""
    callback, model = TrainStoreCallback(local_store, name="a"), compiled()
    fit(model, callback)
    told = model.evaluate(X, Y, verbose=0, return_dict=True, callbacks=[callback])
    log = local_store.list_step_logs("a").set_index("step")
    assert log["test_loss"][6] == pytest.approx(told["loss"])
    assert log["test_mae"][6] == pytest.approx(told["mae"])
    assert local_store.get_run("a").status == "finished"
    model.evaluate(X, Y, verbose=0, callbacks=[TrainStoreCallback(local_store, name="b")])
    assert local_store.get_run("b").metrics["test_loss"] == pytest.approx(told["loss"])
    model.predict(X, verbose=0, callbacks=[TrainStoreCallback(local_store)])
    assert len(local_store.list_runs()) == 2


def test_early_stopping_is_an_event(local_store):
    """With the epoch that was the best."""
    model = compiled(optimizer=keras.optimizers.SGD(0.0))
    fit(model, TrainStoreCallback(local_store), EarlyStopping("loss", patience=1), epochs=9)
    (event,) = local_store.list_events(only_run(local_store), kind="early_stopping").to_dict("records")
    assert event["step"] == 12
    assert event["details"]["best_epoch"] == 1


def test_a_loop_of_your_own_is_recorded_by_its_events(local_store):
    """A CallbackList that you call yourself: nobody knows the sizes of its batches."""
    model = compiled()
    callbacks = CallbackList([TrainStoreCallback(local_store)], model=model, epochs=1, steps=2)
    callbacks.on_train_begin()
    callbacks.on_epoch_begin(0)
    for batch in range(2):
        logs = model.train_on_batch(X[:4], Y[:4], return_dict=True)
        callbacks.on_train_batch_end(batch, logs)
    callbacks.on_epoch_end(0, logs)
    callbacks.on_train_end()
    run = only_run(local_store)
    assert (run.status, run.last_step) == ("finished", 2)


def test_copies_have_recorded_nothing(local_store):
    """Copied or pickled, also within a fit, as a clone of its arguments is."""
    callback = TrainStoreCallback(local_store)
    copies = []
    fit(compiled(), callback, AtStep(lambda batch: copies.append(deepcopy(callback)) if batch == 2 else None))
    copies.append(pickle.loads(pickle.dumps(callback)))
    for one in copies:
        assert one.run is None
        fit(compiled(), one)
    assert local_store.list_runs()["last_step"].tolist() == [6, 6, 6]


def test_keras_is_not_made_to_wait_for_the_device(local_store):
    """It tells callbacks that allow it from threads; one that does not makes it wait after every batch."""
    callbacks = CallbackList([TrainStoreCallback(local_store)], model=compiled())
    assert getattr(callbacks, "_async_train", True)  # an older Keras waits anyway


def test_a_failed_fit_is_followed_by_another_with_the_same_callback(local_store):
    """Each has an end of its own."""
    callback = TrainStoreCallback(local_store)
    with pytest.raises(DivergedError):
        fit(compiled(), callback, AtStep(fails_at(2)))
    fit(compiled(), callback)
    assert sorted(local_store.list_runs()["status"]) == ["failed", "finished"]
