"""CatBoost: an iteration is a step, a ``fit`` a run."""

from __future__ import annotations

import os
import signal
import threading
import time

import catboost
import numpy as np
import pytest
from catboost import CatBoostClassifier, CatBoostError

from fixtures.adapter_tests import STEPS, LibraryTests, ctrl_c_at, fails_at, only_run
from trainstore.integrations.catboost import TrainStoreCallback

RANDOM = np.random.default_rng(0)
X = RANDOM.random((40, 3))
Y = (X.sum(1) > 1.5).astype(int)
OTHER = RANDOM.random((9, 3)), np.array([0, 1, 0, 1, 1, 0, 1, 0, 1])  # of which nothing can be learned
PARAMS = {"iterations": STEPS, "depth": 2, "thread_count": 1, "verbose": False, "allow_writing_files": False}


class AtStep:
    """Something happens in a step."""

    def __init__(self, at_step):
        self.at_step = at_step

    def after_iteration(self, info):
        self.at_step(info.iteration - 1)
        return True


def fit(*callbacks, model=None, **options):
    """In a generator, which has an exception state of its own: CatBoost leaves that of a callback behind for good."""
    model = CatBoostClassifier(**PARAMS) if model is None else model
    return next(model.fit(X, Y, callbacks=list(callbacks), **options) for _ in [None])


def press_ctrl_c_in(callback):
    """Once its training has made a step."""
    while callback.run is None or callback.run.last_step is None:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)


class TestCatBoost(LibraryTests):
    module = "trainstore.integrations.catboost"
    package = "catboost"
    metric = "learn-Logloss"

    def train(self, target, at_step, **options):
        fit(self.make(target, **options), AtStep(at_step))

    def fails_with(self, error, store, at_step, **options):
        """With an error of CatBoost's own."""
        super().fails_with(CatBoostError, store, at_step, **options)

    def test_an_exception_fails_the_run(self, store):
        """CatBoost turns it into an error of its own, with the traceback as its text: its last line comes first."""
        with pytest.raises(CatBoostError):
            self.train(store, fails_at(3))
        run = only_run(store)
        assert run.status == "failed"
        assert "DivergedError: the loss is NaN" in run.error.splitlines()[0]
        assert "Traceback" in run.error

    def test_ctrl_c_interrupts_the_run(self, store):
        """While CatBoost is at work, it raises KeyboardInterrupt; from within a callback it makes an error of it."""
        with pytest.raises(CatBoostError, match="KeyboardInterrupt"):
            self.train(store, ctrl_c_at(3))
        assert only_run(store).status == "interrupted"
        data = RANDOM.random((20_000, 20)), RANDOM.integers(0, 2, 20_000)
        model = CatBoostClassifier(**PARAMS | {"iterations": 100_000})
        for _ in range(5):  # now and then CatBoost, also without us, takes the signal for an early stop and returns
            callback = TrainStoreCallback(store)
            threading.Thread(target=press_ctrl_c_in, args=(callback,), daemon=True).start()
            try:
                next(model.fit(*data, callbacks=[callback]) for _ in [None])
            except (KeyboardInterrupt, CatBoostError):  # the latter if the signal met our callback at work
                break
        else:
            pytest.fail("no Ctrl-C came through")
        assert store.get_run(callback.run).status == "interrupted"


def test_the_metrics_are_those_that_catboost_tells(store):
    """Every data set's, and the learning rate that it chose."""
    model = fit(TrainStoreCallback(store), eval_set=[OTHER, OTHER], use_best_model=False)
    run = only_run(store)
    log = store.list_step_logs(run)
    for data, results in model.get_evals_result().items():
        assert log[f"{data}-Logloss"].tolist() == results["Logloss"]
    assert run.hyperparams["learning_rate"] == model.get_all_params()["learning_rate"]
    assert run.model_hyperparams["model_class"] == "CatBoostClassifier"
    assert (run.model_hyperparams["features"], run.model_hyperparams["trees"]) == (3, STEPS)


@pytest.mark.parametrize("name", ["learning_rate", "eta"])
def test_a_learning_rate_that_was_given_stays_as_it_was_given(store, name):
    """CatBoost keeps it with less precision."""
    fit(TrainStoreCallback(store), model=CatBoostClassifier(**PARAMS, **{name: 0.1}))
    assert {name: value for name, value in only_run(store).hyperparams.items() if name in ("learning_rate", "eta")} == {
        name: 0.1
    }


def test_a_continued_model_goes_on_with_its_run(store, tmp_path):
    """With ``init_model``, also a file, and ``resume``; without, another run from there."""
    first = TrainStoreCallback(store, name="a")
    model = fit(first)
    model.save_model(tmp_path / "model.cbm")
    fit(TrainStoreCallback(store, resume=first.run), init_model=model)
    fit(TrainStoreCallback(store, name="b"), init_model=str(tmp_path / "model.cbm"))
    assert store.list_step_logs("a")["step"].tolist() == list(range(2 * STEPS))
    assert store.list_step_logs("b")["step"].tolist() == list(range(STEPS, 2 * STEPS))


def test_a_snapshot_goes_on_where_it_ended(store, tmp_path):
    """CatBoost counts on after a snapshot."""
    model = {**PARAMS, "allow_writing_files": True, "train_dir": str(tmp_path)}
    options = {"save_snapshot": True, "snapshot_interval": 0, "eval_set": (X, Y)}

    class Stop:
        def after_iteration(self, info):
            return info.iteration < 3

    fit(TrainStoreCallback(store, name="a"), Stop(), model=CatBoostClassifier(**model), **options)
    fit(TrainStoreCallback(store, resume="a"), model=CatBoostClassifier(**model), **options)
    assert store.list_step_logs("a")["step"].tolist() == list(range(STEPS))
    assert store.get_run("a").attempts == 2
    assert store.get_run("a").model_hyperparams["best_iteration"] == STEPS - 1
    assert [event["step"] for event in store.list_events("a").to_dict("records")] == [2]  # where the first one stopped


def test_early_stopping_is_an_event_with_the_best_iteration(store):
    """The best step is that of the run, also if the model was continued."""
    model = fit(TrainStoreCallback(store, name="a"))
    model = fit(
        TrainStoreCallback(store, resume="a"),
        model=CatBoostClassifier(**PARAMS | {"iterations": 100}),
        init_model=model,
        eval_set=OTHER,
        early_stopping_rounds=2,
    )
    (event,) = store.list_events("a", kind="early_stopping").to_dict("records")
    assert event["details"]["best_iteration"] == model.best_iteration_
    assert event["details"]["best_step"] == STEPS + model.best_iteration_
    assert event["step"] == STEPS + model.best_iteration_ + 2


def test_iterations_without_metrics_are_steps_too(store):
    """``metric_period`` leaves metrics out."""
    fit(TrainStoreCallback(store), model=CatBoostClassifier(**PARAMS, metric_period=2))
    assert store.list_step_logs(only_run(store))["learn-Logloss"].isna().tolist() == [False, True] * 2 + [False, False]


@pytest.mark.parametrize("estimator", ["CatBoost", "CatBoostClassifier", "CatBoostRegressor", "CatBoostRanker"])
def test_every_estimator_tells_how_it_ends(store, estimator):
    """Each class has a ``fit`` of its own."""
    data = catboost.Pool(X, Y, group_id=[0] * 20 + [1] * 20)
    model = catboost.CatBoost(PARAMS) if estimator == "CatBoost" else getattr(catboost, estimator)(**PARAMS)
    model.fit(data, callbacks=[TrainStoreCallback(store)])
    assert only_run(store).status == "finished"
