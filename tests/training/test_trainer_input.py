"""What `Trainer` refuses, and what it makes of odd input."""

import math

import pytest
import torch
from torch import nn

from fixtures.torch_models import adam, classifier, loader
from trainstore.errors import InvalidArgumentError
from trainstore.training import Trainer

CROSS_ENTROPY = nn.CrossEntropyLoss()


def trainer_of(kind=Trainer, **options):
    """A trainer for the classifier."""
    model = options.pop("model", None) or classifier()
    return kind(model, options.pop("optimizer", None) or adam(model), CROSS_ENTROPY, device="cpu", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"config": {"training": {"max_grad_norm": -1}}}, "max_grad_norm -1 is not a number from 0 on"),
        ({"config": {"gradient_accumulation_steps": 0}}, "gradient_accumulation_steps 0 is not an integer from 1 on"),
        ({"config": {"training": {"scheduler_step_per_batch": "yes"}}}, "scheduler_step_per_batch 'yes' is not True"),
        ({"mixed_precision": "int8"}, "mixed_precision 'int8' is not one of"),
        ({"best_model_mode": "lowest"}, "'lowest' is not 'min' or 'max'"),
        ({"skip_data": "never"}, "skip_data 'never' is not one of"),
        ({"config": 7}, "config 7 is neither a mapping nor an object"),
    ],
)
def test_settings_that_cannot_be_used_are_named(options, message):
    """With what would do."""
    with pytest.raises(InvalidArgumentError, match=message):
        trainer_of(**options)


def test_a_device_that_is_not_there_is_named():
    """Misspelt, or not in this machine."""
    model = classifier()
    with pytest.raises(InvalidArgumentError, match="'gpu' is not a device"):
        Trainer(model, adam(model), CROSS_ENTROPY, device="gpu")
    with pytest.raises(InvalidArgumentError, match="device 'cuda:99' is not there"):
        Trainer(model, adam(model), CROSS_ENTROPY, device="cuda:99")


def test_an_optimizer_of_another_model_is_refused():
    """It would train nothing."""
    with pytest.raises(InvalidArgumentError, match="none of the model's parameters"):
        trainer_of(optimizer=adam(classifier()))


def test_a_scheduler_that_needs_a_metric_cannot_step_with_each_batch():
    """There is one after an epoch only."""
    model = classifier()
    optimizer = adam(model)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
    with pytest.raises(InvalidArgumentError, match="ReduceLROnPlateau needs a metric"):
        Trainer(model, optimizer, CROSS_ENTROPY, {"scheduler_step_per_batch": True}, "cpu", scheduler)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_epochs": 0}, "num_epochs 0 is not an integer from 1 on"),
        ({"save_freq": 0}, "save_freq 0"),
        ({"early_stopping_patience": 0}, "early_stopping_patience 0"),
        ({"best_model_metric": ""}, "'' is not the name of a metric"),
        ({"callbacks": ["epoch_end"]}, "callback 'epoch_end' is neither a function nor a TrainerCallback"),
        ({"resume_from": True}, "resume_from=True needs save_dir"),
    ],
)
def test_arguments_of_a_training_are_checked_before_it(options, message):
    """Not after the first epoch."""
    trainer = trainer_of()
    with pytest.raises(InvalidArgumentError, match=message):
        trainer.train(loader(), **{"num_epochs": 1, **options})
    assert trainer.state.global_step == 0


@pytest.mark.parametrize("wrong", [5, "abc", None])
def test_what_gives_no_batches_is_named(wrong):
    """Before anything is trained."""
    with pytest.raises(InvalidArgumentError, match=r"train_dataloader .* gives no batches: pass a DataLoader"):
        trainer_of().train(wrong, 1)
    if wrong is not None:
        with pytest.raises(InvalidArgumentError, match=r"eval_dataloader .* gives no batches"):
            trainer_of().train(loader(), 1, wrong)


def test_a_function_instead_of_a_list_is_named():
    """It must be in a list."""
    with pytest.raises(InvalidArgumentError, match=r"callbacks is a .*, not a list: pass \[print\]"):
        trainer_of().train(loader(), 1, callbacks=print)


def test_a_scheduler_of_another_optimizer_is_refused():
    """The learning rate would never change."""
    model = classifier()
    scheduler = torch.optim.lr_scheduler.StepLR(adam(model), 1)
    with pytest.raises(InvalidArgumentError, match="scheduler is that of another optimizer"):
        Trainer(model, adam(model), CROSS_ENTROPY, None, "cpu", scheduler)


def test_lbfgs_needs_a_step_of_ones_own():
    """Which works then."""
    model = classifier()
    with pytest.raises(InvalidArgumentError, match="override train_step"):
        Trainer(model, torch.optim.LBFGS(model.parameters()), CROSS_ENTROPY, device="cpu")

    class Own(Trainer):
        def train_step(self, batch):
            inputs, targets = self._prepare_batch(batch)

            def closure():
                self.optimizer.zero_grad()
                loss = self._compute_loss(self._forward_pass(inputs), targets)
                loss.backward()
                return loss

            return {"loss": self.optimizer.step(closure).item()}

    model = classifier()
    trainer = Own(model, torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4), CROSS_ENTROPY, device="cpu")
    losses = trainer.train(loader(20, batch_size=20), 5)["train_loss"]
    assert losses[-1] < losses[0]


def test_a_trainer_trains_once_at_a_time():
    """The outer training would lose its state."""
    trainer = trainer_of()
    with pytest.raises(InvalidArgumentError, match="in the middle of a training"):
        trainer.train(loader(), 2, callbacks=[lambda trainer, epoch, metrics: trainer.train(loader(), 1)])


def test_groups_without_weight_decay_keep_none():
    """Biases and norms, beside a group that decays."""
    model = classifier()
    groups = [
        {"params": model[0].parameters(), "weight_decay": 0.1},
        {"params": model[3].parameters(), "weight_decay": 0},
    ]
    trainer = trainer_of(model=model, optimizer=torch.optim.AdamW(groups), config={"weight_decay": 0.3})
    assert [group["weight_decay"] for group in trainer.optimizer.param_groups] == [0.3, 0]


def test_a_length_that_is_wrong_ends_no_training():
    """Neither one that is too small nor one that is too large: the batches that there are, are trained on."""

    class Wrong:
        def __init__(self, length):
            self.length = length

        def __len__(self):
            return self.length

        def __iter__(self):
            return iter(loader())

    for length in (3, 9):
        trainer = trainer_of()
        trainer.train(Wrong(length), 2)
        assert trainer.state.global_step == 10


def test_empty_data_are_an_error(store):
    """With a length, without one, and to evaluate on."""
    with pytest.raises(InvalidArgumentError, match="training data loader has no batch"):
        trainer_of(store=store).train([], 1)
    with pytest.raises(InvalidArgumentError, match="evaluation data loader has no batch"):
        trainer_of(store=store).train(loader(), 1, [])
    trainer = trainer_of(store=store)
    with pytest.raises(InvalidArgumentError, match="training data loader gave no batch"):
        trainer.train(iter([]), 1)
    assert store.get_run(trainer.run_uid).status == "failed"


def test_an_unknown_metric_is_told_once(caplog):
    """No model is the best, and nothing stops early; the metrics that there are, are named."""
    trainer = trainer_of()
    history = trainer.train(loader(), 3, loader(), best_model_metric="eval_accuracy", early_stopping_patience=1)
    assert len(history["eval_loss"]) == 3
    (message,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert message == (
        "the best model's metric 'eval_accuracy' is not among eval_loss, train_loss: "
        "no model is the best, and nothing stops the training early"
    )


def test_a_metric_that_is_always_nan_is_never_the_best(tmp_path):
    """Patience counts these epochs."""

    class Broken(Trainer):
        def evaluate(self, dataloader):
            return {"loss": math.nan}

    trainer = trainer_of(Broken)
    history = trainer.train(loader(), 5, loader(), save_dir=tmp_path, early_stopping_patience=2)
    assert len(history["eval_loss"]) == 2
    assert trainer.state.best_metric is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint_epoch_1.pt", "checkpoint_epoch_2.pt"]


def test_a_model_without_a_loss_says_what_is_missing():
    """``loss_fn=None`` is for models that compute their own."""
    model = classifier()
    trainer = Trainer(model, adam(model), None, device="cpu")
    with pytest.raises(InvalidArgumentError, match="the model returned no loss: pass a loss_fn"):
        trainer.train(loader(), 1)


class Diverging(nn.Module):
    """Its loss is NaN from the fourth batch on."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)
        self.count = 0

    def forward(self, inputs):
        """Scores."""
        self.count += self.training
        return self.layer(inputs) * (math.nan if self.count > 3 else 1.0)


def test_nan_stops_a_training_that_checks_for_it(store, tmp_path, caplog):
    """The run is failed and says at which step, and which checkpoint is the last."""
    model = Diverging()
    config = {"training": {"check_for_nan": True, "save_steps": 2}}
    trainer = Trainer(model, adam(model), CROSS_ENTROPY, config, "cpu", store=store)
    folder = tmp_path / "checkpoints"
    trainer.train(loader(), 3, loader(), save_dir=folder)
    assert trainer.state.global_step == 4
    saved = str(folder / "checkpoint_step_2.pt")
    run = store.get_run(trainer.run_uid)
    assert run.status == "failed"
    assert run.error == f"the loss of step 4 is NaN; the last checkpoint is {saved}"
    event = store.list_events(trainer.run_uid, kind="nan").iloc[0]
    assert (event["step"], event["details"]["checkpoint"]) == (4, saved)
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint_step_2.pt"]
    assert run.error in caplog.text


def test_nan_is_recorded_and_trained_through_otherwise(store):
    """As every loop does."""
    model = Diverging()
    trainer = Trainer(model, adam(model), CROSS_ENTROPY, device="cpu", store=store)
    history = trainer.train(loader(), 1)
    assert math.isnan(history["train_loss"][0])
    losses = store.list_step_logs(trainer.run_uid)["loss"]
    assert losses.isna().tolist() == [False, False, False, True, True]
