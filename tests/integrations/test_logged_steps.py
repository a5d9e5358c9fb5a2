"""A step that is logged as it ends: one record holds both."""

import pytest
from sqlalchemy import select
from transformers import Trainer, TrainerCallback

from trainstore.integrations.transformers import TrainStoreCallback


def train(make_trainer, store, **options):
    """Eight steps, recorded; what else calls back is called after ours."""
    callback = TrainStoreCallback(store)
    more = options.pop("callbacks", [])
    make_trainer(max_steps=8, callbacks=[callback, *more], **options).train()
    return store.list_step_logs(callback.run_uid, details=True)


def records(store):
    """How many records each writer delivered, in the order of the runs."""
    writer = store.table.writer.c
    with store.engine.connect() as connection:
        return list(connection.execute(select(writer.acked).order_by(writer.run_id)).scalars())


def test_a_log_of_every_step_takes_no_record_of_its_own(store, make_trainer):
    """With logging_steps=1 a run has as many records as with one log at the end, and each row has both."""
    often = train(make_trainer, store, logging_steps=1)
    train(make_trainer, store, logging_steps=8)
    assert records(store)[0] == records(store)[1]
    assert often["step"].to_list() == list(range(1, 9))
    assert often["loss"].round(4).to_list() == often["loss_window"].round(4).to_list()
    for name in ("grad_norm", "learning_rate", "tokens", "data_time", "step_time", "epoch"):
        assert often[name].notna().all(), name
    windows = [details["loss_window"] for details in often["details"]]
    assert windows == [{"first_step": step, "last_step": step} for step in range(1, 9)]


def test_a_step_whose_log_never_comes_is_recorded(store, make_trainer):
    """A callback after ours that takes the log back costs no step, not the last one either."""

    class NoLog(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_log = False

    steps = train(make_trainer, store, logging_steps=1, callbacks=[NoLog()])
    assert steps["step"].to_list() == list(range(1, 9))
    assert steps[["loss", "grad_norm", "learning_rate", "step_time"]].notna().all(axis=None)


def test_a_log_that_says_otherwise_wins(store, make_trainer):
    """Where the log has another value of something that the step has too, the log's is shown."""

    class OwnNorm(Trainer):
        def log(self, logs, *args, **kwargs):
            if "grad_norm" in logs:
                logs["grad_norm"] = -1.0
            super().log(logs, *args, **kwargs)

    steps = train(make_trainer, store, logging_steps=1, trainer_class=OwnNorm)
    assert steps["grad_norm"].to_list() == [-1.0] * 8
    assert steps["loss"].notna().all()


def test_an_interrupt_between_a_step_and_its_log_costs_no_step(store, make_trainer):
    """Ctrl-C at the end of a step, before its log: the step is there, and the run is interrupted."""

    class Interrupts(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 5:
                raise KeyboardInterrupt

    callback = TrainStoreCallback(store)
    trainer = make_trainer(max_steps=8, logging_steps=1, callbacks=[callback, Interrupts()])
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert store.list_step_logs(callback.run_uid)["step"].to_list() == [1, 2, 3, 4, 5]
    assert store.get_run(callback.run_uid).status == "interrupted"
