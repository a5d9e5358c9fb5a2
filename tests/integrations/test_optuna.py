"""Optuna's studies: each trial is the run that an import makes of it, live inside the objective if that is wanted."""

from __future__ import annotations

import copy
import math
import pickle
import signal
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from fixtures.adapter_tests import STEPS, AtStep, DivergedError, LibraryTests
from importing.harness import everything
from trainstore import InvalidArgumentError, StoreUnavailableError, TrainStore
from trainstore.importing import import_runs
from trainstore.integrations.optuna import TrainStoreCallback
from trainstore.run import ActiveRun


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


class TestOptuna(LibraryTests):
    """A study of one trial, recorded while it runs."""

    module = "trainstore.integrations.optuna"
    package = "optuna"

    def train(self, target: Any, at_step: AtStep, **options: Any) -> None:
        name = options.pop("name", None)
        callback = TrainStoreCallback(target, name=name and (lambda trial: name), **options)

        def objective(trial: optuna.Trial) -> float:
            with callback.live(trial) as run:
                for step in range(STEPS):
                    run.log(loss=1 / (step + 1), step=step)
                    at_step(step)
            return 0.5

        try:
            optuna.create_study(study_name="study").optimize(objective, n_trials=1, callbacks=[callback])
        finally:
            callback.close()

    def test_an_open_run_is_recorded_into_and_left_to_its_owner(self, store: TrainStore) -> None:
        """Its children are the trials' runs, in its project; itself it is left as it is."""
        with store.start_run("mine", project="p") as run:
            self.train(run, lambda step: None, hyperparams={"own": 3}, name="a")
            assert run.status == "running"
        child = store.get_run("a")
        assert (child.parent_uid, child.project, child.status) == (run.uid, "p", "finished")
        assert child.hyperparams["own"] == 3
        self.check_steps(store, child)

    def test_unusable_arguments_are_refused_at_once(self, store: TrainStore) -> None:
        """The error names the argument and what can be done."""
        for argument, value in (("hyperparams", 7), ("project", 7), ("tags", 7), ("name", 7)):
            with pytest.raises(InvalidArgumentError, match=argument):
                self.make(store, **{argument: value})
        with (
            store.start_run() as run,
            pytest.raises(InvalidArgumentError, match=r"project 'x' .* pass it to start_run"),
        ):
            self.make(run, project="x")


@pytest.fixture
def study() -> optuna.Study:
    """A study in memory."""
    return optuna.create_study(study_name="größe")


@pytest.fixture
def stored_study(tmp_path: Path) -> optuna.Study:
    """A study in a file."""
    return new_study(tmp_path)


def new_study(folder: Path, **options: Any) -> optuna.Study:
    options = {"study_name": "größe", "storage": f"sqlite:///{folder / 'study.db'}", **options}
    return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1), **options)


def objective(trial: optuna.Trial) -> float:
    """Of every kind: finished, pruned, failed, without a value that counts."""
    rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
    trial.suggest_int("layers", 1, 4)
    trial.suggest_categorical("optimizer", ["adam", None])
    trial.set_user_attr("seed", trial.number)
    for step in range(3):
        trial.report(math.nan if step == 1 else rate / (step + 1), step)
        if trial.number == 1 and step == 2:
            raise optuna.TrialPruned
    if trial.number == 2:
        raise DivergedError("the loss is NaN")
    return math.nan if trial.number == 3 else rate


def shown(store: TrainStore) -> list[Any]:
    """All runs as a reader sees them: fields, parameters, tags, times, steps."""
    found = []
    for uid in sorted(store.list_runs()["uid"]):
        run = store.get_run(uid)
        steps = store.list_step_logs(run)[["step", "logged_at", *sorted(run.metrics)]]
        found.append((
            uid, run.project, run.name, run.source, run.status, run.error, run.started_at, run.ended_at,
            run.hyperparams, run.tags, run.parent_uid, repr(steps.values.tolist()),
        ))  # fmt: skip
    return found


def oldest_first(store: TrainStore, **filters: Any) -> Any:
    return store.list_runs(**filters).iloc[::-1]


def values_of(store: TrainStore, name: str, metric: str = "value") -> list[tuple[int, float]]:
    log = store.list_step_logs(name)
    return [(step, value) for step, value in zip(log["step"], log[metric], strict=True) if not math.isnan(value)]


def test_each_trial_is_the_run_that_an_import_makes(
    stored_study: optuna.Study, store: TrainStore, tmp_path: Path, new_database: Callable[..., str]
) -> None:
    """Finished, pruned, failed, enqueued: the same in all, and importing the study afterwards changes nothing."""
    stored_study.set_user_attr("owner", "grün")
    stored_study.enqueue_trial({"rate": 0.05})
    callback = TrainStoreCallback(store)
    stored_study.optimize(objective, n_trials=5, catch=(DivergedError,), callbacks=[callback])
    assert oldest_first(store)["status"].tolist() == ["finished", "pruned", "failed", "failed", "finished"]
    with TrainStore(new_database("sqlite")) as imported:
        import_runs(imported, tmp_path / "study.db")
        assert shown(imported) == shown(store)
    rows = everything(store)
    result = import_runs(store, tmp_path / "study.db")
    assert (result.counts["unchanged"], len(result.runs), result.points) == (5, 5, 0)
    assert everything(store) == rows


def test_what_was_imported_first_is_not_there_twice(
    stored_study: optuna.Study, store: TrainStore, tmp_path: Path
) -> None:
    """A trial that an import brought while it ran is the same run when the callback records its end."""
    callback = TrainStoreCallback(store)

    def imported(trial: optuna.Trial) -> float:
        value = objective(trial)
        import_runs(store, tmp_path / "study.db")
        return value

    stored_study.optimize(imported, n_trials=1, callbacks=[callback])
    import_runs(store, tmp_path / "study.db")
    (run,) = store.list_runs().itertuples()
    assert (run.status, run.metric__objective) == ("finished", stored_study.best_value)
    assert [step for step, _ in values_of(store, run.uid)] == [0, 2]


def test_a_trial_is_seen_while_it_runs(stored_study: optuna.Study, store: TrainStore, tmp_path: Path) -> None:
    """Its parameters and what it reports are there at once, beside its own metrics; an import adds nothing later."""
    callback = TrainStoreCallback(store, tags=["sketch"])

    def live(trial: optuna.Trial) -> float:
        with callback.live(trial) as run:
            assert callback.run is run
            rate = trial.suggest_float("rate", 0, 1)
            for step in range(4):
                run.log(loss=rate, step=step)
            trial.report(rate, 2)
            trial.report(7.0, 2)  # Optuna keeps the first
            row = store.get_run(run)
            assert (row.status, row.hyperparams, row.tags["sketch"]) == ("running", {"rate": rate}, True)
            assert values_of(store, "größe-0") == [(2, rate)]
        assert callback.run is None
        assert "report" not in vars(trial)
        with callback.live(trial) as again:  # of the next fold, say
            again.log(loss=0.0, step=4)
        assert again is run
        return rate

    with pytest.warns(UserWarning, match="already reported"):
        stored_study.optimize(live, n_trials=1, callbacks=[callback])
    (row,) = store.list_runs().itertuples()
    assert (row.status, row.last_step, row.metric__objective) == ("finished", 4, stored_study.best_value)
    assert values_of(store, "größe-0", "objective") == [(4, stored_study.best_value)]  # where the training ended
    assert import_runs(store, tmp_path / "study.db").points == 0


def test_a_pruned_trial_is_pruned_at_once(study: optuna.Study, store: TrainStore) -> None:
    """With the value that Optuna gives it, which the callback then does not add again."""
    callback = TrainStoreCallback(store)

    def pruned(trial: optuna.Trial) -> float:
        with callback.live(trial):
            trial.report(0.5, 3)
            raise optuna.TrialPruned

    study.optimize(pruned, n_trials=1)
    (row,) = store.list_runs().itertuples()
    assert (row.status, row.metric__objective, study.trials[0].value) == ("pruned", 0.5, 0.5)
    rows = everything(store)
    callback(study, study.trials[0])
    assert everything(store) == rows


def test_a_failure_that_the_objective_handles_keeps_its_value(study: optuna.Study, store: TrainStore) -> None:
    """The block's run failed, with its text; what the objective returned all the same is there, too."""
    callback = TrainStoreCallback(store)

    def handled(trial: optuna.Trial) -> float:
        try:
            with callback.live(trial):
                raise DivergedError("out of memory")
        except DivergedError:
            return 100.0

    study.optimize(handled, n_trials=1, callbacks=[callback])
    (row,) = store.list_runs().itertuples()
    assert (row.status, row.metric__objective) == ("failed", 100.0)
    assert store.get_run(row.uid).error == "DivergedError: out of memory"


def test_threads_of_a_study_share_a_callback(study: optuna.Study, store: TrainStore) -> None:
    """``n_jobs``: each thread's run is its own trial's."""
    callback = TrainStoreCallback(store, project="p")

    def live(trial: optuna.Trial) -> float:
        with callback.live(trial) as run:
            for step in range(5):
                run.log(number=trial.number, step=step)
                assert callback.run is run
        return float(trial.number)

    study.optimize(live, n_trials=8, n_jobs=3, callbacks=[callback])
    runs = store.list_runs(project="p")
    assert runs["status"].tolist() == ["finished"] * 8
    assert sorted(runs["metric__objective"]) == sorted(runs["metric__number"]) == list(map(float, range(8)))


def test_processes_share_a_study(
    database_url: str, store: TrainStore, stored_study: optuna.Study, start_script: Any, tmp_path: Path
) -> None:
    """Each records the trials that it runs, and a killed one is lost; none is there twice."""
    code = """
        import os, signal, sys
        import optuna
        from trainstore.integrations.optuna import TrainStoreCallback
        callback = TrainStoreCallback(sys.argv[1])
        def objective(trial):
            with callback.live(trial) as run:
                run.log(loss=trial.suggest_float("rate", 0, 1))
                if sys.argv[3] == "killed":
                    os.kill(os.getpid(), signal.SIGKILL)
            return 1.0
        study = optuna.load_study(study_name="größe", storage=sys.argv[2])
        study.optimize(objective, n_trials=3, callbacks=[callback])
    """
    scripts = [
        start_script(code, database_url, f"sqlite:///{tmp_path / 'study.db'}", kind) for kind in ("a", "b", "killed")
    ]
    for script, code in zip(scripts, (0, 0, -signal.SIGKILL), strict=True):
        script.finish(code=code)
    store.recover()
    runs = store.list_runs()
    assert sorted(runs["status"]) == ["finished"] * 6 + ["lost"]
    assert runs["metric__loss"].notna().all()
    assert len(stored_study.trials) == 7


def test_ask_and_tell_is_recorded(study: optuna.Study, store: TrainStore) -> None:
    """The callback takes what ``tell`` returns; without it the run ends when the next trial begins, or at `close`."""
    callback = TrainStoreCallback(store)
    for number in range(3):
        trial = study.ask()
        with callback.live(trial) as run:
            trial.suggest_float("rate", 0, 1)
        callback(study, study.get_trials()[number])  # it has not ended: nothing happens
        frozen = study.tell(trial, float(number))
        if number == 0:
            callback(study, frozen)
            assert store.get_run(run).status == "finished"
        if number == 1:
            assert store.get_run(run).status == "running"
    callback.close()
    runs = oldest_first(store)
    assert runs["status"].tolist() == ["finished"] * 3
    assert runs["metric__objective"].tolist() == [0.0, 1.0, 2.0]


@pytest.mark.filterwarnings("ignore:.*already reported")
def test_several_objectives_and_a_repeated_trial(store: TrainStore, tmp_path: Path) -> None:
    """A metric for each objective; a trial that repeats a failed one is the child of its run, and keeps its values."""
    study = new_study(tmp_path, directions=["minimize", "maximize"])
    callback = TrainStoreCallback(store, name="pair")
    study.optimize(lambda trial: (1.0, 2.0), n_trials=1, callbacks=[callback])
    first = store.get_run("pair-0")
    assert (first.metrics["objective_0"], first.metrics["objective_1"]) == (1.0, 2.0)
    assert first.tags == {"study.direction": ["minimize", "maximize"]}
    single = new_study(tmp_path, study_name="single")
    single.add_trial(
        optuna.create_trial(state=optuna.trial.TrialState.RUNNING, intermediate_values={0: 0.75}, params={})
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is experimental
        retry = optuna.storages.RetryHeartbeatStaleTrialCallback(inherit_intermediate_values=True)
    single.tell(0, state=optuna.trial.TrialState.FAIL)
    callback(single, single.trials[0])
    retry(single, single.trials[0])

    def again(trial: optuna.Trial) -> float:
        with callback.live(trial):
            trial.report(0.25, 0)  # it has the value of the trial that it repeats
            trial.report(0.5, 1)
        return 0.5

    single.optimize(again, n_trials=1, callbacks=[callback])
    child = store.list_runs(name="pair-1").iloc[0]
    assert child["parent_uid"] == store.list_runs(project="single", name="pair-0").iloc[0]["uid"]
    assert values_of(store, child["uid"]) == [(0, 0.75), (1, 0.5)]


def test_a_name_that_cannot_be_made_does_not_cost_the_trial(
    study: optuna.Study, local_store: TrainStore, caplog: pytest.LogCaptureFixture
) -> None:
    """A function that raises: the trials have their usual names, and it is told once."""
    study.optimize(lambda trial: 1.0, n_trials=2, callbacks=[TrainStoreCallback(local_store, name=lambda t: t.nothing)])
    assert local_store.list_runs()["name"].tolist() == ["größe-1", "größe-0"]
    assert caplog.text.count("the name of a trial could not be recorded") == 1


def test_a_trial_of_no_study_is_not_recorded(
    study: optuna.Study, store: TrainStore, caplog: pytest.LogCaptureFixture
) -> None:
    """An objective called again with the best trial, or a fixed one, works, and leaves the study's runs alone."""
    callback = TrainStoreCallback(store)

    def live(trial: Any) -> float:
        with callback.live(trial) as run:
            run.log(loss=1.0)
            return float(trial.suggest_float("rate", 0, 1))

    study.optimize(live, n_trials=1, callbacks=[callback])
    rows = everything(store)
    assert live(study.best_trial) == study.best_value
    assert live(optuna.trial.FixedTrial({"rate": 0.5})) == 0.5
    assert everything(store) == rows
    assert caplog.text.count("live needs the trial that the objective got") == 1


def test_a_trial_and_a_callback_may_be_copied_and_pickled(study: optuna.Study, store: TrainStore) -> None:
    """A copy of the trial, made inside the block, reports to Optuna alone; a callback takes its store's address."""
    callback = TrainStoreCallback(store, project="p")

    def live(trial: optuna.Trial) -> float:
        with callback.live(trial):
            for copied in (pickle.loads(pickle.dumps(trial)), copy.deepcopy(trial)):
                assert copied.report.__func__ is optuna.Trial.report
                assert copied.report.__self__ is copied
        return 1.0

    elsewhere = pickle.loads(pickle.dumps(callback))
    study.optimize(live, n_trials=1, callbacks=[callback])
    study.optimize(lambda trial: 2.0, n_trials=1, callbacks=[elsewhere])
    elsewhere.close()
    assert store.list_runs(project="p")["metric__objective"].tolist() == [2.0, 1.0]


def test_a_store_that_cannot_be_opened_is_told_before_the_first_trial(study: optuna.Study, tmp_path: Path) -> None:
    """A folder that is not there: the error reaches the user from the first trial."""
    callback = TrainStoreCallback(tmp_path / "none" / "store.db")

    def live(trial: optuna.Trial) -> float:
        with callback.live(trial):
            return 1.0

    with pytest.raises(StoreUnavailableError):
        study.optimize(live, n_trials=1, callbacks=[callback])


def test_a_store_that_is_closed_meanwhile_does_not_stop_the_study(
    study: optuna.Study, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told once; the objectives go on, with a run that records nothing."""
    store = TrainStore(database_url)
    callback = TrainStoreCallback(store)
    runs: list[ActiveRun] = []

    def live(trial: optuna.Trial) -> float:
        if trial.number == 1:
            store.close()
        with callback.live(trial) as run:
            run.log(loss=1.0)
            runs.append(run)
        return 1.0

    study.optimize(live, n_trials=3, callbacks=[callback])
    assert len(study.trials) == 3
    assert caplog.text.count("could not be recorded") == 1


def test_a_pickled_callback_carries_no_secret(tmp_path: Path) -> None:
    """Neither the database's password nor what is redacted in a record."""
    secrets = {"api_key": "vErySecret1", "data": "https://me:vErySecret1@localhost/data"}
    for target in (tmp_path / "trainstore.db", "postgresql://me:vErySecret1@localhost/runs"):
        pickled = pickle.dumps(TrainStoreCallback(target, hyperparams=secrets, tags=secrets))
        assert b"vErySecret1" not in pickled
        assert b"api_key" in pickled
