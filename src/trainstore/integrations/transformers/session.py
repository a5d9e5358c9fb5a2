"""What one callback records: its store, the trainings under way, and the runs they leave."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from transformers import TrainerState

from trainstore.integrations.failures import NAME, STEP, Failures, LostSteps
from trainstore.integrations.protocol import protocol_of
from trainstore.integrations.transformers.checkpoint_file import checkpoint_of, write_run
from trainstore.integrations.transformers.facts import facts_of
from trainstore.integrations.transformers.incomplete import Incomplete
from trainstore.integrations.transformers.outside import LastRuns
from trainstore.integrations.transformers.runs import labels_of
from trainstore.integrations.transformers.settings import Settings
from trainstore.integrations.transformers.training import Training
from trainstore.run import ActiveRun
from trainstore.store import TrainStore

logger = logging.getLogger("trainstore")

FINISH_TIMEOUT = 10.0  # seconds that the end of a training waits for the database
AWAY_TIMEOUT = 0.5  # seconds that what comes outside a training waits, if the database was away the last time


class Session:
    """What a callback keeps from one event to the next. ``beginning.py`` and ``ending.py`` have the rules.

    Attributes:
        settings: The callback's arguments.
        trainings: Those under way. There are several if trainings are nested, or run in threads.
        current: The training whose event came last.
        taken_for_failed: The last training that seems to have failed, if nobody told that its ``train()`` ended.
        last_runs: The runs that are joined by what comes outside a training.
        failures: The failures of trainstore itself.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.trainings: list[Training] = []
        self.current: Training | None = None
        self.taken_for_failed: Training | None = None
        self.last_runs = LastRuns()
        self.failures = Failures(reraise=settings.on_error == "raise")
        self._store: TrainStore | None = None
        self._is_away = False  # whether the database was, when it was last waited for

    @property
    def store(self) -> TrainStore:
        """The store that is recorded into; opened at first use."""
        if self._store is None:
            self._store = self.settings.open_store()
        return self._store

    @property
    def given(self) -> ActiveRun | None:
        """The run that the callback was given, which its owner ends. None: it was given a store."""
        return self.settings.given

    @property
    def is_open(self) -> bool:
        """Whether the store is open."""
        return self._store is not None or self.given is not None

    @property
    def run(self) -> ActiveRun | None:
        """The run that is being recorded (of several, the one that began last), or the last one, finished."""
        open_runs = [training.run for training in self.trainings if training.run is not None]
        return open_runs[-1] if open_runs else self.last_runs.latest

    def new_run(self, **labels: Any) -> ActiveRun:
        """A run that begins now, with these arguments of `TrainStore.start_run`; that which was given, if one was."""
        tags = self.settings.tags
        if self.given is None:
            return self.store.start_run(**labels, tags=tags)
        if tags:
            self.given.set_tags(tags)
        return self.given

    def run_of(self, state: Any) -> ActiveRun | None:
        """The run of the training whose events carry this state; None if none is being recorded."""
        training = self._training_of(state)
        return None if training is None else training.run

    def join_run_of(self, state: Any) -> ActiveRun | None:
        """The run that another process records of this training, as another writer of it; None if it is not known."""
        training = self._training_of(state)
        shared = None if training is None or training.run is not None else training.ranks.run()
        if training is None or shared is None or self.given is not None:
            return None
        return self.store.resume_run(
            shared.saved.run_uid,
            lineage=shared.saved.lineage,
            rank=training.ranks.rank,
            project=shared.project,
            name=shared.name,
            source=training.protocol.source,
        )

    def leave_out(self, state: Any, seconds: float) -> None:
        """In the training whose events carry this state, another callback has taken so long."""
        training = self._training_of(state)
        if training is not None and training.steps is not None:
            training.steps.leave_out(seconds)

    def training_with(self, state: Any) -> Training | None:
        """The training under way whose state this is."""
        return next((one for one in self.trainings if one.given_state is state or one.state is state), None)

    def _training_of(self, state: Any) -> Training | None:
        training = self.training_with(state)
        if training is not None:
            return training
        if isinstance(state, TrainerState) or len(self.trainings) != 1:
            return None
        return self.trainings[0]  # its library may make a new state for every event

    def close(self) -> None:
        """Close a store that was opened here; one that was passed stays open."""
        store, self._store = self._store, None
        if store is not None and store is not self.settings.store_or_url:
            store.close()

    def report(self, what: str, error: Exception, *, reraise: bool = True) -> None:
        """Report a failure of trainstore, as `Failures.report` does."""
        self.failures.report(what, error, reraise=reraise)

    def lost_step(self, training: Training, error: Exception) -> None:
        """The last step could not be recorded."""
        training.lost_steps.add(training.last_step, error)
        self.report(STEP, error)

    def record_facts(
        self,
        run: ActiveRun,
        trainer: Any | None,
        args: Any,
        state: Any,
        event: Mapping[str, Any],
        incomplete: Incomplete,
    ) -> None:
        """Record what is known when a training begins: arguments, model, data, environment."""
        facts = facts_of(trainer, args, state, self.settings.hyperparams, event, incomplete)
        for namespace, get in facts.items():
            try:
                run.log_hyperparams(get(), namespace)
            except Exception as error:  # noqa: BLE001
                self.report(f"the {namespace} facts", error)
        incomplete.tell()

    def log_checkpoint(self, training: Training) -> None:
        """A checkpoint was written."""
        steps = training.steps
        if steps is not None:
            folder = checkpoint_of(training)
            details = {} if folder is None else {"path": str(folder)}
            steps.run.log_event("checkpoint", training.state.global_step, details)
            if folder is not None and not training.protocol.keeps_state and NAME not in self.failures.given_up:
                try:
                    write_run(folder, training, steps.run)
                except OSError as error:
                    self.report(NAME, error)
            steps.pause()

    @contextmanager
    def run_outside(
        self, trainer: Any | None, args: Any, state: Any, event: Mapping[str, Any], *, waits: bool = False
    ) -> Iterator[ActiveRun]:
        """The run for what comes outside a training: the last one, whose status stays, or a new one.

        Args:
            trainer: The trainer, if it is known.
            args: Its arguments.
            state: Its state.
            event: The event's keyword arguments: model and dataloaders.
            waits: Whether the next training goes on with a run that is made here.
        """
        last, source = self.last_runs.of(trainer), protocol_of(trainer).source
        if last is not None and self.given is not None:
            run = self.given
        elif last is not None:
            run = self.store.resume_run(last.uid, lineage=last.lineage, source=source)
        else:
            run = self.new_run(**labels_of(self.settings, args, state), source=source)
            self.record_facts(run, trainer, args, state, event, Incomplete(run))
            self.last_runs.remember(trainer, run, waits=waits)
        try:
            yield run
        finally:
            self.finish_run(run, timeout=AWAY_TIMEOUT if self._is_away else None)

    def finish(self, training: Training, status: str, error: str | None = None, *, keep_store: bool = False) -> None:
        """Stop recording a training and finish its run; put back the trainer's methods.

        Args:
            training: The training.
            status: The run's.
            error: The run's.
            keep_store: Whether another training is about to use the store.
        """
        self.trainings.remove(training)
        if self.current is training:
            self.current = None
        training.wrappers.remove()
        run, last_step = training.run, training.last_step
        self._let_go_of_steps(training)
        if run is None:
            return
        training.ranks.withdraw()
        self.last_runs.remember(training.known_trainer, run, last_step)
        if training.lost_steps.count:
            self._tell_lost_steps(training, run)
        self.finish_run(run, status, error, keep_store=keep_store)

    def _let_go_of_steps(self, training: Training) -> None:
        """Record the step that waits for its log and the losses that are on their way, and no more steps."""
        steps = training.steps
        if steps is None:
            return
        try:
            steps.release()
            steps.catch_up(wait=True)
        except Exception as error:  # noqa: BLE001 - a device that failed takes its last losses along
            self.report("the last losses", error, reraise=False)
        training.steps = None

    def _tell_lost_steps(self, training: Training, run: ActiveRun) -> None:
        """The run says which steps it lacks; the log does too, as the run may not be able to."""
        lost, training.lost_steps = training.lost_steps, LostSteps()
        logger.warning(
            "%d steps between %d and %d were not recorded (%s)", lost.count, lost.first, lost.last, lost.error
        )
        try:
            run.log_event("lost_steps", lost.last, lost.details())
        except Exception as error:  # noqa: BLE001
            self.report("lost steps", error, reraise=False)

    def finish_run(
        self,
        run: ActiveRun,
        status: str | None = None,
        error: str | None = None,
        *,
        timeout: float | None = None,
        keep_store: bool = False,
    ) -> None:
        """Finish a run, or leave one that was joined; then close a store that was opened here and is idle.

        A run that was given stays open.
        """
        if run is self.given:
            return
        self._is_away = not run.finish(status, error, FINISH_TIMEOUT if timeout is None else timeout)
        if not self._is_away and not self.trainings and not keep_store:
            self.close()  # otherwise it goes on delivering as long as the process lives
