"""The two ways in which a step's loss reaches the host."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fixtures.trainers import Crash, CrashAt, build_trainer
from trainstore.integrations.transformers import TrainStoreCallback
from trainstore.integrations.transformers.losses import DirectLoss, RingLoss
from trainstore.integrations.transformers.steps import StepRecorder


class Event:
    """A device's event, as far as the ring asks it: ready when the test says so."""

    def __init__(self):
        self.ready = False
        self.waited = False

    def query(self):
        return self.ready

    def synchronize(self):
        self.waited = self.ready = True


@pytest.fixture
def ring(monkeypatch):
    """A ring of four steps whose copies become ready when the test says so; ``ring.events`` are theirs."""
    made = RingLoss("cpu", slots=4)
    made.events = []

    def copy(tensor):
        event = Event()
        made.events.append(event)
        return tensor.clone(), event

    monkeypatch.setattr(made, "_copy_to_host", copy)
    return made


def optimizer_of(*rates):
    """What is asked of an optimizer: its groups, with their learning rates."""
    return SimpleNamespace(param_groups=[{"lr": rate} for rate in rates])


def take_step(reader, step, *losses, norm=None):
    for loss in losses:
        reader.add_loss(torch.tensor(loss))
    if norm is not None:
        reader.add_grad_norm(torch.tensor(norm))
    return reader.end_step(step)


@pytest.mark.parametrize("make", [DirectLoss, lambda: RingLoss("cpu", slots=3)], ids=["direct", "ring"])
def test_micro_batches_add_up_as_the_trainer_adds_them(make):
    """A step's loss is the float32 sum of its micro-batches in their order, whatever their precision."""
    parts = [torch.tensor(x, dtype=torch.bfloat16) for x in (0.1, 1e-3, 2.7)]
    reader = make()
    for part in parts:
        reader.add_loss(part)
    found = dict([(1, reader.end_step(1)), *reader.later(wait=True)])
    total = torch.tensor(0.0)
    for part in parts:
        total += part
    assert found == {1: {"loss": total.item()}}


def test_on_the_cpu_a_step_is_whole_when_it_ends():
    """Loss and gradient norm are there at once, and nothing of one step is left for the next."""
    reader = DirectLoss()
    assert take_step(reader, 1, 0.5, norm=2.0) == {"loss": 0.5, "grad_norm": 2.0}
    assert take_step(reader, 2, 0.25) == {"loss": 0.25}
    assert take_step(reader, 3) == {}
    assert list(reader.later(wait=True)) == []


def test_a_gradient_norm_may_be_a_number(ring):
    """DeepSpeed gives a Python float."""
    reader = DirectLoss()
    reader.add_grad_norm(1.5)
    assert reader.end_step(1) == {"grad_norm": 1.5}
    ring.add_grad_norm(1.5)
    ring.end_step(1)
    assert list(ring.later(wait=True)) == [(1, {"grad_norm": 1.5})]


def test_the_ring_waits_for_nobody(ring):
    """Nothing is read before the copy is ready, however many steps pass; then it comes in order."""
    for step in range(1, 11):
        assert take_step(ring, step, float(step)) == {}
    assert len(ring.events) == 2
    assert list(ring.later(wait=False)) == []
    ring.events[1].ready = True
    assert list(ring.later(wait=False)) == []  # the first copy is still on its way: order is kept
    ring.events[0].ready = True
    assert list(ring.later(wait=False)) == [(step, {"loss": float(step)}) for step in range(1, 9)]
    assert not any(event.waited for event in ring.events)


def test_the_ring_is_read_whole_at_the_end(ring):
    """With ``wait`` the steps of a ring that is not full come too, and a NaN stays one."""
    take_step(ring, 1, 1.0, norm=3.0)
    take_step(ring, 2, math.nan)
    take_step(ring, 3)
    found = list(ring.later(wait=True))
    assert found[0] == (1, {"loss": 1.0, "grad_norm": 3.0})
    assert found[1][0] == 2
    assert math.isnan(found[1][1]["loss"])
    assert len(found) == 2
    assert all(event.waited for event in ring.events)
    assert list(ring.later(wait=True)) == []


def test_the_ring_keeps_no_reference_to_a_loss(ring):
    """A loss that its owner overwrites afterwards (a CUDA graph does) is recorded as it was."""
    buffer = torch.tensor(1.0)
    for step in (1, 2):
        ring.add_loss(buffer)
        ring.end_step(step)
        buffer.add_(1.0)
    assert [values["loss"] for _, values in ring.later(wait=True)] == [1.0, 2.0]


def test_the_ring_keeps_a_learning_rate_that_is_on_the_device(ring):
    """An optimizer may keep it in a tensor there, and change it in place afterwards."""
    rate = torch.tensor(0.5)
    for step in (1, 2):
        ring.add_learning_rate(rate)
        ring.end_step(step)
        rate.mul_(0.5)
    assert list(ring.later(wait=True)) == [(1, {"learning_rate": 0.5}), (2, {"learning_rate": 0.25})]


def test_a_learning_rate_on_a_device_is_never_read_there(monkeypatch):
    """It goes into the ring; without one it is left to the Trainer's log. (A tensor of "meta" cannot be read.)"""
    rate = torch.ones((), device="meta")
    kept = []
    monkeypatch.setattr(RingLoss, "add_learning_rate", lambda ring, rate: kept.append(rate))
    for reader in (RingLoss("cpu"), None):
        recorder = StepRecorder(None, reader, 0)
        recorder.before_optimizer(optimizer_of(rate, rate))
        assert recorder._learning_rates == {}
    assert kept == [rate]


def test_groups_with_and_without_a_learning_rate():
    """Numbers of any kind are taken; a group that has none, or the first one's, has no name of its own."""
    recorder = StepRecorder(None, RingLoss("cpu"), 0)
    recorder.before_optimizer(optimizer_of(None, 0.5))
    assert recorder._learning_rates == {"learning_rate_1": 0.5}
    rates = [torch.tensor(0.5), 0.5, None, torch.tensor(0.25), np.float32(0.125)]
    recorder.before_optimizer(optimizer_of(*rates))
    assert recorder._learning_rates == {"learning_rate": 0.5, "learning_rate_3": 0.25, "learning_rate_4": 0.125}
    assert {type(rate) for rate in recorder._learning_rates.values()} == {float}


@pytest.mark.parametrize("wait", [True, False])
def test_the_ring_may_be_read_in_the_middle_of_a_step(ring, wait):
    """Who logs between two micro-batches has the ring read there: the step that has begun loses nothing."""
    for step in range(1, 9):
        ring.add_loss(torch.tensor(1.0))
        ring.add_grad_norm(torch.tensor(7.0))
        done = list(ring.later(wait=wait))
        assert [found for found, _ in done] == ([step - 1] if wait and step > 1 else [])
        ring.add_loss(torch.tensor(float(step)))
        ring.end_step(step)
    last = dict(ring.later(wait=True))
    assert last[8] == {"loss": 9.0, "grad_norm": 7.0}
    assert wait or last == {step: {"loss": 1.0 + step, "grad_norm": 7.0} for step in range(1, 9)}


def test_a_loss_that_belongs_to_a_graph_does_not_pull_the_ring_into_it(ring):
    """What a training_step of the user's returns may need a gradient; the ring keeps the number alone."""
    weight = torch.tensor(2.0, requires_grad=True)
    for step in (1, 2, 3):
        ring.add_loss(weight * 1.0)
        ring.add_loss(weight * 2.0)
        ring.add_grad_norm(weight * 3.0)
        ring.end_step(step)
    assert not any(kept.requires_grad for kept in ring._rings)
    assert dict(ring.later(wait=True)) == {step: {"loss": 6.0, "grad_norm": 6.0} for step in (1, 2, 3)}


@pytest.mark.parametrize("make", [DirectLoss, lambda: RingLoss("cpu", slots=3)], ids=["direct", "ring"])
def test_a_step_that_failed_is_forgotten(make):
    """What a step left behind does not reach the next one."""
    reader = make()
    reader.add_loss(torch.tensor(100.0))
    reader.add_grad_norm(torch.tensor(100.0))
    reader.discard()
    found = dict([(1, take_step(reader, 1, 0.5)), *reader.later(wait=True)])
    assert found == {1: {"loss": 0.5}}


@pytest.mark.parametrize("make", [DirectLoss, lambda: RingLoss("cpu", slots=3)], ids=["direct", "ring"])
def test_the_norm_of_a_distributed_tensor_is_left_alone(make):
    """Reading a DTensor is a collective, which one rank alone must not begin."""

    class Distributed(torch.Tensor):
        pass

    reader = make()
    reader.add_loss(torch.tensor(1.0))
    reader.add_grad_norm(torch.tensor(2.0).as_subclass(Distributed))
    assert dict([(1, reader.end_step(1)), *reader.later(wait=True)]) == {1: {"loss": 1.0}}


@pytest.fixture(scope="module")
def read_directly(shared_store, tmp_path_factory):
    """Options of a training longer than a ring, and what is recorded of it where losses are read at once."""
    options = {"max_steps": 70, "gradient_accumulation_steps": 2}
    callback = TrainStoreCallback(shared_store)
    build_trainer(tmp_path_factory.mktemp("direct"), callbacks=[callback], **options).train()
    return options, shared_store.list_step_logs(callback.run_uid)


@pytest.mark.parametrize("logging_steps", [3, 500])
def test_the_ring_of_an_accelerator_gives_the_same_losses(
    shared_store, make_trainer, read_directly, monkeypatch, logging_steps
):
    """Through the device ring (here on the CPU) every step's loss and gradient norm arrive, later and the same."""
    options, expected = read_directly
    monkeypatch.setattr("trainstore.integrations.transformers.losses.DirectLoss", lambda: RingLoss("cpu"))
    callback = TrainStoreCallback(shared_store)
    make_trainer(callbacks=[callback], **options, logging_steps=logging_steps).train()
    columns = ["step", "loss", "grad_norm", "learning_rate", "tokens"]
    found = shared_store.list_step_logs(callback.run_uid)
    assert len(found) == 70
    assert found[columns].to_dict("list") == expected[columns].to_dict("list")
    assert shared_store.get_run(callback.run_uid).environment["loss_source"] == "training_step"


def test_a_failed_training_brings_the_last_ring_home(local_store, make_trainer, monkeypatch):
    """The losses still in the ring when the training fails are recorded."""
    monkeypatch.setattr("trainstore.integrations.transformers.losses.DirectLoss", lambda: RingLoss("cpu"))
    callback = TrainStoreCallback(local_store)
    with pytest.raises(Crash):
        make_trainer(callbacks=[callback, CrashAt(7)], logging_steps=500).train()
    assert local_store.list_step_logs(callback.run_uid)["loss"].notna().sum() == 7
