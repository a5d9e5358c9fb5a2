"""One call of fit() under way, and how it is recorded."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from typing import Any

from trainstore.integrations.bookmarks import read_bookmark, write_bookmark
from trainstore.integrations.calls import Call
from trainstore.integrations.keras.facts import (
    facts_of,
    hyperparams_of,
    iterations_of,
    learning_rate_of,
)
from trainstore.integrations.keras.losses import Epoch, Losses, Sizes, sizes_of
from trainstore.integrations.keras.neighbours import Checkpoints, backup_of, early_stop_of, neighbours_in
from trainstore.integrations.recording import Recording, bookmark
from trainstore.run import ActiveRun


class Fit:
    """A fit under way. Its run begins with the first epoch, when whatever restores weights has done so.

    Args:
        recording: Of the callback.
        model: Keras'.
        call: Of fit(), if it is known: a loop of your own may send the same events.
        every: From one record of a step to the next.
    """

    def __init__(self, recording: Recording, model: Any, call: Call | None, every: int) -> None:
        self.model = model
        self.is_watched = call is not None
        self.offset = 0  # from the optimizer's steps to those of the run
        self.has_begun = False
        self.run: ActiveRun | None = None
        self.arguments: Mapping[str, Any] = {} if call is None else call.arguments
        self.neighbours = neighbours_in(self.arguments)
        self.backup = backup_of(self.neighbours)
        self._recording = recording
        self._every = every
        self._checkpoints = Checkpoints(self.neighbours)
        self._guard = threading.Lock()
        self._batches = 0  # of this fit, in the epochs before
        self._epoch: Epoch | None = None
        self._ended: tuple[int, int, Mapping[str, Any]] | None = None  # epoch, step, logs
        self._sizes: Sizes | None = None
        self._losses = Losses(model, None)

    def look_at_data(self) -> None:
        """Find out how large the batches are. Called from within fit()."""
        self._sizes = sizes_of(sys._getframe())
        self._losses = Losses(self.model, self._sizes)

    def hyperparams(self) -> dict[str, Any]:
        """Of the model's compilation and of the call."""
        return hyperparams_of(self.model, self.arguments, self._sizes.full if self._sizes else None)

    def begin(self, run: ActiveRun) -> None:
        """Record what is known of the model into its run, and let the backup name it."""
        self.run = run
        with self._recording.guard("the model"):
            run.log_hyperparams(facts_of(self.model), "mth")
        if self.backup is not None:
            with self._recording.guard("the run's name in the backup"):
                self.backup.mkdir(parents=True, exist_ok=True)
                write_bookmark(self.backup, bookmark(run))

    def step(self) -> int:
        """The optimizer's steps so far."""
        iterations = iterations_of(self.model)
        return self.offset + (self._batches if iterations is None else iterations)

    # --- Epochs and batches -------------------------------------------------------------------------------------------

    def begin_epoch(self, number: int, batches: int | None) -> None:
        """An epoch begins; the files written at the end of the one before are there."""
        self.look_for_checkpoints()
        optimizer = getattr(self.model, "optimizer", None)
        accumulated = getattr(optimizer, "gradient_accumulation_steps", None) or 1
        self._epoch = Epoch(
            number=number,
            step=self.step(),
            batches=batches,
            stride=accumulated * self._every,
            accumulated=accumulated,
            skipped=self._batches % accumulated,
            told_at_once=getattr(self.model, "steps_per_execution", None) or 1,
        )

    def end_batch(self, batch: int, logs: Mapping[str, Any]) -> None:
        """A batch has been trained. Keras may call this in a thread of its own, several at once."""
        with self._guard:
            if self._epoch is None or self.run is None:
                return
            for step, so_far, values in self._epoch.add(batch, logs, self._losses):
                self.run.log(values, step, so_far)

    def end_epoch(self, number: int, logs: Mapping[str, Any]) -> None:
        """An epoch has ended: its means, its validation, the learning rate."""
        epoch, run = self._epoch, self.run
        if epoch is None or run is None:
            return
        with self._guard:
            for step, so_far, values in epoch.rest(self._losses):
                run.log(values, step, so_far)
        self._batches += epoch.ended_batches
        step = self.step()
        rate = logs.get("learning_rate")  # of the epoch, if a callback has just changed it
        rate = learning_rate_of(self.model) if rate is None else rate
        run.log({**logs, **({} if rate is None else {"learning_rate": rate})}, step, number + 1)
        self._ended, self._epoch = (number, step, dict(logs)), None

    # --- Checkpoints --------------------------------------------------------------------------------------------------

    def look_for_checkpoints(self) -> None:
        """Record the files that were written since the last epoch ended; the other callbacks have been told of it."""
        ended, self._ended = self._ended, None
        if ended is None or self.run is None:
            return
        number, step, logs = ended
        with self._recording.guard("a checkpoint"):
            for path in self._checkpoints.written(number, logs):
                self.run.log_event("checkpoint", step, {"path": path, "epoch": number + 1})

    def backed_up_run(self) -> Mapping[str, Any]:
        """The run that a BackupAndRestore's folder names; nothing if there is none."""
        return {} if self.backup is None else read_bookmark(self.backup)

    def stop(self) -> None:
        """No more batches: Keras' threads may still tell of some after an exception."""
        with self._guard:
            self._epoch = None

    def tell_end(self) -> None:
        """It returned."""
        self.look_for_checkpoints()
        stopped = early_stop_of(self.neighbours)
        if stopped is not None and self.run is not None:
            self.run.log_event("early_stopping", self.run.last_step, stopped)
