"""How often a training reads a tensor on the host: each such read waits for an accelerator to catch up.

Counted on the CPU, where the operations are the same, with losses and norms kept as they are on an accelerator.
"""

import pytest
import torch
from torch import nn

from fixtures.host_reads import HostReads
from fixtures.torch_models import classifier, loader
from fixtures.torch_modules import module_of
from trainstore import TrainStore
from trainstore.integrations.transformers.losses import RingLoss
from trainstore.training import OptimizerConfig, SchedulerConfig, Trainer

STEPS = 20
SLOTS = 8


@pytest.fixture
def reads(monkeypatch):
    """Counts the reads; those of a ring that is full, or wanted for a log, as "drain"."""
    found = HostReads()

    class CountedRing(RingLoss):
        def __init__(self):
            super().__init__("cpu", slots=SLOTS)

        def _copy_to_host(self, ring):
            return ring.clone(), None

        def later(self, *, wait):
            with found.during("drain"):
                return iter(list(super().later(wait=wait)))

    monkeypatch.setattr("trainstore.integrations.transformers.losses.DirectLoss", CountedRing)
    monkeypatch.setattr("trainstore.training.losses.DirectLoss", CountedRing)
    monkeypatch.setattr("trainstore.training.metrics.reads_at_once", lambda value: False)
    return found


@pytest.fixture(params=["recorded", "alone"])
def target(request, tmp_path):
    """A store, or none."""
    if request.param == "alone":
        yield None
    else:
        with TrainStore(tmp_path / "store.db") as store:
            yield store


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_step_reads_nothing(reads, target, accumulation):
    """Not for the NaN check, the norm, the record: the losses of many steps are read together, and logs read a norm."""
    config = {
        "check_for_nan": True,
        "max_grad_norm": 1.0,
        "gradient_accumulation_steps": accumulation,
        "logging_steps": 10,
    }
    model = classifier()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trainer = Trainer(model, optimizer, nn.CrossEntropyLoss(), config, "cpu", store=target)
    batches = list(loader(4 * STEPS * accumulation))
    with reads.counted():
        trainer.train(batches, 1)
    assert trainer.state.global_step == STEPS
    logs = 3  # after steps 10 and 20, and at the epoch's end
    assert reads.counts["training"] == {"aten::_local_scalar_dense": logs}
    recorders = 1 if target is None else 2  # each has a ring of its own
    assert set(reads.counts["drain"]) == {"tolist"}
    assert reads.counts["drain"]["tolist"] <= recorders * (STEPS // SLOTS + logs)


def test_a_module_reads_its_metrics_once_a_log(reads, target):
    """However many metrics there are, and however many steps lie between two logs."""
    optimizer = OptimizerConfig(name="sgd", scheduler=SchedulerConfig(lr=0.1), grad_clip_norm=1.0)
    options = {"default_train_log_modes": ["mean", "max", "std"], "log_grad_norm": True, "seed": 0}
    module = module_of(optimizer=optimizer, log_every=5, options={"store": target}, **options)
    batches = list(loader(4 * STEPS))
    with reads.counted():
        module.train_model(batches, num_epochs=1)
    logs = STEPS // 5
    assert reads.counts["training"]["tolist"] == logs
    assert reads.counts["training"]["aten::_local_scalar_dense"] <= logs + 1  # the last norm, at the epoch's end too
    assert set(reads.counts["drain"]) == {"tolist"}
