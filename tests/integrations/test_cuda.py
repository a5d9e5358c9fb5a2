"""The way of the losses on a CUDA device: true, late, and without a wait of ours for the device."""

import functools
import logging
import math
import os
import signal
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from transformers import Trainer

from fixtures.host_reads import HostReads
from fixtures.trainers import TESTS, Crash, CrashAt, build_trainer, gpt2, tokens
from fixtures.twins import COMPARED, TOLERANCE, logged, recorded, worst_error
from trainstore import TrainStore
from trainstore.integrations.transformers import TrainStoreCallback
from trainstore.integrations.transformers.losses import SLOTS, RingLoss
from trainstore.integrations.transformers.steps import StepRecorder

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="not tried: no CUDA device"),
]

STEPS = 2 * SLOTS + 6  # two rings that are sent when they are full, and one that is not


@pytest.fixture
def repeatable(monkeypatch):
    """Two trainings of one seed compute the same numbers."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


class Captures(Trainer):
    """Reads each micro-batch's loss at once, which waits for the device: the truth of a step is their float32 sum."""

    def training_step(self, *args, **kwargs):
        loss = super().training_step(*args, **kwargs)
        self.__dict__.setdefault("captured", {}).setdefault(self.state.global_step + 1, []).append(loss.item())
        return loss

    def truth(self):
        """Step → loss."""
        sums = {}
        for step, parts in self.captured.items():
            total = np.float32(0.0)
            for part in parts:
                total = np.float32(total + np.float32(part))
            sums[step] = float(total)
        return sums


def model():
    """`gpt2`, with the attention whose backward pass gives the same numbers each time."""
    made = gpt2()
    made.set_attn_implementation("eager")
    return made


@pytest.fixture
def make_cuda_trainer(tmp_path):
    """`build_trainer` on one CUDA device, `STEPS` steps that are not logged."""

    def make(**options):
        options = {"max_steps": STEPS, "logging_steps": 500, "train_dataset": tokens(1024), "use_cpu": False, **options}
        trainer = build_trainer(tmp_path, model=options.pop("model", None) or model(), **options)
        assert trainer.args.device.type == "cuda"
        trainer.args._n_gpu = 1  # no DataParallel where there are several
        return trainer

    return make


@contextmanager
def no_waiting(*, but_drains=False):
    """Whatever waits for the device in here is an error; with ``but_drains`` the ring may wait for its own copy.

    PyTorch's own way to find reads, which is process-wide; it says nothing of a wait for an event.
    """

    def synchronize(event):
        raise RuntimeError("waits for an event, which synchronizes too")

    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        with pytest.MonkeyPatch.context() as patch:
            if not but_drains:
                patch.setattr(torch.cuda.Event, "synchronize", synchronize)
            yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def forbid_waiting(monkeypatch, owner, *names, but_drains=False):
    """Run these methods of ours, and what they call, under `no_waiting`."""
    for name in names:
        original = getattr(owner, name)

        def strict(*args, _original=original, **kwargs):
            with no_waiting(but_drains=but_drains):
                return _original(*args, **kwargs)

        monkeypatch.setattr(owner, name, functools.wraps(original)(strict))


OF_EVERY_STEP = ("on_step_begin", "on_substep_end", "on_pre_optimizer_step", "on_optimizer_step", "on_step_end")
NOW_AND_THEN = ("on_epoch_begin", "on_epoch_end", "on_log", "on_evaluate", "on_prediction_step", "on_save")


def test_what_waits_for_the_device_is_found():
    """The check of the next tests finds a read, and lets a copy into the ring pass."""
    value = torch.ones((), device="cuda")
    with no_waiting():
        with pytest.raises(RuntimeError, match="synchroniz"):
            value.item()
        ring = RingLoss("cuda", slots=2)
        for step in (1, 2):
            ring.add_loss(value)
            ring.add_grad_norm(value)
            ring.end_step(step)
        _, host, ready = ring._on_their_way[0]
        assert host.is_pinned()  # else the copy would wait, and nobody would say so
        with pytest.raises(RuntimeError, match="synchroniz"):
            ready.synchronize()
    assert dict(ring.later(wait=True)) == {step: {"loss": 1.0, "grad_norm": 1.0} for step in (1, 2)}


@pytest.mark.parametrize("accumulation", [1, 4])
@pytest.mark.parametrize("logging_steps", [7, 500])
def test_no_hook_and_no_wrapper_of_ours_waits(
    local_store, make_cuda_trainer, monkeypatch, caplog, accumulation, logging_steps
):
    """Under set_sync_debug_mode("error"), with evaluations, logs and checkpoints: nothing is raised, all is there."""
    forbid_waiting(monkeypatch, TrainStoreCallback, *OF_EVERY_STEP)
    forbid_waiting(monkeypatch, TrainStoreCallback, *NOW_AND_THEN, but_drains=True)
    forbid_waiting(monkeypatch, StepRecorder, "add_loss")  # what the wrapper of training_step adds
    forbid_waiting(monkeypatch, StepRecorder, "add_inputs")
    forbid_waiting(monkeypatch, RingLoss, "add_grad_norm")  # and that of clipping
    callback = TrainStoreCallback(local_store, on_error="raise")
    trainer = make_cuda_trainer(
        callbacks=[callback],
        gradient_accumulation_steps=accumulation,
        logging_steps=logging_steps,
        logging_nan_inf_filter=False,
        eval_dataset=tokens(8),
        eval_strategy="steps",
        eval_steps=20,
        save_strategy="steps",
        save_steps=30,
    )
    with caplog.at_level(logging.WARNING, logger="trainstore"):
        trainer.train()
    assert not [entry for entry in caplog.records if entry.name == "trainstore"]
    steps = local_store.list_step_logs(callback.run_uid)
    assert steps["step"].to_list() == list(range(1, STEPS + 1))
    assert steps[["loss", "grad_norm", "learning_rate"]].notna().all().all()


@pytest.mark.parametrize("options", [{}, {"bf16": True}], ids=["fp32", "bf16"])
@pytest.mark.parametrize("accumulation", [1, 4])
def test_the_losses_are_those_that_were_computed(local_store, make_cuda_trainer, accumulation, options):
    """Every step's loss is what training_step returned, read at once by someone else in the same training."""
    callback = TrainStoreCallback(local_store)
    trainer = make_cuda_trainer(
        callbacks=[callback], trainer_class=Captures, gradient_accumulation_steps=accumulation, **options
    )
    trainer.train()
    assert worst_error(recorded(local_store, callback, "loss"), trainer.truth()) <= TOLERANCE
    assert len(trainer.truth()) == STEPS
    environment = local_store.get_run(callback.run_uid).environment
    assert environment["loss_source"] == "training_step"
    assert environment["device"].startswith("cuda")
    assert environment["device_name"]
    assert environment["cuda"] == torch.version.cuda


@pytest.mark.usefixtures("repeatable")
@pytest.mark.parametrize("accumulation", [1, 4])
def test_every_step_is_that_of_a_twin(local_store, make_cuda_trainer, accumulation):
    """Loss, gradient norm and learning rate, against a training of the same seed that logs every step."""
    callback = TrainStoreCallback(local_store)
    make_cuda_trainer(callbacks=[callback], gradient_accumulation_steps=accumulation).train()
    twin = make_cuda_trainer(gradient_accumulation_steps=accumulation, logging_steps=1)
    twin.train()
    for key in COMPARED:
        assert worst_error(recorded(local_store, callback, key), logged(twin, key)) <= TOLERANCE


class NaNAt(Captures):
    """A trainer whose loss is not a number at step 3, and whose gradients are right."""

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        loss = super().compute_loss(model, inputs, return_outputs=False, **kwargs)
        return loss + math.nan if self.state.global_step == 2 else loss


def test_a_step_that_is_not_a_number_shows_it(local_store, make_cuda_trainer):
    """The NaN comes through the ring in its own step, and in no other."""
    callback = TrainStoreCallback(local_store)
    make_cuda_trainer(callbacks=[callback], trainer_class=NaNAt, max_steps=8).train()
    losses = recorded(local_store, callback, "loss")
    assert [step for step, loss in losses.items() if math.isnan(loss)] == [3]
    assert len(losses) == 8


class Compiled(Captures):
    """Marks where a step begins, for graphs that write their results to the same memory each time."""

    def training_step(self, *args, **kwargs):
        torch.compiler.cudagraph_mark_step_begin()
        return super().training_step(*args, **kwargs)


def test_graphs_that_are_replayed_overwrite_no_loss(local_store, make_cuda_trainer):
    """With CUDA graphs (mode reduce-overhead) a loss's memory is written again; what is recorded was copied before."""
    callback = TrainStoreCallback(local_store)
    trainer = make_cuda_trainer(
        callbacks=[callback],
        trainer_class=Compiled,
        max_steps=SLOTS + 4,
        torch_compile=True,
        torch_compile_mode="reduce-overhead",
    )
    trainer.train()
    assert worst_error(recorded(local_store, callback, "loss"), trainer.truth()) <= TOLERANCE


class RateOnTheDevice(Trainer):
    """Has an optimizer that keeps its learning rate on the device, as captured graphs need it."""

    def create_optimizer(self, *args, **kwargs):
        rate = torch.tensor(self.args.learning_rate, device=self.args.device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=rate, capturable=True)
        return self.optimizer


def test_a_learning_rate_on_the_device_is_recorded_without_a_wait(local_store, make_cuda_trainer, monkeypatch):
    """It comes through the ring, and is that of the step, although the scheduler changes it in place."""
    forbid_waiting(monkeypatch, TrainStoreCallback, "on_pre_optimizer_step")
    callback = TrainStoreCallback(local_store, on_error="raise")
    make_cuda_trainer(callbacks=[callback], trainer_class=RateOnTheDevice).train()
    twin = make_cuda_trainer(trainer_class=RateOnTheDevice, logging_steps=1)
    twin.train()
    found = recorded(local_store, callback, "learning_rate")
    assert worst_error(found, logged(twin, "learning_rate")) <= TOLERANCE
    assert len(set(found.values())) == STEPS


@pytest.mark.parametrize("accumulation", [1, 4])
@pytest.mark.parametrize("logging_steps", [7, 500])
def test_no_host_read_is_added_outside_the_drains(
    local_store, make_cuda_trainer, monkeypatch, accumulation, logging_steps
):
    """Counted: in the training as many reads as without the callback, in the drains none of the device's memory."""
    reads = HostReads()

    class CountedRing(RingLoss):
        def later(self, *, wait):
            with reads.during("drain"):
                return iter(list(super().later(wait=wait)))

    def count(callbacks, into):
        trainer = make_cuda_trainer(
            callbacks=callbacks,
            gradient_accumulation_steps=accumulation,
            logging_steps=logging_steps,
            logging_nan_inf_filter=False,
        )
        with into.counted():
            trainer.train()
        return into.counts

    without = count([], HostReads())["training"]
    monkeypatch.setattr("trainstore.integrations.transformers.losses.RingLoss", CountedRing)
    callback = TrainStoreCallback(local_store)
    found = count([callback], reads)
    assert found["training"] == without
    assert set(found["drain"]) == {"tolist"}  # of the pinned copy
    assert local_store.list_step_logs(callback.run_uid)["loss"].notna().all()


def test_a_failed_training_brings_the_last_ring_home(local_store, make_cuda_trainer):
    """The losses that are still on the device when the training fails are recorded."""
    callback = TrainStoreCallback(local_store)
    with pytest.raises(Crash):
        make_cuda_trainer(callbacks=[callback, CrashAt(SLOTS + 7)]).train()
    assert len(recorded(local_store, callback, "loss")) == SLOTS + 7
    assert local_store.get_run(callback.run_uid).status == "failed"


def test_another_default_device_does_not_matter():
    """Pinned memory is the host's, whatever the user made the default; the ring's stream is its own device's."""
    with torch.device("cuda"):
        ring = RingLoss(torch.device("cuda"), slots=2)
        for step in (1, 2, 3):
            ring.add_loss(torch.tensor(float(step)))
            ring.end_step(step)
        assert dict(ring.later(wait=True)) == {step: {"loss": float(step)} for step in (1, 2, 3)}


KILLED = """
    import os
    import signal
    import sys
    from pathlib import Path

    tests, url, folder, last, steps = sys.argv[1:]
    sys.path.insert(0, tests)

    from transformers import TrainerCallback

    from fixtures.trainers import build_trainer
    from trainstore.integrations.transformers import TrainStoreCallback

    class Kills(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == int(last):
                os.kill(os.getpid(), signal.SIGKILL)

    build_trainer(
        Path(folder), callbacks=[TrainStoreCallback(url), Kills()], max_steps=int(steps), logging_steps=500,
        use_cpu=False,
    ).train()
"""


def test_a_killed_training_loses_at_most_the_last_rings_losses(new_database, start_script, tmp_path):
    """SIGKILL: every step is there with its learning rate; losses are missing for the last ring's steps at most."""
    url = new_database("sqlite")
    script = start_script(KILLED, TESTS, url, tmp_path, STEPS, 2 * STEPS, env={"CUDA_VISIBLE_DEVICES": _one_device()})
    script.finish(code=-signal.SIGKILL)
    with TrainStore(url) as store:
        (uid,) = store.list_runs()["uid"]
        steps = store.list_step_logs(uid).set_index("step")
    assert list(steps.index) == list(range(1, STEPS + 1))
    assert steps["learning_rate"].notna().all()
    # The second ring was sent six steps before the end, and may still have been on its way.
    assert steps["loss"].loc[: STEPS - SLOTS].notna().all()
    assert steps["loss"].loc[2 * SLOTS + 1 :].isna().all()


def _one_device():
    return os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
