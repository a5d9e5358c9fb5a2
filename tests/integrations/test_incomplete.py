"""What cannot be read of a training costs itself, never the recording: it is told once, and the run says so."""

import threading
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from transformers import TrainingArguments, default_data_collator

from fixtures.trainers import build_trainer, gpt2, tokens
from trainstore.integrations.transformers import TrainStoreCallback
from trainstore.integrations.transformers.checkpoint import output_dir_of
from trainstore.integrations.transformers.incomplete import Incomplete
from trainstore.integrations.transformers.losses import DirectLoss, RingLoss
from trainstore.integrations.transformers.steps import StepRecorder
from trainstore.integrations.transformers.wrappers import Wrappers


class HiddenTokens(dict):
    """A batch that lets its tokens be read by the model alone."""

    def get(self, key, default=None):
        raise RuntimeError("ask the model")


class Unsized(list):
    """A data set that hides its columns, and whose fingerprint cannot be had."""

    @property
    def column_names(self):
        raise ValueError("not yet known")

    @property
    def _fingerprint(self):
        raise OSError("its files are gone")


class Unprintable:
    """A value, or a name, that has no text."""

    def __repr__(self):
        raise RuntimeError("not yet")


@dataclass
class Arguments(TrainingArguments):
    """Arguments with one that cannot be read."""

    secretive: int = 1

    def __getattribute__(self, name):
        if name == "secretive":
            raise RuntimeError("set it first")
        return super().__getattribute__(name)


@pytest.fixture
def unreadable(tmp_path):
    """A trainer of which nearly everything hides one field."""
    model = gpt2()
    model.config.lock = threading.Lock()  # cannot be copied
    return build_trainer(
        tmp_path,
        model=model,
        max_steps=8,
        train_dataset=Unsized(tokens(16)),
        arguments_class=Arguments,
        data_collator=lambda examples: HiddenTokens(default_data_collator(examples)),
    )


MISSING = [
    "dbh.train_columns",
    "dbh.train_fingerprint",
    "hp.odd",
    "hp.secretive",
    "mth.lock",
    "tokens",
]


def test_what_cannot_be_read_costs_itself_and_the_run_says_so(store, unreadable, caplog):
    """Each such field is missing, named once in the log and in env.incomplete; all others are there, at every step."""
    hyperparams = {"odd": [1, Unprintable()], "even": 2, Unprintable(): 3}
    callback = TrainStoreCallback(store, hyperparams=hyperparams)
    unreadable.add_callback(callback)
    unreadable.train()
    run = store.get_run(callback.run_uid)
    assert run.status == "finished"
    assert run.environment["incomplete"] == MISSING
    assert run.hyperparams["max_steps"] == 8
    assert "secretive" not in run.hyperparams
    assert (run.hyperparams["odd"][0], run.hyperparams["even"], run.hyperparams["<Unprintable>"]) == (1, 2, 3)
    assert (run.model_hyperparams["n_embd"], run.model_hyperparams["model_type"]) == (16, "gpt2")
    assert "lock" not in run.model_hyperparams
    assert run.data_hyperparams == {"train_class": "Unsized", "train_size": 16}
    steps = store.list_step_logs(run)
    assert len(steps) == 8
    assert steps[["loss", "grad_norm", "learning_rate", "epoch", "step_time"]].notna().all().all()
    ours = [record.getMessage() for record in caplog.records if record.name == "trainstore"]
    assert [sum(message.count(name) for message in ours) for name in MISSING] == [1] * len(MISSING)
    assert "mth.lock (TypeError)" in caplog.text
    assert "stops recording" not in caplog.text


def test_a_complete_run_says_nothing(local_store, make_trainer):
    """Where all could be read there is no env.incomplete."""
    callback = TrainStoreCallback(local_store)
    make_trainer(callbacks=[callback], max_steps=1).train()
    assert "incomplete" not in local_store.get_run(callback.run_uid).environment


@pytest.fixture
def recorder(local_store):
    """The steps of a run, on the CPU."""
    with local_store.start_run(name="steps") as run:
        yield StepRecorder(run, DirectLoss(), 0, Incomplete(run).lose)


def recorded(recorder, store):
    recorder.run.flush()
    log = store.list_step_logs("steps").drop(columns="step_time")
    return [{key: value for key, value in row.items() if value == value} for row in log.to_dict("records")]


BAD_LOSSES = {
    "two losses": torch.zeros(2),
    "None": None,
    "a dict": {"loss": 1.0},
}


@pytest.mark.parametrize("loss", BAD_LOSSES.values(), ids=BAD_LOSSES)
def test_a_loss_that_is_not_a_number_costs_this_step_its_loss(recorder, local_store, loss, caplog):
    """The rest of the step is recorded, the next step is whole, and one warning names the loss."""
    batch = {"input_ids": torch.ones(2, 3)}
    for step, value in enumerate((loss, loss, torch.tensor(0.5)), start=1):
        recorder.add_loss(value)
        recorder.add_inputs(batch)
        recorder.add_grad_norm(torch.tensor(2.0))
        recorder.before_optimizer(SimpleNamespace(param_groups=[{"lr": 0.1}]))
        recorder.end_step(step, 0.5)
    rest = {"epoch": 0.5, "grad_norm": 2.0, "learning_rate": 0.1, "tokens": 6}
    rows = recorded(recorder, local_store)
    found = [{key: value for key, value in row.items() if key in (*rest, "step", "loss")} for row in rows]
    assert found == [{"step": 1, **rest}, {"step": 2, **rest}, {"step": 3, "loss": 0.5, **rest}]
    assert local_store.get_run("steps").environment["incomplete"] == ["loss"]
    assert caplog.text.count("loss (") == 1


def test_a_learning_rate_that_cannot_be_read_costs_no_other(local_store):
    """Groups are read one by one; what an earlier step was made with is never shown for a later one."""
    with local_store.start_run(name="rates") as run:
        recorder = StepRecorder(run, None, 0, Incomplete(run).lose)
        good, bad = {"lr": 0.5}, {"lr": "fast"}
        for step, groups in enumerate(([good, bad, {"lr": 0.25}], [bad, good], []), start=1):
            recorder.before_optimizer(SimpleNamespace(param_groups=groups))
            recorder.end_step(step, 0.0)
        recorder.before_optimizer(None)
        recorder.end_step(4, 0.0)
    log = local_store.list_step_logs("rates").set_index("step")
    assert log["learning_rate"].dropna().to_dict() == {1: 0.5}
    assert log["learning_rate_1"].dropna().to_dict() == {2: 0.5}
    assert log["learning_rate_2"].dropna().to_dict() == {1: 0.25}
    assert len(log) == 4
    assert local_store.get_run("rates").environment["incomplete"] == ["learning_rate", "learning_rate_1"]


def test_another_attempt_keeps_what_is_missing(local_store, caplog):
    """A training that goes on does not tell again what it lacks, and the run's list only grows."""
    with local_store.start_run(name="again") as run:
        first = Incomplete(run)
        first.lose("tokens", ValueError())
        second = first.go_on(run)
        second.lose("tokens", ValueError())
        second.lose("loss", ValueError())
    assert local_store.get_run("again").environment["incomplete"] == ["loss", "tokens"]
    assert caplog.text.count("tokens") == 1


class Refuses:
    """An object that lets nothing be replaced on it."""

    __slots__ = ()

    def method(self):
        return 1


def test_an_object_that_refuses_a_wrapper_is_left_as_it_is():
    """Nothing is raised, and its method is its own."""
    one = Refuses()
    assert Wrappers().wrap(one, "method", lambda original: lambda: 2) is False
    assert one.method() == 1


def test_the_current_folder_may_be_gone(tmp_path, monkeypatch):
    """A relative output_dir that cannot be resolved stays as it is, and is no reason to record nothing."""
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert output_dir_of(SimpleNamespace(output_dir="out")) == "out"


def test_a_device_without_room_for_the_losses_costs_them_alone(local_store, make_trainer, monkeypatch, caplog):
    """What keeps the losses on a device cannot be made there: the means are recorded, and all the facts."""

    def fails():
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("trainstore.integrations.transformers.losses.DirectLoss", fails)
    callback = TrainStoreCallback(local_store)
    make_trainer(callbacks=[callback], max_steps=4, logging_steps=2).train()
    run = local_store.get_run(callback.run_uid)
    log = local_store.list_step_logs(run)
    assert (len(log), log["loss_window"].count(), "loss" in log) == (4, 2, False)
    assert (run.environment["loss_source"], run.environment["incomplete"]) == ("logs", ["loss"])
    assert run.data_hyperparams["train_size"] == 64
    assert "loss (OutOfMemoryError)" in caplog.text


def test_a_device_that_fails_costs_its_last_losses_alone(local_store, monkeypatch):
    """What the ring still held is missing; the steps, and what the Trainer logs, are recorded."""
    ring = RingLoss("cpu")

    def fails(tensor):
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(ring, "_copy_to_host", fails)
    with local_store.start_run(name="device") as run:
        recorder = StepRecorder(run, ring, 0, Incomplete(run).lose)
        recorder.add_loss(torch.tensor(1.0))
        recorder.end_step(1, 0.5)
        recorder.log({"loss": 1.0, "learning_rate": 0.1, "reward": 2.0}, 1)
    (row,) = local_store.list_step_logs("device").to_dict("records")
    assert (row["reward"], row["loss_window"], row["epoch"]) == (2.0, 1.0, 0.5)
    assert local_store.get_run("device").environment["incomplete"] == ["loss"]
