"""Failures of trainstore itself: the training goes on, and says so once."""

import importlib
import pkgutil

import pytest

from fixtures.trainers import Crash, CrashAt, is_wrapped, tokens
from trainstore import TrainStore
from trainstore.integrations import transformers as package
from trainstore.integrations.transformers import TrainStoreCallback
from trainstore.run import ActiveRun


def break_recording(monkeypatch, *methods):
    def broken(self, *args, **kwargs):
        raise OSError("broken for the test")

    for method in methods:
        monkeypatch.setattr(ActiveRun, method, broken)


def test_a_store_that_always_fails_never_stops_the_training(local_store, make_trainer, monkeypatch, caplog):
    """Every method of the run raises: the training ends as it should, after one error and a line for each farewell."""
    break_recording(monkeypatch, "log", "log_measured", "log_hyperparams", "log_event", "set_tags", "finish", "flush")
    trainer = make_trainer(
        callbacks=[TrainStoreCallback(local_store)],
        eval_dataset=tokens(4),
        eval_strategy="steps",
        eval_steps=3,
        save_strategy="steps",
        save_steps=5,
    )
    trainer.train()
    trainer.evaluate()
    assert trainer.state.global_step == 10
    first, *others = [record.message for record in caplog.records if record.name == "trainstore"]
    assert "could not be recorded (OSError); the training goes on" in first
    assert others == [
        "on_log failed 5 times and is left out of this training's record",
        "10 steps between 1 and 10 were not recorded (OSError)",
        "on_evaluate failed 5 times and is left out of this training's record",
    ]
    assert not is_wrapped(trainer)


def test_what_fails_five_times_is_left_out_and_the_steps_are_not(store, make_trainer, monkeypatch, caplog):
    """Logs fail at every step: they are given up after five, each step is recorded, and the run learns its end."""
    break_recording(monkeypatch, "log")
    callback = TrainStoreCallback(store)
    with pytest.raises(Crash):
        make_trainer(callbacks=[callback, CrashAt(9)], logging_steps=1, include_num_input_tokens_seen=True).train()
    run = store.get_run(callback.run_uid)
    assert (run.status, run.error) == ("failed", "Crash: at step 9")
    assert store.list_step_logs(run)["loss"].count() == 9
    assert store.list_events(run, kind="lost_steps").empty
    assert caplog.text.count("on_log failed 5 times and is left out of this training's record") == 1


@pytest.mark.parametrize("logging_steps", [1, 100])
def test_a_run_that_lost_steps_says_so(store, make_trainer, monkeypatch, caplog, logging_steps):
    """Steps are tried again however often they fail; an event counts those that are missing, and so does the log."""
    original, fails_at = ActiveRun.log_measured, range(2, 9)

    def fails(self, metrics, step, *rest):
        if step in fails_at:
            raise OSError("broken for the test")
        original(self, metrics, step, *rest)

    monkeypatch.setattr(ActiveRun, "log_measured", fails)
    callback = TrainStoreCallback(store)
    make_trainer(callbacks=[callback], logging_steps=logging_steps).train()
    run = store.get_run(callback.run_uid)
    log = store.list_step_logs(run)
    assert log["step"][log["loss"].notna()].to_list() == [1, 9, 10]
    (event,) = store.list_events(run, kind="lost_steps").to_dict("records")
    assert event["details"] == {"count": 7, "first_step": 2, "last_step": 8, "error": "OSError"}
    assert event["step"] == 8
    assert caplog.text.count("7 steps between 2 and 8 were not recorded (OSError)") == 1
    assert run.status == "finished"


def test_the_next_training_tries_everything_again(local_store, make_trainer, monkeypatch):
    """What was given up in one training is recorded in the next one."""
    original = ActiveRun.log_event
    break_recording(monkeypatch, "log_event")
    trainer = make_trainer(callbacks=[TrainStoreCallback(local_store)], save_strategy="steps", save_steps=1)
    trainer.train()
    monkeypatch.setattr(ActiveRun, "log_event", original)
    trainer.train()
    first, second = local_store.list_runs(sort="started")["uid"]
    assert local_store.list_events(first, kind="checkpoint").empty
    assert len(local_store.list_events(second, kind="checkpoint")) == 10


def test_a_store_that_cannot_begin_a_run_does_not_stop_the_training(local_store, make_trainer, monkeypatch, caplog):
    """No run can be made (the disk is full, say): a warning, and the training goes on without a record."""

    def broken(*args, **kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr(TrainStore, "start_run", broken)
    trainer = make_trainer(callbacks=[TrainStoreCallback(local_store)], max_steps=2)
    trainer.train()
    assert trainer.state.global_step == 2
    assert "on_train_begin could not be recorded (OSError)" in caplog.text


def test_our_failure_is_raised_where_that_is_asked_for(local_store, make_trainer, monkeypatch):
    """on_error="raise" lets the first failure of ours out."""
    break_recording(monkeypatch, "log")
    with pytest.raises(OSError, match="broken for the test"):
        make_trainer(callbacks=[TrainStoreCallback(local_store, on_error="raise")]).train()


def test_the_callback_logs_as_trainstore():
    """All that its modules say goes through one logger."""
    names = [module.name for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")]
    loggers = [getattr(importlib.import_module(name), "logger", None) for name in names]
    assert {logger.name for logger in loggers if logger is not None} == {"trainstore"}
