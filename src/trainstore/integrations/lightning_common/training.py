"""What a trainer has under way, as one logger sees it: a fit, a validation, a test or a prediction."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_only

from trainstore.integrations.lightning_common.bookmark import Bookmark, Progress, bookmarks_in
from trainstore.integrations.lightning_common.experiment import Experiment
from trainstore.integrations.lightning_common.facts import (
    cli_config,
    model_facts,
    trainer_facts,
    trainer_settings,
)
from trainstore.integrations.lightning_common.failures import ending, log_exception
from trainstore.integrations.lightning_common.ranks import failure_elsewhere, pin, tell_failure
from trainstore.integrations.lightning_common.runs import Runs
from trainstore.integrations.recording import Recording
from trainstore.run import ActiveRun, recording_is_disabled


class Training:
    """What a logger keeps from one event to the next.

    Args:
        recording: Where it records.
        runs: Which run each fit belongs to.
        source: The adapter's name.

    Attributes:
        recording: The same.
        progress: How far the training under way has come.
        experiment: What stands for the run until it begins.
    """

    def __init__(self, recording: Recording, runs: Runs, source: str) -> None:
        self.recording = recording
        self.progress = Progress()
        self.experiment = Experiment()
        self._runs = runs
        self._source = source
        self._trainer: Any = None  # while one is at work
        self._marks: list[Bookmark] = []  # of the checkpoint that it has loaded
        self._hyperparams: dict[str, Any] = {}  # that it has told
        self._is_announced = False  # a fit is about to begin
        self._is_fitting = False  # its run has begun
        self._error: BaseException | None = None
        self._last_step: int | None = None  # of the last fit
        self._checkpoints: dict[str, int] = {}  # path → step

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_trainer": None, "_error": None}

    @property
    def rank(self) -> int:
        """This process's, among those that train together."""
        rank = getattr(self._trainer, "global_rank", None)
        return int((getattr(rank_zero_only, "rank", None) or 0) if rank is None else rank)

    @property
    def now(self) -> ActiveRun | Experiment | None:
        """The run that is being recorded, or was last; what stands for it; None where nothing is recorded."""
        if self.rank or recording_is_disabled():
            return None
        run, waits = self.recording.run, self._is_fit and not self._is_fitting
        return self.experiment if run is None or (waits and not self.recording.is_given) else run

    @property
    def _is_fit(self) -> bool:
        return self._trainer is not None and self._trainer.state.fn == "fit"

    # --- The beginning -----------------------------------------------------------------------------------------------

    def watch(self, trainer: Any) -> None:
        """A trainer begins something."""
        self._trainer = trainer
        self._marks, self._error = [], None
        self._is_announced = self._is_fitting = False

    def read_checkpoint(self, checkpoint: Any) -> None:
        """A checkpoint was loaded. One that is loaded during a fit, as the learning rate finder does, is its own."""
        if not self._is_fitting:
            self._marks = bookmarks_in(checkpoint)

    def announce(self) -> None:
        """What the trainer begins is a fit, if it is one: if it fails from now on, there is a run that says so."""
        self._is_announced = self._is_fit and not self._trainer.fast_dev_run

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        """Of the run under way; else of the run that begins next."""
        self._hyperparams = params
        run, is_under_way = self.recording.run, self.recording.is_open if self._trainer is None else self._is_fitting
        if run is not None and is_under_way and not self.rank:
            run.log_hyperparams(params)

    def begin_fit(self, trainer: Any, module: Any) -> None:
        """A fit begins, and its checkpoint has been read. Called again, it does nothing.

        Raises:
            TrainStoreError: What the user can fix, as `Recording.begin` says.
        """
        if self._is_fitting or not self._is_announced or self.rank:
            return
        self._is_announced = False  # if this raises, there is no run to fail
        self.progress.forget()
        told = {"trainer": trainer_settings(trainer), **self._hyperparams}
        run = self._runs.of_fit(self._marks, self.progress.step_under_way(trainer), told)
        self._is_fitting = True
        if run is None:
            return
        with self.recording.guard("the facts of the training"):
            run.log_hyperparams(model_facts(module), "mth")
            run.log_hyperparams(trainer_facts(trainer), "env")
            self.experiment.release(run)
            pin(run)
        with self.recording.guard("the configuration of LightningCLI"):
            run.log_hyperparams(cli_config(trainer))

    # --- Under way ---------------------------------------------------------------------------------------------------

    def log(self, metrics: Mapping[str, Any], step: int | None) -> None:
        """Record metrics; what a sanity check logs is left out.

        Raises:
            TrainStoreError: What the user can fix, if a run begins with it.
        """
        trainer = self._trainer
        if self._is_fitting and step is not None and trainer.training:  # almost always, and fast: only rank 0 gets here
            run = self.recording.run
            if run is not None:
                run.log(metrics, step=step)
            return
        if self.rank or (trainer is not None and trainer.sanity_checking):
            return
        if self._is_fitting:
            run = self.recording.run
        else:
            run = self._runs.of_evaluation(self._marks, self._hyperparams)
            if run is not None:
                self.experiment.release(run)
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
            return max(self._marks[0].step if self._marks else self.progress.last_step(trainer), 0)
        if step is None or not trainer.training:
            return self.progress.step_under_way(trainer)
        return step

    def log_checkpoint(self, callback: Any) -> None:
        """`ModelCheckpoint` has written one."""
        run, trainer = self.recording.run, self._trainer
        paths = [getattr(callback, name, "") for name in ("_last_checkpoint_saved", "last_model_path")]
        path = next(filter(None, paths), None)
        if run is None or trainer is None or path is None or self.rank:
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

    def mark(self, trainer: Any, checkpoint: dict[str, Any]) -> None:
        """A checkpoint is made: it carries its run. One that is made before the run begins is as the one loaded."""
        run = self.recording.run
        if not self._is_fitting and self._is_announced:
            for mark in self._runs.own(self._marks):
                mark.write(checkpoint)
        elif run is not None:
            Bookmark(run.uid, run.lineage, self.progress.last_step(trainer)).write(checkpoint)

    # --- The end -----------------------------------------------------------------------------------------------------

    def saw(self, error: BaseException) -> None:
        """An exception is about to end it."""
        self._error = error

    def end(self, error: BaseException | None, *, is_success: bool) -> None:
        """A trainer has ended what it began. Never raises."""
        error = error or self._error
        with self.recording.guard("the end of the training"):
            if self.rank:
                if error is not None and self._is_fit and not recording_is_disabled():
                    tell_failure(self.recording, error, self.rank, self._source)
            elif is_success:
                self._finish()
            else:
                self._fail(error)
        self._marks, self._error, self._trainer = [], None, None
        self._is_announced = self._is_fitting = False

    def _finish(self) -> None:
        run = self.recording.run
        if self._is_fitting and run is not None:
            self._last_step = max(self.progress.last_step(self._trainer), 0)
            self._log_best(run, self._trainer)
            pin(None)
        if not self._may_come_before_a_fit:
            self.recording.finish()

    @property
    def _may_come_before_a_fit(self) -> bool:
        """Whether it is a validation whose run a fit goes on with, should one come."""
        if self._trainer is None or self._runs.fits or self._runs.is_joined:
            return False
        return bool(self._trainer.state.fn == "validate")

    def _fail(self, error: BaseException | None) -> None:
        if self._is_announced:  # it failed before its first step
            self.begin_fit(self._trainer, self._trainer.lightning_module)
        recording, step = self.recording, None
        is_its_own = self._is_fitting or (recording.is_open and not self._runs.is_joined)
        run = recording.run if self._is_fitting or recording.is_open else recording.join()
        if run is None:
            return
        if self._is_fitting:
            step = self._last_step = max(self.progress.last_step(self._trainer), 0)
        status, text = ending(error)
        if error is not None and status == "failed":
            log_exception(run, step, error)
            text = (failure_elsewhere() if self._is_fitting else None) or text
        if is_its_own:
            recording.finish(status, text)
        else:
            recording.finish()  # the training had ended, and stays as it ended

    def _log_best(self, run: ActiveRun, trainer: Any) -> None:
        for callback in trainer.checkpoint_callbacks:
            path, monitor = getattr(callback, "best_model_path", None), getattr(callback, "monitor", None)
            if path and monitor is not None:
                step, score = self._checkpoints.get(path), callback.best_model_score
                details = {"path": _absolute(path), "monitor": monitor, "metric": score, "step": step}
                run.log_event("best_model", step, details)


def _absolute(path: str) -> str:
    """A local path, whatever ``chdir`` follows; an address as it is."""
    return path if "://" in path else os.path.abspath(path)
