"""`TrainStoreCallback`: the events of a Keras model, each handed to the fit that it belongs to."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Self
from weakref import ref

import keras

from trainstore.errors import InvalidArgumentError, TrainStoreError
from trainstore.integrations.arguments import check_resume
from trainstore.integrations.calls import call_under_way, watch
from trainstore.integrations.keras.facts import iterations_of
from trainstore.integrations.keras.fit import Fit
from trainstore.integrations.recording import Recording
from trainstore.integrations.targets import Target
from trainstore.run import ActiveRun, recording_is_disabled

watch("fit", keras.Model)


class TrainStoreCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Records the trainings of a Keras 3 model: ``model.fit(…, callbacks=[TrainStoreCallback(store)])``.

    ``loss``, ``val_loss`` and the other metrics are those of the epochs, at the step at which each ended.
    ``batch_loss`` is the loss of a step's own batch, which is calculated from the means over the epoch so far that
    Keras tells. The step is ``optimizer.iterations``.

    Args:
        store_or_run: An open run, which is left open; an open `TrainStore`; a path or URL; None: ``TRAINSTORE_URL``,
            else ``trainstore.db``.
        project, name, tags, hyperparams: As for `TrainStore.start_run`.
        every: From one recorded step to the next: ``batch_loss`` is then the mean over the steps between. 0: only the
            epochs.
        resume: The run that the fit continues, if its weights were loaded from a checkpoint: a handle, a record, a
            uid, an id or a name. (A ``BackupAndRestore`` in the same list remembers the run.)

    Raises:
        InvalidArgumentError: An argument that cannot be used.
        TrainStoreError: When training begins: a store that cannot be opened for a reason that you can mend; no run as
            `resume` says.
    """

    async_safe = True  # else Keras waits for the device after every batch

    def __init__(
        self,
        store_or_run: Target = None,
        *,
        project: str | None = None,
        name: str | None = None,
        tags: Mapping[str, Any] | Sequence[str] | None = None,
        hyperparams: Mapping[str, Any] | None = None,
        every: int = 1,
        resume: Any | None = None,
    ) -> None:
        super().__init__()
        if isinstance(every, bool) or not isinstance(every, int) or every < 0:
            raise InvalidArgumentError(f"every must be a whole number of steps, or 0 for none, not {every!r}")
        check_resume(resume, store_or_run)
        self._recording = Recording(
            store_or_run, source="keras", project=project, name=name, tags=tags, hyperparams=hyperparams
        )
        self._every = every
        self._resume = resume
        self._forget()

    def _forget(self) -> None:
        self._fit: Fit | None = None
        self._trained: Any = None  # a weak reference to the optimizer of the last fit
        self._last_offset = 0
        self._is_evaluating = False

    def __deepcopy__(self, memo: object) -> Self:
        """The same arguments, nothing recorded; an open store is shared."""
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self.__getstate__(), _recording=copy(self._recording))
        return copied

    def __getstate__(self) -> dict[str, Any]:
        forgotten = {
            "_fit": None,
            "_trained": None,
            "_last_offset": 0,
            "_is_evaluating": False,
            "_model": None,
            "params": None,
        }
        return {**vars(self), **forgotten}

    @property
    def run(self) -> ActiveRun | None:
        """The run that is being recorded, or was last. None: none yet, or recording is disabled."""
        return self._recording.run

    # --- Fit ----------------------------------------------------------------------------------------------------------

    def on_train_begin(self, logs: Any = None) -> None:
        """fit() was called. The run begins with the first epoch."""
        if self._fit is not None:  # nobody told how it ended
            self._end(RuntimeError("the training did not reach its end"))
        if _rank() != 0:
            return
        with self._recording.guard("the beginning of a fit"):
            call = call_under_way("keras")
            if call is not None and call.arguments.get("self") is not self.model:
                call = None
            self._fit = Fit(self._recording, self.model, call, self._every)
            self._fit.look_at_data()
            if call is not None:
                call.listeners.append(self._end)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """An epoch begins; with the first one the run."""
        fit = self._fit
        if fit is None:
            return
        if not fit.has_begun:
            fit.has_begun = True
            self._begin(fit)
        with self._recording.guard("an epoch"):
            fit.begin_epoch(epoch, (self.params or {}).get("steps"))

    def _begin(self, fit: Fit) -> None:
        """Begin a run, or go on with the one that the weights come from."""
        last, backed_up = self._recording.run, fit.backed_up_run()
        goes_on = self._trained is not None and self._trained() is getattr(fit.model, "optimizer", None)
        told: dict[str, Any] = {}
        step = 0
        with self._recording.guard("the beginning of a fit"):
            fit.offset = self._offset(fit, last, goes_on)
            step = fit.step()
            told = fit.hyperparams()
        if self._resume is not None:
            run = self._recording.go_on_with(self._resume, step, hyperparams=told)
        elif goes_on and step > 0 and last is not None:
            run = self._recording.resume(last.uid, step, lineage=last.lineage, hyperparams=told)
        elif backed_up.get("run_uid"):  # -1: it was ended before the first backup, and starts again
            uid, lineage = backed_up["run_uid"], backed_up.get("lineage")
            run = self._recording.resume(uid, step or -1, lineage=lineage, hyperparams=told)
        else:
            run = self._recording.begin(hyperparams=told)
        if run is not None:
            fit.begin(run)

    def _offset(self, fit: Fit, last: ActiveRun | None, goes_on: bool) -> int:
        """From the optimizer's steps to those of the run, which may have had another optimizer before."""
        if goes_on:
            return self._last_offset
        if self._recording.is_given and last is not None:
            return max((last.last_step or 0) - fit.step(), 0)
        if self._resume is None or fit.step() > 0 or recording_is_disabled():
            return 0
        if isinstance(self._resume, ActiveRun):
            return self._resume.last_step or 0
        try:
            return self._recording.store.get_run(self._resume).last_step or 0
        except TrainStoreError:  # what it is is told when the run is resumed
            return 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """A batch has been trained; maybe told by a thread of Keras."""
        fit = self._fit
        if fit is not None and self._every:
            with self._recording.guard("a step"):
                fit.end_batch(batch, logs or {})

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """An epoch has ended, with its validation."""
        if self._fit is not None:
            with self._recording.guard("an epoch"):
                self._fit.end_epoch(epoch, logs or {})

    def on_train_end(self, logs: Any = None) -> None:
        """fit() is about to return. In a loop of your own, nobody else tells."""
        if self._fit is not None and not self._fit.is_watched:
            self._end(None)

    def _end(self, error: BaseException | None) -> None:
        """fit() returned, or raised this exception. Never raises."""
        fit, self._fit = self._fit, None
        if fit is None:
            return
        fit.stop()
        if fit.run is not None:
            optimizer = getattr(fit.model, "optimizer", None)
            self._trained, self._last_offset = None if optimizer is None else ref(optimizer), fit.offset
        if error is not None:
            self._recording.fail(error)
            return
        with self._recording.guard("the end of a fit"):
            fit.tell_end()
        self._recording.finish()

    # --- Evaluations outside fit --------------------------------------------------------------------------------------

    def on_test_begin(self, logs: Any = None) -> None:
        """evaluate() was called, by you or by fit()."""
        self._is_evaluating = self._fit is None and _rank() == 0

    def on_test_end(self, logs: Any = None) -> None:
        """evaluate() is about to return. What fit() evaluates is in the logs of its epochs."""
        if not self._is_evaluating:
            return
        self._is_evaluating = False
        with self._recording.guard("an evaluation"):
            step = iterations_of(self.model) or 0
            run = self._recording.join()
            if run is None and self._resume is not None:
                run = self._recording.go_on_with(self._resume, None)
            elif run is None:
                run = self._recording.begin()
            if run is not None:
                run.log({f"test_{name}": value for name, value in (logs or {}).items()}, step)
            self._recording.finish()


def _rank() -> int:
    """Of this process, if several train together."""
    try:
        torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
        if torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized():
            return int(torch.distributed.get_rank())
        if jax is not None and keras.backend.backend() == "jax":
            return int(jax.process_index())
    except Exception:  # noqa: BLE001
        return 0
    return 0
