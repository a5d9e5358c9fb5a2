"""Common mistakes in what a `Trainer` is given, and what their errors say."""

import logging
import re

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from fixtures.torch_models import adam, classifier, loader, points
from trainstore.callbacks import GradLogger
from trainstore.errors import InvalidArgumentError
from trainstore.training import Trainer

CROSS_ENTROPY = nn.CrossEntropyLoss()


def trainer_of(loss_fn=CROSS_ENTROPY, *, kind=Trainer, model=None, **options):
    """A trainer for the classifier."""
    model = classifier() if model is None else model
    return kind(model, adam(model), loss_fn, device="cpu", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss_fn": nn.CrossEntropyLoss}, r"the class CrossEntropyLoss: pass CrossEntropyLoss\(\)"),
        ({"callbacks": GradLogger()}, r"callbacks is a GradLogger, not a list: pass \[GradLogger"),
        ({"callbacks": [3]}, "callback 3 is not a TrainerCallback"),
        ({"callbacks": [lambda *_: None]}, r"not a TrainerCallback: functions belong in train\(callbacks="),
    ],
)
def test_parts_that_cannot_work_are_refused_at_once(options, message):
    """Each error says what would do."""
    with pytest.raises(InvalidArgumentError, match=message):
        trainer_of(**options)


@pytest.mark.parametrize(
    ("loss_fn", "message"),
    [
        (nn.CrossEntropyLoss(reduction="none"), r"shape \[4\].*take its mean"),
        (lambda outputs, targets: CROSS_ENTROPY(outputs, targets).item(), "a float, not a tensor"),
        (lambda outputs, targets: CROSS_ENTROPY(outputs, targets).detach(), "has no gradient"),
    ],
)
def test_a_loss_that_cannot_be_minimised_is_named(loss_fn, message):
    """Before its backward pass, whose own error would not say why."""
    with pytest.raises(InvalidArgumentError, match=message):
        trainer_of(loss_fn).train(loader(), 1)


def test_a_data_set_is_not_taken_for_a_loader():
    """Its examples would be trained on one by one."""
    with pytest.raises(InvalidArgumentError, match=r"train_dataloader is a TensorDataset.*DataLoader\(TensorDataset"):
        trainer_of().train(points(), 1)
    with pytest.raises(InvalidArgumentError, match="eval_dataloader is a TensorDataset"):
        trainer_of().train(loader(), 1, points())


def test_a_file_cannot_be_the_folder_of_the_checkpoints(tmp_path):
    """Which is noticed before the training, and not at its first checkpoint."""
    (tmp_path / "file").touch()
    trainer = trainer_of()
    with pytest.raises(InvalidArgumentError, match="is a file, not a folder"):
        trainer.train(loader(), 1, save_dir=tmp_path / "file")
    assert trainer.state.global_step == 0


@pytest.mark.parametrize(
    ("returned", "message"),
    [(None, "eval_step returned None"), ({"right": torch.ones(4)}, r"'right' with the shape \[4\]: take its mean")],
)
def test_an_evaluation_step_must_return_numbers_by_name(returned, message):
    """The error names what it returned."""

    class Own(Trainer):
        def eval_step(self, batch):
            return returned

    with pytest.raises(InvalidArgumentError, match=message):
        trainer_of(kind=Own).train(loader(), 1, loader())


@pytest.mark.parametrize("returned", [None, torch.ones(()), {"accuracy": 1.0}])
def test_a_training_step_must_return_its_loss_by_name(returned):
    """The error says so."""

    class Own(Trainer):
        def train_step(self, batch):
            return returned

    with pytest.raises(InvalidArgumentError, match=r"train_step returned .* with the key 'loss'"):
        trainer_of(kind=Own).train(loader(), 1)


@pytest.mark.parametrize(
    ("batch", "note"),
    [
        (torch.ones(4, 3), r"The batch was float32 \[4, 3\]: without targets, the inputs are also the targets"),
        ((torch.ones(4, 3), torch.ones(4)), r"\(float32 \[4, 3\], float32 \[4\]\): the last is the targets"),
        ({"image": torch.ones(4, 4), "y": torch.ones(4)}, r"\{'image': float32 \[4, 4\], .* to the model by name"),
    ],
)
def test_a_batch_that_does_not_fit_the_model_is_described(batch, note):
    """As a note of the model's own error, which stays what it is."""
    with pytest.raises((RuntimeError, TypeError)) as failure:
        trainer_of().train([batch], 1)
    (text,) = failure.value.__notes__
    assert re.search(note, text)


def test_a_misspelt_setting_is_a_warning(caplog):
    """A config may hold anything, so it is no error; what resembles no setting is not mentioned."""
    with caplog.at_level(logging.WARNING, logger="trainstore"):
        trainer_of(config={"layers": 2, "grad_accumulation_steps": 2, "training": {"max_gradnorm": 1.0, "epochs": 3}})
    assert [record.getMessage() for record in caplog.records] == [
        "config: grad_accumulation_steps is not a setting; is gradient_accumulation_steps meant?",
        "config: training.max_gradnorm is not a setting; is training.max_grad_norm meant?",
    ]


def test_an_overridden_loss_gets_the_inputs_as_targets_without_a_loss_function():
    """Of a batch that is one tensor, or a tuple with one, as for a variational autoencoder."""
    found = []

    class Own(Trainer):
        def _compute_loss(self, outputs, targets):
            found.append(targets.shape)
            return outputs.square().mean() + targets.mean()

    batch = torch.ones(4, 4)
    trainer_of(None, kind=Own).train([batch, (batch,)], 1)
    assert found == [(4, 4), (4, 4)]


def test_losses_and_rates_are_recorded_if_a_step_calls_the_optimizer_itself(store):
    """As for a GAN with two optimizers: the epoch's mean has its usual name."""

    class Own(Trainer):
        def train_step(self, batch):
            inputs, targets = self._prepare_batch(batch)
            loss = CROSS_ENTROPY(self.model(inputs), targets)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            return {"loss": loss.item()}

    trainer = trainer_of(kind=Own, store=store, name="own")
    history = trainer.train(DataLoader(points(), batch_size=10), 1)
    steps = store.list_step_logs("own")
    assert steps["loss"].notna().all()
    assert steps["loss_window"].dropna().tolist() == pytest.approx(history["train_loss"])
    assert "logged_loss" not in steps
