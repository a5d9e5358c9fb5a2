"""How often a training reads a tensor on the host: each such read waits for an accelerator to catch up.

Counted in a real Trainer on the CPU, where the operations are the same, once without the callback and once with it.
"""

import pytest
import torch

from fixtures.host_reads import HostReads
from fixtures.trainers import gpt2, tokens
from trainstore.integrations.transformers import TrainStoreCallback
from trainstore.integrations.transformers.losses import RingLoss

STEPS = 10
SLOTS = 4


class Ready:
    """The event of a copy that has arrived when it is asked for the second time."""

    def __init__(self):
        self.asked = 0

    def query(self):
        self.asked += 1
        return self.asked > 1

    def synchronize(self):
        self.asked += 1


class CountedRing(RingLoss):
    """A ring that says when it drains, and whose copies need a while."""

    def __init__(self, reads):
        super().__init__("cpu", slots=SLOTS)
        self.reads = reads

    def _copy_to_host(self, ring):
        return ring.clone(), Ready()  # as on a device: the copy is queued, and nobody waits

    def later(self, *, wait):
        with self.reads.during("drain"):
            return iter(list(super().later(wait=wait)))


def reads_of(make_trainer, callbacks, reads=None, **options):
    """Train, and count; only the training, without what a Trainer prepares once."""
    reads = HostReads() if reads is None else reads
    options = {"max_steps": STEPS, "logging_steps": 500, "logging_nan_inf_filter": False, **options}
    trainer = make_trainer(model=gpt2(), callbacks=callbacks, **options)
    with reads.counted():
        trainer.train()
    return reads.counts


def test_what_is_counted():
    """The counter sees every way in which a tensor's value is read."""
    value = torch.tensor([1.0])
    reads = HostReads()
    with reads.counted():
        assert value.item()
        assert value.tolist()
        assert float(value)
        assert value
        value.cpu()
        value.numpy()
        value.to("cpu", copy=True)
        value + value
        value.clone()
    assert reads.counts["training"] == {
        "aten::_local_scalar_dense": 3,
        "tolist": 1,
        "cpu": 1,
        "numpy": 1,
        "aten::_to_copy": 1,
    }


@pytest.mark.parametrize("accumulation", [1, 4])
def test_on_the_cpu_each_loss_and_the_norm_are_read_once(local_store, make_trainer, accumulation):
    """Each micro-batch's loss and the step's gradient norm: on the CPU a read waits for nothing."""
    options = {"gradient_accumulation_steps": accumulation}
    without = reads_of(make_trainer, [], **options)["training"]
    found = reads_of(make_trainer, [TrainStoreCallback(local_store)], **options)["training"]
    assert found - without == {"aten::_local_scalar_dense": (accumulation + 1) * STEPS}
    assert without - found == {}


@pytest.mark.parametrize("accumulation", [1, 4])
@pytest.mark.parametrize("logging_steps", [3, 500])
def test_the_ring_adds_no_read_outside_its_drains(local_store, make_trainer, monkeypatch, accumulation, logging_steps):
    """The way of the accelerators: in the training not one read more, and in the drains one of each ring."""
    options = {"gradient_accumulation_steps": accumulation, "logging_steps": logging_steps}
    without = reads_of(make_trainer, [], **options)["training"]
    reads = HostReads()
    monkeypatch.setattr("trainstore.integrations.transformers.losses.DirectLoss", lambda: CountedRing(reads))
    callback = TrainStoreCallback(local_store)
    found = reads_of(make_trainer, [callback], reads, **options)
    assert found["training"] == without
    drains = {500: 3, 3: 4}[logging_steps]  # after 4, 8 and 10 steps; after 3, 6, 9 and 10
    assert found["drain"] == {"tolist": drains}
    steps = local_store.list_step_logs(callback.run_uid)
    assert steps[["loss", "grad_norm", "learning_rate"]].notna().all().all()
    assert len(steps) == STEPS


def test_evaluations_and_checkpoints_add_no_read(local_store, make_trainer, monkeypatch):
    """Neither the evaluations in between nor what is recorded at the beginning reads a tensor."""
    options = {"eval_dataset": tokens(6), "eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps"}
    options |= {"save_steps": 5, "include_num_input_tokens_seen": "all"}
    without = reads_of(make_trainer, [], **options)["training"]
    reads = HostReads()
    monkeypatch.setattr("trainstore.integrations.transformers.losses.DirectLoss", lambda: CountedRing(reads))
    found = reads_of(make_trainer, [TrainStoreCallback(local_store)], reads, **options)
    assert found["training"] == without
    assert set(found["drain"]) == {"tolist"}
