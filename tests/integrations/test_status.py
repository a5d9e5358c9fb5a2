"""A run's status is what happened: failures that are caught, loops that end otherwise, trainings inside trainings."""

import gc
import os
import signal
import threading
import time
import weakref

import pytest
from transformers import Trainer, TrainerCallback

from fixtures.trainers import Crash, CrashAt, build_trainer, gpt2, tokens
from trainstore import TrainStore
from trainstore.integrations.transformers import TrainStoreCallback


def steps_of(store, run):
    """The steps that have a loss."""
    log = store.list_step_logs(run)
    return log["step"][log["loss"].notna()].to_list()


# --- Failures that are caught -----------------------------------------------------------------------------------------


class FailsToEvaluate(Trainer):
    """Its evaluations fail, and it trains on."""

    def evaluate(self, *args, **kwargs):
        raise Crash("no evaluation")

    def _maybe_log_save_evaluate(self, *args, **kwargs):
        try:
            return super()._maybe_log_save_evaluate(*args, **kwargs)
        except Crash:
            return None


def test_a_training_that_survives_its_evaluations_is_finished(store, make_trainer):
    """Each failed evaluation that somebody catches is an event; the run has all steps, is finished and one attempt."""
    callback = TrainStoreCallback(store)
    options = {"eval_dataset": tokens(4), "eval_strategy": "steps", "eval_steps": 2, "max_steps": 5}
    make_trainer(callbacks=[callback], trainer_class=FailsToEvaluate, **options).train()
    run = store.get_run(callback.run_uid)
    assert (run.status, run.error, run.last_step) == ("finished", None, 5)
    assert steps_of(store, run) == [1, 2, 3, 4, 5]
    events = store.list_events(run, kind="exception")
    # The last step is evaluated twice, at its end and at the epoch's. Exceptions are told apart by their address, which
    # the second may or may not have from the first.
    assert events["step"].drop_duplicates().to_list() == [2, 4, 5]
    assert {details["message"] for details in events["details"]} == {"Crash: no evaluation"}
    assert store.list_runs()["attempts"].to_list() == [1]


class Hungry(Trainer):
    """No batch is small enough for it, until it was fed."""

    hungry = True

    def training_step(self, *args, **kwargs):
        if self.hungry:
            raise RuntimeError("CUDA out of memory.")
        return super().training_step(*args, **kwargs)


def test_no_batch_size_that_fits_is_a_failed_run(store, make_trainer):
    """auto_find_batch_size that finds none: a failed run, with an attempt for each size; train() makes another."""
    callback = TrainStoreCallback(store)
    trainer = make_trainer(callbacks=[callback], trainer_class=Hungry, auto_find_batch_size=True, max_steps=2)
    with pytest.raises(RuntimeError, match="reached zero"):
        trainer.train()
    failed = store.get_run(callback.run_uid)
    assert (failed.status, failed.error) == ("failed", "RuntimeError: No executable batch size found, reached zero.")
    assert store.list_runs()["attempts"].to_list() == [2]
    trainer.hungry = False
    trainer._train_batch_size = 2
    trainer.train()
    assert callback.run_uid != failed.uid
    assert store.get_run(callback.run_uid).status == "finished"
    assert steps_of(store, callback.run_uid) == [1, 2]
    assert store.get_run(failed.uid).status == "failed"


# --- Loops of one's own -----------------------------------------------------------------------------------------------


class OwnLoop(Trainer):
    """Calls the events itself; the second batch may be bad."""

    bad_batches = 1
    catches = False

    def loop(self):
        self.create_optimizer_and_scheduler(4)
        self.current_gradient_accumulation_steps = 1
        handler, state = self.callback_handler, self.state
        handler.optimizer = self.optimizer
        handler.on_train_begin(self.args, state, self.control)
        for batch in list(self.get_train_dataloader())[:5]:
            handler.on_step_begin(self.args, state, self.control)
            try:
                self.training_step(self.model, batch)
            except Crash:
                if not self.catches:
                    raise
                continue
            handler.on_pre_optimizer_step(self.args, state, self.control)
            self.optimizer.step()
            state.global_step += 1
            handler.on_step_end(self.args, state, self.control)

    def compute_loss(self, *args, **kwargs):
        if self.state.global_step == 1 and self.bad_batches:
            self.bad_batches -= 1
            raise Crash("a bad batch")
        return super().compute_loss(*args, **kwargs)


class OwnInnerLoop(OwnLoop):
    """Within Trainer.train."""

    def _inner_training_loop(self, *args, **kwargs):
        self.loop()


class OwnTrain(OwnLoop):
    """Instead of Trainer.train: nobody tells how it ends."""

    def train(self):
        self.loop()


def test_a_loop_of_ones_own_that_fails_leaves_a_failed_run(store, make_trainer):
    """A subclass whose loop raises, outside of everything that a Trainer's loop has: the run is failed at once."""
    callback = TrainStoreCallback(store)
    with pytest.raises(Crash):
        make_trainer(callbacks=[callback], trainer_class=OwnInnerLoop).train()
    run = store.get_run(callback.run_uid)
    assert (run.status, run.error, run.last_step) == ("failed", "Crash: a bad batch", 1)


def test_a_loop_of_ones_own_that_does_not_say_its_end_is_finished(store, make_trainer):
    """Without on_train_end the run ends with train(); a batch that failed and was left out is an event."""
    callback = TrainStoreCallback(store)
    trainer = make_trainer(callbacks=[callback], trainer_class=OwnInnerLoop)
    trainer.catches = True
    trainer.train()
    run = store.get_run(callback.run_uid)
    assert (run.status, run.error) == ("finished", None)
    assert steps_of(store, run) == [1, 2, 3, 4]
    assert store.list_events(run, kind="exception")["step"].to_list() == [1]


def test_a_train_of_ones_own_that_goes_on_loses_no_step(store, make_trainer):
    """A failure that seemed to be the end was not: the training goes on as the run's next attempt."""
    callback = TrainStoreCallback(store)
    trainer = make_trainer(callbacks=[callback], trainer_class=OwnTrain)
    trainer.catches = True
    trainer.train()
    run = store.get_run(callback.run_uid)
    assert steps_of(store, run) == [1, 2, 3, 4]
    assert store.list_runs()["attempts"].to_list() == [2]
    assert store.list_events(run, kind="exception")["step"].to_list() == [1]
    assert run.status == "running"  # nobody has said that it ended


# --- Trainings inside trainings ---------------------------------------------------------------------------------------


class TrainsAnother(TrainerCallback):
    """Trains and evaluates other models in the middle of a step, with the same TrainStoreCallback."""

    def __init__(self, make, callback):
        self.make = make
        self.callback = callback

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 2:
            self.make(callbacks=[self.callback], run_name="probe", output_dir="probe", max_steps=3).train()

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        if state.global_step == 3:
            options = {"run_name": "other", "output_dir": "other", "eval_dataset": tokens(4)}
            self.make(callbacks=[self.callback], **options).evaluate()


def test_a_training_inside_a_training_harms_neither(database_url, make_trainer, tmp_path, monkeypatch):
    """One callback in both, which opens the store itself: two finished runs, each with its own steps and losses."""
    monkeypatch.chdir(tmp_path)
    callback = TrainStoreCallback(database_url)
    options = {"run_name": "main", "max_steps": 6, "logging_steps": 1}
    trainer = make_trainer(callbacks=[callback], model=gpt2(), **options)
    trainer.add_callback(TrainsAnother(make_trainer, callback))
    trainer.train()
    with TrainStore(database_url) as store:
        runs = store.list_runs().set_index("name")
        assert runs["status"].to_dict() == {"main": "finished", "probe": "finished"}
        assert runs["attempts"].to_dict() == {"main": 1, "probe": 1}
        for name, count in (("main", 6), ("probe", 3)):
            run = store.get_run(name)
            assert steps_of(store, run) == list(range(1, count + 1))
            assert run.environment["loss_source"] == "training_step"
            assert (store.list_step_logs(run)["data_time"].dropna() >= 0).all()
        assert "eval_loss" not in store.list_step_logs("main")
        assert store.get_run("probe").metrics["eval_loss"] > 0
    assert callback.run.name == "main"


def test_trainings_in_two_threads_with_one_callback(store, tmp_path):
    """Each has its run, its steps and their losses, though their events come mixed."""
    callback = TrainStoreCallback(store)
    trainers = [build_trainer(tmp_path / name, callbacks=[callback], run_name=name) for name in ("one", "two")]
    threads = [threading.Thread(target=trainer.train) for trainer in trainers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in ("one", "two"):
        run = store.get_run(name)
        assert (run.status, steps_of(store, run)) == ("finished", list(range(1, 11)))
        assert run.environment["loss_source"] == "training_step"


class FailsAtTheEnd(TrainerCallback):
    """Fails after the training has ended."""

    def on_train_end(self, args, state, control, **kwargs):
        raise Crash("no upload")


def test_what_fails_after_the_end_is_an_event(store, make_trainer):
    """The training has finished, and its run says so; what failed after it is an event, once."""
    callback = TrainStoreCallback(store)
    trainer = make_trainer(callbacks=[callback, FailsAtTheEnd()], max_steps=1)
    with pytest.raises(Crash):
        trainer.train()
    run = store.get_run(callback.run_uid)
    assert (run.status, run.error) == ("finished", None)
    assert [details["message"] for details in store.list_events(run, kind="exception")["details"]] == [
        "Crash: no upload"
    ]


# --- Ends that are no failure -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        (0, "finished", None),
        (None, "finished", None),
        (3, "failed", "SystemExit: 3"),
        ("", "failed", "SystemExit"),
        ("no data", "failed", "SystemExit: no data"),
    ],
)
def test_sys_exit_means_the_same_everywhere(local_store, tmp_path, code, status, error):
    """sys.exit() in a training and in a with block: finished if the process says so, else failed."""
    callback = TrainStoreCallback(local_store, name="trainer")
    with pytest.raises(SystemExit):
        build_trainer(tmp_path, callbacks=[callback, CrashAt(2, SystemExit(code))]).train()
    with pytest.raises(SystemExit), local_store.start_run(name="block"):
        raise SystemExit(code)
    for name in ("trainer", "block"):
        run = local_store.get_run(name)
        assert (run.status, run.error) == (status, error)
    assert len(local_store.list_events("trainer", kind="exception")) == (status == "failed")


class Terminated(TrainerCallback):
    """Gets a SIGTERM at its second step, and waits until the Trainer has taken note of it."""

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
            deadline = time.monotonic() + 30
            while not self.manager.is_checkpoint_requested and time.monotonic() < deadline:
                time.sleep(0.01)


@pytest.fixture
def sigterm():
    """A Trainer that fails does not put the handler back."""
    before = signal.getsignal(signal.SIGTERM)
    yield before
    signal.signal(signal.SIGTERM, before)


def test_a_trainer_that_stops_itself_on_sigterm_is_interrupted(store, make_trainer, sigterm):
    """enable_jit_checkpoint: interrupted, with the signal and its checkpoint; resumed from there it is finished."""
    callback, terminated = TrainStoreCallback(store), Terminated()
    options = {"enable_jit_checkpoint": True, "max_steps": 6, "save_strategy": "steps", "save_steps": 100}
    trainer = make_trainer(callbacks=[callback, terminated], **options)
    (terminated.manager,) = [c.jit_manager for c in trainer.callback_handler.callbacks if hasattr(c, "jit_manager")]
    terminated.manager.kill_wait = 0
    trainer.train()
    assert signal.getsignal(signal.SIGTERM) is sigterm
    stopped_at = trainer.state.global_step
    assert stopped_at < 6
    run = store.get_run(callback.run_uid)
    assert run.status == "interrupted"
    assert run.error == "SIGTERM: the Trainer saved a checkpoint at step 2 and stopped"
    assert store.list_events(run)["kind"].to_list() == ["checkpoint"]
    assert steps_of(store, run) == list(range(1, stopped_at + 1))
    resumed = TrainStoreCallback(store)
    make_trainer(callbacks=[resumed], max_steps=6).train(resume_from_checkpoint=True)
    assert resumed.run_uid == run.uid
    run = store.get_run(run.uid)
    assert (run.status, run.error) == ("finished", None)
    assert steps_of(store, run) == [1, 2, 3, 4, 5, 6]
    assert store.list_runs()["attempts"].to_list() == [2]


# --- What it costs others ---------------------------------------------------------------------------------------------


class Fails(TrainerCallback):
    """Raises, and does not keep what it raises."""

    def on_step_end(self, args, state, control, **kwargs):
        raise Crash


@pytest.mark.parametrize("fails", [False, True])
def test_a_trainer_is_freed_as_soon_as_nobody_has_it(local_store, tmp_path, fails):
    """No reference cycle and no traceback of ours keeps a trainer, and with it the model, after its training."""
    callback = TrainStoreCallback(local_store)
    trainer = build_trainer(tmp_path, callbacks=[callback, *([Fails()] if fails else [])], max_steps=2)
    gone = weakref.ref(trainer)
    gc.collect()
    gc.disable()
    try:
        try:
            trainer.train()
        except Crash:
            assert fails
        del trainer
        assert gone() is None
    finally:
        gc.enable()
