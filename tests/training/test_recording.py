"""A `Trainer` with a store: what its run holds, and how it ends."""

import copy
import logging

import pytest
import torch
from torch import nn
from transformers import TrainerCallback

from fixtures.torch_models import adam, classifier, loader, same, weights
from fixtures.trainers import Crash, CrashAt, gpt2, tokens
from trainstore.callbacks import GradLogger
from trainstore.integrations.transformers import TrainStoreCallback, record
from trainstore.integrations.transformers.losses import RingLoss
from trainstore.training import Trainer

CROSS_ENTROPY = nn.CrossEntropyLoss()


def trainer_of(store, *, kind=Trainer, model=None, **options):
    """A trainer for the classifier, whose run is called "run"."""
    model = classifier() if model is None else model
    return kind(model, adam(model), CROSS_ENTROPY, device="cpu", store=store, name="run", **options)


def losses_norms_and_rates(epochs, accumulation, max_norm):
    """What a plain loop computes at each step, with a learning rate that falls at each."""
    model = classifier()
    optimizer = adam(model)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.9)
    rows = []
    for _ in range(epochs):
        batches = list(loader())
        for start in range(0, len(batches), accumulation):
            group = batches[start : start + accumulation]
            total = torch.zeros(())
            for inputs, targets in group:
                loss = CROSS_ENTROPY(model(inputs), targets) / len(group)
                loss.backward()
                total = total + loss.detach()
            norm = nn.utils.clip_grad_norm_(model.parameters(), max_norm)
            samples = sum(len(inputs) for inputs, _ in group)
            rows.append((total.item(), norm.item(), optimizer.param_groups[0]["lr"], samples))
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    return rows


@pytest.mark.parametrize("reads", ["at once", "later"])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_every_step_is_recorded_as_it_was(store, monkeypatch, accumulation, reads):
    """Its loss over all micro-batches, the norm before clipping, the rate it was made with, its examples, its time."""
    if reads == "later":  # as on an accelerator
        monkeypatch.setattr("trainstore.integrations.transformers.losses.DirectLoss", lambda: RingLoss("cpu"))
    model = classifier()
    optimizer = adam(model)
    config = {"max_grad_norm": 0.5, "gradient_accumulation_steps": accumulation, "scheduler_step_per_batch": True}
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.9)
    Trainer(model, optimizer, CROSS_ENTROPY, config, "cpu", schedule, store=store, name="run").train(loader(), 2)
    expected = losses_norms_and_rates(2, accumulation, 0.5)
    log = store.list_step_logs("run")
    assert log["step"].tolist() == list(range(1, len(expected) + 1))
    assert log["loss"].tolist() == pytest.approx([row[0] for row in expected], abs=1e-7)
    assert log["grad_norm"].tolist() == [row[1] for row in expected]
    assert log["learning_rate"].tolist() == [row[2] for row in expected]
    assert log["samples"].tolist() == [row[3] for row in expected]
    assert log["epoch"].tolist()[-1] == 2.0
    assert (log["step_time"] > 0).all()
    assert (log["data_time"] >= 0).all()
    assert "incomplete" not in store.get_run("run").environment


def test_a_norm_is_recorded_without_clipping(store):
    """It costs a pass over the gradients, and changes none of them."""
    trainer = trainer_of(store)
    trainer.train(loader(), 1)
    alone = trainer_of(None)
    alone.train(loader(), 1)
    assert same(weights(trainer.model), weights(alone.model))
    assert (store.list_step_logs("run")["grad_norm"] > 0).all()


def test_tokens_are_counted_if_there_are_any(store):
    """A model of transformers with its own loss."""
    model = gpt2()
    data = torch.utils.data.DataLoader(tokens(8), batch_size=2)
    Trainer(model, adam(model), None, device="cpu", store=store, name="run").train(data, 1)
    log = store.list_step_logs("run")
    assert log["tokens"].tolist() == [24] * 4
    assert "samples" not in log
    run = store.get_run("run")
    assert run.model_hyperparams["model_type"] == "gpt2"
    assert run.hyperparams["optimizer"] == "AdamW"


def test_the_run_says_what_was_trained_and_where(store):
    """The config as it was given, optimizer and plan; the model, the data, the machine."""
    config = {"training": {"max_grad_norm": 1.0, "weight_decay": 0.1}, "model": {"hidden": 8}}
    trainer = trainer_of(store, config=config, project="lines", tags=["small"], hyperparams={"mine": 3})
    trainer.train(loader(), 1, loader())
    run = store.get_run("run")
    assert (run.status, run.source, run.project) == ("finished", "trainstore", "lines")
    expected = {
        **config,
        "mine": 3,
        "optimizer": "AdamW",
        "learning_rate": 1e-2,
        "weight_decay": 0.1,
        "num_epochs": 1,
        "batch_size": 4,
    }
    assert {name: run.hyperparams[name] for name in expected} == expected
    expected = {
        "device": "cpu",
        "world_size": 1,
        "precision": "fp32",
        "train_batch_size": 4,
        "loss_source": "micro_batch",
    }
    assert {name: run.environment[name] for name in expected} == expected
    assert run.model_hyperparams["model_class"] == "Sequential"
    assert run.model_hyperparams["num_parameters"] == sum(one.numel() for one in trainer.model.parameters())
    assert run.data_hyperparams["train_size"] == run.data_hyperparams["eval_size"] == 20
    assert trainer.run_uid == run.uid


def test_precision_is_that_of_the_training(store):
    """And the loss is a number of float32."""
    trainer_of(store, mixed_precision="bf16").train(loader(), 1)
    assert store.get_run("run").environment["precision"] == "bf16"
    assert store.list_step_logs("run")["loss"].notna().all()


def test_evaluations_stand_in_the_rows_of_their_steps(store):
    """The means of an epoch, too, and the mean loss since the last log, with the steps that it is of."""
    history = trainer_of(store, config={"eval_steps": 3}).train(loader(), 2, loader())
    log = store.list_step_logs("run", details=True).set_index("step")
    assert log.index[log["eval_loss"].notna()].tolist() == [3, 5, 6, 9, 10]
    assert log["train_loss"].dropna().tolist() == history["train_loss"]
    assert log["eval_loss"].loc[[5, 10]].tolist() == history["eval_loss"]
    assert log["loss_window"].dropna().index.tolist() == [5, 10]
    assert log["loss_window"].loc[10] == pytest.approx(log["loss"].loc[6:10].mean())
    assert log["details"].loc[10]["loss_window"] == {"first_step": 6, "last_step": 10}
    assert not any("earlier" in (details or {}) for details in log["details"])


def test_an_evaluation_outside_a_training_sends_no_event(store):
    """What it returns is the user's to record."""
    trainer = trainer_of(store)
    trainer.train(loader(), 1)
    trainer.evaluate(loader())
    assert "eval_loss" not in store.list_step_logs("run")
    assert len(store.list_runs()) == 1


class Measuring(Trainer):
    """A step that returns more than its loss."""

    extra: dict = {}

    def train_step(self, batch):
        return {**super().train_step(batch), **self.extra}


def test_what_a_step_returns_beside_its_loss_is_recorded(store):
    """The mean over the micro-batches."""

    class Counting(Trainer):
        def train_step(self, batch):
            metrics = super().train_step(batch)
            Counting.count = getattr(Counting, "count", -1.0) + 1
            return {**metrics, "count": Counting.count}

    trainer_of(store, kind=Counting, gradient_accumulation_steps=2).train(loader(), 1)
    assert store.list_step_logs("run")["count"].tolist() == [0.5, 2.5, 4.0]


@pytest.mark.parametrize("log_steps", [1, 500])
def test_a_name_that_is_ours_keeps_our_value(store, log_steps):
    """Whether the step is recorded alone or with the log that follows it; tensors are read."""

    class Own(Measuring):
        extra = {"step_time": -1.0, "epoch": -1.0, "learning_rate": -1.0, "margin": torch.tensor(0.5)}

    trainer_of(store, kind=Own, config={"logging_steps": log_steps}).train(loader(), 1)
    log = store.list_step_logs("run")
    assert log["learning_rate"].tolist() == [1e-2] * 5
    assert (log["step_time"] > 0).all()
    assert log["epoch"].tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert log["margin"].tolist() == [0.5] * 5


@pytest.mark.parametrize("max_norm", [None, 0.1])
def test_the_gradient_loggers_total_is_the_recorded_norm(store, max_norm):
    """Before clipping, over all micro-batches."""
    config = {"max_grad_norm": max_norm, "gradient_accumulation_steps": 2}
    trainer_of(store, config=config, callbacks=[GradLogger(log_frequency=1)]).train(loader(), 2)
    log = store.list_step_logs("run")
    assert len(log) == 6
    assert log["grad_norm_total"].tolist() == pytest.approx(log["grad_norm"].tolist(), rel=1e-6)
    assert (log["grad_norm_total"] > 0.1).any()


# --- Ends -------------------------------------------------------------------------------------------------------------


class FailsInForward(nn.Module):
    """A model that raises at its third call."""

    def __init__(self):
        super().__init__()
        self.inner, self.calls = classifier(), 0

    def forward(self, inputs):
        self.calls += 1
        if self.calls == 3:
            raise Crash("the model")
        return self.inner(inputs)


class FailingAdam(torch.optim.AdamW):
    """An optimizer that raises at its third step."""

    calls = 0

    def step(self, closure=None):
        self.calls += 1
        if self.calls == 3:
            raise Crash("the optimizer")
        return super().step(closure)


def failing_batches():
    """Two batches, then an error."""
    yield from list(loader())[:2]
    raise Crash("the loader")


class Batches:
    """A loader of such batches."""

    def __iter__(self):
        return failing_batches()


@pytest.mark.parametrize("where", ["model", "optimizer", "callback", "loader", "function", "evaluation"])
def test_an_exception_anywhere_fails_the_run(store, where):
    """The steps that were made are there; the exception is an event; the loop's methods are put back."""
    model = FailsInForward() if where == "model" else classifier()
    optimizer = FailingAdam(model.parameters()) if where == "optimizer" else adam(model)
    kind, functions = Trainer, []
    if where == "evaluation":

        class kind(Trainer):
            def eval_step(self, batch):
                raise Crash("the evaluation")

    if where == "function":

        def functions_raise(trainer, epoch, metrics):
            raise Crash("the function")

        functions = [functions_raise]
    trainer = kind(model, optimizer, CROSS_ENTROPY, device="cpu", store=store, name="run")
    if where == "callback":
        trainer.add_callback(CrashAt(3, Crash("the callback")))
    data = Batches() if where == "loader" else loader()
    with pytest.raises(Crash):
        trainer.train(data, 2, loader(), callbacks=functions)
    run = store.get_run("run")
    assert (run.status, run.error) == ("failed", f"Crash: the {where}")
    steps = {"callback": 3, "function": 5, "evaluation": 5}.get(where, 2)
    assert store.list_step_logs("run")["loss"].count() == steps
    assert store.list_events(run, kind="exception")["step"].tolist() == [steps]
    assert not {"micro_batch", "run_epoch", "save", "clip_grad_norm"} & set(vars(trainer.loop))


def test_ctrl_c_interrupts_the_run(store):
    """And the next training of the same trainer is a run of its own."""
    trainer = trainer_of(store, callbacks=[CrashAt(3, KeyboardInterrupt())])
    with pytest.raises(KeyboardInterrupt):
        trainer.train(loader(), 1)
    assert store.get_run("run").status == "interrupted"
    trainer.pop_callback(CrashAt)
    trainer.train(loader(), 1)
    assert store.list_runs()["status"].value_counts().to_dict() == {"finished": 1, "interrupted": 1}


def test_a_training_that_meets_nan_has_failed(store, tmp_path, caplog):
    """With the step and the last good checkpoint, and not as an early stop."""
    caplog.set_level(logging.CRITICAL, "trainstore")
    batches = [list(batch) for batch in loader()]

    class Later(list):
        epoch = 0

        def __iter__(self):
            self.epoch += 1
            for index, (inputs, targets) in enumerate(list.__iter__(self)):
                yield (inputs * float("nan") if self.epoch == 2 and index == 1 else inputs), targets

    trainer = trainer_of(store, config={"check_for_nan": True})
    trainer.train(Later(batches), 5, save_dir=tmp_path)
    run = store.get_run("run")
    saved = str(tmp_path / "checkpoint_epoch_1.pt")
    assert run.status == "failed"
    assert run.error == f"the loss of step 7 is NaN; the last checkpoint is {saved}"
    events = store.list_events(run).set_index("kind")
    assert events.loc["nan", "step"] == 7
    assert events.loc["nan", "details"]["checkpoint"] == saved
    assert "early_stop" not in events.index


def test_checkpoints_the_best_model_and_an_early_stop_are_events(store, tmp_path):
    """Each with the file that was really written."""
    model = classifier()
    trainer = Trainer(model, adam(model, 0.0), CROSS_ENTROPY, device="cpu", store=store, name="run")
    trainer.train(loader(), 9, loader(), save_dir=tmp_path / "out", save_freq=2, early_stopping_patience=2)
    events = store.list_events("run")
    found = [(kind, step) for kind, step in zip(events["kind"], events["step"], strict=True)]
    assert found[:4] == [("checkpoint", 5), ("checkpoint", 10), ("early_stop", 15), ("best_model", 5)]
    assert found[4:] == [("no_improvement", 15)]
    best = {"metric": "eval_loss", "mode": "min", "best": trainer.state.best_metric, "best_step": 5, "patience": 2}
    assert events["details"][4] == best
    paths = [details["path"] for details in events["details"][:2]]
    assert paths == [str(tmp_path / "out" / name) for name in ("best_model.pt", "checkpoint_epoch_2.pt")]
    assert events["details"][3] == {
        "path": str(tmp_path / "out" / "best_model.pt"),
        "metric": trainer.state.best_metric,
        "step": 5,
    }
    assert store.get_run("run").status == "finished"


# --- Again ------------------------------------------------------------------------------------------------------------


def test_a_resumed_training_is_the_next_attempt(store, tmp_path):
    """Steps after the checkpoint were made twice; each is shown once, and all are those of the unbroken training."""
    broken = trainer_of(store, callbacks=[CrashAt(8)])
    with pytest.raises(Crash):
        broken.train(loader(), 3, save_dir=tmp_path)
    resumed = trainer_of(store, model=classifier(5))
    resumed.train(loader(), 3, save_dir=tmp_path, resume_from=True)
    whole = Trainer(model := classifier(), adam(model), CROSS_ENTROPY, device="cpu", store=store, name="whole")
    whole.train(loader(), 3, save_dir=tmp_path / "whole")
    run = store.get_run("run")
    assert len(store.list_runs()) == 2
    assert (run.status, len(store.list_attempts(run))) == ("finished", 2)
    log, expected = store.list_step_logs("run"), store.list_step_logs("whole")
    for column in ("step", "loss", "grad_norm", "learning_rate", "train_loss"):
        assert log[column].dropna().tolist() == expected[column].dropna().tolist(), column
    assert same(weights(resumed.model), weights(whole.model))


def test_two_trainings_of_one_trainer_are_two_runs(store):
    """Each with its own steps."""
    trainer = trainer_of(store)
    trainer.train(loader(), 1)
    first = trainer.run_uid
    trainer.train(loader(), 2)
    runs = store.list_runs().set_index("uid")["last_step"].to_dict()
    assert runs == {first: 5, trainer.run_uid: 10}


class TrainsAnother(TrainerCallback):
    """Trains something else in the middle of a training."""

    def __init__(self, other):
        self.other = other

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 3:
            self.other.train(loader(), 1)


def test_a_training_inside_another_keeps_its_own_run(store):
    """Also if both are the same to look at, and share their recorder."""
    recorder = TrainStoreCallback(store)
    inner = trainer_of(None, callbacks=[recorder])
    outer = trainer_of(None, callbacks=[recorder, TrainsAnother(inner)])
    outer.train(loader(), 2)
    assert sorted(store.list_runs()["last_step"]) == [5, 10]
    assert set(store.list_runs()["status"]) == {"finished"}
    for uid in store.list_runs()["uid"]:
        assert store.list_step_logs(uid)["loss"].notna().all()


def test_a_copy_of_a_trainer_records_a_run_of_its_own(store):
    """In the middle of a training, too: neither reaches into the other."""

    class Copies(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 3:
                Copies.copied = copy.deepcopy(trainer)

        def __deepcopy__(self, memo):
            return self

    trainer = trainer_of(store, callbacks=[Copies()])
    trainer.train(loader(), 1)
    twin, first = Copies.copied, trainer.run_uid
    before = weights(trainer.model)
    twin.pop_callback(Copies)
    twin.train(loader(), 2)
    assert same(weights(trainer.model), before)
    runs = store.list_runs().set_index("uid")["last_step"].to_dict()
    assert runs == {first: 5, twin.run_uid: 10}
    assert store.list_step_logs(twin.run_uid)["loss"].count() == 10


def test_record_records_one_block(store):
    """The trainer had no store, and has none after it."""
    trainer = trainer_of(None)
    before = len(trainer.loop.callbacks)
    with record(trainer, store, name="block"):
        trainer.train(loader(), 1)
    assert store.list_step_logs("block")["loss"].count() == 5
    assert len(trainer.loop.callbacks) == before
    with pytest.raises(Crash), record(trainer, store, name="failed"):
        trainer.train(loader(), 1, callbacks=[CrashAt(2)])
    assert store.get_run("failed").status == "failed"


def test_recording_that_fails_stops_no_training(store, caplog, monkeypatch):
    """A recorder that fails at each step: the weights are those without it."""

    def fail(*args, **kwargs):
        raise RuntimeError("ours")

    monkeypatch.setattr("trainstore.integrations.transformers.steps.StepRecorder.end_step", fail)
    trainer = trainer_of(store)
    trainer.train(loader(), 2)
    alone = trainer_of(None)
    alone.train(loader(), 2)
    assert same(weights(trainer.model), weights(alone.model))
    assert "10 steps between 1 and 10 were not recorded" in caplog.text


def test_the_best_models_path_is_a_whole_one(store, tmp_path, monkeypatch):
    """Also of a relative folder: an event is read from anywhere."""
    monkeypatch.chdir(tmp_path)
    trainer_of(store).train(loader(), 1, loader(), save_dir="out")
    assert [details["path"] for details in store.list_events("run", kind="best_model")["details"]] == [
        str(tmp_path / "out" / "best_model.pt")
    ]
