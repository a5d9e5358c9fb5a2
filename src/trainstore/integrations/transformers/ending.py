"""How a training ends: of itself, by an exception, by a signal, or because another rank failed."""

from __future__ import annotations

import os
import traceback
from typing import Any

from trainstore.endings import describe_exception, ending_of
from trainstore.integrations.protocol import attribute_of
from trainstore.integrations.transformers.checkpoint_file import step_of_best_model
from trainstore.integrations.transformers.session import Session
from trainstore.integrations.transformers.training import Training
from trainstore.run import ActiveRun

RANK_TIMEOUT = 5.0  # seconds that a failed rank waits to learn which run it belongs to


def announced_end(session: Session, training: Training, state: Any, control: Any) -> None:
    """The event ``on_train_end``, with this state and this control. (No exception brings it: only our wrappers see it.)

    Why a training stopped is an event of its run.
    """
    step, protocol = training.last_step, training.protocol
    is_early = step < state.max_steps
    # The second one is Forgather's.
    is_asked_for = control.should_training_stop or getattr(control, "should_abort_without_save", False)
    # A pruned trial ends in the middle of an epoch, which no other training does.
    is_pruned = state.is_hyper_param_search and (training.in_epoch or (is_early and not is_asked_for))
    failure = attribute_of(training.known_trainer, protocol.failure)
    run = None if training.steps is None else training.run
    if run is not None:
        if is_early and is_asked_for and not is_pruned and failure is None and training.stopped_by is None:
            run.log_event("early_stop", step, {"max_steps": state.max_steps})
        _log_best_model(run, state)
        event = attribute_of(training.known_trainer, protocol.ending_event)
        if event is not None:
            run.log_event(*event)
    if is_pruned:
        session.finish(training, "pruned")
    elif failure is not None:
        session.finish(training, "failed", str(failure))
    else:
        end(session, training)


def _log_best_model(run: ActiveRun, state: Any) -> None:
    path = state.best_model_checkpoint
    if path:
        path = os.path.abspath(path) if isinstance(path, (str, os.PathLike)) else path
        step, metric = step_of_best_model(state), getattr(state, "best_metric", None)
        run.log_event("best_model", step, {"path": path, "metric": metric, "step": step})


def end(session: Session, training: Training) -> None:
    """A training ended without an error: of itself, or because something stopped it."""
    if training.stopped_by is None:
        session.finish(training, "finished")
    else:
        session.finish(training, "interrupted", training.stopped_by)


def train_ended(session: Session, training: Training, error: BaseException | None) -> None:
    """``train()`` returned or raised. Its training is still open if no event told its end. Never raises."""
    try:
        if training not in session.trainings:
            _failed_late(session, training, error)
        elif error is None:
            end(session, training)
        else:
            _log_once(training, error)
            _fail(session, training, error)
    except Exception as failure:  # noqa: BLE001
        session.report("the end of a training", failure, reraise=False)


def end_all(session: Session, error: BaseException | None) -> None:
    """End every training that is under way, with this error if there is one. Never raises."""
    for training in list(session.trainings):
        train_ended(session, training, error)


def saw_failure(session: Session, training: Training, error: BaseException) -> None:
    """An exception came out of a part of a training, which goes on if somebody catches it. Never raises."""
    if training not in session.trainings:
        return
    try:
        _log_once(training, error)
        if not training.is_watched and not training.in_epoch:
            if training.run is not None:
                session.taken_for_failed = training
            _fail(session, training, error)
    except Exception as failure:  # noqa: BLE001
        session.report("a failure", failure, reraise=False)


def saw_stop(session: Session, training: Training) -> None:
    """The Trainer saved a checkpoint because of a SIGTERM, which no event tells, and is about to stop."""
    step = training.state.global_step
    training.stopped_by = f"SIGTERM: the Trainer saved a checkpoint at step {step} and stopped"
    session.log_checkpoint(training)


def _fail(session: Session, training: Training, error: BaseException) -> None:
    if training.run is None:
        _rank_failed(session, training, error)
        return
    status, reason = ending_of(error)
    if status == "failed":
        reason = training.ranks.failure() or reason
    session.finish(training, status, reason)


def _failed_late(session: Session, training: Training, error: BaseException | None) -> None:
    """A push or another callback failed after the training's end: an event of the run, which stays finished."""
    run = training.run
    if run is None or run.status != "finished":
        return
    if error is not None and ending_of(error)[0] == "failed":
        joined = session.store.resume_run(run.uid, lineage=run.lineage, source=training.protocol.source)
        _log_exception(joined, training.state.global_step, error)
        session.finish_run(joined)


def _rank_failed(session: Session, training: Training, error: BaseException) -> None:
    """A rank that records nothing failed. It says so itself: rank 0 may not live long enough to do it."""
    session.finish(training, "finished")  # there is no run here: this removes the wrappers
    status, reason = ending_of(error)
    if status != "failed" or reason is None:
        return  # Ctrl-C and a pruned trial reach rank 0 too
    ranks = training.ranks
    ranks.publish_failure(reason)
    shared = ranks.run(wait=RANK_TIMEOUT)
    if shared is not None and session.given is None:
        run = session.store.resume_run(
            shared.saved.run_uid,
            lineage=shared.saved.lineage,
            rank=ranks.rank,
            project=shared.project,
            name=shared.name,
            source=training.protocol.source,
        )
        _log_exception(run, training.state.global_step, error, ranks.rank)
        session.finish_run(run, "failed", reason)


def _log_once(training: Training, error: BaseException) -> None:
    """Record an exception once on its way out. (A rank without a run records it when it has failed.)"""
    if not training.is_new(error) or ending_of(error)[0] == "finished":
        return
    training.failure = describe_exception(error)
    if training.steps is not None:
        training.steps.release()
    if training.run is not None:
        _log_exception(training.run, training.state.global_step, error)


def _log_exception(run: ActiveRun, step: int, error: BaseException, rank: int = 0) -> None:
    """Record an exception with its traceback as an event."""
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    details = {"type": type(error).__qualname__, "rank": rank, "traceback": "".join(lines)}
    run.log_event("exception", step, {**details, "message": describe_exception(error)})
