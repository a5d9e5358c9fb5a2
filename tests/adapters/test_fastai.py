"""fastai: every batch, the epochs' metrics, several fits of one learner, what is no training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from fastai.basics import DataLoader, DataLoaders, Learner
from fastai.callback.core import (
    Callback,
    CancelEpochException,
    CancelFitException,
    CancelTrainException,
    CancelValidException,
)
from fastai.callback.schedule import LRFinder  # and Learner.fit_one_cycle
from fastai.callback.tracker import EarlyStoppingCallback, SaveModelCallback, TerminateOnNaNCallback
from torch import nn
from torch.nn import functional

from fixtures.adapter_tests import STEPS, AtStep, LibraryTests, nothing, only_run
from trainstore import TrainStore
from trainstore.integrations.fastai import TrainStoreCallback

BATCHES = 3
EPOCHS = STEPS // BATCHES


def mean_error(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    return (found - wanted).abs().mean()


class Loss:
    """A loss that calls back in each training step."""

    def __init__(self, model: nn.Module, at_step: AtStep) -> None:
        self.model, self.at_step, self.step = model, at_step, 0

    def __call__(self, found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        if self.model.training:
            self.step += 1
            self.at_step(self.step)
        return functional.mse_loss(found, wanted)


def make_learner(folder: Path, *callbacks: Any, at_step: AtStep = nothing, **options: Any) -> Learner:
    items = [(torch.tensor([float(n)]), torch.tensor([2.0 * n])) for n in range(BATCHES * 2)]
    data = DataLoaders(DataLoader(items, bs=2), DataLoader(items, bs=2), path=folder, device="cpu")
    model = nn.Linear(1, 1)
    learner = Learner(
        data, model, loss_func=Loss(model, at_step), metrics=mean_error, lr=0.01, path=folder, cbs=callbacks, **options
    )
    learner.logger = silent
    return learner


def silent(values: Any) -> None:
    """Instead of fastai's table."""


class TestFastai(LibraryTests):
    """Two epochs of three batches."""

    module = "trainstore.integrations.fastai"
    package = "fastai"
    steps = list(range(1, STEPS + 1))

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.path = tmp_path

    def train(self, target: Any, at_step: AtStep, **options: Any) -> None:
        make_learner(self.path, at_step=at_step).fit(EPOCHS, cbs=TrainStoreCallback(target, **options))


def test_batches_and_epochs_are_recorded(store: TrainStore, tmp_path: Path) -> None:
    """Each batch's own loss and learning rate; the epoch's values where it ended; what is known of the training."""
    callback = TrainStoreCallback(store, name="a")
    learner = make_learner(tmp_path, callback)
    learner.fit(EPOCHS)
    log = store.list_step_logs("a").set_index("step")
    assert log.index.tolist() == list(range(1, STEPS + 1))
    assert log["lr"].tolist() == [0.01] * STEPS
    assert log["epoch"].tolist() == pytest.approx([1 / 3, 2 / 3, 1, 4 / 3, 5 / 3, 2])
    for place, name in enumerate(["train_loss", "valid_loss", "mean_error"]):
        assert log[name].dropna().to_dict() == {
            3: pytest.approx(learner.recorder.values[0][place]),
            6: pytest.approx(learner.recorder.values[1][place]),
        }
    run = store.get_run("a")
    known = {"n_epoch": 2, "batch_size": 2, "batches_per_epoch": 3, "opt_func": "Adam", "loss_func": "Loss"}
    assert {name: run.hyperparams[name] for name in known} == known
    assert (run.hyperparams["lr"], "cbs" in run.hyperparams) == (0.01, False)
    assert run.model_hyperparams["num_parameters"] == 2
    assert callback.active_run is not None
    assert callback.active_run.uid == run.uid


def test_only_rank_0_records(store: TrainStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several processes that train together, which fastai knows by their environment."""
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        make_learner(tmp_path, TrainStoreCallback(store)).fit(EPOCHS)
        assert len(store.list_runs()) == (rank == "0")


def test_several_fits_of_a_learner_are_attempts_of_one_run(store: TrainStore, tmp_path: Path) -> None:
    """As ``fine_tune`` fits: the steps go on. What lies between is no training and leaves no trace."""
    callback = TrainStoreCallback(store)
    learner = make_learner(tmp_path, callback)
    learner.fit(1)
    learner.fit(2, cbs=LRFinder(num_it=6))  # as lr_find does
    learner.validate()
    learner.get_preds()
    learner.fit(1, lr=0.1)
    run = only_run(store)
    log = store.list_step_logs(run)
    assert (run.status, store.list_runs()["attempts"].tolist()) == ("finished", [2])
    assert log["step"].tolist() == list(range(1, 7))
    assert log["lr"].tolist() == [0.01] * 3 + [0.1] * 3
    assert log["epoch"].tolist()[-1] == 2
    learner.fit_one_cycle(1, lr_max=0.5)
    assert only_run(store).hyperparams["lr_max"] == pytest.approx(0.5)
    other = make_learner(tmp_path)
    other.fit(1, cbs=callback)  # another learner: another run
    assert store.list_runs()["status"].tolist() == ["finished"] * 2


def test_a_fit_that_starts_at_an_epoch_goes_on_with_the_run_that_is_given(store: TrainStore, tmp_path: Path) -> None:
    """``start_epoch`` with the run that is resumed: the steps are those of the whole training."""
    make_learner(tmp_path).fit(2, cbs=TrainStoreCallback(store, name="a"))
    with store.resume_run("a", step=3) as run:
        make_learner(tmp_path).fit(4, start_epoch=1, cbs=TrainStoreCallback(run))
    log = store.list_step_logs("a")
    assert log["step"].tolist() == list(range(1, 13))
    assert log["epoch"].tolist()[-1] == 4


class CancelAt(Callback):
    """Cancels the fit in an event of a step."""

    order = 100

    def __init__(self, event: str, step: int) -> None:
        self.at = (event, step)

    def before_batch(self) -> None:
        self.check("before_batch")

    def after_batch(self) -> None:
        self.check("after_batch")

    def check(self, event: str) -> None:
        if self.learn.training and (event, self.learn.train_iter) == self.at:
            raise CancelFitException


def test_a_cancelled_fit_is_finished(store: TrainStore, tmp_path: Path) -> None:
    """Early stopping, a loss that is NaN, a callback: an event says so, and no batch is missing or invented."""
    ways = {
        "stopped": ([EarlyStoppingCallback(min_delta=1e9, patience=1)], {}, [3, 6]),
        "before": ([CancelAt("before_batch", 4)], {}, [4]),
        "after": ([CancelAt("after_batch", 4)], {}, [4]),
    }
    for name, (callbacks, options, steps) in ways.items():
        make_learner(tmp_path, TrainStoreCallback(store, name=name), *callbacks, **options).fit(3)
        assert store.get_run(name).status == "finished"
        assert store.list_events(name, kind="cancel_fit")["step"].tolist() == steps[-1:]
        assert store.list_step_logs(name)["step"].tolist() == list(range(1, steps[-1] + 1))
    learner = make_learner(tmp_path, TrainStoreCallback(store, name="nan"), TerminateOnNaNCallback())
    learner.loss_func = lambda found, wanted: functional.mse_loss(found, wanted) * float("nan")
    learner.fit(1)
    assert store.list_step_logs("nan")["loss"].isna().tolist() == [True]


@pytest.mark.parametrize(
    ("error", "in_training", "kept"),
    [
        (CancelEpochException, True, set()),
        (CancelEpochException, False, {"train_loss"}),
        (CancelTrainException, True, {"valid_loss", "mean_error"}),
        (CancelValidException, False, {"train_loss"}),
    ],
)
def test_a_cancelled_part_of_an_epoch_has_no_values(
    store: TrainStore, tmp_path: Path, error: type[Exception], in_training: bool, kept: set[str]
) -> None:
    """fastai leaves its values out, so that the others come under other names in its table."""

    class Cancel(Callback):
        def after_batch(self) -> None:
            if self.learn.training == in_training and self.iter == 1:
                raise error

    make_learner(tmp_path, TrainStoreCallback(store), Cancel()).fit(1)
    log = store.list_step_logs(only_run(store))
    assert {name for name in ("train_loss", "valid_loss", "mean_error") if name in log} == kept
    assert log["step"].tolist() == ([1, 2] if in_training else [1, 2, 3])
    for name in kept:
        assert 0 < log[name].dropna().item() < 1000


def test_saved_models_are_events(store: TrainStore, tmp_path: Path) -> None:
    """What SaveModelCallback writes, at the step at which it was written."""
    make_learner(tmp_path, TrainStoreCallback(store), SaveModelCallback(every_epoch=True, fname="m")).fit(2)
    events = store.list_events(only_run(store), kind="checkpoint")
    assert events["step"].tolist() == [3, 6]
    assert [details["path"] for details in events["details"]] == [
        str(tmp_path / "models" / f"m_{n}.pth") for n in (0, 1)
    ]


def test_the_learner_is_left_as_it_was(store: TrainStore, tmp_path: Path) -> None:
    """The model is trained to the same weights, and the learner can be exported with the callback."""
    weights = []
    for callbacks in ([], [TrainStoreCallback(store)]):
        torch.manual_seed(1)
        learner = make_learner(tmp_path, *callbacks)
        learner.fit(1)
        weights.append(learner.model.weight.item())
        assert "_with_events" not in vars(learner)
    assert weights[0] == weights[1]
    learner.dls = learner.opt = None  # as export() does
    torch.save(learner, tmp_path / "exported.pkl")
    copied = torch.load(tmp_path / "exported.pkl", weights_only=False)
    assert copied.train_store.active_run is None
