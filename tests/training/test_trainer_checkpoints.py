"""What `Trainer` saves, when, and what can be loaded from it."""

import errno
import os

import pytest
import torch
from torch import nn
from transformers import TrainerCallback

from fixtures.torch_models import adam, classifier, loader, same, weights
from trainstore.errors import CheckpointError, InvalidArgumentError
from trainstore.training import Trainer

CROSS_ENTROPY = nn.CrossEntropyLoss()


def trainer_of(model=None, *, scheduler=True, kind=Trainer, **options):
    """A trainer with everything that a checkpoint may hold."""
    model = classifier(dropout=0.2) if model is None else model
    optimizer = adam(model)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.9) if scheduler else None
    return kind(model, optimizer, CROSS_ENTROPY, options.pop("config", None), "cpu", schedule, **options)


class Scripted(Trainer):
    """Its evaluation losses are given."""

    course = (0.5, 0.7, 0.3, 0.9)

    def evaluate(self, dataloader):
        """The next of them."""
        return {"loss": self.course[round(self.state.epoch) - 1]}


def names(folder):
    """The files in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_files_are_named_after_their_epochs_from_1(tmp_path):
    """Every ``save_freq`` epochs, and the best of all."""
    trainer_of(kind=Scripted).train(loader(), 4, loader(), save_dir=tmp_path, save_freq=2)
    assert names(tmp_path) == ["best_model.pt", "checkpoint_epoch_2.pt", "checkpoint_epoch_4.pt"]


def test_the_best_model_is_that_of_the_lowest_loss(tmp_path):
    """Its keys are the reference's: the epoch counts from 0."""
    config = {"training": {"max_grad_norm": 1.0}, "name": "small"}
    trainer = trainer_of(kind=Scripted, config=config)
    seen = {}
    trainer.train(
        loader(),
        4,
        loader(),
        save_dir=tmp_path,
        callbacks=[lambda trainer, epoch, metrics: seen.update({epoch: weights(trainer.model)})],
    )
    saved = torch.load(tmp_path / "best_model.pt", weights_only=True)
    assert saved["epoch"] == 2
    assert saved["metric_value"] == 0.3
    assert saved["config"] == config
    assert same(saved["model_state_dict"], seen[2])
    assert {"optimizer_state_dict", "scheduler_state_dict", "step"} <= saved.keys()
    assert trainer.state.best_model_checkpoint == str(tmp_path / "best_model.pt")
    assert trainer.state.best_global_step == saved["step"] == 15


def test_checkpoints_between_epochs_are_named_after_their_steps(tmp_path):
    """And the oldest are deleted."""
    config = {"training": {"save_steps": 2, "save_total_limit": 2}}
    trainer_of(config=config).train(loader(), 2, save_dir=tmp_path)
    assert names(tmp_path) == ["best_model.pt", "checkpoint_epoch_2.pt", "checkpoint_step_10.pt"]


def test_what_was_saved_is_loaded(tmp_path):
    """Model, optimizer and scheduler, or the model alone; all of it is returned."""
    first = trainer_of()
    first.train(loader(), 2, save_dir=tmp_path)
    second = trainer_of(classifier(seed=9))
    loaded = second.load_checkpoint(tmp_path / "checkpoint_epoch_2.pt")
    assert loaded["epoch"] == 1
    assert same(weights(second.model), weights(first.model))
    assert second.optimizer.param_groups[0]["lr"] == first.optimizer.param_groups[0]["lr"] == pytest.approx(0.0081)
    third = trainer_of(classifier(seed=9))
    third.load_checkpoint(tmp_path / "checkpoint_epoch_2.pt", load_optimizer=False, load_scheduler=False)
    assert same(weights(third.model), weights(first.model))
    assert third.optimizer.param_groups[0]["lr"] == 0.01
    assert third.optimizer.state_dict()["state"] == {}


def test_a_checkpoint_is_saved_by_hand(tmp_path):
    """Outside a training, too."""
    trainer = trainer_of()
    trainer.train_step(next(iter(loader())))
    trainer._save_checkpoint(tmp_path / "mine.pt", 4, metric_value=0.5)
    other = trainer_of(classifier(seed=3))
    saved = other.load_checkpoint(tmp_path / "mine.pt")
    assert (saved["epoch"], saved["metric_value"]) == (4, 0.5)
    assert same(weights(other.model), weights(trainer.model))


def test_no_secret_of_the_config_is_in_a_checkpoint(tmp_path):
    """It may be copied to other people."""
    trainer = trainer_of(config={"api_key": "sk-4242424242424242424242", "width": 8})
    trainer._save_checkpoint(tmp_path / "mine.pt", 0)
    assert b"sk-42424242" not in (tmp_path / "mine.pt").read_bytes()
    assert trainer.load_checkpoint(tmp_path / "mine.pt")["config"] == {"api_key": "[redacted]", "width": 8}
    assert trainer.config["api_key"].startswith("sk-")


def test_a_compiled_model_and_a_plain_one_read_each_others_checkpoints(tmp_path):
    """Its parameters have the names of the model inside."""
    compiled = trainer_of(torch.compile(classifier(dropout=0.2), backend="eager"))
    compiled.train(loader(), 1, save_dir=tmp_path)
    trainer = trainer_of(classifier(seed=4, dropout=0.2))
    trainer.load_checkpoint(tmp_path / "best_model.pt")
    assert same(weights(trainer.model), weights(compiled.model._orig_mod))
    trainer._save_checkpoint(tmp_path / "plain.pt", 0)
    trainer_of(torch.compile(classifier(seed=5, dropout=0.2), backend="eager")).load_checkpoint(tmp_path / "plain.pt")


def test_a_subclass_saves_more(tmp_path):
    """Its override is called for each file."""
    saved = []

    class Own(Trainer):
        def _save_checkpoint(self, path, epoch, metric_value=None):
            saved.append((path.name, epoch))
            super()._save_checkpoint(path, epoch, metric_value)

    trainer_of(kind=Own).train(loader(), 1, save_dir=tmp_path)
    assert saved == [("best_model.pt", 0), ("checkpoint_epoch_1.pt", 0)]


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_resumed_training_is_the_unbroken_one(tmp_path, accumulation):
    """From each checkpoint, of steps and of epochs: weights, history and state are equal bit for bit."""
    config = {"training": {"save_steps": 2, "gradient_accumulation_steps": accumulation}}

    def train(folder, **options):
        torch.manual_seed(4)
        trainer = trainer_of(config=config)
        torch.manual_seed(5)
        return trainer, trainer.train(loader(shuffle=True), 3, loader(), save_dir=folder, **options)

    whole, history = train(tmp_path / "whole")
    found = names(tmp_path / "whole")
    assert len(found) > 5
    for name in found:
        torch.manual_seed(6)
        again, resumed = train(tmp_path / name, resume_from=tmp_path / "whole" / name)
        assert same(weights(again.model), weights(whole.model)), name
        assert resumed == history
        assert again.state.log_history == whole.state.log_history


def test_a_training_of_max_steps_that_is_over_makes_no_more(tmp_path):
    """Wherever in an epoch it has ended."""
    for steps in (4, 5):
        folder = tmp_path / str(steps)
        config = {"training": {"max_steps": steps, "save_steps": 1}}
        whole = trainer_of(config=config)
        history = whole.train(loader(), 3, save_dir=folder)
        again = trainer_of(config=config)
        resumed = again.train(loader(), 3, save_dir=folder, resume_from=folder / f"checkpoint_step_{steps}.pt")
        assert again.state.global_step == steps
        assert same(weights(again.model), weights(whole.model))
        if steps == 5:
            assert resumed == history


def test_resume_from_true_takes_the_newest_or_begins(tmp_path):
    """A job that may be interrupted says it each time."""
    torch.manual_seed(0)
    whole = trainer_of()
    whole.train(loader(), 4)
    for epochs in (2, 4):
        torch.manual_seed(0)
        trainer = trainer_of()
        history = trainer.train(loader(), epochs, save_dir=tmp_path, resume_from=True)
    assert len(history["train_loss"]) == 4
    assert same(weights(trainer.model), weights(whole.model))


def test_patience_goes_on_after_a_resume(tmp_path):
    """The epochs before count."""

    class Worse(Scripted):
        course = (0.1, 0.2, 0.3, 0.4, 0.5)

    trainer_of(kind=Worse).train(loader(), 2, loader(), save_dir=tmp_path)
    trainer = trainer_of(kind=Worse)
    history = trainer.train(
        loader(),
        5,
        loader(),
        save_dir=tmp_path,
        early_stopping_patience=2,
        resume_from=tmp_path / "checkpoint_epoch_2.pt",
    )
    assert history["eval_loss"] == [0.1, 0.2, 0.3]
    assert trainer.state.best_metric == 0.1


def test_a_stop_is_remembered(tmp_path):
    """A training that had decided to stop does not train on when it is resumed."""

    class Worse(Scripted):
        course = (0.1, 0.2, 0.3, 0.4, 0.5)

    options = {"save_dir": tmp_path, "early_stopping_patience": 1}
    trainer_of(kind=Worse).train(loader(), 5, loader(), **options)
    trainer = trainer_of(kind=Worse)
    history = trainer.train(loader(), 5, loader(), resume_from=True, **options)
    assert history["eval_loss"] == [0.1, 0.2]


def test_more_patience_or_time_goes_on(tmp_path):
    """An early stop counts for the same patience; what a callback had asked for, it has to ask for again."""

    class Worse(Scripted):
        course = (0.1, 0.2, 0.3, 0.4, 0.5)

    class Hurries(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_training_stop = state.global_step == 3

    trainer_of(kind=Worse).train(loader(), 5, loader(), save_dir=tmp_path / "a", early_stopping_patience=1)
    patient = trainer_of(kind=Worse)
    history = patient.train(loader(), 5, loader(), save_dir=tmp_path / "a", early_stopping_patience=4, resume_from=True)
    assert len(history["eval_loss"]) == 5
    trainer_of(callbacks=[Hurries()]).train(loader(), 2, save_dir=tmp_path / "b")
    again = trainer_of()
    again.train(loader(), 2, save_dir=tmp_path / "b", resume_from=True)
    assert again.state.global_step == 10


def test_a_scheduler_that_is_missing_is_told(tmp_path, caplog):
    """Its learning rate would have changed."""
    trainer_of().train(loader(), 1, save_dir=tmp_path)
    trainer_of(scheduler=False).load_checkpoint(tmp_path / "best_model.pt")
    assert "has the state of a scheduler, and this trainer has none" in caplog.text


# --- What cannot be read ----------------------------------------------------------------------------------------------


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint of the classifier."""
    trainer_of().train(loader(), 1, save_dir=tmp_path)
    return tmp_path / "checkpoint_epoch_1.pt"


def test_a_missing_checkpoint_is_named(tmp_path):
    """It is not taken for a beginning."""
    with pytest.raises(CheckpointError, match=r"there is no checkpoint .*nowhere\.pt"):
        trainer_of().train(loader(), 1, resume_from=tmp_path / "nowhere.pt")


@pytest.mark.parametrize("length", [0, 1, 1000, -1])
def test_a_checkpoint_that_is_cut_short_is_refused(checkpoint, length):
    """Wherever the cut is; nothing is loaded."""
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[:length])
    trainer = trainer_of(classifier(seed=5))
    before = weights(trainer.model)
    with pytest.raises(CheckpointError, match=r"checkpoint_epoch_1\.pt"):
        trainer.load_checkpoint(checkpoint)
    assert same(weights(trainer.model), before)


def test_a_checkpoint_with_code_is_not_loaded(tmp_path):
    """Anything pickled could run when it is read."""

    class Trap:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/sprung",)

    torch.save({"model_state_dict": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(CheckpointError, match="more than plain data"):
        trainer_of().load_checkpoint(tmp_path / "trap.pt")
    assert not (tmp_path / "sprung").exists()


def test_a_checkpoint_of_another_model_says_how_it_differs(checkpoint):
    """Other names, or other shapes."""
    other = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
    with pytest.raises(CheckpointError, match=r"lacks 1\.bias, 1\.weight and has 3\.bias, 3\.weight, which this"):
        trainer_of(other).load_checkpoint(checkpoint)
    wide = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 2))
    with pytest.raises(CheckpointError, match=r"0\.weight has the shape \(8, 4\) there and \(16, 4\) here"):
        trainer_of(wide).load_checkpoint(checkpoint)


def test_a_checkpoint_of_another_optimizer_is_refused(checkpoint):
    """One with two groups."""
    model = classifier(dropout=0.2)
    optimizer = torch.optim.AdamW([{"params": model[0].parameters()}, {"params": model[3].parameters()}])
    trainer = Trainer(model, optimizer, CROSS_ENTROPY, device="cpu")
    before = weights(model)
    with pytest.raises(CheckpointError, match=r"parameter groups of \[4\] parameters, and this one of \[2, 2\]"):
        trainer.load_checkpoint(checkpoint)
    assert same(weights(model), before)


def test_a_checkpoint_of_a_later_version_is_refused(checkpoint):
    """It asks for a later trainstore."""
    saved = torch.load(checkpoint, weights_only=True)
    torch.save({**saved, "trainstore_version": 99}, checkpoint)
    with pytest.raises(CheckpointError, match="format 99"):
        trainer_of().load_checkpoint(checkpoint)


def test_a_file_with_a_model_alone_cannot_be_gone_on_with(tmp_path):
    """The reference's files have no state of a training: the model can be loaded from them."""
    trainer = trainer_of()
    states = {"model_state_dict": trainer.model, "optimizer_state_dict": trainer.optimizer}
    torch.save({name: part.state_dict() for name, part in states.items()}, tmp_path / "theirs.pt")
    trainer.load_checkpoint(tmp_path / "theirs.pt", load_scheduler=False)
    with pytest.raises(CheckpointError, match="not the state of a training"):
        trainer.train(loader(), 1, resume_from=tmp_path / "theirs.pt")


def test_a_config_that_no_checkpoint_can_keep_is_refused_before_the_training(tmp_path):
    """It names the place."""
    trainer = trainer_of(config={"data": {"tokenizer": object()}})
    with pytest.raises(InvalidArgumentError, match=r"data\.tokenizer is a object"):
        trainer.train(loader(), 1, save_dir=tmp_path)
    assert trainer.state.global_step == 0


# --- What cannot be written -------------------------------------------------------------------------------------------


class FullDisk(TrainerCallback):
    """From its second checkpoint on, the disk is full."""

    def __init__(self, monkeypatch):
        self.monkeypatch = monkeypatch

    def on_save(self, args, state, control, **kwargs):
        """After the first."""

        def full(*args, **kwargs):
            raise OSError(errno.ENOSPC, "No space left on device")

        self.monkeypatch.setattr(os, "fsync", full)


def test_a_full_disk_leaves_the_last_checkpoint_whole_and_the_run_knows(store, tmp_path, monkeypatch, caplog):
    """The training goes on, and warns once."""
    folder = tmp_path / "checkpoints"
    trainer = trainer_of(kind=Scripted, store=store, callbacks=[FullDisk(monkeypatch)])
    history = trainer.train(loader(), 3, loader(), save_dir=folder)
    monkeypatch.undo()
    assert len(history["train_loss"]) == 3
    assert names(folder) == ["best_model.pt", "checkpoint_epoch_1.pt"]
    trainer_of().load_checkpoint(folder / "checkpoint_epoch_1.pt")
    alerts = store.list_events(trainer.run_uid, kind="alert")
    assert "No space left" in alerts.iloc[0]["details"]["text"]
    assert alerts.iloc[0]["details"]["level"] == "error"
    assert store.get_run(trainer.run_uid).status == "finished"


def test_a_full_disk_ends_the_training_if_it_is_to(store, tmp_path, monkeypatch):
    """By ``stop_if_not_saved``."""
    config = {"training": {"stop_if_not_saved": True}}
    trainer = trainer_of(store=store, config=config, callbacks=[FullDisk(monkeypatch)])
    with pytest.raises(CheckpointError, match="No space left"):
        trainer.train(loader(), 3, save_dir=tmp_path / "checkpoints")
    monkeypatch.undo()
    assert store.get_run(trainer.run_uid).status == "failed"
