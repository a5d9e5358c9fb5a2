"""Which run a training belongs to, and how it ends: failures, resuming, several callbacks, `record`."""

import pytest
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback

from fixtures.trainers import Crash, CrashAt, is_wrapped, tokens
from trainstore import TrainStore
from trainstore.errors import (
    InvalidArgumentError,
)
from trainstore.integrations.transformers import TrainStoreCallback, record

# --- How it ends ------------------------------------------------------------------------------------------------------


def test_an_exception_in_the_training_marks_the_run_and_propagates(store, make_trainer):
    """The run is failed with the exception's type and text; the traceback, redacted, is an event."""
    callback = TrainStoreCallback(store)
    error = Crash("no more hf_abcdefghijklmnopqrstuvwxyz")
    trainer = make_trainer(callbacks=[callback, CrashAt(7, error)])
    with pytest.raises(Crash) as caught:
        trainer.train()
    assert caught.value is error
    run = store.get_run(callback.run_uid)
    assert (run.status, run.error) == ("failed", "Crash: no more [redacted]")
    assert store.list_step_logs(run)["step"].to_list() == list(range(1, 8))
    (details,) = store.list_events(run, kind="exception")["details"]
    assert details["type"] == "Crash"
    assert details["rank"] == 0
    assert "on_step_end" in details["traceback"]
    assert "hf_abc" not in str(details)
    assert not is_wrapped(trainer)


def test_an_exception_that_the_caller_catches_marks_the_run_too(local_store, make_trainer):
    """Nobody hears of the exception but the run."""
    callback = TrainStoreCallback(local_store)
    try:
        make_trainer(callbacks=[callback, CrashAt(2)]).train()
    except Crash:
        pass
    assert local_store.get_run(callback.run_uid).status == "failed"


def test_ctrl_c_interrupts_the_run(store, make_trainer):
    """KeyboardInterrupt propagates, and the run is interrupted, not failed."""
    callback = TrainStoreCallback(store)
    with pytest.raises(KeyboardInterrupt):
        make_trainer(callbacks=[callback, CrashAt(3, KeyboardInterrupt())]).train()
    run = store.get_run(callback.run_uid)
    assert (run.status, run.error, run.last_step) == ("interrupted", "KeyboardInterrupt", 3)


def test_early_stopping_is_finished_and_says_so(local_store, make_trainer):
    """A training that stops before max_steps because a callback asked is finished, with an event."""
    callback = TrainStoreCallback(local_store)
    trainer = make_trainer(
        callbacks=[callback, EarlyStoppingCallback(1)],
        eval_dataset=tokens(8),
        eval_strategy="steps",
        eval_steps=2,
        save_strategy="steps",
        save_steps=2,
        learning_rate=0.0,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        max_steps=20,
    )
    trainer.train()
    assert trainer.state.global_step < 20
    run = local_store.get_run(callback.run_uid)
    assert run.status == "finished"
    (event,) = local_store.list_events(run, kind="early_stop")["details"]
    assert event == {"max_steps": 20}


def test_nothing_stays_wrapped(local_store, make_trainer):
    """After the training the trainer's methods are its own again, those that somebody had replaced included."""
    trainer = make_trainer(callbacks=[TrainStoreCallback(local_store)], max_steps=2)
    calls = []
    original = trainer.training_step

    def replaced(*args, **kwargs):
        calls.append(1)
        return original(*args, **kwargs)

    trainer.training_step = replaced
    trainer.train()
    assert len(calls) == 2
    assert vars(trainer)["training_step"] is replaced
    del trainer.training_step
    assert not is_wrapped(trainer)


def test_a_wrapper_put_over_ours_costs_nothing_later(local_store, make_trainer):
    """Somebody wraps training_step during the training and leaves it there: the next training counts once."""

    class Over(TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            inner = trainer.training_step
            trainer.training_step = lambda *a, **k: inner(*a, **k)

    callback = TrainStoreCallback(local_store)
    trainer = make_trainer(callbacks=[callback, Over()], max_steps=4, logging_steps=2)
    trainer.train()
    trainer.train()
    assert local_store.get_run(callback.run_uid).environment["loss_source"] == "training_step"
    assert local_store.list_step_logs(callback.run_uid)["loss"].notna().all()


# --- Which run --------------------------------------------------------------------------------------------------------


def test_a_crash_and_a_resumed_checkpoint_are_two_attempts_of_one_run(store, make_trainer):
    """Crash at 7, checkpoint at 5, resumed to 10: one run, two attempts, ten current rows, the twin's losses."""
    saving = {"save_strategy": "steps", "save_steps": 5, "logging_steps": 5}
    first = TrainStoreCallback(store)
    with pytest.raises(Crash):
        make_trainer(callbacks=[first, CrashAt(7)], **saving).train()
    second = TrainStoreCallback(store)
    trainer = make_trainer(callbacks=[second], **saving)
    trainer.train(resume_from_checkpoint=True)
    assert second.run_uid == first.run_uid
    run = store.get_run(first.run_uid)
    assert (run.status, run.last_step, run.error) == ("finished", 10, None)
    steps = store.list_step_logs(run)
    assert steps["step"].to_list() == list(range(1, 11))
    everything = store.list_step_logs(run, attempts="all")
    assert sorted(everything["step"]) == sorted([*range(1, 8), *range(6, 11)])
    twin = make_trainer(**{**saving, "logging_steps": 1, "save_strategy": "no"})
    twin.train()
    theirs = [entry["loss"] for entry in twin.state.log_history if "loss" in entry]
    assert steps["loss"].to_list() == pytest.approx(theirs, rel=1e-6)
    with store.session() as session:
        attempts = session.query(store.models.Attempt).order_by(store.models.Attempt.attempt).all()
        assert [(a.start_step, a.last_step, a.status) for a in attempts] == [(-1, 7, "failed"), (5, 10, "finished")]
    assert run.environment["loss_source"] == "training_step"


def test_a_checkpoint_in_another_output_dir_makes_a_child(store, make_trainer, tmp_path):
    """The same checkpoint in another output_dir is a new run, whose parent is the one that made it."""
    first = TrainStoreCallback(store)
    make_trainer(callbacks=[first], max_steps=4, save_strategy="steps", save_steps=2).train()
    second = TrainStoreCallback(store)
    trainer = make_trainer(callbacks=[second], max_steps=4, output_dir=str(tmp_path / "elsewhere"))
    trainer.train(resume_from_checkpoint=str(tmp_path / "output" / "checkpoint-2"))
    child = store.get_run(second.run_uid)
    assert (child.parent_uid, child.parent_step) == (first.run_uid, 2)
    assert store.list_step_logs(child)["step"].to_list() == [3, 4]
    assert len(store.list_step_logs(first.run_uid)) == 4


def test_resume_never_makes_a_new_run(local_store, make_trainer):
    """resume="never" takes no notice of the checkpoint's run."""
    first = TrainStoreCallback(local_store)
    make_trainer(callbacks=[first], max_steps=4, save_strategy="steps", save_steps=2).train()
    second = TrainStoreCallback(local_store, resume="never")
    make_trainer(callbacks=[second], max_steps=6).train(resume_from_checkpoint=True)
    assert second.run_uid != first.run_uid
    assert local_store.get_run(second.run_uid).parent_uid is None


def test_resume_must_stops_a_training_that_resumes_nothing(local_store, make_trainer):
    """resume="must" with nothing to go on with is an error before the first step."""
    trainer = make_trainer(callbacks=[TrainStoreCallback(local_store, resume="must")])
    with pytest.raises(InvalidArgumentError, match="resume='must'"):
        trainer.train()
    assert trainer.state.global_step == 0
    assert local_store.list_runs().empty


def test_a_checkpoint_of_a_run_that_the_database_does_not_know_makes_it(make_trainer, new_database):
    """The run is made under its uid, and what the checkpoint remembers of it is imported and marked."""
    saving = {"save_strategy": "steps", "save_steps": 4, "logging_steps": 2}
    with TrainStore(new_database("sqlite")) as store:
        first = TrainStoreCallback(store)
        make_trainer(callbacks=[first], max_steps=4, **saving).train()
    with TrainStore(new_database("sqlite")) as other:
        second = TrainStoreCallback(other, project="p")
        make_trainer(callbacks=[second], max_steps=6, **saving).train(resume_from_checkpoint=True)
        assert second.run_uid == first.run_uid
        steps = other.list_step_logs(second.run_uid).set_index("step")
        assert list(steps.index) == [2, 4, 5, 6]
        assert steps["loss_window"][2] > 0
        assert steps["loss"].dropna().index.to_list() == [5, 6]
        with other.session() as session:
            imported = [row.step for row in session.query(other.models.StepLog) if "imported" in (row.details or {})]
        assert sorted(imported) == [2, 4]


def test_a_damaged_key_in_the_checkpoint_is_no_key(local_store, make_trainer):
    """What a checkpoint says of the run and makes no sense is left alone: a new run, no error."""
    make_trainer(callbacks=[TrainStoreCallback(local_store)], max_steps=2, save_strategy="steps", save_steps=2).train()

    class Damage(TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            state.stateful_callbacks["trainstore"]["attributes"]["lineage"] = ["?"]

    callback = TrainStoreCallback(local_store)
    make_trainer(callbacks=[Damage(), callback], max_steps=4).train(resume_from_checkpoint=True)
    assert local_store.list_step_logs(callback.run_uid)["step"].to_list() == [3, 4]
    assert len(local_store.list_runs()) == 2


def test_a_checkpoint_is_readable_without_us(local_store, make_trainer):
    """A checkpoint recorded by us resumes without the callback, and saves again."""
    saving = {"save_strategy": "steps", "save_steps": 2}
    make_trainer(callbacks=[TrainStoreCallback(local_store)], max_steps=2, **saving).train()
    trainer = make_trainer(max_steps=4, restore_callback_states_from_checkpoint=True, **saving)
    trainer.train(resume_from_checkpoint=True)
    assert trainer.state.global_step == 4


def test_train_twice_is_two_runs(store, make_trainer):
    """Each train() from step 0 is a run of its own, recorded whole."""
    callback = TrainStoreCallback(store)
    trainer = make_trainer(callbacks=[callback], max_steps=3)
    uids = []
    for _ in range(2):
        trainer.train()
        uids.append(callback.run_uid)
    assert uids[0] != uids[1]
    for uid in uids:
        assert store.get_run(uid).status == "finished"
        assert store.list_step_logs(uid)["loss"].notna().sum() == 3


def test_one_callback_on_two_trainers_watches_the_one_that_trains(local_store, make_trainer):
    """The same callback serves a second trainer while the first one is still there."""
    callback = TrainStoreCallback(local_store)
    trainers = [make_trainer(callbacks=[callback], max_steps=2) for _ in range(2)]
    for trainer in trainers:
        trainer.train()
        steps = local_store.list_step_logs(callback.run_uid)
        assert steps["loss"].notna().sum() == 2
    assert len(local_store.list_runs()) == 2


class OutOfMemory(Trainer):
    """Runs out of memory at its third step with the first batch size."""

    def training_step(self, *args, **kwargs):
        if self._train_batch_size == 2 and self.state.global_step == 2:
            raise RuntimeError("CUDA out of memory.")
        return super().training_step(*args, **kwargs)


def test_a_smaller_batch_size_is_the_next_attempt(store, make_trainer):
    """auto_find_batch_size begins again inside train(): a failed attempt, another one, and one finished run."""
    callback = TrainStoreCallback(store)
    trainer = make_trainer(
        callbacks=[callback], trainer_class=OutOfMemory, auto_find_batch_size=True, max_steps=4, logging_steps=2
    )
    trainer.train()
    assert len(store.list_runs()) == 1
    run = store.get_run(callback.run_uid)
    assert (run.status, run.last_step) == ("finished", 4)
    with store.session() as session:
        attempts = session.query(store.models.Attempt).order_by(store.models.Attempt.attempt).all()
        assert [(a.start_step, a.last_step, a.status) for a in attempts] == [(-1, 2, "failed"), (-1, 4, "finished")]
        assert attempts[0].error == "RuntimeError: CUDA out of memory."
        assert attempts[1].resumed_from is None
    size = run.environment["train_batch_size"]
    assert size == trainer.state.train_batch_size < run.hyperparams["per_device_train_batch_size"]
    steps = store.list_step_logs(run)
    assert steps["step"].to_list() == [1, 2, 3, 4]
    assert set(steps["tokens"]) == {12}


# --- Several of us, several ways in -----------------------------------------------------------------------------------


def test_a_second_callback_on_one_trainer_records_nothing(local_store, make_trainer, caplog):
    """Of two callbacks one records, and a warning says so."""
    first, second = TrainStoreCallback(local_store), TrainStoreCallback(local_store)
    trainer = make_trainer(callbacks=[first, second], max_steps=2, eval_dataset=tokens(4))
    trainer.train()
    trainer.evaluate()
    assert len(local_store.list_runs()) == 1
    assert first.run is not None
    assert second.run is None
    assert caplog.text.count("two TrainStoreCallbacks") == 1


def test_report_to_trainstore_needs_no_callback(make_trainer, monkeypatch, tmp_path):
    """report_to="trainstore" records into TRAINSTORE_URL under TRAINSTORE_PROJECT and TRAINSTORE_RUN_NAME."""
    monkeypatch.setenv("TRAINSTORE_URL", str(tmp_path / "reported.db"))
    monkeypatch.setenv("TRAINSTORE_PREFIX", "mine_")
    monkeypatch.setenv("TRAINSTORE_PROJECT", "from the environment")
    monkeypatch.setenv("TRAINSTORE_RUN_NAME", "named")
    make_trainer(report_to="trainstore", max_steps=2).train()
    with TrainStore(tmp_path / "reported.db", table_name_prefix="mine_") as store:
        runs = store.list_runs()
        assert (runs["project"][0], runs["name"][0], runs["status"][0]) == ("from the environment", "named", "finished")
        assert len(store.list_step_logs(runs["uid"][0])) == 2


def test_the_callback_that_was_given_a_store_wins_over_report_to(local_store, make_trainer, monkeypatch, tmp_path):
    """report_to="trainstore" beside a callback: the callback that names a store records."""
    monkeypatch.setenv("TRAINSTORE_URL", str(tmp_path / "unused.db"))
    callback = TrainStoreCallback(local_store)
    make_trainer(callbacks=[callback], report_to="trainstore", max_steps=2).train()
    assert len(local_store.list_step_logs(callback.run_uid)) == 2
    assert not (tmp_path / "unused.db").exists()


def test_record_sees_a_failure_outside_the_epochs(local_url, local_store, make_trainer):
    """``with record(trainer, store)`` does without the frame walk and marks what fails before the first epoch."""

    class FailsFirst(Trainer):
        def _evaluate(self, *args, **kwargs):
            raise Crash("in the evaluation at the start")

    trainer = make_trainer(trainer_class=FailsFirst, eval_on_start=True, eval_dataset=tokens(4))
    with pytest.raises(Crash), record(trainer, local_url, name="recorded") as callback:
        trainer.train()
    run = local_store.get_run(callback.run_uid)
    assert (run.name, run.status, run.error) == ("recorded", "failed", "Crash: in the evaluation at the start")
    assert callback not in trainer.callback_handler.callbacks


def test_record_records_a_whole_training(local_url, local_store, make_trainer):
    """Inside the block every step has its loss; total_flos is there although another callback took it out."""
    trainer = make_trainer(max_steps=4)

    class Pops(TrainerCallback):
        def on_log(self, args, state, control, logs, **kwargs):
            logs.pop("total_flos", None)

    trainer.add_callback(Pops())
    with record(trainer, local_url) as callback:
        trainer.train()
    run = local_store.get_run(callback.run_uid)
    assert run.status == "finished"
    assert local_store.list_step_logs(run)["loss"].notna().sum() == 4
    assert run.metrics["total_flos"] > 0


def test_a_callback_whose_trainer_cannot_be_found_records_the_logs(local_store, make_trainer, monkeypatch, caplog):
    """Without the trainer there are the window means, one warning, and the source says so."""
    monkeypatch.setattr("trainstore.integrations.transformers.callback.calling_trainer", lambda callback: None)
    callback = TrainStoreCallback(local_store)
    make_trainer(callbacks=[callback]).train()
    steps = local_store.list_step_logs(callback.run_uid)
    assert len(steps) == 10
    assert "loss" not in steps
    assert steps["loss_window"].notna().sum() == 2
    assert local_store.get_run(callback.run_uid).environment["loss_source"] == "logs"
    assert caplog.text.count("the Trainer was not found") == 1


def test_disabled_by_the_environment(local_store, make_trainer, monkeypatch):
    """TRAINSTORE_DISABLED=1: the training runs, and nothing is recorded or opened."""
    monkeypatch.setenv("TRAINSTORE_DISABLED", "1")
    trainer = make_trainer(callbacks=[TrainStoreCallback(local_store)], max_steps=2, eval_dataset=tokens(4))
    trainer.train()
    trainer.evaluate()
    assert local_store.list_runs().empty
    assert not is_wrapped(trainer)
