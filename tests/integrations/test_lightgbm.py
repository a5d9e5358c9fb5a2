"""LightGBM: an iteration is a step; ``train``, ``cv`` and the scikit-learn estimators."""

from __future__ import annotations

import lightgbm
import numpy as np
import pytest
from lightgbm import Dataset

from fixtures.adapter_tests import STEPS, DivergedError, LibraryTests, fails_at, only_run
from trainstore.integrations.lightgbm import TrainStoreCallback

RANDOM = np.random.default_rng(0)
X = RANDOM.random((60, 3))
Y = (X.sum(1) > 1.5).astype(int)
OTHER_X, OTHER_Y = RANDOM.random((9, 3)), RANDOM.integers(0, 2, 9)  # of which nothing can be learned
PARAMS = {"objective": "binary", "num_leaves": 3, "num_threads": 1, "verbosity": -1}


class AtStep:
    """Something happens in a step."""

    order = 28

    def __init__(self, at_step):
        self.at_step = at_step

    def __call__(self, env):
        self.at_step(env.iteration)


def train(callback, *callbacks, rounds=STEPS, params=PARAMS, **options):
    data = Dataset(X, Y)
    options = {"valid_sets": [data]} | options
    return lightgbm.train(params, data, rounds, callbacks=[callback, *callbacks], **options)


class TestLightGBM(LibraryTests):
    module = "trainstore.integrations.lightgbm"
    package = "lightgbm"
    metric = "training-binary_logloss"

    def train(self, target, at_step, **options):
        train(self.make(target, **options), AtStep(at_step))


def test_the_evaluations_are_those_that_lightgbm_tells(store):
    """Values to the bit, the parameters as they were passed."""
    results = {}
    train(TrainStoreCallback(store, name="a"), lightgbm.record_evaluation(results))
    logged = store.list_step_logs("a")["training-binary_logloss"].tolist()
    assert logged == results["training"]["binary_logloss"]
    run = store.get_run("a")
    assert run.hyperparams == {**PARAMS, "num_iterations": STEPS}
    assert run.model_hyperparams == {"model_class": "Booster", "features": 3}


def test_a_continued_model_goes_on_with_its_run(store):
    """With ``resume`` it is the next attempt, from the iteration after the last; without, another run from there."""
    first = TrainStoreCallback(store, name="a")
    model = train(first, rounds=3)
    train(TrainStoreCallback(store, resume="a"), rounds=2, init_model=model)
    train(TrainStoreCallback(store, name="b"), rounds=2, init_model=model)
    assert store.list_step_logs("a")["step"].tolist() == [0, 1, 2, 3, 4]
    assert len(store.list_attempts("a")) == 2
    assert store.list_step_logs("b")["step"].tolist() == [3, 4]


def test_early_stopping_is_an_event_with_the_best_iteration(local_store):
    """LightGBM counts from 1, steps from 0; the last iteration is recorded although an exception ends it."""
    model = train(
        TrainStoreCallback(local_store),
        lightgbm.early_stopping(2, verbose=False),
        rounds=50,
        valid_sets=[Dataset(OTHER_X, OTHER_Y)],
    )
    run = only_run(local_store)
    (event,) = local_store.list_events(run, kind="early_stopping").to_dict("records")
    assert event["step"] == run.last_step == model.best_iteration - 1 + 2
    assert (event["details"]["best_iteration"], event["details"]["best_step"]) == (
        model.best_iteration,
        model.best_iteration - 1,
    )
    assert run.model_hyperparams["best_iteration"] == model.best_iteration
    assert (run.status, run.error) == ("finished", None)


def test_a_training_that_is_not_stopped_early_has_a_best_iteration_and_no_event(local_store):
    """LightGBM ends such a training by the same exception."""
    train(
        TrainStoreCallback(local_store),
        lightgbm.early_stopping(9, verbose=False),
        valid_sets=[Dataset(OTHER_X, OTHER_Y)],
    )
    run = only_run(local_store)
    assert run.last_step == STEPS - 1
    assert run.model_hyperparams["best_iteration"] >= 1
    assert local_store.list_events(run, kind="early_stopping").empty


def test_cv_records_means_and_deviations(local_store):
    """One run for all folds, as the lists that ``cv`` returns."""
    lists = lightgbm.cv(PARAMS, Dataset(X, Y), 3, nfold=3, callbacks=[TrainStoreCallback(local_store)])
    run = only_run(local_store)
    log = local_store.list_step_logs(run)
    for kind in ("mean", "stdv"):
        assert log[f"valid-binary_logloss-{kind}"].tolist() == lists[f"valid binary_logloss-{kind}"]
    assert run.model_hyperparams["folds"] == 3


def test_cv_that_is_stopped_early_has_a_best_iteration_and_no_score(store):
    """LightGBM keeps none for all folds; its lists end at the best iteration, the run at the last one."""
    stopping = lightgbm.early_stopping(2, verbose=False)
    callbacks = [TrainStoreCallback(store), stopping]
    lists = lightgbm.cv(PARAMS, Dataset(X, Y), 50, nfold=3, callbacks=callbacks)
    run = only_run(store)
    best = len(lists["valid binary_logloss-mean"])
    assert run.last_step == best - 1 + 2
    assert run.model_hyperparams["best_iteration"] == best
    assert "best_score" not in run.model_hyperparams
    (event,) = store.list_events(run, kind="early_stopping").to_dict("records")
    assert event["details"] == {"best_iteration": best, "best_step": best - 1}


@pytest.mark.filterwarnings("ignore:The argument 'eval_set' is deprecated")
def test_estimators_record_a_run_for_each_fit(local_store):
    """The same callback may be passed again and again."""
    callback = TrainStoreCallback(local_store, name="sk")
    for leaves in (3, 4):
        estimator = lightgbm.LGBMClassifier(n_estimators=2, num_leaves=leaves, n_jobs=1, verbosity=-1)
        estimator.fit(X, Y, eval_set=[(X, Y)], callbacks=[callback])
    runs = local_store.list_runs()
    assert runs["status"].tolist() == ["finished"] * 2
    assert sorted(runs["hp__num_leaves"]) == [3, 4]
    assert set(local_store.list_step_logs(runs["uid"][0])) & {"valid_0-binary_logloss", "training-binary_logloss"}


def test_a_learning_rate_that_changes_is_recorded(local_store):
    """From the step at which it does."""
    rates = [0.1, 0.1, 0.05]
    train(TrainStoreCallback(local_store), lightgbm.reset_parameter(learning_rate=rates), rounds=3)
    assert local_store.list_step_logs(only_run(local_store))["learning_rate"].tolist()[2] == 0.05


def test_an_objective_of_your_own_is_recorded_by_its_name(local_store):
    """What it raises fails the run."""
    calls = []

    def squares(predictions, data):
        calls.append(1)
        if len(calls) == 3:
            raise DivergedError("the loss is NaN")
        return predictions - data.get_label(), np.ones_like(predictions)

    with pytest.raises(DivergedError):
        train(TrainStoreCallback(local_store), params={**PARAMS, "objective": squares, "metric": "l2"})
    run = only_run(local_store)
    assert (run.status, run.error, run.last_step) == ("failed", "DivergedError: the loss is NaN", 1)


def test_only_the_first_worker_of_a_distributed_training_records(local_store):
    """LightGBM tells no rank: it is the place in the list of machines. (Two real workers: tests/adapters.)"""
    callback = TrainStoreCallback(local_store)
    machines = {"machines": "127.0.0.1:12400,127.0.0.1:12401"}
    for port, begun in ((12401, False), (12400, True)):
        env = lightgbm.callback.CallbackEnv(
            model=lightgbm.Booster({"verbosity": -1}, Dataset(X, Y)),
            params={**machines, "local_listen_port": port},
            iteration=0,
            begin_iteration=0,
            end_iteration=1,
            evaluation_result_list=[],
        )
        callback(env)
        assert (callback.run is not None) == begun
    assert "machines" not in only_run(local_store).hyperparams


def test_a_failed_training_is_followed_by_another_with_the_same_callback(local_store):
    """Each has a run of its own, with its own end."""
    callback = TrainStoreCallback(local_store)
    with pytest.raises(DivergedError):
        train(callback, AtStep(fails_at(2)))
    train(callback)
    assert sorted(local_store.list_runs()["status"]) == ["failed", "finished"]


def test_one_callback_for_nested_trainings_records_each_into_a_run_of_its_own(local_store):
    """As the threads of a search do that share it: none takes the other's steps, none ends the other."""
    callback = TrainStoreCallback(local_store)

    def at_step(step):
        if step == 1:
            train(callback, rounds=2)

    train(callback, AtStep(at_step), rounds=4)
    runs = local_store.list_runs()
    assert runs["status"].tolist() == ["finished"] * 2
    assert sorted(runs["last_step"]) == [1, 3]


def test_two_models_in_one_open_run_follow_each_other(local_store):
    """The folds of a loop of your own: no step is overwritten."""
    with local_store.start_run() as run:
        for _ in range(2):
            train(TrainStoreCallback(run), rounds=3)
    assert local_store.list_step_logs(run)["step"].tolist() == [0, 1, 2, 3, 4, 5]
