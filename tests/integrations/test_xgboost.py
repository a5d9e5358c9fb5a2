"""XGBoost: an iteration is a step; ``train``, ``cv`` and the scikit-learn estimators."""

from __future__ import annotations

import gc
import importlib
import pickle
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
import xgboost
from sklearn.base import clone
from xgboost import DMatrix
from xgboost.callback import TrainingCallback

from fixtures.adapter_tests import STEPS, DivergedError, LibraryTests, fails_at, only_run
from trainstore import InvalidArgumentError, RunNotFoundError, TrainStore
from trainstore.integrations.xgboost import TrainStoreCallback

RANDOM = np.random.default_rng(0)
X = RANDOM.random((40, 3))
Y = (X.sum(1) > 1.5).astype(int)
OTHER_X, OTHER_Y = RANDOM.random((9, 3)), RANDOM.integers(0, 2, 9)  # of which nothing can be learned
PARAMS = {"objective": "binary:logistic", "max_depth": 2, "nthread": 1}


class AtStep(TrainingCallback):
    """Something happens in a step."""

    def __init__(self, at_step):
        super().__init__()
        self.at_step = at_step

    def after_iteration(self, model, epoch, evals_log):
        self.at_step(epoch)
        return False


def train(callback, *callbacks, rounds=STEPS, **options):
    data = DMatrix(X, Y)
    options = {"evals": [(data, "train")], "verbose_eval": False} | options
    return xgboost.train(PARAMS, data, rounds, callbacks=[callback, *callbacks], **options)


class TestXGBoost(LibraryTests):
    module = "trainstore.integrations.xgboost"
    package = "xgboost"
    metric = "train-logloss"

    def train(self, target, at_step, **options):
        train(self.make(target, **options), AtStep(at_step))


def test_the_evaluations_are_those_that_xgboost_tells(store):
    """Names as it prints them, values to the bit, the parameters as they were passed."""
    results = {}
    train(TrainStoreCallback(store, name="a"), evals_result=results)
    assert store.list_step_logs("a")["train-logloss"].tolist() == results["train"]["logloss"]
    run = store.get_run("a")
    assert run.hyperparams == {**PARAMS, "num_boost_round": STEPS}
    assert run.model_hyperparams == {"model_class": "Booster", "features": 3}


def test_a_continued_model_goes_on_with_its_run(store):
    """With ``resume`` it is the next attempt, from the iteration after the last; without, another run from there."""
    first = TrainStoreCallback(store, name="a")
    model = train(first, rounds=3)
    train(TrainStoreCallback(store, resume=first.run), rounds=2, xgb_model=model)
    train(TrainStoreCallback(store, name="b"), rounds=2, xgb_model=model)
    assert store.list_step_logs("a")["step"].tolist() == [0, 1, 2, 3, 4]
    assert len(store.list_attempts("a")) == 2
    assert store.list_step_logs("b")["step"].tolist() == [3, 4]


def test_a_run_that_is_not_there_cannot_be_resumed(local_store):
    """The training does not begin."""
    with pytest.raises(RunNotFoundError):
        train(TrainStoreCallback(local_store, resume="nowhere"))
    with local_store.start_run() as run, pytest.raises(InvalidArgumentError, match="resume was given with an open run"):
        TrainStoreCallback(run, resume=run)


def test_early_stopping_is_an_event_with_the_best_iteration(local_store):
    """Which iteration was the best, also found among the facts of the model."""
    model = train(
        TrainStoreCallback(local_store),
        rounds=50,
        evals=[(DMatrix(OTHER_X, OTHER_Y), "other")],
        early_stopping_rounds=2,
    )
    run = only_run(local_store)
    (event,) = local_store.list_events(run, kind="early_stopping").to_dict("records")
    assert event["step"] == run.last_step == model.num_boosted_rounds() - 1 > model.best_iteration
    assert event["details"]["best_iteration"] == event["details"]["best_step"] == model.best_iteration
    assert run.model_hyperparams["best_iteration"] == model.best_iteration
    assert run.model_hyperparams["best_score"] == model.best_score


@pytest.mark.parametrize("save_best", [False, True])
def test_the_iteration_that_a_callback_before_ours_stops_at_is_recorded(store, save_best):
    """XGBoost does not tell it to the rest of the list."""
    told = {}
    evals = [(DMatrix(X, Y), "train"), (DMatrix(OTHER_X, OTHER_Y), "other")]
    stopping = xgboost.callback.EarlyStopping(2, save_best=save_best)
    callbacks = [stopping, TrainStoreCallback(store)]
    options = {"evals": evals, "evals_result": told, "verbose_eval": False}
    xgboost.train(PARAMS, DMatrix(X, Y), 50, callbacks=callbacks, **options)
    log = store.list_step_logs(only_run(store))
    assert log["step"].tolist() == list(range(len(told["other"]["logloss"])))
    for name, results in told.items():
        assert log[f"{name}-logloss"].tolist() == pytest.approx(results["logloss"])
    (event,) = store.list_events(only_run(store), kind="early_stopping").to_dict("records")
    assert event["step"] == log["step"].iloc[-1]


def test_a_metric_that_is_not_there_from_the_beginning(store):
    """One of the user's may have another name later; it is recorded with the iteration it is of."""
    calls = []

    def odd(predictions, data):
        calls.append(len(predictions))
        return ("late" if len(calls) > 2 else "early", float(len(calls)))

    train(TrainStoreCallback(store), rounds=4, custom_metric=odd)
    log = store.list_step_logs(only_run(store))
    assert log["train-late"].dropna().tolist() == [3.0, 4.0]
    assert log["step"][log["train-late"].notna()].tolist() == [2, 3]


def test_cv_records_means_and_deviations(local_store):
    """One run for all folds, as the table that ``cv`` returns."""
    table = xgboost.cv(PARAMS, DMatrix(X, Y), 3, nfold=3, callbacks=[TrainStoreCallback(local_store)])
    run = only_run(local_store)
    log = local_store.list_step_logs(run)
    for column in table:
        assert log[column].tolist() == pytest.approx(table[column].tolist(), rel=1e-6)
    assert (run.hyperparams["nfold"], run.model_hyperparams["folds"]) == (3, 3)


def test_estimators_and_their_clones_record_a_run_for_each_fit(local_store):
    """scikit-learn copies the callback of an estimator; a copy records into the same local_store."""
    estimator = xgboost.XGBClassifier(
        n_estimators=2, max_depth=1, n_jobs=1, callbacks=[TrainStoreCallback(local_store, name="sk")]
    )
    for one in (estimator, clone(estimator)):
        one.fit(X, Y, eval_set=[(X, Y)], verbose=False)
    runs = local_store.list_runs()
    assert runs["status"].tolist() == ["finished"] * 2
    assert runs["name"].tolist() == ["sk"] * 2
    assert runs["hp__max_depth"].tolist() == [1, 1]
    assert set(local_store.list_step_logs(runs["uid"][0])) >= {"validation_0-logloss"}


def test_a_callback_that_was_pickled_records_into_the_same_store(local_url):
    """As a parallel search does it."""
    with TrainStore(local_url) as opened:
        train(pickle.loads(pickle.dumps(TrainStoreCallback(opened, name="p"))), rounds=2)
        assert opened.get_run("p").status == "finished"


def test_a_list_for_every_feature_is_not_recorded_whole(local_store):
    """Of a long one only its length."""
    data = DMatrix(RANDOM.random((20, 60)), RANDOM.integers(0, 2, 20))
    xgboost.train({**PARAMS, "monotone_constraints": (0,) * 60}, data, 1, callbacks=[TrainStoreCallback(local_store)])
    assert only_run(local_store).hyperparams["monotone_constraints"] == "(tuple of 60)"


def test_a_failed_training_is_followed_by_another_with_the_same_callback(local_store):
    """Each has a run of its own, with its own end."""
    callback = TrainStoreCallback(local_store)
    with pytest.raises(DivergedError):
        train(callback, AtStep(fails_at(2)))
    train(callback)
    assert sorted(local_store.list_runs()["status"]) == ["failed", "finished"]


def test_train_bound_to_another_name_before_is_recorded_too(local_store):
    """Nobody tells how that call ends: the library says when the training is over, and the next one when it was not."""
    original = xgboost.train.__wrapped__
    callback = TrainStoreCallback(local_store)
    original(PARAMS, DMatrix(X, Y), 2, callbacks=[callback])
    assert callback.run.status == "finished"
    with pytest.raises(DivergedError):
        original(PARAMS, DMatrix(X, Y), 2, callbacks=[callback, AtStep(fails_at(0))])
    first = callback.run
    original(PARAMS, DMatrix(X, Y), 2, callbacks=[callback])
    assert local_store.get_run(first.uid).error == "RuntimeError: the training did not reach its last iteration"


def test_such_trainings_in_threads_are_told_apart(local_store):
    """One callback, one thread each; one of them fails, and the next in another thread says so."""
    original = xgboost.train.__wrapped__
    callback, together = TrainStoreCallback(local_store), threading.Barrier(2, timeout=30)

    def train_together(fails_in):
        def at_step(step):
            together.wait()
            if step == fails_in:
                raise DivergedError

        original(PARAMS, DMatrix(X, Y), 3, callbacks=[callback, AtStep(at_step)])

    with ThreadPoolExecutor(2) as threads:
        ends = [threads.submit(train_together, fails_in) for fails_in in (2, None)]
    assert [type(end.exception()) for end in ends] == [DivergedError, type(None)]
    original(PARAMS, DMatrix(X, Y), 3, callbacks=[callback])
    runs = local_store.list_runs()
    assert sorted(runs["status"]) == ["failed", "finished", "finished"]
    assert runs["last_step"].tolist() == [2, 2, 2]


def test_such_a_training_inside_another_librarys_is_not_taken_for_that(local_store):
    """The call of a library says nothing of another one's training."""
    original = xgboost.train.__wrapped__
    callback = TrainStoreCallback(local_store)

    def train_inside(environment):
        original(PARAMS, DMatrix(X, Y), 2, callbacks=[callback])
        assert callback.run.status == "finished"

    lightgbm = pytest.importorskip("lightgbm")
    importlib.import_module("trainstore.integrations.lightgbm")  # which watches lightgbm.train
    lightgbm.train({"verbosity": -1, "num_threads": 1}, lightgbm.Dataset(X, Y), 2, callbacks=[train_inside])
    assert local_store.list_runs()["status"].tolist() == ["finished", "finished"]


@pytest.mark.parametrize("others", [[], [AtStep(fails_at(1))]], ids=["returns", "raises"])
def test_a_training_lets_go_of_its_data_when_it_ends(local_store, others):
    """Not when garbage is collected: a loop over folds would hold the data of several."""

    class Data(DMatrix):
        """A class of our own takes weak references."""

    data = Data(X, Y)
    is_alive, callback = weakref.ref(data), TrainStoreCallback(local_store)
    gc.collect()
    gc.disable()
    try:
        with suppress(DivergedError):
            xgboost.train(PARAMS, data, 3, callbacks=[callback, *others])
        del data
        assert is_alive() is None
    finally:
        gc.enable()


def test_two_models_in_one_open_run_follow_each_other(local_store):
    """The folds of a loop of your own: no step is overwritten."""
    with local_store.start_run() as run:
        for _ in range(2):
            train(TrainStoreCallback(run), rounds=3)
    assert local_store.list_step_logs(run)["step"].tolist() == [0, 1, 2, 3, 4, 5]
