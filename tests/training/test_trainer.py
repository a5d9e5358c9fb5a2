"""`Trainer`: its methods, what they return, and what they do to the model."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from transformers import TrainingArguments

from fixtures.torch_models import FEATURES, adam, classifier, loader, points, same, weights
from trainstore.training import Trainer

CROSS_ENTROPY = nn.CrossEntropyLoss()


def trainer_of(model=None, **options):
    """A trainer for the classifier."""
    model = classifier() if model is None else model
    return Trainer(model, adam(model), CROSS_ENTROPY, device="cpu", **options)


def bare_training(epochs, *, max_norm=None, accumulation=1, batches=None, scheduler=None):
    """The same, as a loop of plain PyTorch; the model's weights and the losses of the steps."""
    model = classifier()
    optimizer = adam(model)
    schedule = None if scheduler is None else scheduler(optimizer)
    losses = []
    for _ in range(epochs):
        group = []
        for inputs, targets in loader() if batches is None else batches:
            group.append((inputs, targets))
            if len(group) == accumulation:
                losses.append(bare_step(model, optimizer, group, max_norm))
                group = []
                if schedule is not None:
                    schedule.step()
        if group:
            losses.append(bare_step(model, optimizer, group, max_norm))
            if schedule is not None:
                schedule.step()
    return weights(model), losses


def bare_step(model, optimizer, group, max_norm):
    """One optimizer step on some micro-batches."""
    total = 0.0
    for inputs, targets in group:
        loss = CROSS_ENTROPY(model(inputs), targets) / len(group)
        loss.backward()
        total += loss.item()
    if max_norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    optimizer.zero_grad()
    return total


def test_a_training_is_the_plain_loop_bit_for_bit():
    """Events, histories and recording change nothing."""
    trainer = trainer_of()
    history = trainer.train(loader(), 3)
    expected, losses = bare_training(3)
    assert same(weights(trainer.model), expected)
    means = [sum(losses[epoch * 5 : epoch * 5 + 5]) / 5 for epoch in range(3)]
    assert history == {"train_loss": pytest.approx(means)}


@pytest.mark.parametrize(("accumulation", "max_norm"), [(2, None), (2, 0.5), (3, 0.1), (1, 0.5)])
def test_accumulation_and_clipping_are_those_of_the_plain_loop(accumulation, max_norm):
    """Five batches do not fill the last step: its loss is the mean of what there is."""
    config = {"training": {"max_grad_norm": max_norm, "gradient_accumulation_steps": accumulation}}
    trainer = trainer_of(config=config)
    trainer.train(loader(), 2)
    expected, losses = bare_training(2, accumulation=accumulation, max_norm=max_norm)
    assert same(weights(trainer.model), expected)
    assert trainer.state.global_step == len(losses)


def test_a_step_returns_its_loss_and_changes_the_model():
    """Outside a training, a step is a whole one."""
    trainer = trainer_of(gradient_accumulation_steps=4)
    batch = next(iter(loader()))
    expected, (loss,) = bare_training(1, batches=[batch])
    assert trainer.train_step(batch) == {"loss": loss}
    assert same(weights(trainer.model), expected)


def test_an_evaluation_step_changes_nothing():
    """It returns a number, and leaves no gradient."""
    trainer = trainer_of()
    before = weights(trainer.model)
    inputs, targets = batch = next(iter(loader()))
    expected = CROSS_ENTROPY(trainer.model(inputs), targets).item()
    assert trainer.eval_step(batch) == {"loss": expected}
    assert same(weights(trainer.model), before)
    assert all(parameter.grad is None for parameter in trainer.model.parameters())


def test_an_epoch_returns_its_metrics():
    """With an evaluation, if there is something to evaluate on."""
    trainer = trainer_of()
    metrics = trainer.train_epoch(loader(), epoch=0)
    expected, losses = bare_training(1)
    assert metrics == {"train_loss": pytest.approx(sum(losses) / 5)}
    assert same(weights(trainer.model), expected)
    assert trainer.train_epoch(loader(), loader(), 1).keys() == {"train_loss", "eval_loss"}


def test_an_evaluation_is_the_mean_over_the_examples():
    """The last batch has two examples, and does not count like one of four."""
    trainer = trainer_of(classifier(dropout=0.5))
    data = points(18)
    trainer.model.eval()
    expected = CROSS_ENTROPY(trainer.model(data.tensors[0]), data.tensors[1]).item()
    trainer.model.train()
    trainer.model[0].eval()
    assert trainer.evaluate(loader(18)) == {"eval_loss": pytest.approx(expected)}
    modes = [module.training for module in trainer.model]
    assert modes == [False, True, True, True]  # as it was


class Classification(Trainer):
    """A trainer with an accuracy."""

    def eval_step(self, batch):
        """The loss and the share of right answers."""
        metrics = super().eval_step(batch)
        inputs, targets = self._prepare_batch(batch)
        right = self._forward_pass(inputs).argmax(1) == targets
        return {**metrics, "accuracy": right.float().mean().item()}


def test_a_subclass_adds_an_accuracy():
    """It is in the epoch's metrics and in the history, and chooses the best model."""
    model = classifier()
    trainer = Classification(model, adam(model), CROSS_ENTROPY, device="cpu")
    history = trainer.train(loader(), 3, loader(18), best_model_metric="eval_accuracy")
    assert history.keys() == {"train_loss", "eval_loss", "eval_accuracy"}
    assert all(len(values) == 3 for values in history.values())
    data = points(18)
    right = (model.eval()(data.tensors[0]).argmax(1) == data.tensors[1]).float().mean().item()
    assert history["eval_accuracy"][-1] == pytest.approx(right)
    assert trainer.state.best_metric == max(history["eval_accuracy"])


def test_a_subclass_evaluates_in_its_own_way():
    """Names without ``eval_`` get it."""

    class Own(Trainer):
        def evaluate(self, dataloader):
            return {"loss": 0.25, "eval_score": 2.0}

    model = classifier()
    trainer = Own(model, adam(model), CROSS_ENTROPY, device="cpu")
    history = trainer.train(loader(), 2, loader())
    assert history["eval_loss"] == [0.25, 0.25]
    assert history["eval_score"] == [2.0, 2.0]


def test_functions_hear_of_each_epoch_also_of_the_one_that_stops():
    """They get the trainer, the epoch from 0, and its metrics."""
    heard = []
    trainer = trainer_of()
    history = trainer.train(
        loader(),
        9,
        loader(),
        callbacks=[lambda trainer, epoch, metrics: heard.append((trainer, epoch, metrics))],
    )
    assert [epoch for _, epoch, _ in heard] == list(range(9))
    assert all(one is trainer for one, _, _ in heard)
    assert [metrics["eval_loss"] for _, _, metrics in heard] == history["eval_loss"]


def test_early_stopping_counts_epochs_without_a_better_one():
    """The learning rate is 0: the first epoch is the best, and the functions hear of the last."""
    model = classifier()
    trainer = Trainer(model, adam(model, 0.0), CROSS_ENTROPY, device="cpu")
    heard = []
    history = trainer.train(
        loader(), 9, loader(), early_stopping_patience=2, callbacks=[lambda *args: heard.append(args[1])]
    )
    assert len(history["eval_loss"]) == 3
    assert heard == [0, 1, 2]


@pytest.mark.parametrize("values", [[0.1, 0.2, 0.3, 0.3, 0.2], [0.5, math.nan, 0.4, math.nan]])
def test_early_stopping_works_for_what_should_grow(values):
    """An accuracy is better if it is higher; NaN never is."""

    class Scripted(Trainer):
        def evaluate(self, dataloader):
            return {"loss": 1.0, "accuracy": next(course)}

    course = iter([*values, 0.0, 0.0, 0.0])
    model = classifier()
    trainer = Scripted(model, adam(model), CROSS_ENTROPY, device="cpu")
    history = trainer.train(loader(), 9, loader(), best_model_metric="eval_accuracy", early_stopping_patience=2)
    assert len(history["eval_accuracy"]) == 5 if len(values) == 5 else 3
    assert trainer.state.best_metric == max(value for value in values if value == value)


def test_a_scheduler_steps_with_each_batch_or_each_epoch():
    """As ``scheduler_step_per_batch`` says."""
    rates = {}
    for per_batch in (True, False):
        model = classifier()
        optimizer = adam(model, 1.0)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
        config = {"training": {"scheduler_step_per_batch": per_batch}}
        trainer = Trainer(model, optimizer, CROSS_ENTROPY, config, "cpu", scheduler)
        trainer.train(loader(), 2)
        rates[per_batch] = optimizer.param_groups[0]["lr"]
    assert rates == {True: 0.5**10, False: 0.25}


def test_a_scheduler_that_needs_a_metric_gets_that_of_the_best_model():
    """ReduceLROnPlateau, with a loss that does not fall."""
    model = classifier()
    optimizer = adam(model, 1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.1)

    class Flat(Trainer):
        def evaluate(self, dataloader):
            return {"loss": 1.0}

    Flat(model, optimizer, CROSS_ENTROPY, None, "cpu", scheduler).train(loader(), 3, loader())
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01)


def test_weight_decay_of_the_config_is_the_optimizers(caplog):
    """The log says so."""
    caplog.set_level("INFO", "trainstore")
    trainer = trainer_of(config={"training": {"weight_decay": 0.3}})
    assert [group["weight_decay"] for group in trainer.optimizer.param_groups] == [0.3]
    assert "weight_decay 0.3" in caplog.text


class Settings:
    """A configuration that is an object."""

    class training:
        """Its section."""

        max_grad_norm = 0.5


@pytest.mark.parametrize(
    "config",
    [
        {"training": {"max_grad_norm": 0.5}},
        {"max_grad_norm": 0.5},
        {"training": {"max_grad_norm": 0.5}, "max_grad_norm": 7},
        SimpleNamespace(training=SimpleNamespace(max_grad_norm=0.5)),
        SimpleNamespace(training={"max_grad_norm": 0.5}),
    ],
)
def test_a_config_may_be_nested_or_flat(config):
    """The section ``training`` comes first."""
    assert trainer_of(config=config).settings.max_grad_norm == 0.5


def test_a_batch_may_be_many_things():
    """Each as the model takes it."""

    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(FEATURES, 2)

        def forward(self, points, weight=None):
            return self.layer(points) if weight is None else self.layer(points) * weight

    inputs, targets = next(iter(loader()))
    weight = torch.ones(1)
    expected = None
    for batch in (
        (inputs, targets),
        [inputs, targets],
        {"points": inputs, "labels": targets},
        {"points": inputs, "target": targets},
        (inputs, weight, targets),
    ):
        torch.manual_seed(0)
        model = Named()
        trainer = Trainer(model, adam(model), CROSS_ENTROPY, device="cpu")
        result = trainer.train_step(batch)
        expected = result if expected is None else expected
        assert result == expected


def test_a_batch_without_targets_is_its_own_target():
    """An autoencoder."""
    model = nn.Linear(FEATURES, FEATURES)
    trainer = Trainer(model, adam(model), nn.MSELoss(), device="cpu")
    inputs = torch.randn(4, FEATURES)
    expected = nn.MSELoss()(model(inputs), inputs).item()
    assert trainer.train_step(inputs) == {"loss": expected}


def test_an_overridden_step_is_used_and_its_metrics_are_the_steps():
    """It may call the original, with accumulation, too."""
    seen = []

    class Own(Trainer):
        def train_step(self, batch):
            metrics = super().train_step(batch)
            seen.append(metrics["loss"])
            return {**metrics, "size": float(len(batch[0]))}

    model = classifier()
    trainer = Own(model, adam(model), CROSS_ENTROPY, device="cpu", gradient_accumulation_steps=2)
    trainer.train(loader(), 2)
    expected, losses = bare_training(2, accumulation=2)
    assert same(weights(model), expected)
    assert len(seen) == 10
    assert trainer.state.global_step == len(losses) == 6


class StepsItself(Trainer):
    """A trainer whose step makes the optimizer's: the reference's kind."""

    def train_step(self, batch):
        """A whole step."""
        inputs, targets = self._prepare_batch(batch)
        self.optimizer.zero_grad()
        loss = self._compute_loss(self._forward_pass(inputs), targets)
        loss.backward()
        self.optimizer.step()
        return {"loss": loss.item()}


def test_an_overridden_step_may_do_all_itself():
    """The loop makes no step of its own then."""
    model = classifier()
    trainer = StepsItself(model, adam(model), CROSS_ENTROPY, device="cpu")
    history = trainer.train(loader(), 2)
    expected, losses = bare_training(2)
    assert same(weights(model), expected)
    assert history["train_loss"] == pytest.approx([sum(losses[:5]) / 5, sum(losses[5:]) / 5])
    assert trainer.state.global_step == 10


def test_the_rate_of_such_a_step_is_recorded(store):
    """It is that before the step."""
    model = classifier()
    optimizer = adam(model, 1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    trainer = StepsItself(model, optimizer, CROSS_ENTROPY, None, "cpu", scheduler, store=store, name="own")
    trainer.train(loader(), 2)
    assert store.list_step_logs("own")["learning_rate"].tolist() == [1.0] * 5 + [0.5] * 5


def test_an_overridden_epoch_is_used():
    """What it adds is in the history; a metric of it may choose the best model."""

    class Own(Trainer):
        def train_epoch(self, train_dataloader, eval_dataloader=None, epoch=0):
            losses = [self.train_step(batch)["loss"] for batch in train_dataloader]
            return {"train_loss": sum(losses) / len(losses), "score": float(epoch)}

    model = classifier()
    trainer = Own(model, adam(model), CROSS_ENTROPY, device="cpu")
    history = trainer.train(loader(), 2, best_model_metric="score")
    assert same(weights(model), bare_training(2)[0])
    assert history["score"] == [0.0, 1.0]
    assert trainer.state.best_metric == 1.0
    assert trainer.state.global_step == 10


def test_an_overridden_epoch_may_add_to_the_metrics(store):
    """What it adds is recorded as well."""

    class Own(Trainer):
        def train_epoch(self, train_dataloader, eval_dataloader=None, epoch=0):
            metrics = super().train_epoch(train_dataloader, eval_dataloader, epoch)
            metrics["score"] = epoch + 0.5
            return metrics

    model = classifier()
    trainer = Own(model, adam(model), CROSS_ENTROPY, device="cpu", store=store)
    trainer.train(loader(), 2, loader(), best_model_metric="score")
    scores = store.list_step_logs(trainer.run_uid)["score"].dropna()
    assert scores.tolist() == [0.5, 1.5]
    assert trainer.state.best_metric == 1.5


def test_arguments_of_transformers_say_when_to_log_and_save(tmp_path):
    """Also as a share of all steps, as they may; the ends of epochs stay."""
    args = TrainingArguments(
        str(tmp_path), logging_strategy="steps", logging_steps=0.2, save_strategy="steps", save_steps=4, use_cpu=True
    )
    trainer = trainer_of(args=args)
    trainer.train(loader(), 2, save_dir=tmp_path)
    assert [entry["step"] for entry in trainer.state.log_history] == [2, 4, 5, 6, 8, 10, 10]
    steps = sorted(path.name for path in tmp_path.glob("checkpoint_step_*"))
    assert steps == ["checkpoint_step_10.pt", "checkpoint_step_4.pt", "checkpoint_step_8.pt"]


def test_a_failed_step_leaves_no_gradients_to_the_next_training():
    """Half of an accumulation was computed when it failed."""

    class Fails(Trainer):
        broken = True

        def _compute_loss(self, outputs, targets):
            self.count = getattr(self, "count", 0) + 1
            if self.broken and self.count == 2:
                raise RuntimeError("out of memory")
            return super()._compute_loss(outputs, targets)

    model = classifier()
    trainer = Fails(model, adam(model), CROSS_ENTROPY, device="cpu", gradient_accumulation_steps=2)
    with pytest.raises(RuntimeError, match="out of memory"):
        trainer.train(loader(), 1)
    trainer.broken = False
    trainer.train(loader(), 2)
    assert same(weights(model), bare_training(2, accumulation=2)[0])


def test_metrics_of_any_library_are_numbers():
    """Also in an overridden step, where anything else costs nothing."""

    class Own(Trainer):
        def train_step(self, batch):
            return {**super().train_step(batch), "size": torch.tensor(len(batch[0])), "note": "odd"}

        def evaluate(self, dataloader):
            return {"loss": torch.tensor(0.5), "accuracy": np.float32(0.25)}

    model = classifier()
    trainer = Own(model, adam(model), CROSS_ENTROPY, device="cpu", gradient_accumulation_steps=2)
    history = trainer.train(loader(), 1, loader())
    assert [type(history[name][0]) for name in ("eval_loss", "eval_accuracy")] == [float, float]
    assert trainer.loop.step_metrics == {"size": 4.0, "note": "odd"}


def test_the_device_is_found():
    """The CPU here, if nothing better is there; the model is moved."""
    model = classifier()
    trainer = Trainer(model, adam(model), CROSS_ENTROPY)
    found = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert trainer.device.type == found
    assert next(trainer.model.parameters()).device.type == found


def test_a_loader_may_have_no_length():
    """A generator of batches each epoch; the steps are known after the first."""

    class Endless(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(points())

    data = torch.utils.data.DataLoader(Endless(), batch_size=4)
    trainer = trainer_of()
    trainer.train(data, 2, loader())
    assert same(weights(trainer.model), bare_training(2)[0])
    assert trainer.state.global_step == 10
    assert trainer.state.epoch == 2.0


def test_max_steps_ends_a_training_in_the_middle():
    """The epoch's evaluation and checkpoint come as ever."""
    trainer = trainer_of(config={"training": {"max_steps": 7}})
    history = trainer.train(loader(), 5, loader())
    assert trainer.state.global_step == 7
    assert len(history["eval_loss"]) == 2
