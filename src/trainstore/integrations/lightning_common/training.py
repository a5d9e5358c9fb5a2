"""One training after another, as one logger sees them: which run each belongs to, and how it ends."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Mapping
from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_only

from trainstore.endings import describe_exception, ending_of
from trainstore.errors import RunNotFoundError, TrainStoreError
from trainstore.integrations.lightning_common.bookmark import Bookmark, Progress
from trainstore.integrations.lightning_common.experiment import Experiment
from trainstore.integrations.lightning_common.facts import model_facts, trainer_facts, trainer_settings
from trainstore.integrations.recording import Recording
from trainstore.run import ActiveRun, recording_is_disabled

logger = logging.getLogger("trainstore")


class Training:
    """What a logger keeps from one event to the next.

    Args:
        recording: Where it records.
        label: The name of a run that begins.
        resumes: Whether a fit that loads a checkpoint goes on with the run that the checkpoint names.

    Attributes:
        recording: The same.
        progress: How far the training under way has come.
        experiment: What stands for the run until it begins.
    """

    def __init__(self, recording: Recording, label: str, *, resumes: bool) -> None:
        self.recording = recording
        self.progress = Progress()
        self.experiment = Experiment()
        self._label = label
        self._resumes = resumes
        self._trainer: Any = None  # while one is at work
        self._mark: Bookmark | None = None  # of the checkpoint that it has loaded
        self._hyperparams: dict[str, Any] = {}  # that it has told
        self._is_announced = False  # a fit is about to begin
        self._is_fitting = False  # its run has begun
        self._is_joined = False  # the run had ended before, and an evaluation adds to it
        self._error: BaseException | None = None
        self._first: str | None = None  # uid of this logger's first fit
        self._fits = 0
        self._last_step: int | None = None  # of the last fit
        self._checkpoints: dict[str, int] = {}  # path → step

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_trainer": None, "_error": None}

    @property
    def records(self) -> bool:
        """Whether this process is the one that records."""
        rank = getattr(self._trainer, "global_rank", None)
        return not (getattr(rank_zero_only, "rank", 0) if rank is None else rank)

    @property
    def now(self) -> ActiveRun | Experiment | None:
        """The run that is being recorded, or was last; what stands for it; None where nothing is recorded."""
        if not self.records or recording_is_disabled():
            return None
        run, waits = self.recording.run, self._is_fit() and not self._is_fitting
        return self.experiment if run is None or (waits and not self.recording.is_given) else run

    # --- The beginning -----------------------------------------------------------------------------------------------

    def watch(self, trainer: Any) -> None:
        """A trainer begins something."""
        self._trainer = trainer
        self._mark = self._error = None
        self._is_announced = self._is_fitting = False

    def read_checkpoint(self, checkpoint: Any) -> None:
        """A checkpoint was loaded. One that is loaded during a fit, as the learning rate finder does, is its own."""
        if not self._is_fitting:
            self._mark = Bookmark.read(checkpoint)

    def announce(self) -> None:
        """What the trainer begins is a fit, if it is one: if it fails from now on, there is a run that says so."""
        self._is_announced = self._is_fit() and not self._trainer.fast_dev_run

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        """Of the run under way; else of the run that begins next."""
        self._hyperparams = params
        run = self.recording.run
        if (
            run is not None
            and self.records
            and (self._is_fitting or (self._trainer is None and self.recording.is_open))
        ):
            run.log_hyperparams(params)

    def begin_fit(self, trainer: Any, module: Any) -> None:
        """A fit begins, and its checkpoint has been read. Called again, it does nothing.

        Raises:
            TrainStoreError: What the user can fix, as `Recording.begin` says.
        """
        if self._is_fitting or not self._is_announced or not self.records:
            return
        self._is_announced = False  # if this raises, there is no run to fail
        self.progress.forget()
        told = {"trainer": trainer_settings(trainer), **self._hyperparams}
        run = self._open_run(self.progress.step_under_way(trainer), told)
        self._is_fitting, self._is_joined = True, False
        if run is None:
            return
        with self.recording.guard("the facts of the training"):
            self._fits += 1
            self._first = self._first or run.uid
            run.log_hyperparams(model_facts(module), "mth")
            run.log_hyperparams(trainer_facts(trainer), "env")
            self.experiment.release(run)

    def _open_run(self, steps: int, told: dict[str, Any]) -> ActiveRun | None:
        """The run of a fit that has made so many steps before.

        In this order: a run that is open, as a validation before the fit leaves it; the run of the checkpoint; a new
        one; for the same trainer once more, its run; and for a fit that begins again, a child of the first.
        """
        recording, mark = self.recording, self._mark
        if recording.is_given:
            return recording.begin(hyperparams=told)
        if mark is not None or self._is_joined:
            recording.finish()
        if mark is not None:
            return self._go_on(mark, told)
        before = recording.run
        if before is not None and recording.is_open:
            before.log_hyperparams(told)
            return before
        if before is None or not self._fits:
            return recording.begin(name=self._label, hyperparams=told)
        if steps:
            return recording.resume(before.uid, steps - 1, lineage=before.lineage, hyperparams=told)
        return recording.begin(
            name=f"{self._label}-{self._fits + 1}", hyperparams=told, parent=self._first, overrides_name=True
        )

    def _go_on(self, mark: Bookmark, told: dict[str, Any]) -> ActiveRun | None:
        """The next attempt of the run that a checkpoint names; a child of it, if that was asked for or it is busy."""
        recording = self.recording
        if not self._resumes or recording.store.is_recorded_here(mark.run_uid):
            step = mark.step if mark.step >= 0 else None
            return recording.begin(name=self._label, hyperparams=told, parent=mark.run_uid, parent_step=step)
        self._tell_unknown(mark)
        return recording.resume(mark.run_uid, mark.step, lineage=mark.lineage, name=self._label, hyperparams=told)

    def _tell_unknown(self, mark: Bookmark) -> None:
        try:
            self.recording.store.get_run(mark.run_uid)
        except RunNotFoundError:
            logger.warning(
                "the checkpoint belongs to run %s, which is not in %s: the run is created there, from step %d on (if "
                "this is the wrong database, pass the right one; resume='never' makes a new run)",
                mark.run_uid,
                self.recording.store.url,
                mark.step + 1,
            )
        except TrainStoreError as error:
            logger.debug("whether run %s is known is not known: %s", mark.run_uid, error)

    def _begin_evaluation(self) -> ActiveRun | None:
        """The run for what comes outside a fit: that of the checkpoint, the last one, or a new one."""
        recording, mark = self.recording, self._mark
        if recording.is_given or recording.is_open:
            return recording.run
        before = recording.run
        if mark is not None and self._resumes and (before is None or before.uid != mark.run_uid):
            run = self._join(mark)
        else:
            run = recording.join()
        self._is_joined = run is not None
        if run is None:
            run = recording.begin(name=self._label, hyperparams=self._hyperparams)
        if run is not None:
            self.experiment.release(run)
        return run

    def _join(self, mark: Bookmark) -> ActiveRun | None:
        """The run of a checkpoint that is evaluated, if the store has it."""
        try:
            self.recording.store.get_run(mark.run_uid)
        except RunNotFoundError:
            return None
        except TrainStoreError:
            pass  # the database is away: the journal takes it
        return self.recording.resume(mark.run_uid, None, lineage=mark.lineage)

    # --- Under way ---------------------------------------------------------------------------------------------------

    def log(self, metrics: Mapping[str, Any], step: int | None) -> None:
        """Record metrics; what a sanity check logs is left out.

        Raises:
            TrainStoreError: What the user can fix, if a run begins with it.
        """
        trainer = self._trainer
        if not self.records or (trainer is not None and trainer.sanity_checking):
            return
        run = self.recording.run if self._is_fitting else self._begin_evaluation()
        if run is None:
            return
        with self.recording.guard("a step"):
            if trainer is not None and not self._is_fitting:
                metrics = {name: value for name, value in metrics.items() if name != "epoch"}  # it is not that row's
            run.log(metrics, step=self._step(trainer, step))

    def _step(self, trainer: Any, step: int | None) -> int | None:
        """The optimizer step that metrics belong to. (For each batch of an evaluation, Lightning counts batches.)"""
        if trainer is None:
            return self._last_step if step is None else step
        if not self._is_fitting:
            return max(self._mark.step if self._mark is not None else self.progress.last_step(trainer), 0)
        if step is None or not trainer.training:
            return self.progress.step_under_way(trainer)
        return step

    def log_checkpoint(self, callback: Any) -> None:
        """`ModelCheckpoint` has written one."""
        run, trainer = self.recording.run, self._trainer
        paths = [getattr(callback, name, "") for name in ("_last_checkpoint_saved", "last_model_path")]
        path = next(filter(None, paths), None)
        if run is None or trainer is None or path is None or not self.records:
            return
        step = max(self.progress.last_step(trainer), 0)
        self._checkpoints[path] = step
        details: dict[str, Any] = {"path": _absolute(path), "global_step": trainer.global_step}
        score = getattr(callback, "best_k_models", {}).get(path)
        if score is not None:
            details |= {"monitor": callback.monitor, "score": score, "is_best": callback.best_model_path == path}
        run.log_event("checkpoint", step, details)

    def log_early_stop(self, trainer: Any) -> None:
        """A training that ended before its limits, as a callback asked."""
        run = self.recording.run
        if run is None or not self._is_fitting or not trainer.should_stop:
            return
        details = {"max_epochs": trainer.max_epochs, "max_steps": trainer.max_steps}
        reasons = [getattr(one, "stopping_reason_message", None) for one in trainer.callbacks]
        if any(reasons):
            details["reason"] = next(filter(None, reasons))
        run.log_event("early_stop", max(self.progress.last_step(trainer), 0), details)

    def bookmark(self, trainer: Any) -> Bookmark | None:
        """What a checkpoint that is made now carries; None: nothing was recorded."""
        run = self.recording.run
        if self._is_fitting or not self._is_announced:
            return None if run is None else Bookmark(run.uid, run.lineage, self.progress.last_step(trainer))
        return self._mark

    # --- The end -----------------------------------------------------------------------------------------------------

    def saw(self, error: BaseException) -> None:
        """An exception is about to end it."""
        self._error = error

    def end(self, error: BaseException | None, *, is_success: bool) -> None:
        """A trainer has ended what it began. Never raises."""
        error = error or self._error
        with self.recording.guard("the end of the training"):
            if self.records:
                self._end(error, is_success)
        self._mark = self._error = self._trainer = None
        self._is_announced = self._is_fitting = self._is_joined = False

    def _end(self, error: BaseException | None, is_success: bool) -> None:
        trainer, recording = self._trainer, self.recording
        if self._is_announced and not is_success:  # it failed before its first step
            self.begin_fit(trainer, trainer.lightning_module)
        run = recording.run
        if run is None:
            return
        step = None
        if self._is_fitting:
            step = self._last_step = max(self.progress.last_step(trainer), 0)
        if is_success:
            if self._is_fitting:
                self._log_best(run, trainer)
            elif self._is_before_fit(trainer):
                return
            recording.finish()
            return
        status, text = ("failed", None) if error is None else ending(error)
        if error is not None and status == "failed":
            _log_exception(run, step, error)
        if self._is_fitting or not self._is_joined:
            recording.finish(status, text)
        else:
            recording.finish()  # the training had ended well before

    def _is_before_fit(self, trainer: Any) -> bool:
        """Whether it was a validation for a fit that comes: its run goes on."""
        return trainer is not None and trainer.state.fn == "validate" and not self._fits and not self._is_joined

    def _log_best(self, run: ActiveRun, trainer: Any) -> None:
        for callback in trainer.checkpoint_callbacks:
            path, monitor = getattr(callback, "best_model_path", None), getattr(callback, "monitor", None)
            if path and monitor is not None:
                step = self._checkpoints.get(path)
                score = callback.best_model_score
                run.log_event(
                    "best_model", step, {"path": _absolute(path), "monitor": monitor, "metric": score, "step": step}
                )

    def _is_fit(self) -> bool:
        return self._trainer is not None and self._trainer.state.fn == "fit"


def ending(error: BaseException) -> tuple[str, str | None]:
    """Status and text of a run that an exception ended; Lightning tells a SIGTERM by one of its own."""
    if type(error).__name__ == "SIGTERMException":
        return "interrupted", "SIGTERM"
    return ending_of(error)


def _log_exception(run: ActiveRun, step: int | None, error: BaseException) -> None:
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    details = {"type": type(error).__qualname__, "rank": 0, "traceback": "".join(lines)}
    run.log_event("exception", step, {**details, "message": describe_exception(error)})


def _absolute(path: str) -> str:
    """A local path, whatever ``chdir`` follows; an address as it is."""
    return path if "://" in path else os.path.abspath(path)
