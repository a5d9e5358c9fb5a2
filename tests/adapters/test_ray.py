"""Ray Tune: trials on a cluster of one machine, recorded by the process that tunes."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from fixtures.adapter_tests import STEPS, AtStep, LibraryTests, nothing, only_run
from trainstore import InvalidArgumentError, StoreUnavailableError, TrainStore
from trainstore.integrations.ray import TrainStoreLoggerCallback


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """One processor; the trials' function goes to it as a whole, since tests are no module there."""
    handler = signal.getsignal(signal.SIGINT)  # Ray leaves its own
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    os.environ.setdefault("RAY_worker_niceness", "0")  # at 15, on a busy machine, they would hardly begin
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()
    signal.signal(signal.SIGINT, handler)
    ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.fixture
def local_store(new_database: Any) -> Iterator[TrainStore]:
    """A store in SQLite, for tests in which only Ray's side matters."""
    with TrainStore(new_database("sqlite")) as opened:
        yield opened


class AtStepCallback(tune.Callback):
    """Calls back in this process after each result was recorded."""

    def __init__(self, at_step: AtStep) -> None:
        self.at_step = at_step

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
        self.at_step(result["training_iteration"])


def trained(config: dict[str, Any]) -> None:
    """A trial: it goes on from its checkpoint, saves each second step, and may fail at a step of its first life."""
    import tempfile

    from ray import tune

    first, lives = 1, Path(config["folder"], f"lives-{tune.get_context().get_trial_id()}")
    checkpoint = tune.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            first = int(Path(folder, "step").read_text()) + 1
    is_first_life = not lives.exists()
    lives.write_text("")
    for step in range(first, config.get("steps", 6) + 1):
        if step == config.get("fails_at") and (is_first_life or config.get("always")):
            raise ValueError("the loss is NaN")
        metrics = {"loss": 1 / step, "nested": {"accuracy": step / 10}, "lr": config["lr"]}
        if step % 2 == 0 and config.get("saves", True):
            with tempfile.TemporaryDirectory() as folder:
                Path(folder, "step").write_text(str(step))
                tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))
        else:
            tune.report(metrics)


def fit(
    folder: Path,
    callbacks: list[Any],
    space: dict[str, Any] | None = None,
    *,
    max_failures: int = 0,
    scheduler: Any = None,
    samples: int = 1,
) -> Any:
    """Run an experiment; each trial takes half of the processor."""
    tuner = tune.Tuner(
        tune.with_resources(trained, {"cpu": 0.5}),
        param_space={"lr": 0.1, "folder": str(folder), **(space or {})},
        tune_config=tune.TuneConfig(num_samples=samples, scheduler=scheduler),
        run_config=tune.RunConfig(
            name="experiment",
            storage_path=str(folder / "results"),
            callbacks=callbacks,
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=max_failures),
        ),
    )
    return tuner.fit()


class TestRay(LibraryTests):
    """An experiment of one trial."""

    module = "trainstore.integrations.ray"
    package = "ray"
    adapter = "TrainStoreLoggerCallback"
    steps = list(range(1, STEPS + 1))

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.path = tmp_path

    def train(self, target: Any, at_step: AtStep, **options: Any) -> None:
        name = options.pop("name", None)
        callback = TrainStoreLoggerCallback(target, name=name and (lambda trial: name), **options)
        self.path = self.path / "again"
        self.path.mkdir()
        fit(self.path, [callback, AtStepCallback(at_step)], {"saves": False})

    def fails_with(self, error: type[BaseException], store: TrainStore, at_step: AtStep, **options: Any) -> None:
        """With an error of Ray's own."""
        super().fails_with(tune.TuneError, store, at_step, **options)

    def test_an_open_run_is_recorded_into_and_left_to_its_owner(self, local_store: TrainStore) -> None:
        """Its children are the trials' runs, in its project; itself it is left as it is."""
        with local_store.start_run("mine", project="p") as run:
            self.train(run, nothing, hyperparams={"own": 3}, name="a")
            assert run.status == "running"
        child = local_store.get_run("a")
        assert (child.parent_uid, child.project, child.status) == (run.uid, "p", "finished")
        assert child.hyperparams["own"] == 3
        self.check_steps(local_store, child)

    def test_an_exception_fails_the_run(self, local_store: TrainStore) -> None:
        """The trial's own is known by its text; one that ends the experiment ends the trials that run."""
        fit(self.path, [TrainStoreLoggerCallback(local_store)], {"fails_at": 3, "always": True, "saves": False})
        run = only_run(local_store)
        assert (run.status, run.error, run.last_step) == ("failed", "ValueError: the loss is NaN", 2)

    def test_an_exception_that_ends_the_experiment_fails_its_trials(self, local_store: TrainStore) -> None:
        """Raised by another callback, here."""

        def at_step(step: int) -> None:
            if step == 3:
                raise RuntimeError("the disk is full")

        with pytest.raises(Exception, match="the disk is full"):
            self.train(local_store, at_step)
        assert (only_run(local_store).status, only_run(local_store).error) == (
            "failed",
            "RuntimeError: the disk is full",
        )

    def test_two_trainings_at_once_have_a_run_each(self, local_store: TrainStore) -> None:
        """Two trials of an experiment; Ray keeps its signals to the main thread, so two experiments are two scripts."""
        callback = TrainStoreLoggerCallback(local_store, name="both")
        fit(self.path, [callback], {"lr": tune.grid_search([0.1, 0.2])})
        runs = local_store.list_runs()
        assert runs["status"].tolist() == ["finished"] * 2
        assert sorted(runs["hp__lr"]) == sorted(runs["metric__lr"]) == [0.1, 0.2]
        for uid in runs["uid"]:
            self.check_steps(local_store, uid)

    def test_ctrl_c_interrupts_the_run(self, store: TrainStore) -> None:
        """Ray ends the experiment by itself then; restored, it goes on with the run where its checkpoint was."""
        callback = TrainStoreLoggerCallback(store)

        path = self.path  # a copy of this function is a part of the restored experiment

        def at_step(step: int) -> None:
            if step == 5 and not (path / "pressed").exists():
                (path / "pressed").touch()
                signal.raise_signal(signal.SIGINT)

        fit(self.path, [callback, AtStepCallback(at_step)], {"steps": 8})
        run = only_run(store)
        assert (run.status, run.last_step) == ("interrupted", 5)
        restored = tune.Tuner.restore(
            str(self.path / "results" / "experiment"), trainable=tune.with_resources(trained, {"cpu": 0.5})
        )
        restored.fit()
        run = only_run(store)
        assert (run.status, run.last_step) == ("finished", 8)
        assert store.list_step_logs(run)["step"].tolist() == list(range(1, 9))
        assert store.list_runs()["attempts"].tolist() == [2]

    def test_unusable_arguments_are_refused_at_once(self, store: TrainStore) -> None:
        """The error names the argument and what can be done."""
        for argument, value in (("hyperparams", 7), ("project", 7), ("tags", 7), ("name", 7)):
            with pytest.raises(InvalidArgumentError, match=argument):
                self.make(store, **{argument: value})


def test_results_configuration_and_checkpoints_are_recorded(store: TrainStore, tmp_path: Path) -> None:
    """Nested results by Ray's names, no bookkeeping of Ray's; checkpoints with their paths; where it ran."""
    fit(tmp_path, [TrainStoreLoggerCallback(store, tags=["sketch"])], {"net": {"layers": 2}})
    run = only_run(store)
    log = store.list_step_logs(run)
    assert log["step"].tolist() == list(range(1, 7))
    assert set(log.columns) == {
        "step", "epoch", "step_time", "logged_at", "loss", "lr", "nested/accuracy", "time_total_s",
    }  # fmt: skip
    assert log["step_time"].notna().all()
    assert run.hyperparams == {"lr": 0.1, "folder": str(tmp_path), "net": {"layers": 2}}
    assert (run.tags["sketch"], run.tags["experiment"]) == (True, "experiment")
    assert run.name == f"trained_{run.tags['trial_id']}"
    assert run.environment["pid"] != os.getpid()
    events = store.list_events(run, kind="checkpoint")
    assert events["step"].tolist() == [2, 4, 6]
    assert all("checkpoint_" in details["path"] for details in events["details"])


def test_a_trial_that_fails_and_starts_again_is_one_run(local_store: TrainStore, tmp_path: Path) -> None:
    """From its checkpoint, or from its beginning if there is none: the next attempt, each step once."""
    for name, saves in (("saved", True), ("new", False)):
        callback = TrainStoreLoggerCallback(local_store, name=lambda trial, name=name: name)
        (tmp_path / name).mkdir()
        fit(tmp_path / name, [callback], {"fails_at": 4, "saves": saves}, max_failures=1)
        run = local_store.get_run(name)
        assert (run.status, run.error) == ("finished", None)
        assert local_store.list_step_logs(run)["step"].tolist() == list(range(1, 7))
    assert local_store.list_runs()["attempts"].tolist() == [2, 2]


class PausesOnce(FIFOScheduler):
    """Pauses a trial at its second result, and may give it another learning rate, as population-based training does."""

    def __init__(self, rate: float | None = None) -> None:
        super().__init__()
        self.paused, self.rate = False, rate

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if result["training_iteration"] == 2 and not self.paused:
            self.paused = True
            if self.rate is not None:
                trial.set_config({**trial.config, "lr": self.rate})
            return TrialScheduler.PAUSE
        return TrialScheduler.CONTINUE


def test_a_paused_trial_goes_on_in_the_same_attempt_unless_it_is_changed(
    local_store: TrainStore, tmp_path: Path
) -> None:
    """It goes on where it was; with another configuration, which is then the next attempt's."""
    for name, rate, attempts in (("same", None, 1), ("changed", 0.5, 2)):
        callback = TrainStoreLoggerCallback(local_store, name=lambda trial, name=name: name)
        (tmp_path / name).mkdir()
        fit(tmp_path / name, [callback], scheduler=PausesOnce(rate))
        (row,) = local_store.list_runs(name=name).itertuples()
        assert (row.status, row.attempts, row.last_step, row.hp__lr) == ("finished", attempts, 6, rate or 0.1)
        assert local_store.list_step_logs(name)["lr"].tolist() == [0.1] * 2 + [rate or 0.1] * 4


def test_a_store_that_cannot_be_opened_is_told_before_the_first_trial(tmp_path: Path) -> None:
    """A folder that is not there."""
    with pytest.raises(StoreUnavailableError):
        fit(tmp_path, [TrainStoreLoggerCallback(tmp_path / "none" / "store.db")])


class NeverStarts(tune.Trainable):
    """A trial whose process fails before it can start."""

    def setup(self, config: dict[str, Any]) -> None:
        raise ValueError("no such data")


def test_a_trial_that_fails_before_it_starts_is_a_failed_run(local_store: TrainStore, tmp_path: Path) -> None:
    """Ray tells its end, and no start."""
    tuner = tune.Tuner(
        NeverStarts,
        param_space={"lr": 0.1},
        run_config=tune.RunConfig(
            name="experiment",
            storage_path=str(tmp_path / "results"),
            callbacks=[TrainStoreLoggerCallback(local_store)],
            verbose=0,
        ),
    )
    assert tuner.fit().num_errors == 1
    run = only_run(local_store)
    assert run.status == "failed"
    assert "no such data" in run.error
    assert run.hyperparams["lr"] == 0.1


def test_a_pickled_callback_carries_no_secret(tmp_path):
    """Ray keeps it in the experiment's folder."""
    secrets = {"api_key": "vErySecret1", "data": "https://me:vErySecret1@localhost/data"}
    for target in (tmp_path / "trainstore.db", "postgresql://me:vErySecret1@localhost/runs"):
        pickled = pickle.dumps(TrainStoreLoggerCallback(target, hyperparams=secrets, tags=secrets))
        assert b"vErySecret1" not in pickled
        assert b"api_key" in pickled
