"""`TrainStoreCallback`: one method for each event of a ``transformers.Trainer``. `record` adds one for a block."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState

from trainstore.backends import absolute_target, current_folder, open_backend
from trainstore.backends.urls import safe_url
from trainstore.errors import (
    InvalidArgumentError,
    NetworkFileSystemError,
    NotADatabaseError,
    ReadOnlyStoreError,
    RunNotFoundError,
    SchemaError,
    StoreClosedError,
    StoreURLError,
    TrainStoreError,
)
from trainstore.integrations.transformers.checkpoint import SavedRun, checkpoint_dir_of, trial_of
from trainstore.integrations.transformers.facts import facts_of
from trainstore.integrations.transformers.foreign import Events, given, missing_from
from trainstore.integrations.transformers.incomplete import Incomplete
from trainstore.integrations.transformers.losses import DirectLoss, RingLoss
from trainstore.integrations.transformers.outside import LastRuns, OutsideLog, complete_logs
from trainstore.integrations.transformers.ranks import Ranks, SharedRun
from trainstore.integrations.transformers.runs import (
    SOURCE,
    begin_again,
    ending_of_training,
    go_on,
    labels_of,
    log_exception,
    open_run,
)
from trainstore.integrations.transformers.steps import StepRecorder
from trainstore.integrations.transformers.train import watch_train, when_train_ends
from trainstore.integrations.transformers.training import Training
from trainstore.integrations.transformers.watch import Watch
from trainstore.integrations.transformers.wrappers import callbacks_of, calling_trainer, is_calling
from trainstore.pickling import StoreAddress
from trainstore.run import ActiveRun, describe_exception, recording_is_disabled
from trainstore.store import TrainStore
from trainstore.values import canonical_hyperparams

logger = logging.getLogger("trainstore")

FINISH_TIMEOUT = 10.0  # seconds that the end of a training waits for the database
AWAY_TIMEOUT = 0.5  # seconds that what comes outside a training waits, if the database was away the last time
RANK_TIMEOUT = 5.0  # seconds that a failed rank waits to learn which run it is
MAX_FAILURES = 5  # internal ones, after which the callback disables itself
# What the user must mend before a training starts; everything else is our own trouble.
USER_ERRORS = (
    InvalidArgumentError,
    StoreURLError,
    SchemaError,
    NotADatabaseError,
    NetworkFileSystemError,
    StoreClosedError,
    ReadOnlyStoreError,
)


def _guarded(hook: Callable[..., None]) -> Callable[..., None]:
    """A hook whose failures never reach the training. (The hooks of every step guard themselves: it is faster.)"""

    @functools.wraps(hook)
    def guarded(self: TrainStoreCallback, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        try:
            training = self._training_of(state)
            told = self._events if training is None else training.events
            hook(self, told.arguments(args), told.state(state), told.control(control), **kwargs)
        except Exception as error:  # noqa: BLE001
            self._internal_failure(hook.__name__, error)

    return guarded


class TrainStoreCallback(TrainerCallback):  # type: ignore[misc]
    """Records a ``transformers.Trainer`` into a store.

    Args:
        store_or_url: An open `TrainStore`, which stays open; or what one is opened with (then a database that is away
            is no error: the run begins in the journal), closed when the training ends. None: ``TRAINSTORE_URL``, else
            ``trainstore.db``.
        project: None: ``TRAINSTORE_PROJECT``, else "default".
        name: The run's label. None: the arguments' ``run_name``, ``TRAINSTORE_RUN_NAME``, else made from the uid.
        tags: As for `TrainStore.start_run`.
        hyperparams: Recorded beside the training arguments; they win where a name is the same.
        resume: What a checkpoint that carries our key means. "auto": the next attempt of the same run (in the same
            output_dir; elsewhere a new run whose parent it is). "never": always a new run. "must": an error where
            there is no run to go on with.
        loss: "auto": the true loss of every step. "logs": only the window means that the Trainer logs.
        on_error: "warn": a failure of ours is logged once, and the training goes on. "raise": it is raised.

    Raises:
        InvalidArgumentError: An argument that cannot be used, here or when training begins.
        TrainStoreError: When training begins, and only what you can mend: a store that cannot be opened
            (`StoreURLError`, `SchemaError`, `NotADatabaseError`, a file in a missing folder), is closed, or read only.

    It may be copied and pickled, alone or with its trainer, also in the middle of a training: the copy has the same
    arguments, and what it records is a run of its own. A copy shares an open store. Pickled, the store travels as its
    URL without the password: then ``TRAINSTORE_URL`` is used if it names the same database, else what libpq finds.
    """

    def __init__(
        self,
        store_or_url: TrainStore | str | os.PathLike[str] | None = None,
        project: str | None = None,
        name: str | None = None,
        tags: Mapping[str, Any] | Sequence[str] | None = None,
        hyperparams: Mapping[str, Any] | None = None,
        resume: str = "auto",
        loss: str = "auto",
        on_error: str = "warn",
    ) -> None:
        for argument, value, allowed in (
            ("resume", resume, ("auto", "never", "must")),
            ("loss", loss, ("auto", "logs")),
            ("on_error", on_error, ("warn", "raise")),
        ):
            if value not in allowed:
                raise InvalidArgumentError(f"{argument} {value!r} is not one of {', '.join(map(repr, allowed))}")
        try:
            canonical_hyperparams(hyperparams or {})
        except Exception as error:
            raise InvalidArgumentError(f"hyperparams: {error}") from error
        self._config: dict[str, Any] = {
            "store_or_url": store_or_url,
            "project": project,
            "name": name,
            "tags": tags,
            "hyperparams": hyperparams,
            "resume": resume,
            "loss": loss,
            "on_error": on_error,
        }
        self._folder = current_folder()  # relative paths start here, whatever chdir follows
        if store_or_url is not None and not isinstance(store_or_url, TrainStore):
            self._config["store_or_url"] = absolute_target(store_or_url, self._folder)
        self._reset()

    def _reset(self) -> None:
        watch_train()
        self._store: TrainStore | None = None
        self._trainings: list[Training] = []  # under way
        self._current: Training | None = None  # the one whose event was the last
        self._taken_for_failed: Training | None = None  # the last one, if nobody told that its train() ended
        self._last_runs = LastRuns()
        self._outside = OutsideLog()
        self._events = Events()  # outside a training
        self._trainer: weakref.ref[Any] | None = None  # that of `record`
        self._is_away = False  # whether the database was, the last time that it was waited for
        self._disabled = False
        self._failures = 0
        self._warned: set[str] = set()

    def __copy__(self) -> TrainStoreCallback:
        return self.__deepcopy__({})

    def __deepcopy__(self, memo: object) -> TrainStoreCallback:
        """A callback with the same arguments that has recorded nothing: what it records is not the original's run."""
        copied = type(self).__new__(type(self))
        copied._config, copied._folder = self._config, self._folder
        copied._reset()
        return copied

    def __getstate__(self) -> dict[str, Any]:
        return {"config": {**self._config, "store_or_url": _address_of(self._config["store_or_url"])}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._config = state["config"]
        self._folder = current_folder()
        self._reset()

    @property
    def run(self) -> ActiveRun | None:
        """The run that is being recorded (of several, the one begun last), or the last one, finished."""
        open_runs = [training.run for training in self._trainings if training.run is not None]
        return open_runs[-1] if open_runs else self._last_runs.latest

    @property
    def run_uid(self) -> str:
        """The uid of that run. Raises `RunNotFoundError` where there is none yet."""
        if self.run is None:
            raise RunNotFoundError("nothing was recorded yet")
        return self.run.uid

    @property
    def store(self) -> TrainStore:
        """The store that is recorded into; opened at first use."""
        if self._store is None:
            given = self._config["store_or_url"]
            if isinstance(given, TrainStore):
                self._store = given
            elif isinstance(given, StoreAddress):
                self._store = given.open(offline_ok=True)
            else:
                url = given or os.environ.get("TRAINSTORE_URL") or "trainstore.db"
                target = absolute_target(url, self._folder)
                self._store = TrainStore(target, offline_ok=True)
        return self._store

    def close(self) -> None:
        """Close a store that was opened here; one that was passed stays open."""
        store, self._store = self._store, None
        if store is not None and store is not self._config["store_or_url"]:
            store.close()

    # --- The beginning ----------------------------------------------------------------------------------------------

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin a run, or go on with the one that the checkpoint names."""
        if self._disabled or recording_is_disabled():
            return
        try:
            trainer = self._find_trainer()
            if self._is_second_of(trainer):
                return
            reference = None if trainer is None else weakref.ref(trainer)
            training = Training(args, state, reference, Events(kwargs.get("model")))
            args, state = training.args, training.state
            ranks = training.ranks = Ranks(args.process_index) if args.world_size > 1 else None
            before = self._end_earlier(trainer)
            training.is_watched = when_train_ends(trainer, functools.partial(self._train_ended, training))
            if not state.is_world_process_zero:
                if ranks is not None and trainer is not None:
                    training.asks = True
                    self._trainings.append(training)
                    self._watch_of(training).ends(trainer)
                return
            self.store  # noqa: B018 - opened before the run that it is for
            if before is not None:
                run = begin_again(self.store, before, state.global_step)
            else:
                run = self._open_run(trainer, args, state)
            incomplete = Incomplete(run)
            for name in missing_from(args, state):
                incomplete.note(name, "not given")
            source = self._record(training, run, incomplete)
            self._record_facts(run, trainer, args, state, kwargs, incomplete)
            run.log_hyperparams({"loss_source": source}, "env")
            if training.steps is not None:
                training.steps.pause()
        except Exception as error:
            # What keeps a store from being opened is for the user to mend too, now, and not after days of training.
            if isinstance(error, USER_ERRORS) or (self._store is None and isinstance(error, TrainStoreError)):
                raise
            self._internal_failure("on_train_begin", error)

    def _open_run(self, trainer: Any | None, args: Any, state: Any) -> ActiveRun:
        """A new run, that of the checkpoint, or the one that has what was logged before the training."""
        waiting = self._last_runs.waiting(trainer)
        fresh = state.global_step == 0 and self._config["resume"] == "auto" and trial_of(trainer, state) is None
        if fresh and waiting is not None:
            return go_on(self.store, waiting, 0)
        return open_run(self.store, self._config, trainer, args, state)

    def _record(self, training: Training, run: ActiveRun, incomplete: Incomplete) -> str:
        """Record this training into this run from now on; return the source of the loss."""
        training.run, training.incomplete = run, incomplete
        self._trainings.append(training)
        self._current, self._taken_for_failed = training, None
        saved = SavedRun.of(run, training.known_trainer, training.args, training.state)
        saved.write(training.state)
        if training.ranks is not None:
            training.ranks.publish(SharedRun(saved, run.project, run.name))
        return self._watch(training, run, incomplete)

    def _go_on(self, training: Training, last_step: int) -> Training | None:
        """A training that was taken for failed makes another step: it goes on as the next attempt of its run."""
        self._taken_for_failed = None
        try:
            run = go_on(self.store, training.run, last_step)  # type: ignore[arg-type]
            self._record(training, run, training.incomplete.go_on(run))  # type: ignore[union-attr]
        except Exception as error:  # noqa: BLE001
            self._internal_failure("a training that goes on", error)
            return None
        return training

    def _end_earlier(self, trainer: Any | None) -> ActiveRun | None:
        """End the trainings that are left open as another one begins; return the run that it goes on with, if any.

        Inside one call of ``train()`` a training that begins again is another attempt of its run: it is
        auto_find_batch_size that tries a smaller one. Trainings of other trainers that are under way go on.
        """
        again = None
        for training in list(self._trainings):
            if training.steps is not None:
                training.steps.release()  # the next event of this training may be far away
            known = training.known_trainer
            if training.is_watched:
                if known is trainer:
                    again = training.run
                    self._finish(training, "failed", training.failure or "begun again", keep_store=True)
            elif known is None or known is trainer or not is_calling(known):
                reason = training.failure or "left open when another training began"
                self._finish(training, "failed", reason, keep_store=True)
        return again

    def _learn_run(self, training: Training) -> None:
        """After a step that rank 0 has made too: the run is known by now, and stands in this rank's checkpoints."""
        training.asks = False
        shared = None if training.ranks is None else training.ranks.run()
        if shared is not None:
            shared.saved.write(training.state)

    def _record_facts(
        self, run: ActiveRun, trainer: Any | None, args: Any, state: Any, event: dict[str, Any], incomplete: Incomplete
    ) -> None:
        facts = facts_of(trainer, args, state, self._config["hyperparams"], event, incomplete)
        for namespace, get in facts.items():
            try:
                run.log_hyperparams(get(), namespace)
            except Exception as error:  # noqa: BLE001
                self._internal_failure(f"the facts {namespace}", error)
        incomplete.tell()

    # --- The trainer ------------------------------------------------------------------------------------------------

    def _find_trainer(self) -> Any | None:
        """The trainer that calls now, or that of `record`."""
        trainer = calling_trainer(self)
        if trainer is None and self._trainer is not None:
            return self._trainer()
        return trainer

    def _training_of(self, state: Any, *, steps_since: int | None = None) -> Training | None:
        """The training whose event this is; None if it comes from outside a training.

        Args:
            state: That of the event.
            steps_since: If the event shows that a training is under way, how many steps have ended in it unrecorded.
                Then one that was taken for failed goes on.
        """
        try:
            return self._find_training(state, steps_since)
        except Exception as error:  # noqa: BLE001
            self._internal_failure("an event", error)
            return None

    def _find_training(self, state: Any, steps_since: int | None) -> Training | None:
        found = next((one for one in self._trainings if one.given_state is state or one.state is state), None)
        if found is None and self._trainings:
            trainer = self._find_trainer()
            # Without a trainer it may be a library that makes a state for every event.
            found = next((one for one in reversed(self._trainings) if one.known_trainer is trainer), None)
            if found is not None:
                found.is_told(state)
        ended = self._taken_for_failed
        if found is None and steps_since is not None and ended is not None and ended.given_state is given(state):
            return self._go_on(ended, ended.events.state(state).global_step - steps_since)
        if found is not None:
            self._current = found
        return found

    def _is_second_of(self, trainer: Any | None) -> bool:
        """Whether another of us records this trainer: the first that was given a store, or else the first."""
        ours = [one for one in callbacks_of(trainer) if isinstance(one, TrainStoreCallback)]
        chosen = next((one for one in ours if one._config["store_or_url"] is not None), None) or (ours or [self])[0]
        if chosen is self:
            return False
        self._warn_once("this trainer has two TrainStoreCallbacks; one of them records nothing")
        return True

    def _watch(self, training: Training, run: ActiveRun, incomplete: Incomplete) -> str:
        """Wrap what tells the loss, the gradient norm and a failure; return the source of the loss."""
        trainer = training.known_trainer
        watch = self._watch_of(training)
        if trainer is not None:
            watch.ends(trainer)
        steps = training.steps = StepRecorder(run, None, training.state.global_step, incomplete.lose)
        if self._config["loss"] == "logs":
            return "logs"
        reader = None if trainer is None else incomplete.attempt("loss", functools.partial(_reader_for, training.args))
        if reader is None or not watch.losses(trainer, steps):
            incomplete.note("loss", "the Trainer was not found; only the means that it logs are recorded")
            return "logs"
        steps.reader = reader
        return "training_step"

    def _watch_of(self, training: Training) -> Watch:
        return Watch(training, self._saw_failure, self._saw_stop, self._internal_failure)

    # --- Every step -------------------------------------------------------------------------------------------------

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The clock of the step."""
        training = self._current
        if training is None or training.given_state is not state:
            training = self._training_of(state, steps_since=0)
        if training is not None and (steps := training.steps) is not None:
            if steps.held is not None:
                steps.release()
            steps.step_began = began = perf_counter()
            steps.data_time = began - steps.idle_since

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any) -> None:
        """The learning rate of the step."""
        training = self._current
        if training is None or training.given_state is not state:
            training = self._training_of(state)
        if training is not None and (steps := training.steps) is not None:
            try:
                steps.before_optimizer(optimizer)
            except Exception as error:  # noqa: BLE001
                self._internal_failure("on_pre_optimizer_step", error)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """One record: the whole step (on accelerators its loss and gradient norm follow), and a log that comes next."""
        training = self._current
        if training is None or training.given_state is not state:
            training = self._training_of(state, steps_since=1)
        if training is None:
            return
        steps = training.steps
        if steps is not None:
            try:
                if not (isinstance(state, TrainerState) and isinstance(control, TrainerControl)):
                    state = training.events.state(state, step_ends=True)
                    control = training.events.control(control)
                steps.end_step(state.global_step, state.epoch, log_follows=control.should_log)
            except Exception as error:  # noqa: BLE001
                self._internal_failure("on_step_end", error)
        elif training.asks:
            self._learn_run(training)

    # --- Now and then -----------------------------------------------------------------------------------------------

    @_guarded
    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """An epoch begins with a wait for data."""
        training = self._training_of(state, steps_since=0)
        if training is not None and training.steps is not None:
            training.steps.begin_epoch()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Whatever the Trainer logs, in the row of its step."""
        if logs is None:
            return
        training = self._current
        if training is None or training.given_state is not state:
            training = self._training_of(state)
        try:
            if training is None:
                self._log_outside(self._events.arguments(args), self._events.state(state), logs, kwargs)
            elif (steps := training.steps) is not None:
                if not isinstance(state, TrainerState):
                    args, state = training.args, training.events.state(state)
                doubt = steps.log(complete_logs(logs, state), state.global_step)
                if doubt is not None and args.world_size == 1:
                    self._warn_once(*doubt)
                    steps.run.log_hyperparams({"loss_source": "unverified"}, "env")
        except Exception as error:  # noqa: BLE001
            self._internal_failure("on_log", error)

    def _log_outside(self, args: Any, state: Any, logs: Any, kwargs: dict[str, Any]) -> None:
        if logs and self._records_outside(state):
            with self._run_outside(args, state, kwargs, waits=True) as run:
                self._outside.record(run, complete_logs(logs, state), state.global_step)

    @_guarded
    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        """Evaluation metrics that were not logged already."""
        self._record_results(args, state, metrics, kwargs)

    @_guarded
    def on_predict(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        """Metrics of ``predict()``, which the Trainer does not log."""
        self._record_results(args, state, metrics, kwargs)

    def _record_results(self, args: Any, state: Any, metrics: Any, kwargs: dict[str, Any]) -> None:
        training = self._training_of(state)
        if training is not None:
            if metrics is not None and training.steps is not None:
                training.steps.log_results(metrics, state.global_step)
            return
        if metrics is None or not self._records_outside(state):
            return
        trainer = self._find_trainer()
        last = self._last_runs.of(trainer)
        if last is not None:
            self._last_runs.remember(trainer, last)  # an evaluation is a result: the next training has a run of its own
        left = self._outside.unlogged(metrics, state.global_step)
        if left:
            with self._run_outside(args, state, kwargs) as run:
                self._outside.record(run, left, state.global_step)

    def _records_outside(self, state: Any) -> bool:
        """Whether what comes outside a training is for us to record."""
        if self._disabled or recording_is_disabled() or not state.is_world_process_zero:
            return False
        return not self._is_second_of(self._find_trainer())

    @contextmanager
    def _run_outside(
        self, args: Any, state: Any, kwargs: dict[str, Any], *, waits: bool = False
    ) -> Iterator[ActiveRun]:
        """Outside a training: the last run, joined and left as it is, or a run for what comes now.

        Args:
            args: Of the event, as are ``state`` and ``kwargs``.
            waits: Whether a training that begins next goes on with a run that is made here.
        """
        trainer = self._find_trainer()
        last = self._last_runs.of(trainer)
        if last is not None:
            run = self.store.resume_run(last.uid, lineage=last.lineage, source=SOURCE)
        else:
            run = self.store.start_run(**labels_of(self._config, args, state), tags=self._config["tags"], source=SOURCE)
            self._record_facts(run, trainer, args, state, kwargs, Incomplete(run))
            self._last_runs.remember(trainer, run, waits=waits)
        try:
            yield run
        finally:
            self._finish_run(run, timeout=AWAY_TIMEOUT if self._is_away else None)

    def _finish_run(
        self,
        run: ActiveRun,
        status: str = "finished",
        error: str | None = None,
        *,
        timeout: float | None = None,
        keep_store: bool = False,
    ) -> None:
        """Finish a run, or leave one that was joined; then close a store that was opened here and is idle."""
        self._is_away = not run.finish(status, error, FINISH_TIMEOUT if timeout is None else timeout)
        if not self._is_away and not self._trainings and not keep_store:
            self.close()  # else it goes on delivering while the process lives

    @_guarded
    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A checkpoint was written."""
        training = self._training_of(state)
        if training is not None:
            self._log_checkpoint(training)

    def _log_checkpoint(self, training: Training) -> None:
        if training.steps is not None:
            path = checkpoint_dir_of(training.known_trainer, training.args, training.state)
            training.steps.run.log_event("checkpoint", training.state.global_step, {"path": path})
            training.steps.pause()

    @_guarded
    def on_push_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The model goes to the Hub: in a training, or after one."""
        training = self._training_of(state)
        details = {"hub_model_id": args.hub_model_id}
        if training is not None:
            if training.steps is not None:
                training.steps.run.log_event("push", state.global_step, details)
        elif self._last_runs.latest is not None and self._records_outside(state):
            with self._run_outside(args, state, kwargs) as run:
                run.log_event("push", state.global_step, details)

    # --- The end ----------------------------------------------------------------------------------------------------

    @_guarded
    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The end that the Trainer announces; an exception is seen by our wrappers."""
        training = self._training_of(state)
        if training is None:
            return
        stopped = state.global_step < state.max_steps
        # A pruned trial ends in the middle of an epoch, which no other training does.
        pruned = state.is_hyper_param_search and (training.in_epoch or (stopped and not control.should_training_stop))
        run = None if training.steps is None else training.run
        by_callback = stopped and not pruned and control.should_training_stop and training.stopped_by is None
        if run is not None and by_callback:
            run.log_event("early_stop", state.global_step, {"max_steps": state.max_steps})
        if run is not None and state.best_model_checkpoint:
            step, metric = getattr(state, "best_global_step", None), getattr(state, "best_metric", None)
            best = {"path": state.best_model_checkpoint, "metric": metric, "step": step}
            run.log_event("best_model", step, best)
        if pruned:
            self._finish(training, "pruned")
        else:
            self._end(training)

    def _train_ended(self, training: Training, error: BaseException | None) -> None:
        """``train()`` is left. Its training may be open still: no event told its end. Never raises."""
        try:
            if training not in self._trainings:
                self._failed_late(training, error)
            elif error is None:
                self._end(training)
            else:
                self._log_exception(training, error)
                self._fail(training, error)
        except Exception as failure:  # noqa: BLE001
            self._internal_failure("the end of a training", failure, reraise=False)

    def _failed_late(self, training: Training, error: BaseException | None) -> None:
        """A training that had ended fails (a push, another callback): an event of its run, whose status stays."""
        run = training.run
        if run is None or run.status != "finished" or self._disabled:
            return
        if error is not None and ending_of_training(error)[0] == "failed":
            joined = self.store.resume_run(run.uid, lineage=run.lineage, source=SOURCE)
            log_exception(joined, training.state.global_step, error, 0)
            self._finish_run(joined)

    def _saw_failure(self, training: Training, error: BaseException) -> None:
        """An exception came out of a part of the training, which may go on if somebody catches it. Never raises."""
        if training not in self._trainings:
            return
        try:
            self._log_exception(training, error)
            if not training.is_watched and not training.in_epoch:
                if training.run is not None:
                    self._taken_for_failed = training
                self._fail(training, error)
        except Exception as failure:  # noqa: BLE001
            self._internal_failure("a failure", failure, reraise=False)

    def _saw_stop(self, training: Training) -> None:
        """The Trainer has saved a checkpoint because of a SIGTERM, of which no event tells, and stops."""
        step = training.state.global_step
        training.stopped_by = f"SIGTERM: the Trainer saved a checkpoint at step {step} and stopped"
        self._log_checkpoint(training)

    def _end(self, training: Training) -> None:
        if training.stopped_by is None:
            self._finish(training, "finished")
        else:
            self._finish(training, "interrupted", training.stopped_by)

    def _fail(self, training: Training, error: BaseException) -> None:
        if training.run is None:
            self._rank_failed(training, error)
            return
        status, reason = ending_of_training(error)
        if status == "failed" and training.ranks is not None:
            reason = training.ranks.failure() or reason
        self._finish(training, status, reason)

    def _rank_failed(self, training: Training, error: BaseException) -> None:
        """On another rank than 0, which may not live to say it."""
        self._finish(training, "finished")  # nothing is recorded here: the wrappers go
        status, reason = ending_of_training(error)
        ranks = training.ranks
        if status != "failed" or reason is None or ranks is None:
            return  # Ctrl-C and a pruned trial reach rank 0 too
        ranks.publish_failure(reason)
        shared = ranks.run(wait=RANK_TIMEOUT)
        if shared is not None:
            run = self.store.resume_run(
                shared.saved.run_uid, lineage=shared.saved.lineage, rank=ranks.rank,
                project=shared.project, name=shared.name, source=SOURCE,
            )  # fmt: skip
            log_exception(run, training.state.global_step, error, ranks.rank)
            self._finish_run(run, "failed", reason)

    def _log_exception(self, training: Training, error: BaseException) -> None:
        """Note an exception, once on its way out. (Another rank does if it fails.)"""
        if not training.is_new(error) or ending_of_training(error)[0] == "finished":
            return
        training.failure = describe_exception(error)
        if training.steps is not None:
            training.steps.release()
        if training.run is not None:
            log_exception(training.run, training.state.global_step, error, 0)

    def _finish(self, training: Training, status: str, error: str | None = None, *, keep_store: bool = False) -> None:
        self._trainings.remove(training)
        if self._current is training:
            self._current = None
        training.wrappers.remove()
        run, steps = training.run, training.let_go_of_steps()
        if run is None:
            return
        if training.ranks is not None:
            training.ranks.withdraw()
        self._last_runs.remember(training.known_trainer, run)
        if steps is not None:
            try:
                steps.catch_up(wait=True)
            except Exception as failure:  # noqa: BLE001 - a device that failed takes its last losses along
                self._internal_failure("the last losses", failure, reraise=False)
        self._finish_run(run, status, error, keep_store=keep_store)

    # --- Our own trouble --------------------------------------------------------------------------------------------

    def _internal_failure(self, where: str, error: Exception, *, reraise: bool = True) -> None:
        if reraise and self._config["on_error"] == "raise":
            raise error
        self._failures += 1
        if self._failures == 1:
            # Only our own errors' text: another's may hold a value or a URL.
            text = f": {error}" if isinstance(error, TrainStoreError) else ""
            logger.warning(
                "%s could not be recorded (%s%s); the training goes on", where, type(error).__name__, text
            )  # fmt: skip
        else:
            logger.debug("%s could not be recorded (%s)", where, type(error).__name__)
        if self._failures >= MAX_FAILURES and not self._disabled:
            self._disabled = True
            for training in self._trainings:
                training.let_go_of_steps()  # the run learns its end, and nothing else
            logger.warning("trainstore failed %d times and records no more of this training", self._failures)

    def _warn_once(self, message: str, *args: object) -> None:
        if message not in self._warned:
            self._warned.add(message)
            logger.warning(message, *args)


def _reader_for(args: Any) -> DirectLoss | RingLoss:
    """What reads the losses of a training on this device."""
    return DirectLoss() if args.device.type == "cpu" else RingLoss(args.device)


def _address_of(store_or_url: Any) -> Any:
    """What a pickled callback carries of its store: where it is, and no password."""
    if isinstance(store_or_url, TrainStore):
        # A store in memory stays here: unpickled, the callback records into one of its own.
        return dataclasses.replace(store_or_url._address, in_memory=False)
    if store_or_url is None or isinstance(store_or_url, StoreAddress) or "://" not in str(store_or_url):
        return store_or_url
    try:
        return StoreAddress(TrainStore, open_backend(store_or_url).safe_url, {}, in_memory=False)
    except StoreURLError:
        return safe_url(store_or_url)  # an error when it is opened, there as here


@contextmanager
def record(trainer: Any, store: TrainStore | str | os.PathLike[str], **options: Any) -> Iterator[TrainStoreCallback]:
    """Record what a trainer does inside the block.

    The same as `TrainStoreCallback`, but the trainer is known without looking for it. A training ends with the block at
    the latest, also if the trainer has a ``train()`` of its own.

    Args:
        trainer: A ``transformers.Trainer``.
        store: An open store, which stays open, or what one is opened with.
        **options: The other arguments of `TrainStoreCallback`.

    Yields:
        The callback.
    """
    callback = TrainStoreCallback(store, **options)
    callback._trainer = weakref.ref(trainer)
    trainer.add_callback(callback)
    try:
        yield callback
    except BaseException as error:
        for training in list(callback._trainings):
            callback._train_ended(training, error)
        raise
    else:
        for training in list(callback._trainings):
            callback._train_ended(training, None)
    finally:
        trainer.remove_callback(callback)
        callback.close()
