"""Which run a fit or an evaluation belongs to: a new one, the next attempt of one, a child, or one that has ended."""

from __future__ import annotations

import logging
from typing import Any

from trainstore.errors import RunNotFoundError, TrainStoreError
from trainstore.integrations.lightning_common.bookmark import Bookmark
from trainstore.integrations.recording import Recording
from trainstore.run import ActiveRun

logger = logging.getLogger("trainstore")


class Runs:
    """The runs of one logger, one after the other.

    Args:
        recording: Where they are recorded.
        label: The name of the first.
        resumes: Whether a fit that loads a checkpoint goes on with the run that the checkpoint names.

    Attributes:
        fits: How many fits were recorded.
        is_joined: Whether the run had ended before, and an evaluation adds to it.
    """

    def __init__(self, recording: Recording, label: str, *, resumes: bool) -> None:
        self.fits = 0
        self.is_joined = False
        self._recording = recording
        self._label = label
        self._resumes = resumes
        self._first: str | None = None  # uid of the first fit's

    def of_fit(self, marks: list[Bookmark], steps: int, told: dict[str, Any]) -> ActiveRun | None:
        """The run of a fit that begins.

        In this order: a run that was given; that of the checkpoint; one that a validation before the fit has left open;
        a new one; for the same trainer once more, its run; for a fit that begins again, a child of the first.

        Args:
            marks: What the checkpoint says that was loaded.
            steps: How many the trainer has made before.
            told: The hyperparameters.

        Raises:
            TrainStoreError: What the user can fix, as `Recording.begin` says.
        """
        run = self._of_fit(marks, steps, told)
        if run is not None:
            self.fits += 1
            self._first = self._first or run.uid
        self.is_joined = False
        return run

    def _of_fit(self, marks: list[Bookmark], steps: int, told: dict[str, Any]) -> ActiveRun | None:
        recording, before = self._recording, self._recording.run
        if recording.is_given:
            if self.fits and not steps:
                recording.warn_once(
                    "another fit begins at step 0 again, and its steps mix with those of the fit before, as both go "
                    "into the same run; pass a store to give each fit a run of its own"
                )
            return recording.begin(hyperparams=told)
        if marks or self.is_joined:
            recording.finish()
        for mark in self.own(marks):
            return self._go_on(mark, told)
        if before is not None and recording.is_open:
            before.log_hyperparams(told)
            return before
        if before is None or not self.fits:
            return recording.begin(name=self._label, hyperparams=told)
        if steps:
            return recording.resume(before.uid, steps - 1, lineage=before.lineage, hyperparams=told)
        name = f"{self._label}-{self.fits + 1}"
        return recording.begin(name=name, hyperparams=told, parent=self._first, overrides_name=True)

    def _go_on(self, mark: Bookmark, told: dict[str, Any]) -> ActiveRun | None:
        """The next attempt of the run that a checkpoint names; a child of it, if that was asked for or it is busy."""
        recording = self._recording
        if not self._resumes or recording.store.is_recorded_here(mark.run_uid):
            step = mark.step if mark.step >= 0 else None
            return recording.begin(name=self._label, hyperparams=told, parent=mark.run_uid, parent_step=step)
        if not self._is_known(mark):
            logger.warning(
                "the checkpoint belongs to run %s, which is not in %s: the run is created there, from step %d on (if "
                "this is the wrong database, pass the right one; resume='never' makes a new run)",
                mark.run_uid,
                recording.store.url,
                mark.step + 1,
            )
        return recording.resume(mark.run_uid, mark.step, lineage=mark.lineage, name=self._label, hyperparams=told)

    def of_evaluation(self, marks: list[Bookmark], hyperparams: dict[str, Any]) -> ActiveRun | None:
        """The run for what comes outside a fit: that of the checkpoint, the last one, or a new one.

        Args:
            marks: What the checkpoint says that was loaded.
            hyperparams: Of a new one.

        Raises:
            TrainStoreError: As for `of_fit`.
        """
        recording, before = self._recording, self._recording.run
        if recording.is_given or recording.is_open:
            return before
        run = None
        mark = next(iter(self.own(marks)), None) if self._resumes else None
        if mark is None or (before is not None and before.uid == mark.run_uid):
            run = recording.join()
        elif self._is_known(mark):
            run = recording.resume(mark.run_uid, None, lineage=mark.lineage)
        self.is_joined = run is not None
        return recording.begin(name=self._label, hyperparams=hyperparams) if run is None else run

    def own(self, marks: list[Bookmark]) -> list[Bookmark]:
        """Of a checkpoint's bookmarks the one of this logger: of several, the one whose run its store has."""
        if len(marks) < 2:
            return marks
        return [mark for mark in marks if self._is_known(mark)][:1] or marks[:1]

    def _is_known(self, mark: Bookmark) -> bool:
        """Whether the store has the run of a checkpoint, or does not answer."""
        try:
            self._recording.store.get_run(mark.run_uid)
        except RunNotFoundError:
            return False
        except TrainStoreError as error:
            logger.debug("whether the store has run %s is not known: %s", mark.run_uid, error)
        return True
