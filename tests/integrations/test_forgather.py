"""Forgather's trainer, by a stand-in: its steps with their losses, evaluations, checkpoints, ends and resuming."""

import json
from pathlib import Path

import pytest
import torch
from transformers import TrainerCallback

from fixtures.forgather import Trainer, TrainingArguments
from fixtures.trainers import Crash, CrashAt, gpt2, tokens
from trainstore.integrations.transformers import TrainStoreCallback, record
from trainstore.integrations.transformers.losses import RingLoss


def forgather(folder, *callbacks, examples=16, later=False, **arguments):
    """A trainer of a tiny model: 8 batches of 2 examples an epoch."""
    torch.set_num_threads(1)
    return Trainer(
        gpt2(),
        TrainingArguments(output_dir=str(folder), **arguments),
        tokens(examples),
        tokens(4),
        list(callbacks),
        later=later,
    )


class Seen(TrainerCallback):
    """What the trainer's own methods returned, read by somebody else."""

    def __init__(self):
        self.losses, self.norms, self.rates, self.logs = {}, {}, {}, []

    def on_train_begin(self, args, state, control, **kwargs):
        trainer = self.trainer
        original = trainer._train_step

        def step(batches):
            rate = trainer.optimizer.param_groups[0]["lr"]
            loss, norm, *_ = result = original(batches)
            number = trainer.state.global_step + 1
            self.losses[number], self.norms[number], self.rates[number] = loss.item(), norm.item(), rate
            return result

        trainer._train_step = step

    def on_log(self, args, state, control, logs, **kwargs):
        self.logs.append(dict(logs))


@pytest.mark.parametrize("reads", ["at once", "later"])
@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_every_step_has_its_loss(store, tmp_path, monkeypatch, accumulation, later, reads):
    """Loss, gradient norm and learning rate of each step, as the trainer computed them; the loss summed as it does."""
    if reads == "later":  # as on an accelerator
        monkeypatch.setattr("trainstore.integrations.transformers.losses.DirectLoss", lambda: RingLoss("cpu"))
    seen = Seen()
    callback = TrainStoreCallback(store, name="steps")
    trainer = seen.trainer = forgather(
        tmp_path,
        seen,
        callback,
        num_train_epochs=2,
        gradient_accumulation_steps=accumulation,
        later=later,
    )
    trainer.train()
    run = store.get_run("steps")
    log = store.list_step_logs(run).set_index("step")
    last = 16 // accumulation
    assert log.index.to_list() == list(range(1, last + 1))
    assert log["loss"].to_dict() == pytest.approx(seen.losses)
    assert log["grad_norm"].to_dict() == pytest.approx(seen.norms)
    assert log["learning_rate"].to_dict() == pytest.approx(seen.rates)
    assert set(log["tokens"]) == {2 * 12 * accumulation}
    assert log["step_time"].notna().all()
    assert log["data_time"].notna().all()
    assert (run.status, run.source, run.error) == ("finished", "forgather", None)
    assert run.environment["loss_source"] == "train_step"
    assert "incomplete" not in run.environment
    assert store.list_events(run, kind="exception").empty  # an epoch's end is a StopIteration, and no failure


def test_what_it_logs_stands_beside_the_steps_own_values(store, tmp_path):
    """Means since its last log are `…_window`, the learning rate of the next step is called that, epochs are kept."""
    seen = Seen()
    seen.trainer = forgather(tmp_path, seen, TrainStoreCallback(store, name="logs"), logging_steps=2)
    seen.trainer.train()
    log = store.list_step_logs("logs", details=True).set_index("step")
    logged = log[log["loss_window"].notna()]
    assert logged.index.to_list() == [2, 4, 6, 8]
    for name, key in (
        ("loss_window", "loss"),
        ("grad_norm_window", "grad_norm"),
        ("max_grad_norm", "max_grad_norm"),
        ("next_learning_rate", "learning_rate"),
        ("epoch", "epoch"),
    ):
        assert logged[name].to_list() == [logs[key] for logs in seen.logs[:4]], name
    assert logged["details"].iloc[1] == {"loss_window": {"first_step": 3, "last_step": 4}}
    assert not any("earlier" in (details or {}) for details in log["details"])
    assert log.loc[8, ["train_steps", "effective_batch_size"]].to_list() == [8, 2]
    assert "metric__step" not in log


def test_losses_that_are_measured_match_the_ones_it_logs(store, tmp_path, caplog):
    """The mean of a window's losses is the logged one: nothing is marked as unverified."""
    forgather(tmp_path, TrainStoreCallback(store, name="check"), gradient_accumulation_steps=2, logging_steps=3).train()
    log = store.list_step_logs("check").set_index("step")
    assert log["loss"].loc[1:3].mean() == pytest.approx(log["loss_window"].loc[3])
    assert store.get_run("check").environment["loss_source"] == "train_step"
    assert [record for record in caplog.records if record.name == "trainstore"] == []


def test_recording_changes_no_bit_of_the_training(local_store, tmp_path):
    """The weights after a recorded training are those after the same training without the callback."""
    alone = forgather(tmp_path / "a", gradient_accumulation_steps=2)
    alone.train()
    recorded = forgather(tmp_path / "b", TrainStoreCallback(local_store), gradient_accumulation_steps=2)
    recorded.train()
    for name, weight in alone.model.state_dict().items():
        assert torch.equal(weight, recorded.model.state_dict()[name]), name


def test_evaluations_are_in_the_rows_of_their_steps(store, tmp_path):
    """They come by on_evaluate only, in a training and after it; the latter joins the run at its last step."""
    trainer = forgather(tmp_path, TrainStoreCallback(store, name="evaluated"), eval_strategy="steps", eval_steps=4)
    trainer.train()
    after = trainer.evaluate()
    log = store.list_step_logs("evaluated", details=True).set_index("step")
    assert log.index[log["eval_loss"].notna()].to_list() == [4, 8]
    assert log.loc[8, "eval_loss"] == after["eval_loss"]
    assert store.list_runs()["status"].to_list() == ["finished"]
    assert store.get_run("evaluated").data_hyperparams["train_size"] == 16


def test_its_arguments_are_hyperparameters(store, tmp_path):
    """Each field by its name, enumerations by their value; device and precision are in the environment."""
    arguments = {"eval_strategy": "epoch", "device": "cpu", "mixed_precision": "bf16", "max_steps": 1}
    forgather(tmp_path, TrainStoreCallback(store, name="arguments", hyperparams={"mine": 1}), **arguments).train()
    run = store.get_run("arguments")
    expected = {**arguments, "logging_strategy": "steps", "learning_rate": 1e-2, "mine": 1}
    assert {name: run.hyperparams[name] for name in expected} == expected
    assert not any(name.startswith("_") for name in run.hyperparams)
    assert (run.environment["device"], run.environment["precision"]) == ("cpu", "bf16")
    assert run.model_hyperparams["model_type"] == "gpt2"


# --- Ends -------------------------------------------------------------------------------------------------------------


class Fails(TrainerCallback):
    """Raises in one event."""

    def __init__(self, event):
        setattr(self, event, self._fail)

    def _fail(self, args, state, control, **kwargs):
        if state.global_step == 3:
            raise Crash("a callback")


@pytest.mark.parametrize("event", ["on_step_begin", "on_optimizer_step", "on_step_end", "on_evaluate", "on_save"])
def test_an_exception_anywhere_in_the_training_fails_the_run(store, tmp_path, event):
    """In a step, between steps, in an evaluation or a save: the run is failed, with the exception as an event."""
    callback = TrainStoreCallback(store)
    trainer = forgather(tmp_path, callback, Fails(event), eval_strategy="steps", eval_steps=3, save_strategy="steps")
    trainer.args.save_steps = 3
    with pytest.raises(Crash):
        trainer.train()
    run = store.get_run(callback.run_uid)
    assert (run.status, run.error) == ("failed", "Crash: a callback")
    assert store.list_events(run, kind="exception")["step"].to_list() == [3]
    assert "_train_step" not in vars(trainer)


class Stops(TrainerCallback):
    """Asks the training to stop after step 3."""

    def __init__(self, request):
        self.request = request

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 3:
            setattr(control, self.request, True)


@pytest.mark.parametrize("request_name", ["should_training_stop", "should_abort_without_save"])
def test_a_training_that_a_callback_stops_is_finished(store, tmp_path, request_name):
    """Both ways to stop leave an event that says so."""
    forgather(tmp_path, TrainStoreCallback(store, name="stopped"), Stops(request_name)).train()
    run = store.get_run("stopped")
    assert (run.status, run.last_step) == ("finished", 3)
    (event,) = store.list_events(run, kind="early_stop").to_dict("records")
    assert (event["step"], event["details"]) == (3, {"max_steps": 8})


class ForgetsTheEnd(Trainer):
    """Sends no on_train_end."""

    def _dispatch_event(self, event, **more):
        return None if event == "on_train_end" else super()._dispatch_event(event, **more)


def test_an_end_that_no_event_tells_is_an_end(store, tmp_path):
    """The run is finished when the training returns, and the next one is another run."""
    trainer = forgather(tmp_path, TrainStoreCallback(store, name="quiet"))
    trainer.__class__ = ForgetsTheEnd
    trainer.train()
    trainer.train()
    runs = store.list_runs()
    assert runs["status"].to_list() == ["finished", "finished"]
    assert runs["last_step"].to_list() == [8, 8]
    assert "_train_step" not in vars(trainer)


def test_the_best_model_loaded_at_the_end_sets_no_step_back(store, tmp_path):
    """The state then counts from the best model's step: summary and events still belong to the last step."""

    class Worse(TrainerCallback):
        def on_step_end(self, args, state, control, optimizer=None, **kwargs):
            if state.global_step >= 4:
                optimizer.param_groups[0]["lr"] = 10.0

    options = {"eval_strategy": "steps", "save_strategy": "steps", "load_best_model_at_end": True}
    trainer = forgather(tmp_path, TrainStoreCallback(store, name="best"), Worse(), **options)
    trainer.train()
    best = trainer.state.global_step
    assert best < 8
    run = store.get_run("best")
    log = store.list_step_logs(run).set_index("step")
    assert (run.status, log.index.to_list()) == ("finished", list(range(1, 9)))
    assert log.index[log["train_steps"].notna()].to_list() == [8]
    assert store.list_events(run, kind="early_stop").empty
    (event,) = store.list_events(run, kind="best_model").to_dict("records")
    assert event["step"] == best
    assert event["details"] == {
        "path": trainer.state.best_model_checkpoint,
        "metric": trainer.state.best_metric,
        "step": best,
    }


@pytest.mark.parametrize("rank", ["0", "1"])
def test_only_the_first_process_records(store, tmp_path, monkeypatch, rank):
    """The arguments name neither the rank nor the number of processes: they come from torchrun's variables."""
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", "2")
    forgather(tmp_path, TrainStoreCallback(store), max_steps=2).train()
    worlds = [store.get_run(uid).environment["world_size"] for uid in store.list_runs()["uid"]]
    assert worlds == ([2] if rank == "0" else [])


def test_record_takes_this_trainer_too(store, tmp_path):
    """For one block; the callback is removed after it."""
    trainer = forgather(tmp_path)
    with record(trainer, store) as callback:
        trainer.train()
    assert store.list_step_logs(callback.run_uid)["loss"].count() == 8
    assert trainer.callbacks == []


def test_a_second_callback_records_nothing(store, tmp_path, caplog):
    """One run, and one warning."""
    forgather(tmp_path, TrainStoreCallback(store, name="one"), TrainStoreCallback(store, name="two")).train()
    assert store.list_runs()["name"].to_list() == ["one"]
    assert caplog.text.count("two TrainStoreCallbacks") == 1


# --- Checkpoints and resuming -----------------------------------------------------------------------------------------


def test_a_checkpoint_is_recorded_where_it_was_written(store, tmp_path):
    """The event has the real folder, and a file in there names the run."""
    forgather(tmp_path, TrainStoreCallback(store, name="saved"), save_strategy="steps", save_steps=3).train()
    run = store.get_run("saved")
    paths = [details["path"] for details in store.list_events(run, kind="checkpoint")["details"]]
    assert paths == [str(tmp_path.resolve() / f"checkpoints/checkpoint-{step}") for step in (3, 6, 8)]
    for path, step in zip(paths, (3, 6, 8), strict=True):
        saved = json.loads((Path(path) / "trainstore.json").read_text())
        assert (saved["run_uid"], saved["step"]) == (run.uid, step)
        assert not list(Path(path).glob(".trainstore*"))


@pytest.mark.parametrize("how", ["newest", "named"])
def test_a_training_resumed_from_a_checkpoint_is_the_next_attempt(store, tmp_path, how):
    """Steps after the checkpoint were trained twice; each is shown once."""
    options = {"save_strategy": "steps", "save_steps": 2, "later": how == "newest"}
    with pytest.raises(Crash):
        forgather(tmp_path, TrainStoreCallback(store, name="resumed"), CrashAt(5), **options).train()
    options["resume_from_checkpoint"] = True if how == "newest" else str(tmp_path / "checkpoints/checkpoint-2")
    trainer = forgather(tmp_path, TrainStoreCallback(store, name="resumed"), **options)
    trainer.train()
    run = store.get_run("resumed")
    assert (run.status, run.error) == ("finished", None)
    assert store.list_runs()["attempts"].to_list() == [2]
    assert store.list_step_logs(run)["step"].to_list() == list(range(1, 9))
    rows = 5 + (4 if how == "newest" else 6)
    assert len(store.list_step_logs(run, attempts="all")) == rows


def test_a_checkpoint_that_names_no_run_begins_a_new_one(store, tmp_path):
    """Without the file, or with one of another step: a new run from the checkpoint's step."""
    forgather(tmp_path, TrainStoreCallback(store, name="first"), save_strategy="steps", save_steps=8).train()
    file = tmp_path / "checkpoints/checkpoint-8/trainstore.json"
    content = json.loads(file.read_text())
    for text in (json.dumps({**content, "step": 7}), json.dumps([1]), "{", json.dumps({"step": 8}), None):
        if text is None:
            file.unlink()
        else:
            file.write_text(text)
        callback = TrainStoreCallback(store)
        forgather(tmp_path, callback, num_train_epochs=2, resume_from_checkpoint=True).train()
        assert store.list_step_logs(callback.run_uid)["step"].to_list() == list(range(9, 17))
    assert len(store.list_runs()) == 6


def test_a_checkpoint_of_another_folder_is_the_parent(store, tmp_path):
    """The run of the checkpoint is named as the parent, as with transformers."""
    forgather(tmp_path / "a", TrainStoreCallback(store, name="parent"), save_strategy="steps", save_steps=8).train()
    checkpoint = str(tmp_path / "a/checkpoints/checkpoint-8")
    callback = TrainStoreCallback(store, name="child")
    forgather(tmp_path / "b", callback, num_train_epochs=2, resume_from_checkpoint=checkpoint).train()
    assert store.get_run("child").parent_uid == store.get_run("parent").uid


class TakesTheName(TrainerCallback):
    """Puts a folder into each checkpoint that is called like our file, which then cannot be written."""

    def on_save(self, args, state, control, **kwargs):
        checkpoint = Path(args.output_dir, f"checkpoints/checkpoint-{state.global_step}")
        (checkpoint / "trainstore.json/mine").mkdir(parents=True, exist_ok=True)


def test_a_checkpoint_that_cannot_be_written_to_costs_only_the_file(local_store, tmp_path):
    """The training goes on, and each checkpoint is an event."""
    callbacks = [TakesTheName(), TrainStoreCallback(local_store, name="full")]
    forgather(tmp_path, *callbacks, save_strategy="steps", save_steps=1).train()
    run = local_store.get_run("full")
    assert (run.status, run.last_step) == ("finished", 8)
    assert set(local_store.list_events(run, kind="checkpoint")["step"]) == set(range(1, 9))
    assert not list(tmp_path.rglob(".trainstore*"))
