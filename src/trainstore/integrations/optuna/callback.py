"""The callback of a study, and which run is which trial's."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from trainstore.endings import ending_of
from trainstore.importing.cleaning import run_fields
from trainstore.importing.context import made_uid
from trainstore.importing.foreign import ForeignRun
from trainstore.importing.optuna import TOOL
from trainstore.importing.optuna_trial import Trial
from trainstore.integrations.libraries import needs
from trainstore.integrations.optuna.trial_runs import TrialRun
from trainstore.integrations.recording import Recording
from trainstore.integrations.targets import Target, is_for_the_user
from trainstore.integrations.trials import STORED_TIMEOUT, Name, check_name, end_trial, name_of, open_trial
from trainstore.recording.opening import new_run
from trainstore.run import ActiveRun, recording_is_disabled

with needs("optuna", extra="optuna"):
    import optuna

_OF_THIS_PROCESS = {"_has_begun", "_lock", "_here", "_open", "_ended"}


class TrainStoreCallback:
    """A callback of ``study.optimize``: each finished trial becomes a run, with its parameters and its values.

    The run has the uid, project and name that ``trainstore import`` gives it, so importing the study's database later
    brings nothing twice. Any number of threads (``n_jobs``) may use one callback; worker processes have one each.

    Args:
        store_or_run: The path or URL of a store, an open `TrainStore`, or None: ``TRAINSTORE_URL``, else
            ``trainstore.db``. Or an open run: the trials' runs are then its children, in its project.
        project: Of the runs. None: ``TRAINSTORE_PROJECT``, else the study's name.
        name: What the runs are called: "name-0" and so on, or a function of the trial that returns the whole name.
            None: the study's name and the trial's number.
        tags: Of every run, beside the user attributes of the trial and its study.
        hyperparams: Of every run, beside the trial's parameters.

    Raises:
        InvalidArgumentError: An argument that cannot be used.
    """

    def __init__(
        self,
        store_or_run: Target = None,
        *,
        project: str | None = None,
        name: Name = None,
        tags: Mapping[str, Any] | Sequence[str] | str | None = None,
        hyperparams: Mapping[str, Any] | Any | None = None,
    ) -> None:
        check_name(name)
        self._recording = Recording(store_or_run, source=TOOL, project=project, tags=tags, hyperparams=hyperparams)
        self._name = name
        self._has_begun = False
        self._lock = threading.Lock()
        self._here = threading.local()
        self._open: dict[str, TrialRun] = {}  # by the trial's identity; those that the study has not finished yet
        self._ended: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in _OF_THIS_PROCESS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _has_begun=False, _open={}, _ended=set())
        self._lock, self._here = threading.Lock(), threading.local()

    @property
    def run(self) -> ActiveRun | None:
        """The run of the trial whose `live` block this thread is in. None: it is in none."""
        found: ActiveRun | None = getattr(self._here, "run", None)
        return found

    # --- A trial that is under way -----------------------------------------------------------------------------------

    @contextmanager
    def live(self, trial: Any) -> Iterator[ActiveRun]:
        """Record a trial while it runs, inside an objective: ``with callback.live(trial) as run:``.

        The run begins here, and values passed to ``trial.report`` become its metric ``value`` at once. An exception
        that leaves the block ends the run: ``TrialPruned`` as pruned, Ctrl-C as interrupted, any other as failed,
        with its text. Otherwise the callback ends it, with the objective's value. A second block of a trial continues
        its run.

        Args:
            trial: The trial that the objective got. Another kind (a ``FixedTrial``, a ``FrozenTrial``) is no trial of
                a study that is under way: its run records nothing.

        Yields:
            The run, for metrics, tags and events of your own.

        Raises:
            TrainStoreError: What can be mended before the study goes on: a store that cannot be opened, say.
        """
        self._settle()
        found = self._entered(trial)
        if found is None:
            yield _nowhere()
            return
        before, self._here.run = self.run, found.run
        try:
            with found.watching(self._recording):
                yield found.run
        except BaseException as error:
            with self._recording.guard("the end of a trial"):
                self._fail(found, error)
            raise
        finally:
            self._here.run = before

    def _entered(self, trial: Any) -> TrialRun | None:
        """The run of a trial of a study, begun now or by a block before. None: there is none."""
        if recording_is_disabled():
            return None
        if not isinstance(trial, optuna.trial.Trial):
            self._recording.warn_once(
                "live needs the trial that the objective got: nothing is recorded of this %s", type(trial).__name__
            )
            return None
        frozen = self._frozen(trial)
        if frozen is None:
            return None
        found = self._begun(trial.study, frozen)
        if found is not None:
            found.trial = trial
            with self._recording.guard("a trial"):
                found.add(self._trial_of(trial.study, frozen))
        return found

    def _frozen(self, trial: Any) -> Any | None:
        """What the study's storage has of a trial."""
        try:
            return trial.storage.get_trial(trial._trial_id)
        except Exception as error:  # noqa: BLE001 - whatever the storage is
            self._recording.report("a trial", error)
            return None

    def _fail(self, found: TrialRun, error: BaseException) -> None:
        """An exception leaves a trial's block: end its run, as the study may never tell of it."""
        status, text = ending_of(error)
        frozen = self._frozen(found.trial)
        if frozen is not None:
            last = frozen.intermediate_values.get(frozen.last_step, math.nan)
            if status == "pruned" and not math.isnan(last):  # as Optuna is about to store it
                frozen.values = [last]
            found.add(self._trial_of(found.trial.study, frozen))
        end_trial(found.run, status, text)

    def _settle(self) -> None:
        """End the runs of trials that the study has finished without calling back: `study.tell`, say."""
        with self._lock:
            waiting = [one for one in self._open.values() if not one.depth and one.trial is not None]
        for one in waiting:
            frozen = self._frozen(one.trial)
            if frozen is not None and frozen.state.is_finished():
                with self._recording.guard("the end of a trial"):
                    self._finish(one.trial.study, frozen)

    # --- A trial that has ended --------------------------------------------------------------------------------------

    def __call__(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        """Record a finished trial. ``study.optimize`` calls it; with ``study.tell``, pass what that returned.

        Args:
            study: The study.
            trial: A trial of it that has ended.

        Raises:
            TrainStoreError: As for `live`, if nothing could be recorded of a trial yet.
        """
        if recording_is_disabled():
            return
        if not trial.state.is_finished():
            self._recording.warn_once("trial %s has not ended: pass what study.tell returned", trial.number)
            return
        if self._begun(study, trial) is not None:
            with self._recording.guard("the end of a trial"):
                self._finish(study, trial)

    def _finish(self, study: Any, frozen: Any) -> None:
        trial = self._trial_of(study, frozen)
        with self._lock:
            found = self._open.pop(trial.identity, None)
            self._ended.add(trial.identity)
        if found is None:
            return
        ending = found.add(trial)
        if ending is not None:
            end_trial(found.run, ending.status, ending.error, ending.at)
        found.run._wait_if_reachable(STORED_TIMEOUT)

    def close(self) -> None:
        """Wait until everything is stored, and close the store if it was opened here. The end of the process does it.

        It is opened again if another trial comes. Never raises.
        """
        self._settle()
        self._recording.finish()

    # --- Which run ---------------------------------------------------------------------------------------------------

    def _begun(self, study: Any, frozen: Any) -> TrialRun | None:
        """The run of a trial. None: it has ended, or could not be begun, which was told."""
        try:
            trial = self._trial_of(study, frozen)
            with self._lock:
                if trial.identity in self._ended:
                    return None
                found = self._open.get(trial.identity)
                if found is None:
                    found = self._open[trial.identity] = TrialRun(self._new_run(study, frozen, trial))
            return found
        except Exception as error:
            # Once trials are recorded, the study is under way, and nothing of ours may end it.
            if not self._has_begun and is_for_the_user(error, store_is_open=self._recording.has_store):
                raise
            self._recording.report("the beginning of a trial", error)
            return None

    def _new_run(self, study: Any, frozen: Any, trial: Trial) -> ActiveRun:
        given = self._recording.run
        project = self._recording.project or os.environ.get("TRAINSTORE_PROJECT") or trial.study
        name = name_of(self._recording, self._name, frozen, usual=trial.name, number=trial.number)
        run = ForeignRun(trial.identity, name, trial.started_at(), where="", sessions=())
        fields = run_fields(
            run,
            _uid_of(trial),
            project=project if given is None else given.project,
            source=TOOL,
            parent=self._repeated(study, trial) or (None if given is None else given.uid),
        )
        active = open_trial(self._recording, fields, opened_at=fields["started_at"])
        if self._recording.hyperparams is not None:
            active.log_hyperparams(self._recording.hyperparams)
        if self._recording.tags is not None:
            active._begin_with_tags(self._recording.tags)
        if not self._has_begun:
            self._has_begun = True
            active._tell_begun()  # of the first trial, for all: Optuna has a line for each
        return active

    def _repeated(self, study: Any, trial: Trial) -> str | None:
        """The uid of the failed trial's run that this one repeats."""
        number = trial.system.get("failed_trial")
        if type(number) is not int:
            return None
        before = next((one for one in study.get_trials(deepcopy=False) if one.number == number), None)
        return None if before is None else _uid_of(self._trial_of(study, before))

    @staticmethod
    def _trial_of(study: Any, frozen: Any) -> Trial:
        return Trial.of_frozen(study.study_name, frozen, study.directions, study.user_attrs)


def _uid_of(trial: Trial) -> str:
    return made_uid(TOOL, "run", trial.identity)


def _nowhere() -> ActiveRun:
    """A run that records nothing."""
    attempt = {"uid": "", "start_step": -1, "opened_at": 0, "lineage": []}
    return ActiveRun(None, new_run(), attempt, opener=True, seen=False, rank=0, next_step=0)
