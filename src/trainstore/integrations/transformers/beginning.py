"""How a training begins: with which run, what is recorded about it, and what is watched."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from trainstore.integrations import targets
from trainstore.integrations.protocol import attribute_of
from trainstore.integrations.transformers.checkpoint import SavedRun, trial_of
from trainstore.integrations.transformers.ending import saw_failure, saw_stop, train_ended
from trainstore.integrations.transformers.foreign import missing_from
from trainstore.integrations.transformers.incomplete import Incomplete
from trainstore.integrations.transformers.losses import reader_for
from trainstore.integrations.transformers.ranks import SharedRun
from trainstore.integrations.transformers.runs import begin_again, go_on, open_run
from trainstore.integrations.transformers.session import Session
from trainstore.integrations.transformers.steps import StepRecorder
from trainstore.integrations.transformers.train_call import when_train_ends
from trainstore.integrations.transformers.training import Training
from trainstore.integrations.transformers.watch import Watch
from trainstore.integrations.transformers.wrappers import is_calling
from trainstore.run import ActiveRun


def is_for_the_user(session: Session, error: Exception) -> bool:
    """Whether the user should fix this now: see `targets.is_for_the_user`."""
    return targets.is_for_the_user(error, store_is_open=session.is_open)


def begin(session: Session, training: Training, event: Mapping[str, Any]) -> None:
    """Record a training from its beginning; on a rank that records nothing, watch for what makes it fail.

    Args:
        session: The callback's.
        training: The training.
        event: The event's keyword arguments: model and dataloaders.
    """
    session.failures.begin()
    trainer, args, state = training.known_trainer, training.args, training.state
    before = _end_earlier(session, trainer)
    training.is_watched = when_train_ends(trainer, partial(train_ended, session, training))
    if not training.ranks.records:
        if training.ranks.asks and trainer is not None:
            session.trainings.append(training)
            _watch_of(session, training).ends(trainer)
        return
    if session.given is not None:
        run = _given_run(session, session.given, state.global_step)
    elif before is not None:
        run = begin_again(session.store, before, state.global_step, training.protocol.source)
    else:
        run = _open_run(session, training)
    incomplete = Incomplete(run)
    for name in missing_from(args, state):
        if name not in training.protocol.lacks:
            incomplete.note(name, "not given")
    loss_source = _record(session, training, run, incomplete)
    session.record_facts(run, trainer, args, state, event, incomplete)
    run.log_hyperparams({"loss_source": loss_source}, "env")
    if training.steps is not None:
        training.steps.pause()


def continue_training(session: Session, training: Training, last_step: int) -> Training | None:
    """A training that was taken for failed makes another step: it goes on as the next attempt of its run."""
    session.taken_for_failed = None
    before, incomplete = training.run, training.incomplete
    if before is None or incomplete is None:
        return None
    try:
        run = session.given or go_on(session.store, before, last_step, training.protocol.source)
        _record(session, training, run, incomplete.go_on(run))
    except Exception as error:  # noqa: BLE001
        session.report("a training that goes on", error)
        return None
    return training


def _end_earlier(session: Session, trainer: Any | None) -> ActiveRun | None:
    """End the trainings that were left open before another one began; return the run that goes on, if any.

    A training that begins again inside one call of ``train()`` is another attempt of its run: auto_find_batch_size
    tries a smaller batch. Other trainers' trainings go on.
    """
    again = None
    for training in list(session.trainings):
        if training.steps is not None:
            training.steps.release()  # the next event of this training may be far away
        known = training.known_trainer
        if training.is_watched:
            if known is trainer:
                again = training.run
                session.finish(training, "failed", training.failure or "begun again", keep_store=True)
        elif known is None or known is trainer or not is_calling(known):
            reason = training.failure or "left open when another training began"
            session.finish(training, "failed", reason, keep_store=True)
    return again


def _given_run(session: Session, run: ActiveRun, step: int) -> ActiveRun:
    """The run that was given. It has no attempts: a training that begins at an earlier step meets its steps."""
    if run.last_step is not None and run.last_step > step:
        session.failures.warn_once(
            "the open run has steps up to %d already, and this training goes on after step %d: their steps mix; pass a "
            "store to give each training a run of its own",
            run.last_step,
            step,
        )
    return session.new_run()


def _open_run(session: Session, training: Training) -> ActiveRun:
    """A new run, the checkpoint's run, or the run with what was logged before the training."""
    trainer, state = training.known_trainer, training.state
    waiting = session.last_runs.waiting(trainer)
    fresh = state.global_step == 0 and session.settings.resume == "auto" and trial_of(trainer, state) is None
    if fresh and waiting is not None:
        return go_on(session.store, waiting, 0, training.protocol.source)
    return open_run(session.store, session.settings, training)


def _record(session: Session, training: Training, run: ActiveRun, incomplete: Incomplete) -> str:
    """Record this training into this run from now on; return the source of the loss."""
    training.run, training.incomplete = run, incomplete
    session.trainings.append(training)
    session.current, session.taken_for_failed = training, None
    saved = SavedRun.of(run, training.known_trainer, training.args, training.state)
    saved.write(training.state)
    training.ranks.publish(SharedRun(saved, run.project, run.name))
    return _watch(session, training, run, incomplete)


def _watch(session: Session, training: Training, run: ActiveRun, incomplete: Incomplete) -> str:
    """Watch the training for losses, gradient norms and failures; return the source of the loss."""
    trainer = training.known_trainer
    watch = _watch_of(session, training)
    if trainer is not None:
        watch.ends(trainer)
    step, protocol = training.state.global_step, training.protocol
    lost = partial(session.lost_step, training)
    steps = training.steps = StepRecorder(run, None, step, incomplete.lose, protocol, lost)
    window = attribute_of(trainer, protocol.window)
    if window is not None:
        steps.go_on_with(*window)
    if trainer is not None and protocol.metrics is not None:
        steps.more_metrics = partial(attribute_of, trainer, protocol.metrics)
    if session.settings.loss == "logs":
        return "logs"
    reader = None if trainer is None else incomplete.attempt("loss", partial(reader_for, training.args))
    if reader is None or not watch.losses(trainer, steps):
        incomplete.note("loss", "the Trainer was not found; only the means that it logs are recorded")
        return "logs"
    steps.reader = reader
    return protocol.loss.lstrip("_")


def _watch_of(session: Session, training: Training) -> Watch:
    return Watch(training, partial(saw_failure, session), partial(saw_stop, session), session.report)
