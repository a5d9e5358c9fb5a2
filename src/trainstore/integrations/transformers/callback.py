"""`TrainStoreCallback`: one method for each event of a ``transformers.Trainer``; `record`: the same for one block."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState

from trainstore.errors import RunNotFoundError
from trainstore.integrations.failures import LEARNING_RATE
from trainstore.integrations.protocol import TRANSFORMERS, callbacks_of, loop_of, protocol_of
from trainstore.integrations.targets import Target
from trainstore.integrations.transformers.beginning import begin, continue_training, is_for_the_user
from trainstore.integrations.transformers.ending import announced_end, end_all
from trainstore.integrations.transformers.foreign import Events, given
from trainstore.integrations.transformers.outside import OutsideLog, complete_logs
from trainstore.integrations.transformers.session import Session
from trainstore.integrations.transformers.settings import Settings
from trainstore.integrations.transformers.train_call import watch_train
from trainstore.integrations.transformers.training import Training
from trainstore.integrations.transformers.wrappers import Reference, calling_trainer, reference_to
from trainstore.run import ActiveRun, recording_is_disabled
from trainstore.store import TrainStore


def _guarded(hook: Callable[..., None]) -> Callable[..., None]:
    """A hook whose failures never reach the training. (The hooks of every step guard themselves: it is faster.)"""

    @functools.wraps(hook)
    def guarded(self: TrainStoreCallback, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if hook.__name__ in self._session.failures.given_up:
            return
        try:
            training = self._training_of(state)
            told = self._events if training is None else training.events
            hook(self, told.arguments(args), told.state(state), told.control(control), **kwargs)
        except Exception as error:  # noqa: BLE001
            self._session.report(hook.__name__, error)

    return guarded


class TrainStoreCallback(TrainerCallback):  # type: ignore[misc]
    """Records a ``transformers.Trainer`` into a store.

    Args:
        store_or_url: An open run, which is recorded into and left open; an open `TrainStore`, which stays open; or a
            path or URL, which is opened here and closed when the training ends (if its database is away, the run
            begins in the journal). None: ``TRAINSTORE_URL``, else ``trainstore.db``.
        project: None: ``TRAINSTORE_PROJECT``, else "default".
        name: The run's label. None: the arguments' ``run_name``, ``TRAINSTORE_RUN_NAME``, else made from the uid.
        tags: As for `TrainStore.start_run`.
        hyperparams: Recorded beside the training arguments; of two with the same name, yours is kept.
        resume: What to do with a checkpoint that names a run. "auto": record the next attempt of that run (if the
            output_dir is the same; otherwise a new run whose parent it is). "never": always a new run. "must": an
            error if there is no run to continue.
        loss: "auto": the true loss of every step. "logs": only the window means that the Trainer logs.
        on_error: "warn": a failure of trainstore is logged once, and the training goes on. "raise": it is raised.

    Raises:
        InvalidArgumentError: An argument that cannot be used, here or when training begins.
        StoreURLError: A URL that no backend serves.
        StoreClosedError, ReadOnlyStoreError: A store that cannot be recorded into.
        TrainStoreError: When training begins, and only if you can fix it: a store that cannot be opened (`SchemaError`,
            `NotADatabaseError`, a file in a missing folder), or that was closed since.

    It may be copied and pickled, alone or with its trainer, even in the middle of a training: the copy has the same
    arguments, and records a run of its own. A copy shares an open store. A pickle carries the store's URL without its
    password: to open it, ``TRAINSTORE_URL`` is used if it names the same database, else the password that libpq finds.
    """

    def __init__(
        self,
        store_or_url: Target = None,
        project: str | None = None,
        name: str | None = None,
        tags: Mapping[str, Any] | Sequence[str] | None = None,
        hyperparams: Mapping[str, Any] | None = None,
        resume: str = "auto",
        loss: str = "auto",
        on_error: str = "warn",
    ) -> None:
        self._reset(Settings(store_or_url, project, name, tags, hyperparams, resume, loss, on_error).checked())

    def _reset(self, settings: Settings) -> None:
        """Make this a callback that has recorded nothing."""
        watch_train(Trainer, TRANSFORMERS.training)
        self._settings = settings
        self._session = Session(settings)
        self._outside = OutsideLog()
        self._events = Events()  # outside a training
        self._trainer: Reference | None = None  # to that of `record`

    def __copy__(self) -> TrainStoreCallback:
        return self.__deepcopy__({})

    def __deepcopy__(self, memo: object) -> TrainStoreCallback:
        """A callback with the same arguments that has recorded nothing yet, and will not record into the same run."""
        copied = type(self).__new__(type(self))
        copied._reset(self._settings)
        return copied

    def __getstate__(self) -> dict[str, Any]:
        return {"config": self._settings.pickled()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._reset(Settings.unpickled(state["config"]))

    @property
    def run(self) -> ActiveRun | None:
        """The run that is being recorded (of several, the one that began last), or the last one, finished."""
        return self._session.run

    def run_of(self, state: Any) -> ActiveRun | None:
        """The run of one training, for another callback of its trainer that writes into it.

        Args:
            state: The state that the training's events carry.

        Returns:
            The run. None: nothing is recorded of this training here, not yet, or no longer.
        """
        return self._session.run_of(state)

    def leave_out(self, state: Any, seconds: float) -> None:
        """Say how long another callback took: that time is neither a step's nor the wait for its data.

        Args:
            state: The state that the training's events carry.
            seconds: Until now.
        """
        self._session.leave_out(state, seconds)

    def join_run_of(self, state: Any) -> ActiveRun | None:
        """The run of one training, for a process that does not record it: as another writer, which ``finish()`` ends.

        Args:
            state: The state that the training's events carry.

        Returns:
            A handle. None: nothing is recorded of this training, or this process does not know the run yet.
        """
        return self._session.join_run_of(state)

    @property
    def run_uid(self) -> str:
        """The uid of that run. Raises `RunNotFoundError` if there is none yet."""
        if self.run is None:
            raise RunNotFoundError("nothing was recorded yet")
        return self.run.uid

    @property
    def store(self) -> TrainStore:
        """The store that is recorded into; opened at first use. Raises `InvalidArgumentError` if a run was given."""
        return self._session.store

    def close(self) -> None:
        """Close a store that was opened here; one that was passed stays open."""
        self._session.close()

    # --- The beginning ----------------------------------------------------------------------------------------------

    @_guarded
    def on_init_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The trainer exists. Another library's may call this just before its training: the last chance to watch it."""
        trainer = self._find_trainer()
        protocol = protocol_of(trainer)
        if protocol is not TRANSFORMERS:
            watch_train(type(trainer), protocol.training)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin a run, or continue the one that the checkpoint names."""
        if recording_is_disabled():
            return
        try:
            trainer = self._find_trainer()
            if not self._is_second_of(trainer):
                reference = None if trainer is None else reference_to(trainer)
                begin(self._session, Training(args, state, reference, Events(kwargs.get("model"))), kwargs)
        except Exception as error:
            if is_for_the_user(self._session, error):
                raise
            self._session.report("on_train_begin", error)

    # --- The trainer ------------------------------------------------------------------------------------------------

    def _find_trainer(self) -> Any | None:
        """The trainer that is calling, or the one that `record` was given."""
        trainer = calling_trainer(self)
        if trainer is None and self._trainer is not None:
            return self._trainer()
        return trainer

    def _training_of(self, state: Any, *, steps_since: int | None = None) -> Training | None:
        """The training whose event this is; None if it comes from outside a training.

        Args:
            state: The event's.
            steps_since: Given if the event shows that a training is under way: how many of its steps have ended since
                the last one recorded. A training that was taken for failed then goes on.
        """
        try:
            return self._find_training(state, steps_since)
        except Exception as error:  # noqa: BLE001
            self._session.report("an event", error)
            return None

    def _find_training(self, state: Any, steps_since: int | None) -> Training | None:
        session = self._session
        found = session.training_with(state)
        if found is None and session.trainings:
            trainer = self._find_trainer()
            # Without a trainer it may be a library that makes a new state for every event.
            found = next((one for one in reversed(session.trainings) if one.known_trainer is trainer), None)
            if found is not None:
                found.is_told(state)
        ended = session.taken_for_failed
        if found is None and steps_since is not None and ended is not None and ended.given_state is given(state):
            return continue_training(session, ended, ended.events.state(state).global_step - steps_since)
        if found is not None:
            session.current = found
        return found

    def _is_second_of(self, trainer: Any | None) -> bool:
        """Whether another callback records this trainer: the first that was given a store, or else the first."""
        ours = [one for one in callbacks_of(trainer) if isinstance(one, TrainStoreCallback)]
        chosen = next((one for one in ours if one._settings.store_or_url is not None), None) or (ours or [self])[0]
        if chosen is self:
            return False
        self._session.failures.warn_once("this trainer has two TrainStoreCallbacks; one of them records nothing")
        return True

    # --- Every step -------------------------------------------------------------------------------------------------

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The clock of the step."""
        training = self._session.current
        if training is None or training.given_state is not state:
            training = self._training_of(state, steps_since=0)
        if training is not None and (steps := training.steps) is not None:
            if steps.held is not None:
                steps.release()
            steps.step_began = began = perf_counter()
            steps.data_time = began - steps.idle_since

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any) -> None:
        """The learning rate of the step."""
        training = self._session.current
        if training is None or training.given_state is not state:
            training = self._training_of(state)
        if training is not None and (steps := training.steps) is not None:
            try:
                steps.before_optimizer(optimizer)
            except Exception as error:  # noqa: BLE001
                self._session.report(LEARNING_RATE, error)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """One record: the whole step (on accelerators without loss and gradient norm), and a log right after it."""
        training = self._session.current
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
                self._session.lost_step(training, error)
        elif training.ranks.asks:
            training.ranks.learn_run(training.state)

    # --- Now and then -----------------------------------------------------------------------------------------------

    @_guarded
    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """An epoch begins with a wait for data."""
        training = self._training_of(state, steps_since=0)
        if training is not None and training.steps is not None:
            training.steps.begin_epoch()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Whatever the Trainer logs, into the row of its step."""
        if logs is None or "on_log" in self._session.failures.given_up:
            return
        training = self._session.current
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
                    self._session.failures.warn_once(*doubt)
                    steps.run.log_hyperparams({"loss_source": "unverified"}, "env")
        except Exception as error:  # noqa: BLE001
            self._session.report("on_log", error)

    def _log_outside(self, args: Any, state: Any, logs: Any, kwargs: dict[str, Any]) -> None:
        if logs and self._records_outside(state):
            with self._session.run_outside(self._find_trainer(), args, state, kwargs, waits=True) as run:
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
                training.steps.log_results(metrics, training.last_step)
            return
        if metrics is None or not self._records_outside(state):
            return
        trainer, last_runs = self._find_trainer(), self._session.last_runs
        last, step = last_runs.of(trainer), state.global_step or last_runs.last_step(trainer)
        if last is not None:
            last_runs.remember(trainer, last, step)  # an evaluation is a result: the next training gets its own run
        left = self._outside.unlogged(metrics, step)
        if left:
            with self._session.run_outside(trainer, args, state, kwargs) as run:
                self._outside.record(run, left, step)

    def _records_outside(self, state: Any) -> bool:
        """Whether this callback records what comes outside a training."""
        if recording_is_disabled() or not state.is_world_process_zero:
            return False
        return not self._is_second_of(self._find_trainer())

    @_guarded
    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A checkpoint was written."""
        training = self._training_of(state)
        if training is not None:
            self._session.log_checkpoint(training)

    @_guarded
    def on_push_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The model is pushed to the Hub, during a training or after one."""
        training = self._training_of(state)
        details = {"hub_model_id": args.hub_model_id}
        if training is not None:
            if training.steps is not None:
                training.steps.run.log_event("push", state.global_step, details)
        elif self._session.last_runs.latest is not None and self._records_outside(state):
            with self._session.run_outside(self._find_trainer(), args, state, kwargs) as run:
                run.log_event("push", state.global_step, details)

    # --- The end ----------------------------------------------------------------------------------------------------

    @_guarded
    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The end that the Trainer announces. (Only our wrappers see an exception.)"""
        training = self._training_of(state)
        if training is not None:
            announced_end(self._session, training, state, control)


@contextmanager
def record(trainer: Any, store: Target, **options: Any) -> Iterator[TrainStoreCallback]:
    """Record what a trainer does inside the block.

    The same as adding a `TrainStoreCallback`, but the callback knows its trainer from the start. A training ends with
    the block at the latest, even if the trainer has its own ``train()``.

    Args:
        trainer: A ``transformers.Trainer``, or another one with ``add_callback`` and ``remove_callback``.
        store: An open run or store, which stay open, or a path or URL.
        **options: The other arguments of `TrainStoreCallback`.

    Yields:
        The callback.
    """
    callback = TrainStoreCallback(store, **options)
    callback._trainer = reference_to(loop_of(trainer))
    trainer.add_callback(callback)
    try:
        yield callback
    except BaseException as error:
        end_all(callback._session, error)
        raise
    else:
        end_all(callback._session, None)
    finally:
        trainer.remove_callback(callback)
        callback.close()
