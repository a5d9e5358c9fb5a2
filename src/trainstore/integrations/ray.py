"""Records the trials of Ray Tune, each as a run.

::

    from trainstore.integrations.ray import TrainStoreLoggerCallback

    run_config = tune.RunConfig(callbacks=[TrainStoreLoggerCallback("trainstore.db")])
    tune.Tuner(train, param_space=space, run_config=run_config).fit()

Everything is recorded by the process that calls ``fit``: trials need neither trainstore nor the store. A step is what
Ray calls ``training_iteration``. A trial that starts again from a checkpoint is the next attempt of its run.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainstore.endings import describe_exception, ending_of
from trainstore.integrations.libraries import needs
from trainstore.integrations.recording import Recording
from trainstore.integrations.targets import Target, is_for_the_user
from trainstore.integrations.trials import STORED_TIMEOUT, Name, check_name, end_trial, name_of, open_trial
from trainstore.recording.opening import new_run
from trainstore.run import ActiveRun, recording_is_disabled

with needs("ray", extra="ray"):
    from ray.tune import TuneError
    from ray.tune.logger import LoggerCallback
    from ray.tune.result import AUTO_RESULT_KEYS, TIME_THIS_ITER_S, TIME_TOTAL_S, TRAINING_ITERATION
    from ray.tune.utils import flatten_dict

#: What Ray adds to each result, apart from its times.
_RAYS_OWN = {*AUTO_RESULT_KEYS, "trial_id", "experiment_id", "experiment_tag", "done", "should_checkpoint"}
_RAYS_OWN -= {TIME_TOTAL_S}
_PLACE = ("node_ip", "hostname", "pid")


class TrainStoreLoggerCallback(LoggerCallback):  # type: ignore[misc]
    """A callback for ``RunConfig(callbacks=[…])``: each trial becomes a run.

    Args:
        store_or_run: The path or URL of a store, an open `TrainStore`, or None: ``TRAINSTORE_URL``, else
            ``trainstore.db``. Or an open run: the trials' runs are then its children, in its project.
        project: Of the runs, as for `TrainStore.start_run`.
        name: What the runs are called: the name and the trial's id, or a function of the trial that returns the whole
            name. None: as Ray calls the trial.
        tags: Of every run, beside ``experiment`` and ``trial_id``.
        hyperparams: Of every run, beside the trial's configuration.

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
        self._recording = Recording(store_or_run, source="ray", project=project, tags=tags, hyperparams=hyperparams)
        self._name = name
        self._trials: dict[str, _TrialRun] = {}
        self._restored: dict[str, Mapping[str, Any]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Ray keeps the callbacks in the experiment's folder; runs go there by `get_state`."""
        return {**vars(self), "_trials": {}, "_restored": {}}

    @property
    def runs(self) -> dict[str, ActiveRun]:
        """The runs by the ids of their trials."""
        return {trial_id: one.run for trial_id, one in self._trials.items()}

    # --- Ray's events ------------------------------------------------------------------------------------------------

    def setup(self, *_args: Any, **_info: Any) -> None:
        """The experiment begins: what can be mended is raised now."""
        if not recording_is_disabled() and not self._recording.is_given:
            try:
                self._recording.store._check_open()
            except Exception as error:
                if is_for_the_user(error, store_is_open=self._recording.has_store):
                    raise
                self._recording.report("the beginning of the experiment", error)

    def log_trial_start(self, trial: Any) -> None:
        """A trial begins, or starts again."""
        with self._recording.guard("the beginning of a trial"):
            self._started(trial)

    def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
        """A trial reported."""
        with self._recording.guard("a result"):
            known = self._trials.get(trial.trial_id)
            if known is not None:
                known.log(result)

    def log_trial_save(self, trial: Any) -> None:
        """A trial has a new checkpoint."""
        with self._recording.guard("a checkpoint"):
            known, saved = self._trials.get(trial.trial_id), trial.latest_checkpoint_result
            if known is not None and saved is not None and saved.checkpoint is not None:
                known.run.log_event("checkpoint", _iteration_of(saved), {"path": str(saved.checkpoint.path)})

    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        """A trial has ended."""
        with self._recording.guard("the end of a trial"):
            if failed and trial.trial_id not in self._trials:
                self._started(trial)  # its process failed before it could start, of which Ray tells no start
            self._end(trial, *(("failed", _error_of(trial)) if failed else ("finished", None)))

    def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """A trial failed, and is about to start again."""
        with self._recording.guard("the end of a trial"):
            self._end(trial, "failed", _error_of(trial))

    def on_experiment_end(self, trials: Any, **info: Any) -> None:
        """It is over: trials that still ran were interrupted, or failed with the experiment."""
        with self._recording.guard("the end of the experiment"):
            error = sys.exc_info()[1]
            while isinstance(error, TuneError) and error.__context__ is not None:
                error = error.__context__  # its text is the traceback of this one
            status, text = ("interrupted", None) if error is None else ending_of(error)
            for trial in trials:
                self._end(trial, status, text)
        self._recording.finish()

    # --- The state that Ray keeps for Tuner.restore ------------------------------------------------------------------

    def get_state(self) -> dict[str, Any] | None:
        """The runs of the trials, so that a restored experiment goes on with them."""
        known = {trial_id: one.state for trial_id, one in self._trials.items()}
        return {**self._restored, **known} or None

    def set_state(self, state: dict[str, Any]) -> None:
        """Ray restores the experiment."""
        self._restored = dict(state)

    # --- How ---------------------------------------------------------------------------------------------------------

    def _started(self, trial: Any) -> None:
        if recording_is_disabled():
            return
        known, restored = self._trials.get(trial.trial_id), self._restored.pop(trial.trial_id, None)
        step = _iteration_of(trial.latest_checkpoint_result)
        if known is not None and known.is_open and known.goes_on(trial, step):
            return
        if known is not None:
            end_trial(known.run, "interrupted", None)  # nothing if it has ended
            restored = known.state
        is_first = not self._trials
        if restored is None:
            run = open_trial(self._recording, self._fields(trial))
            if self._recording.tags is not None:
                run._begin_with_tags(self._recording.tags)
            run._begin_with_tags({"experiment": trial.experiment_dir_name, "trial_id": trial.trial_id})
        else:
            # Without a checkpoint it starts from its beginning.
            start = {"start_step": step or -1, "lineage": restored["lineage"]}
            run = open_trial(self._recording, dict(restored["run"]), **start)
        self._trials[trial.trial_id] = _TrialRun(run, repr(trial.config))
        self._describe(run, trial)
        if is_first:
            run._tell_begun()  # of the first trial, for all: Ray shows the others

    def _describe(self, run: ActiveRun, trial: Any) -> None:
        run.log_hyperparams({name: value for name, value in trial.config.items() if name != "callbacks"})
        if self._recording.hyperparams is not None:
            run.log_hyperparams(self._recording.hyperparams)

    def _fields(self, trial: Any) -> dict[str, Any]:
        given = self._recording.run
        return new_run(
            name=name_of(self._recording, self._name, trial, usual=str(trial), number=trial.trial_id),
            project=self._recording.project if given is None else given.project,
            parent=None if given is None else given.uid,
            source="ray",
        )

    def _end(self, trial: Any, status: str, error: str | None) -> None:
        known = self._trials.get(trial.trial_id)
        if known is not None and known.is_open:
            end_trial(known.run, status, error)
            known.run._wait_if_reachable(STORED_TIMEOUT)


@dataclass
class _TrialRun:
    """The run of a trial in its present attempt."""

    run: ActiveRun
    config: str
    is_placed: bool = False

    def goes_on(self, trial: Any, step: int) -> bool:
        """Whether a trial that starts at a step's checkpoint does so where it was: it was only paused."""
        return self.run.last_step == (step or None) and repr(trial.config) == self.config

    @property
    def is_open(self) -> bool:
        return self.run.status == "running"

    @property
    def state(self) -> dict[str, Any]:
        """What goes on with it, as plain data."""
        return {"run": dict(self.run._run), "lineage": self.run.lineage}

    def log(self, result: Mapping[str, Any]) -> None:
        if not self.is_placed:
            self.is_placed = True
            self.run.log_hyperparams({name: result[name] for name in _PLACE if name in result}, "env")
        own = {name: value for name, value in result.items() if name not in _RAYS_OWN}
        metrics = flatten_dict(own, delimiter="/")
        if TIME_THIS_ITER_S in result:
            metrics["step_time"] = result[TIME_THIS_ITER_S]
        self.run.log(metrics, result.get(TRAINING_ITERATION))


def _iteration_of(saved: Any) -> int:
    """The iteration of a checkpoint; 0: there is none."""
    return 0 if saved is None else int((saved.metrics or {}).get(TRAINING_ITERATION, 0))


def _error_of(trial: Any) -> str | None:
    """Why a trial failed: the exception of its function, where that can be read."""
    try:
        with open(trial.pickled_error_file, "rb") as file:
            error = pickle.load(file)
        cause = getattr(error, "cause", None)
        return describe_exception(cause if isinstance(cause, BaseException) else error)
    except Exception:  # noqa: BLE001 - of another kind, or of a class that is not here
        pass
    try:
        with open(trial.error_file, encoding="utf-8", errors="replace") as text:
            return text.read().rstrip().rpartition("\n")[2] or None
    except (OSError, TypeError):
        return None
