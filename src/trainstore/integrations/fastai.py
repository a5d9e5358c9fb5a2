"""Records a fastai training: each batch's loss and learning rate, the metrics of each epoch.

::

    from trainstore.integrations.fastai import TrainStoreCallback

    learn = Learner(dls, model, metrics=accuracy, cbs=TrainStoreCallback("trainstore.db"))
    learn.fine_tune(3)

One callback records one run of its learner: ``fine_tune`` fits twice, and the second fit continues the steps, as the
run's next attempt. ``lr_find``, ``validate`` and ``get_preds`` are no trainings and are not recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import ref

import numpy as np

from trainstore.endings import Ending, ending_of
from trainstore.integrations.libraries import needs
from trainstore.integrations.parameters import count_parameters
from trainstore.integrations.recording import Recording, bookmark
from trainstore.integrations.targets import Target
from trainstore.run import ActiveRun

with needs("fastai", "torch", extra="fastai"):
    from fastai.callback.core import Callback as FastaiCallback
    from fastai.callback.core import (
        CancelBatchException,
        CancelEpochException,
        CancelFitException,
        CancelTrainException,
        CancelValidException,
    )
    from fastai.learner import Recorder
    from fastai.torch_core import rank_distrib

_CANCELLED = (
    CancelBatchException,
    CancelEpochException,
    CancelFitException,
    CancelTrainException,
    CancelValidException,
)
#: Callbacks that say nothing of a training.
_USUAL = {"TrainStoreCallback", "TrainEvalCallback", "Recorder", "CastToTensor", "ProgressCallback", "ParamScheduler"}


class TrainStoreCallback(FastaiCallback):  # type: ignore[misc]
    """A callback for ``Learner(cbs=…)`` or ``learn.fit(cbs=…)``.

    The run begins with the first batch and ends with the fit: finished, also if a callback cancels it, or as the
    exception says that ends it. Another fit of the same learner with the same callback is the run's next attempt.

    Args:
        store_or_run: The path or URL of a store, an open `TrainStore` or run, or None: ``TRAINSTORE_URL``, else
            ``trainstore.db``. Of several processes, the first records.
        project, name, tags, hyperparams: As for `TrainStore.start_run`.

    Raises:
        InvalidArgumentError: An argument that cannot be used.
    """

    # After the recorder (50), whose values are recorded; before the trackers (60), which may cancel the training.
    order, run_valid, remove_on_fetch = Recorder.order + 1, False, True
    _stateattrs = ("_fits",)

    def __init__(
        self,
        store_or_run: Target = None,
        *,
        project: str | None = None,
        name: str | None = None,
        tags: Mapping[str, Any] | Sequence[str] | str | None = None,
        hyperparams: Mapping[str, Any] | Any | None = None,
    ) -> None:
        self._recording = Recording(
            store_or_run, source="fastai", project=project, name=name, tags=tags, hyperparams=hyperparams
        )
        self._fits = _Fits()

    def _init_state(self) -> None:
        super()._init_state()
        self._fits = _Fits()

    @property
    def active_run(self) -> ActiveRun | None:
        """The run that is being recorded, or was last. None: none yet, or another process records it.

        (``run`` is a switch that fastai's callbacks have.)
        """
        return self._recording.run

    # --- fastai's events ---------------------------------------------------------------------------------------------

    def before_fit(self) -> None:
        """A fit begins, or something that is none. There is no event for an exception: it is seen as it passes."""
        self._unwatch()
        original = self.learn._with_events

        def with_events(f: Any, event_type: str, *args: Any, **kwargs: Any) -> None:
            if event_type != "epoch":
                original(f, event_type, *args, **kwargs)
                return
            try:
                original(f, event_type, *args, **kwargs)
            except _CANCELLED:
                raise
            except BaseException as error:
                self._end(ending_of(error))
                raise

        self.learn._with_events = with_events

    def _unwatch(self) -> None:
        self.learn.__dict__.pop("_with_events", None)

    def before_train(self) -> None:
        """The first batch is about to come: the run begins, if this is a training."""
        fits = self._fits
        if fits.is_recorded or fits.is_left_out:
            self._log_checkpoint()
            return
        fits.is_left_out = hasattr(self.learn, "lr_finder") or rank_distrib() != 0
        if not fits.is_left_out:
            self._begin()

    def after_batch(self) -> None:
        """A batch was trained with."""
        if self._fits.is_recorded:
            with self._recording.guard("a step"):
                self._log_batch()

    def after_cancel_train(self) -> None:
        """A callback ends the training part of an epoch; the one before ours may have kept its last batch from us."""
        self.after_batch()

    def after_cancel_epoch(self) -> None:
        """A callback ends an epoch."""
        self.after_batch()

    def after_epoch(self) -> None:
        """An epoch has ended, evaluation included."""
        if self._fits.is_recorded:
            with self._recording.guard("an epoch"):
                self._log_epoch()

    def after_cancel_fit(self) -> None:
        """A callback ends the training: early stopping, a loss that is NaN."""
        self.after_batch()
        if self._fits.is_recorded:
            with self._recording.guard("a cancelled training"):
                run = self._recording.run
                if run is not None:
                    run.log_event("cancel_fit", self._fits.last)

    def after_fit(self) -> None:
        """The training has ended, or something that was none."""
        self._log_checkpoint()
        self._end(None)

    # --- How it begins and ends --------------------------------------------------------------------------------------

    def _begin(self) -> None:
        fits, learn = self._fits, self.learn
        if fits.of is not None and fits.of is not learn:
            fits.forget()
        before = self._recording.run
        if before is None or fits.of is None or self._recording.is_given:
            run = self._recording.begin(hyperparams=self._hyperparams())
        else:
            known = bookmark(before)
            run = self._recording.resume(
                known["run_uid"], fits.last, lineage=known["lineage"], hyperparams=self._hyperparams()
            )
        fits.of, fits.first, fits.epochs = learn, fits.last, fits.last_epoch
        fits.is_recorded = run is not None
        fits.is_left_out = run is None
        if run is None:
            return
        with self._recording.guard("the model"):
            run.log_hyperparams(_model_facts(learn.model), "mth")

    def _end(self, ending: Ending | None) -> None:
        fits = self._fits
        self._unwatch()
        if fits.is_recorded and self._recording.is_open:
            self._recording.finish(*(ending or (None, None)))
        fits.is_recorded = fits.is_left_out = False

    # --- What is recorded --------------------------------------------------------------------------------------------

    def _log_batch(self) -> None:
        fits, learn, run = self._fits, self.learn, self._recording.run
        step = fits.first + learn.epoch * learn.n_iter + learn.iter + 1
        if run is None or not learn.training or fits.seen() is learn.loss:
            return
        fits.seen = ref(learn.loss)
        fits.last = step
        fits.last_epoch = fits.epochs + learn.epoch + (learn.iter + 1) / learn.n_iter
        loss = learn.loss.detach().float().mean()
        run.log({"loss": loss, "lr": learn.opt.hypers[-1]["lr"]}, step, fits.last_epoch)

    def _log_epoch(self) -> None:
        recorder, run = getattr(self.learn, "recorder", None), self._recording.run
        if recorder is None or run is None:
            return
        # First comes the number of the epoch, last its time.
        names, values = (
            list(part)[1 : -1 if recorder.add_time else None] for part in (recorder.metric_names, recorder.log)
        )
        if recorder.cancel_train:  # then the values of the training are left out, and names and values end together
            names, values = names[::-1], values[::-1]
        found = dict(zip(names, values, strict=False))  # an epoch that was cancelled has fewer values, or none
        if found:
            run.log(found, self._fits.last, self._fits.last_epoch)

    def _log_checkpoint(self) -> None:
        """What ``SaveModelCallback`` wrote since the last look."""
        fits, run = self._fits, self._recording.run
        if not fits.is_recorded or run is None:
            return
        with self._recording.guard("a checkpoint"):
            saver = getattr(self.learn, "save_model", None)
            saved = (getattr(saver, "last_saved_path", None), getattr(saver, "best", None))
            if saved[0] is not None and saved != fits.saved:
                fits.saved = saved
                run.log_event("checkpoint", fits.last, {"path": str(saved[0])})

    def _hyperparams(self) -> dict[str, Any]:
        learn = self.learn
        found: dict[str, Any] = {}
        with self._recording.guard("the hyperparameters"):
            found = {
                "n_epoch": learn.n_epoch,
                "batch_size": getattr(learn.dls, "bs", None),
                "batches_per_epoch": len(learn.dls.train),
                "opt_func": _name_of(learn.opt_func),
                "loss_func": _name_of(learn.loss_func),
                "wd": learn.wd,
                "moms": learn.moms,
                "frozen_idx": learn.opt.frozen_idx,
                "cbs": [type(one).__name__ for one in learn.cbs if type(one).__name__ not in _USUAL] or None,
                **_rate_of(learn),
            }
        return {name: value for name, value in found.items() if value is not None}


@dataclass
class _Fits:
    """What a callback keeps of the fits of a learner: apart from it, because setting its attributes asks the model."""

    of: Any = None  # the learner
    is_recorded: bool = False  # the fit that is under way
    is_left_out: bool = False
    first: int = 0  # the last step of the fits before
    last: int = 0
    epochs: float = 0.0  # of the fits before
    last_epoch: float = 0.0
    saved: Any = (None, None)
    seen: Callable[[], Any] = lambda: None  # the last loss that was recorded

    def forget(self) -> None:
        """Another learner: another run."""
        self.__init__()  # type: ignore[misc]


def _model_facts(model: Any) -> dict[str, Any]:
    return {
        "model_class": type(model).__name__,
        "num_parameters": count_parameters(model),
        "num_trainable_parameters": count_parameters(model, trainable=True),
    }


def _rate_of(learn: Any) -> dict[str, Any]:
    """The learning rate, or the highest of a schedule: a number, or one for each group of parameters."""
    schedule = getattr(getattr(learn, "param_scheduler", None), "scheds", {}).get("lr")
    if schedule is None:
        rates = [float(group["lr"]) for group in learn.opt.hypers]
    else:
        points = np.array([np.atleast_1d(schedule(place / 100)) for place in range(101)], dtype=float)
        rates = points.max(axis=0).tolist()
    rate = rates[0] if len(set(rates)) == 1 else rates
    return {"lr" if schedule is None else "lr_max": rate}


def _name_of(function: Any) -> str:
    while hasattr(function, "func"):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))
