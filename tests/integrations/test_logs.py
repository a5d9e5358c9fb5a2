"""What is logged outside a training, and inside a step: nothing vanishes, and no time is negative."""

import pytest
from transformers import Trainer, TrainerCallback

from fixtures.trainers import gpt2, tokens
from trainstore import TrainStore
from trainstore.integrations.transformers import TrainStoreCallback


def announce_push(trainer):
    """What push_to_hub() tells the callbacks before it connects."""
    trainer.control = trainer.callback_handler.on_push_begin(trainer.args, trainer.state, trainer.control)


def metrics_of(store, run, step):
    """All that a step's row has under its names."""
    row = store.list_step_logs(run).set_index("step").loc[step]
    return row[row.notna()].to_dict()


@pytest.mark.parametrize("eval_on_start", [False, True])
def test_what_is_logged_around_a_training_is_in_its_run(store, make_trainer, eval_on_start):
    """Before: at step 0, with the evaluation at the start. After: at the last step; a push, too. The status stays."""
    callback = TrainStoreCallback(store, name="whole")
    options = {"eval_dataset": tokens(4), "eval_on_start": eval_on_start, "max_steps": 3}
    trainer = make_trainer(callbacks=[callback], **options)
    trainer.log({"zero_shot": 0.1})
    assert store.get_run("whole").status == "finished"  # it is stored already, whatever comes
    trainer.log({"zero_shot_again": 0.2, "loss": 5.0})
    trainer.train()
    trainer.log({"final": 0.9})
    announce_push(trainer)
    trainer.evaluate()
    run = store.get_run("whole")
    assert (run.status, run.last_step) == ("finished", 3)
    first, last = metrics_of(store, run, 0), metrics_of(store, run, 3)
    assert (first["zero_shot"], first["zero_shot_again"], first["logged_loss"]) == (0.1, 0.2, 5.0)
    assert ("eval_loss" in first) == eval_on_start
    assert last["final"] == 0.9
    assert "eval_loss" in last
    log = store.list_step_logs(run)
    assert log["step"][log["loss"].notna()].to_list() == [1, 2, 3]
    assert store.list_events(run, kind="push")["step"].to_list() == [3]
    assert store.list_runs()["attempts"].to_list() == [2]


def test_a_new_run_is_made_where_that_is_asked_for(store, make_trainer):
    """resume="never", or an evaluation: what came before the training stays a run of its own."""
    never = TrainStoreCallback(store, resume="never")
    trainer = make_trainer(callbacks=[never], max_steps=1)
    trainer.log({"zero_shot": 0.1})
    before = never.run_uid
    trainer.train()
    assert never.run_uid != before
    callback = TrainStoreCallback(store)
    trainer = make_trainer(callbacks=[callback], eval_dataset=tokens(4), max_steps=1)
    trainer.log({"zero_shot": 0.1})
    trainer.evaluate()
    before = callback.run_uid
    assert metrics_of(store, before, 0).keys() >= {"zero_shot", "eval_loss"}
    trainer.train()
    assert callback.run_uid != before
    assert store.list_runs()["attempts"].to_list() == [1] * 4


def test_a_push_alone_makes_no_run(store, make_trainer):
    """Nothing was trained, logged or evaluated: there is nothing to record."""
    announce_push(make_trainer(callbacks=[TrainStoreCallback(store)]))
    assert store.list_runs().empty


def test_what_comes_later_finds_the_run_of_its_trainer(store, make_trainer):
    """One callback on two trainers: each one's logs and evaluations go to its own run, whichever trained last."""
    callback = TrainStoreCallback(store)
    options = {"eval_dataset": tokens(4), "callbacks": [callback]}
    first = make_trainer(model=gpt2(), run_name="first", max_steps=1, **options)
    second = make_trainer(model=gpt2(), run_name="second", max_steps=2, **options)
    first.train()
    second.train()
    first.evaluate()
    first.log({"of": "first"})
    second.log({"of": "second"})
    assert metrics_of(store, "first", 1).keys() >= {"of", "eval_loss"}
    assert "eval_loss" not in metrics_of(store, "second", 2)
    assert metrics_of(store, "second", 2)["of"] == "second"
    assert len(store.list_runs()) == 2


class LogsInside(Trainer):
    """Logs and evaluates in the middle of its steps."""

    def compute_loss(self, model, *args, **kwargs):
        loss = super().compute_loss(model, *args, **kwargs)
        if model.training:
            self.log({"inside": self.state.global_step})
            if self.state.global_step == 2:
                self.evaluate()
                model.train()
        return loss


class LogsLosses(Trainer):
    """Logs a loss of its own in every step, once more as the Trainer would, and once after the training."""

    def compute_loss(self, model, *args, **kwargs):
        self.log({"loss": 100.0 + self.state.global_step})
        return super().compute_loss(model, *args, **kwargs)


def test_a_loss_that_ones_own_code_logs_has_a_name_of_its_own(store, make_trainer, caplog):
    """The measured losses and the Trainer's means are those of a training without it; nothing is doubted."""
    plain, callback = TrainStoreCallback(store), TrainStoreCallback(store)
    options = {"max_steps": 4, "logging_steps": 2}
    make_trainer(callbacks=[plain], **options).train()
    trainer = make_trainer(callbacks=[callback], trainer_class=LogsLosses, **options)
    trainer.train()
    trainer.log({"loss": 7.0})
    expected, steps = (store.list_step_logs(one.run_uid).set_index("step") for one in (plain, callback))
    assert steps["loss"].loc[1:].to_list() == expected["loss"].to_list()
    assert steps["loss_window"].dropna().to_dict() == expected["loss_window"].dropna().to_dict()
    assert steps["logged_loss"].to_dict() == {0: 100.0, 1: 101.0, 2: 102.0, 3: 103.0, 4: 7.0}
    details = store.list_step_logs(callback.run_uid, details=True).set_index("step")["details"]
    assert details[2]["loss_window"] == {"first_step": 1, "last_step": 2}
    assert not any(details[step] for step in (1, 3))
    assert store.get_run(callback.run_uid).environment["loss_source"] == "training_step"
    assert "does not match" not in caplog.text


class SavesInside(TrainerCallback):
    """Has a checkpoint announced before the step's end."""

    def __init__(self):
        self.trainer = None

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        self.trainer.callback_handler.on_save(args, state, control)


def test_no_time_is_negative_whatever_is_done_inside_a_step(store, make_trainer):
    """Logs, evaluations and checkpoints in the middle of a step: both times of every step are there, and make sense."""
    callback, saves = TrainStoreCallback(store), SavesInside()
    trainer = make_trainer(
        callbacks=[callback, saves], trainer_class=LogsInside, eval_dataset=tokens(4), max_steps=5, logging_steps=1
    )
    saves.trainer = trainer
    trainer.train()
    steps = store.list_step_logs(callback.run_uid).set_index("step").loc[1:5]
    assert (steps["data_time"] >= 0).all()
    assert (steps["step_time"] > 0).all()
    assert steps["loss"].notna().all()
    assert steps["inside"].dropna().to_list() == [1, 2, 3, 4]
    assert steps["eval_loss"].dropna().index.to_list() == [2]


def test_a_loop_that_does_not_say_when_a_step_begins_has_no_data_time(new_database, make_trainer):
    """Its step_time is the time since the last step's end; what it waits for the data, nobody knows."""
    with TrainStore(new_database("sqlite")) as store:
        callback = TrainStoreCallback(store)
        trainer = make_trainer(callbacks=[callback])
        handler, state = trainer.callback_handler, trainer.state
        handler.on_train_begin(trainer.args, state, trainer.control)
        for state.global_step in (1, 2, 3):
            handler.on_step_end(trainer.args, state, trainer.control)
        handler.on_train_end(trainer.args, state, trainer.control)
        steps = store.list_step_logs(callback.run_uid)
        assert steps["step"].to_list() == [1, 2, 3]
        assert (steps["step_time"] > 0).all()
        assert "data_time" not in steps
