"""What adapters share: which run is recorded and how it ends, with a library of a few lines."""

import copy
import logging
import pickle

import pytest

from fixtures.adapter_tests import STEPS, DivergedError, LibraryTests, fails_at, nothing, only_run
from fixtures.closed_port import Proxy
from trainstore import ActiveRun, InvalidArgumentError, RunNotFoundError, TrainStore
from trainstore.integrations.libraries import MissingLibraryError, needs
from trainstore.integrations.recording import Recording, bookmark


class Adapter:
    """That of a library whose only event is a step's end."""

    def __init__(self, store_or_run=None, **options):
        self.recording = Recording(store_or_run, source="recording", **options)

    def train(self, at_step):
        run = self.recording.begin(hyperparams={"own": 1, "lr": 0.1})
        try:
            for step in range(STEPS):
                if run is not None:
                    run.log({"loss": 1 / (step + 1)}, step)
                at_step(step)
        except BaseException as error:
            self.recording.fail(error)
            raise
        self.recording.finish()


class TestAnAdapter(LibraryTests):
    """The shared tests themselves hold for the smallest adapter."""

    module = "trainstore.integrations.recording"
    package = ""

    def make(self, target, **options):
        return Adapter(target, **options)

    adapter = "Recording"

    def train(self, target, at_step, **options):
        self.make(target, **options).train(at_step)

    def test_without_the_library_the_error_names_the_extra(self):
        told = r"needs nolib, .* pip install 'trainstore\[x\]'"
        with pytest.raises(MissingLibraryError, match=told), needs("nolib", extra="x"):
            import nolib.part  # noqa: F401


def test_another_module_that_is_missing_stays_its_own_error():
    """A broken installation is not blamed on a missing extra."""
    with pytest.raises(ModuleNotFoundError) as caught, needs("torch", extra="x"):
        import nolib  # noqa: F401
    assert not isinstance(caught.value, MissingLibraryError)


def test_a_pruned_trial_is_pruned(store):
    """Optuna's exception says so, in an open run as in an adapter."""
    optuna = pytest.importorskip("optuna")
    recording = Recording(store, source="recording")
    recording.begin()
    recording.fail(optuna.TrialPruned("at step 3"))
    with pytest.raises(optuna.TrialPruned), store.start_run():
        raise optuna.TrialPruned("at step 3")
    assert store.list_runs()["status"].tolist() == ["pruned", "pruned"]


def test_odd_hyperparams_are_read_back_as_those_of_a_run_of_ones_own(store):
    """They are copied when the adapter is made, and recorded later: marked once, not twice."""
    odd = {"type": int, "huge": 2**70, "nan": float("nan"), "nested": {"set": {1}}, "password": "secret"}
    own = store.start_run(hyperparams=odd, tags={"odd": int})
    recording = Recording(store, source="recording", hyperparams=odd, tags={"odd": int})
    odd.clear()
    run = recording.begin()
    for one in (own, run):
        one.finish()
    own, run = store.get_run(own), store.get_run(run)
    assert run.hyperparams["type"] == "<class 'int'>"
    assert repr(run.hyperparams) == repr(own.hyperparams)
    assert run.tags == own.tags


@pytest.mark.parametrize("target", [3, object(), {"url": "trainstore.db"}])
def test_what_is_neither_a_store_nor_a_run_is_refused_at_once(target):
    """The model, say, where the store belongs."""
    with pytest.raises(InvalidArgumentError, match=f"store_or_run cannot be {type(target).__name__}: pass a store"):
        Recording(target, source="recording")


def test_a_store_that_cannot_be_opened_is_told_before_the_training(tmp_path):
    """The user can mend it now; a failure later would cost the record of days."""
    with pytest.raises(Exception, match="missing"):
        Recording(tmp_path / "missing" / "trainstore.db", source="recording").begin()


def test_a_relative_path_means_the_same_after_chdir(tmp_path, monkeypatch):
    """Libraries change the folder, hydra for one."""
    monkeypatch.chdir(tmp_path)
    recording = Recording("trainstore.db", source="recording")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    recording.begin()
    recording.finish()
    assert (tmp_path / "trainstore.db").exists()


def test_a_checkpoint_resumes_its_run(database_url):
    """Its bookmark alone is enough; what is shown of the first attempt ends at the checkpoint."""
    first = Adapter(database_url)
    with pytest.raises(DivergedError):
        first.train(fails_at(4))
    saved = bookmark(first.recording.run)
    second = Recording(database_url, source="recording")
    run = second.resume(saved["run_uid"], 2, lineage=saved["lineage"])
    run.log(loss=9.0)
    second.finish()
    with TrainStore(database_url) as store:
        record = only_run(store)
        assert record.status == "finished"
        assert store.list_step_logs(record)["step"].tolist() == [0, 1, 2, 3]
        assert len(store.list_step_logs(record, attempts="all")) == 6


def test_an_unknown_run_is_an_error_before_the_training(store):
    """Without a lineage there is nothing to make it of."""
    with pytest.raises(RunNotFoundError):
        Recording(store, source="recording").resume("5f7c0f5e-6f0f-4c5c-8f0a-0d4c36c8a2aa", 3)


def test_a_named_run_whose_database_is_away_does_not_cost_the_steps(new_database, caplog, monkeypatch):
    """Nobody can tell which run it is, so a new one keeps them; a handle needs no database."""
    monkeypatch.setattr("trainstore.integrations.recording.FINISH_TIMEOUT", 0.2)
    monkeypatch.setattr("trainstore.store.CLOSE_TIMEOUT", 0.2)
    server = new_database("postgresql")
    with TrainStore(server) as store, store.start_run("a") as first:
        first.log({"loss": 1.0}, 0)
    proxy = Proxy(server)
    for named in ("a", first):
        recording = Recording(proxy.url, source="x", name="kept")
        recording.go_on_with(named, 0).log({"loss": 0.5}, 1)
        recording.finish()
    assert "run a cannot be looked up while its database is away; a new run keeps the steps" in caplog.text
    proxy.open()
    try:
        with TrainStore(proxy.url) as store:
            store.recover()
            assert store.list_step_logs("kept")["step"].tolist() == [1]
            assert store.list_step_logs("a")["step"].tolist() == [0, 1]
    finally:
        proxy.close()


def test_a_search_waits_for_a_database_that_is_away_once(new_database, monkeypatch):
    """Each of its trainings would stand still for it; the journal keeps the steps of all."""
    monkeypatch.setattr("trainstore.integrations.recording.FINISH_TIMEOUT", 0.4)
    monkeypatch.setattr("trainstore.integrations.recording.AWAY_TIMEOUT", 0.1)
    waited = []
    finish, close = ActiveRun.finish, TrainStore._close
    monkeypatch.setattr(ActiveRun, "finish", lambda run, *end: waited.append(end[-1]) or finish(run, *end))
    monkeypatch.setattr(TrainStore, "_close", lambda store, timeout: waited.append(timeout) or close(store, timeout))
    proxy = Proxy(new_database("postgresql"))
    adapter = Adapter(proxy.url)
    adapter.train(nothing)
    assert waited == [0.4, 0.1]
    adapter.train(nothing)
    assert waited[2:] == [0.1, 0.1]
    proxy.open()
    try:
        with TrainStore(proxy.url) as store:
            store.recover()
            monkeypatch.setattr("trainstore.integrations.recording.AWAY_TIMEOUT", 30.0)
            Adapter(store).train(nothing)
            Adapter(store).train(nothing)
            assert waited[4:] == [30.0, 0.4]
            assert store.list_runs()["status"].tolist() == ["finished"] * 4
    finally:
        proxy.close()


def test_what_comes_after_the_end_joins_the_run_in_silence(database_url, caplog):
    """A test after a training belongs to its run, and its status stays."""
    adapter = Adapter(database_url)
    with pytest.raises(DivergedError):
        adapter.train(fails_at(4))
    with caplog.at_level(logging.WARNING, "trainstore"):
        adapter.recording.join().log({"test_loss": 0.5}, step=4)
        adapter.recording.finish()
    assert not caplog.records
    with TrainStore(database_url) as store:
        record = only_run(store)
        assert record.status == "failed"
        assert store.list_step_logs(record)["test_loss"].dropna().tolist() == [0.5]


def test_a_pickle_has_the_arguments_and_no_run(store):
    """Spawned workers and copies begin runs of their own."""
    adapter = Adapter(store, name="a", tags=["x"])
    adapter.train(nothing)
    copied = pickle.loads(pickle.dumps(adapter))
    assert copied.recording.run is None
    copied.train(nothing)
    assert store.list_runs()["name"].tolist() == ["a", "a"]


def test_a_deep_copy_shares_the_store_and_keeps_the_password(store):
    """A library copies its trainer with what is in it; other than a pickle, the copy stays in this process."""
    url = "postgresql://me:secret@localhost/runs"
    assert copy.deepcopy(Recording(url, source="recording"))._target == Recording(url, source="recording")._target
    adapter = Adapter(store, name="a")
    adapter.train(nothing)
    copied = copy.deepcopy(adapter)
    assert (copied.recording.run, copied.recording.store) == (None, store)
    copied.train(nothing)
    assert store.list_runs()["name"].tolist() == ["a", "a"]


def test_a_failure_of_ours_is_told_once(store, caplog):
    """Whatever fails in the middle of a training, it goes on."""
    recording = Recording(store, source="recording")
    recording.begin()
    for _ in range(3):
        with recording.guard("a step"):
            raise OSError("disk")
    recording.finish()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "a step could not be recorded (OSError); the training goes on"
    ]
