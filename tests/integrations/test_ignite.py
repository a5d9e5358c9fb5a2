"""PyTorch Ignite: the trainer's iterations, evaluations at theirs, checkpoints that name the run."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint, DiskSaver, EarlyStopping, global_step_from_engine
from ignite.metrics import Average

from fixtures.adapter_tests import STEPS, AtStep, DivergedError, LibraryTests, only_run
from fixtures.processes import places_of
from trainstore import InvalidArgumentError, TrainStore
from trainstore.integrations.ignite import TrainStoreLogger

DATA = [torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([3.0])]
EPOCHS = STEPS // len(DATA)


def make_trainer(at_step: AtStep = lambda step: None) -> tuple[Engine, torch.optim.Optimizer]:
    """Two epochs of three iterations; the loss is a number."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.1)

    def update(engine: Engine, batch: torch.Tensor) -> float:
        optimizer.zero_grad()
        loss = ((weight - batch) ** 2).sum()
        loss.backward()
        optimizer.step()
        return loss.item()

    trainer = Engine(update)
    trainer.optimizer = optimizer  # type: ignore[attr-defined]
    return trainer, optimizer


def record_loss(logger: TrainStoreLogger, trainer: Engine, at_step: AtStep | None = None) -> None:
    logger.attach_output_handler(trainer, Events.ITERATION_COMPLETED, output_transform=lambda loss: {"loss": loss})
    if at_step is not None:
        trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: at_step(engine.state.iteration))


class TestIgnite(LibraryTests):
    """A trainer of six iterations."""

    module = "trainstore.integrations.ignite"
    package = "ignite"
    adapter = "TrainStoreLogger"
    steps = list(range(1, STEPS + 1))

    def train(self, target: Any, at_step: AtStep, **options: Any) -> None:
        trainer, _ = make_trainer()
        logger = TrainStoreLogger(target, **options)
        record_loss(logger, trainer, at_step)
        trainer.run(DATA, max_epochs=EPOCHS)


def raise_in(step: int, error: BaseException) -> AtStep:
    def at_step(now: int) -> None:
        if now == step:
            raise error

    return at_step


def test_every_value_lies_at_the_trainer_s_iteration(store: TrainStore) -> None:
    """Learning rate, metrics of an evaluator at the ends of epochs, state: by whichever way their step is asked for."""
    trainer, optimizer = make_trainer()
    evaluator = Engine(lambda engine, batch: batch.item())
    Average().attach(evaluator, "mean")
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda _: evaluator.run(DATA))
    with TrainStoreLogger(store, trainer=trainer) as logger:
        logger.attach_output_handler(evaluator, Events.COMPLETED, "valid", metric_names="all")
        logger.attach_output_handler(
            evaluator,
            Events.EPOCH_COMPLETED,
            "again",
            metric_names=["mean"],
            global_step_transform=global_step_from_engine(trainer),
        )
        logger.attach_output_handler(
            evaluator,
            Events.COMPLETED,
            "own",
            metric_names=["mean"],
            global_step_transform=lambda *_: trainer.state.iteration - 1,
        )
        logger.attach_output_handler(trainer, Events.EPOCH_COMPLETED, state_attributes=["epoch_length"])
        logger.attach_opt_params_handler(trainer, Events.ITERATION_STARTED, optimizer)
        trainer.run(DATA, max_epochs=2)
    log = store.list_step_logs(only_run(store)).set_index("step")
    assert log["lr/group_0"].tolist() == [0.1] * 6
    assert log.index.tolist() == [1, 2, 3, 4, 5, 6]
    for metric, steps in {
        "valid/mean": [3, 6],
        "again/mean": [3, 6],
        "own/mean": [2, 5],
        "epoch_length": [3, 6],
    }.items():
        assert log[metric].dropna().index.tolist() == steps
    assert log["epoch"].tolist() == pytest.approx([1 / 3, 2 / 3, 1, 4 / 3, 5 / 3, 2])
    hyperparams = only_run(store).hyperparams
    assert (hyperparams["max_epochs"], hyperparams["epoch_length"]) == (2, 3)


def test_a_training_resumes_as_the_next_attempt_of_its_checkpoint_s_run(store: TrainStore, tmp_path: Path) -> None:
    """The logger in ``to_save``; the steps after the checkpoint are replaced, and its file is an event."""

    def trained(load: Path | None, at_step: AtStep) -> Path:
        trainer, optimizer = make_trainer()
        logger = TrainStoreLogger(store, trainer=trainer)
        record_loss(logger, trainer, at_step)
        parts = {"trainer": trainer, "optimizer": optimizer, "logger": logger}
        saving = Checkpoint(parts, DiskSaver(tmp_path, require_empty=False), n_saved=None)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, saving)
        logger.attach_checkpoint_handler(trainer, saving)
        if load is not None:
            Checkpoint.load_objects(parts, load)
        trainer.run(DATA, max_epochs=3)
        return tmp_path

    with pytest.raises(DivergedError):
        trained(None, raise_in(5, DivergedError("the loss is NaN")))
    run = only_run(store)
    assert (run.status, run.last_step) == ("failed", 5)
    trained(tmp_path / "checkpoint_3.pt", lambda step: None)
    run = only_run(store)
    assert (run.status, run.last_step) == ("finished", 9)
    assert store.list_step_logs(run)["step"].tolist() == list(range(1, 10))
    assert store.list_runs()["attempts"].tolist() == [2]
    events = store.list_events(run, kind="checkpoint")
    assert events["step"].tolist() == [3, 6, 9]
    assert events["details"].tolist()[0] == {"path": str(tmp_path / "checkpoint_3.pt")}


def test_a_checkpoint_is_an_event_whenever_it_is_written(store: TrainStore, tmp_path: Path) -> None:
    """Also under the same name again; not once more when the handler itself is loaded (``include_self``)."""

    def trained(epochs: int, load: bool) -> None:
        trainer, _ = make_trainer()
        logger = TrainStoreLogger(store, trainer=trainer)
        record_loss(logger, trainer)
        parts = {"trainer": trainer, "logger": logger}
        folder = DiskSaver(tmp_path, require_empty=False)
        last = Checkpoint(parts, folder, filename_pattern="last.pt")
        every = Checkpoint(parts, folder, n_saved=None, include_self=True)
        for handler in (last, every):
            trainer.add_event_handler(Events.EPOCH_COMPLETED, handler)
            logger.attach_checkpoint_handler(trainer, handler)
        if load:
            Checkpoint.load_objects({**parts, "checkpointer": every}, tmp_path / "checkpoint_6.pt")
        trainer.run(DATA, max_epochs=epochs)

    trained(2, load=False)
    trained(3, load=True)
    events = store.list_events(only_run(store), kind="checkpoint")
    written = [
        (step, Path(details["path"]).name) for step, details in zip(events["step"], events["details"], strict=True)
    ]
    assert sorted(written) == [(step, name) for step in (3, 6, 9) for name in (f"checkpoint_{step}.pt", "last.pt")]


def test_checkpoints_from_before_the_handler_was_attached_are_no_events(store: TrainStore, tmp_path: Path) -> None:
    """It may be attached while the trainer runs."""
    trainer, _ = make_trainer()
    logger = TrainStoreLogger(store, trainer=trainer)
    record_loss(logger, trainer)
    saving = Checkpoint({"trainer": trainer}, DiskSaver(tmp_path), n_saved=None)
    trainer.add_event_handler(Events.ITERATION_COMPLETED(every=2), saving)
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED(once=3), lambda engine: logger.attach_checkpoint_handler(engine, saving)
    )
    trainer.run(DATA, max_epochs=2)
    assert store.list_events(only_run(store), kind="checkpoint")["step"].tolist() == [4, 6]


def test_another_training_from_a_checkpoint_is_a_child(local_store: TrainStore) -> None:
    """The trainer's count begins anew, so its steps are not those of the run before."""
    trainer, _ = make_trainer()
    logger = TrainStoreLogger(local_store, trainer=trainer, name="a")
    record_loss(logger, trainer)
    trainer.run(DATA, max_epochs=1)
    tuned, _ = make_trainer()
    other = TrainStoreLogger(local_store, trainer=tuned, name="b")
    record_loss(other, tuned)
    other.load_state_dict(logger.state_dict())
    tuned.run(DATA, max_epochs=1)
    child = local_store.get_run("b")
    assert (child.parent_uid, child.parent_step) == (local_store.get_run("a").uid, 3)


def test_a_trainer_that_goes_on_and_an_evaluation_after_it_belong_to_one_run(store: TrainStore) -> None:
    """``run`` again with more epochs: the next attempt; what an evaluator says in between keeps the status."""
    trainer, _ = make_trainer()
    evaluator = Engine(lambda engine, batch: batch.item())
    Average().attach(evaluator, "mean")
    logger = TrainStoreLogger(store, trainer=trainer)
    record_loss(logger, trainer)
    logger.attach_output_handler(evaluator, Events.COMPLETED, "test", metric_names="all")
    evaluator.run(DATA)  # before the training
    trainer.run(DATA, max_epochs=1)
    assert only_run(store).status == "finished"
    evaluator.run(DATA)
    trainer.run(DATA, max_epochs=2)
    logger.close()
    run = only_run(store)
    log = store.list_step_logs(run)
    assert run.status == "finished"
    assert log["step"].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert log["test/mean"].dropna().index.tolist() == [0, 3]
    trainer.state.max_epochs = None
    trainer.run(DATA, max_epochs=1)  # from its beginning: another training
    assert store.list_runs()["status"].tolist() == ["finished", "finished"]


def test_exceptions_are_raised_or_not_as_without_the_logger(store: TrainStore) -> None:
    """A handler of EXCEPTION_RAISED decides; if it swallows Ctrl-C, the run is interrupted all the same."""
    for swallows in (False, True):
        trainer, _ = make_trainer()
        record_loss(
            TrainStoreLogger(store), trainer, lambda step: signal.raise_signal(signal.SIGINT) if step == 2 else None
        )
        if swallows:
            trainer.add_event_handler(Events.EXCEPTION_RAISED, lambda engine, error: engine.terminate())
            trainer.run(DATA, max_epochs=1)
        else:
            with pytest.raises(KeyboardInterrupt):
                trainer.run(DATA, max_epochs=1)
    assert store.list_runs()["status"].tolist() == ["interrupted"] * 2


def test_a_bad_batch_that_is_passed_over_does_not_fail_the_run(local_store: TrainStore) -> None:
    """A handler of EXCEPTION_RAISED swallows it, and the training goes on."""
    trainer, _ = make_trainer()
    record_loss(TrainStoreLogger(local_store), trainer, raise_in(2, DivergedError()))
    trainer.add_event_handler(Events.EXCEPTION_RAISED, lambda engine, error: None)
    trainer.run(DATA, max_epochs=2)
    assert only_run(local_store).status == "finished"


def test_early_stopping_finishes_and_an_interruption_pauses(store: TrainStore) -> None:
    """``terminate`` leaves an event; ``interrupt`` leaves the run open until the trainer goes on."""
    trainer, _ = make_trainer()
    record_loss(TrainStoreLogger(store, name="stopped"), trainer)
    stopping = EarlyStopping(patience=1, score_function=lambda engine: 0.0, trainer=trainer)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, stopping)
    trainer.run(DATA, max_epochs=2)
    run = store.get_run("stopped")
    assert (run.status, store.list_events(run, kind="terminate")["step"].tolist()) == ("finished", [2])

    for name, goes_on in (("paused", False), ("gone on", True)):
        trainer, _ = make_trainer()
        logger = TrainStoreLogger(store, trainer=trainer, name=name)
        record_loss(logger, trainer)
        trainer.add_event_handler(Events.ITERATION_COMPLETED(once=4), lambda engine: engine.interrupt())
        trainer.run(DATA, max_epochs=2)
        assert logger.run is not None
        assert logger.run.status == "running"
        if goes_on:
            trainer.run(DATA, max_epochs=2)
        logger.close()
    assert [(store.get_run(name).status, store.get_run(name).last_step) for name in ("paused", "gone on")] == [
        ("interrupted", 4),
        ("finished", 6),
    ]


def test_of_two_processes_the_first_records(local_store: TrainStore, local_url: str, start_script: Any) -> None:
    """Ignite's distributed module, with gloo: one run, each step once."""
    code = """
        import sys
        import ignite.distributed as idist
        from ignite.engine import Engine, Events
        from trainstore.integrations.ignite import TrainStoreLogger

        def train(rank):
            trainer = Engine(lambda engine, batch: float(rank))
            logger = TrainStoreLogger(sys.argv[1], trainer=trainer)
            logger.attach_output_handler(
                trainer, Events.ITERATION_COMPLETED, output_transform=lambda rank: {"rank": rank}
            )
            trainer.run([1, 2, 3])
            idist.barrier()

        with idist.Parallel(backend="gloo") as parallel:
            parallel.run(train)
    """
    scripts = [start_script(code, local_url, libraries="trainer", env=env) for env in places_of(2)]
    for script in scripts:
        script.finish()
    log = local_store.list_step_logs(only_run(local_store))
    assert log["rank"].tolist() == [0.0] * 3


def test_what_is_no_engine_or_checkpoint_is_refused(local_store: TrainStore) -> None:
    """The error names the argument."""
    trainer, _ = make_trainer()
    with pytest.raises(InvalidArgumentError, match="trainer 7 is not one of Ignite's engines"):
        TrainStoreLogger(local_store, trainer=7)
    with pytest.raises(InvalidArgumentError, match="checkpoint 'x' is not a handler"):
        TrainStoreLogger(local_store).attach_checkpoint_handler(trainer, "x")
