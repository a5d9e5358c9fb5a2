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
    """Every method of the run raises: the training ends as it should, after one error and one farewell in the log."""
    break_recording(monkeypatch, "log", "log_hyperparams", "log_event", "set_tags", "finish", "flush")
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
    ours = [record.message for record in caplog.records if record.name == "trainstore"]
    assert [("could not be recorded" in line, "stops recording" in line) for line in ours] == [
        (True, False),
        (False, True),
    ]
    assert not is_wrapped(trainer)


def test_a_run_that_we_gave_up_still_ends(local_store, make_trainer, monkeypatch):
    """After five failures no step is recorded any more, but the run learns how the training ended."""
    break_recording(monkeypatch, "log")
    callback = TrainStoreCallback(local_store)
    with pytest.raises(Crash):
        make_trainer(callbacks=[callback, CrashAt(9)]).train()
    run = local_store.get_run(callback.run_uid)
    assert (run.status, run.error) == ("failed", "Crash: at step 9")


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
