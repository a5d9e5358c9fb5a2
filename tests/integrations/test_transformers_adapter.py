"""The callback of a ``transformers.Trainer``: what holds for the adapter of every library."""

import pickle

import pytest
from transformers import TrainerCallback

from fixtures.adapter_tests import STEPS, LibraryTests
from fixtures.closed_port import Proxy
from fixtures.processes import DEADLINE
from fixtures.trainers import build_trainer, tokens
from trainstore import InvalidArgumentError, TrainStore
from trainstore.integrations.transformers import TrainStoreCallback, record


class AtStep(TrainerCallback):
    """Does something when a step was made."""

    def __init__(self, act):
        self.act = act

    def on_step_end(self, args, state, control, **kwargs):
        self.act(state.global_step)


class TestTransformers(LibraryTests):
    module, package = "trainstore.integrations.transformers", "transformers"
    steps = list(range(1, STEPS + 1))
    trains_in_threads = False  # accelerate's state is that of its process

    @pytest.fixture(autouse=True)
    def in_a_folder_of_its_own(self, tmp_path):
        self.folder = tmp_path

    def train(self, target, at_step, **options):
        callbacks = [self.make(target, **options), AtStep(at_step)]
        build_trainer(self.folder, callbacks=callbacks, max_steps=STEPS).train()

    def test_a_store_that_is_away_does_not_stop_the_training(self, new_database, monkeypatch):
        """Nobody answers at its port: the training goes on, and the callback delivers when the database is back."""
        monkeypatch.setattr("trainstore.integrations.transformers.session.FINISH_TIMEOUT", 0.2)
        proxy = Proxy(new_database("postgresql"))
        callback = self.make(proxy.url, name="a")
        build_trainer(self.folder, callbacks=[callback], max_steps=STEPS).train()
        proxy.open()
        try:
            assert callback.run.flush(DEADLINE)
            with TrainStore(proxy.url) as store:
                self.check_steps(store, "a")
                assert store.get_run("a").status == "finished"
            callback.close()
        finally:
            proxy.close()


def test_an_open_run_gets_evaluations_and_facts_and_stays_open(store, make_trainer):
    """Before the training and after it; arguments and tags are recorded as in a run of its own."""
    with store.start_run("mine") as run:
        run.log_hyperparams({"own": 1})
        callback = TrainStoreCallback(run, tags={"team": "x"}, hyperparams={"more": 2})
        trainer = make_trainer(callbacks=[callback], max_steps=3, eval_dataset=tokens(4))
        trainer.evaluate()
        trainer.train()
        trainer.evaluate()
        assert callback.run is run
        assert run.status == "running"
    record = store.get_run("mine")
    log = store.list_step_logs(record).set_index("step")
    assert (record.status, record.attempts, len(store.list_runs())) == ("finished", 1, 1)
    assert log["loss"].notna().tolist() == [False, True, True, True]
    assert log["eval_loss"].notna().tolist() == [True, False, False, True]
    assert (record.hyperparams["own"], record.hyperparams["more"], record.hyperparams["max_steps"]) == (1, 2, 3)
    assert record.tags == {"team": "x"}


def test_a_second_training_in_an_open_run_meets_the_steps_of_the_first(local_store, make_trainer, caplog):
    """Both are there; a warning says so once."""
    with local_store.start_run("mine") as run:
        for _ in range(2):
            make_trainer(callbacks=[TrainStoreCallback(run)], max_steps=2).train()
    assert caplog.text.count("their steps mix") == 1
    assert local_store.list_step_logs("mine")["step"].tolist() == [1, 2]


def test_a_checkpoint_of_an_open_run_goes_on_with_it(store, make_trainer):
    """Without the open run, it is the next attempt; with another one, that one has the later steps."""
    with store.start_run("mine") as run:
        make_trainer(callbacks=[TrainStoreCallback(run)], max_steps=2, save_strategy="steps", save_steps=2).train()
    make_trainer(callbacks=[TrainStoreCallback(store)], max_steps=4).train(resume_from_checkpoint=True)
    assert (store.get_run("mine").attempts, len(store.list_step_logs("mine"))) == (2, 4)
    with store.start_run("other") as run:
        make_trainer(callbacks=[TrainStoreCallback(run)], max_steps=3).train(resume_from_checkpoint=True)
    assert store.list_step_logs("other")["step"].tolist() == [3]


def test_record_takes_an_open_run(local_store, make_trainer):
    """The block ends the recording, not the run."""
    with local_store.start_run("mine") as run:
        with record(make_trainer(max_steps=2), run) as callback:
            callback._trainer().train()
        assert run.status == "running"
    assert local_store.get_run("mine").last_step == 2


def test_what_an_open_run_leaves_no_room_for_is_refused(local_store):
    """A resumption is the owner's, and so is the store."""
    with local_store.start_run() as run:
        with pytest.raises(InvalidArgumentError, match="resume='must' was given with an open run"):
            TrainStoreCallback(run, resume="must")
        with pytest.raises(InvalidArgumentError, match="was given an open run"):
            _ = TrainStoreCallback(run).store


def test_its_pickle_carries_no_secret(local_url):
    """Hyperparameters and tags are kept as they are recorded."""
    with TrainStore(local_url) as store:
        pickled = pickle.dumps(TrainStoreCallback(store, hyperparams={"api_key": "vErySecret1"}))
    assert b"vErySecret1" not in pickled
