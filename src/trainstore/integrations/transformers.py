"""Hugging Face ``Trainer``: every optimizer step, its true loss, and all that is known of the run.

::

    from trainstore.integrations.transformers import TrainStoreCallback

    trainer = Trainer(..., callbacks=[TrainStoreCallback("runs.db")])
    trainer.train()

The step's own loss is ``loss``: what ``trainer.training_step`` returned, added up over the micro-batches of the step,
whatever ``logging_steps`` is. What the Trainer logs, the mean since its last log, is ``loss_window``, with the
window's first and last step in the row's details. Importing this module makes ``report_to="trainstore"`` known.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import traceback
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from types import FrameType
from typing import Any

from transformers import TrainerCallback
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from trainstore.errors import (
    InvalidArgumentError,
    NotADatabaseError,
    RunNotFoundError,
    SchemaError,
    StoreClosedError,
    StoreUnavailableError,
    StoreURLError,
    TrainStoreError,
)
from trainstore.integrations._facts import data_facts, environment_facts, model_facts, training_arguments
from trainstore.integrations._loss import DirectLoss, RingLoss, Values
from trainstore.run import ActiveRun, describe_exception, recording_is_disabled, status_of
from trainstore.store import TrainStore

logger = logging.getLogger("trainstore")

STATE_KEY = "trainstore"
MAX_FAILURES = 5  # internal ones, after which the callback disables itself
SELF_CHECK_TOLERANCE = 1e-3  # relative; the Trainer adds a window up in float32
# What the user must mend before a training starts; everything else is our own trouble.
USER_ERRORS = (InvalidArgumentError, StoreURLError, SchemaError, NotADatabaseError, StoreClosedError)

LossReader = DirectLoss | RingLoss


def _guarded(hook: Callable[..., None]) -> Callable[..., None]:
    """A hook whose failures never reach the training."""

    @functools.wraps(hook)
    def guarded(self: TrainStoreCallback, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._disabled:
            return
        try:
            hook(self, args, state, control, **kwargs)
        except Exception as error:  # noqa: BLE001
            self._internal_failure(hook.__name__, error)

    return guarded


class TrainStoreCallback(TrainerCallback):  # type: ignore[misc]
    """Records a ``transformers.Trainer`` into a store.

    Args:
        store_or_url: An open `TrainStore`, or what one is opened with (then a database that is away is no error: the
            run begins in the journal). None: ``TRAINSTORE_URL``, else ``trainstore.db``.
        project: None: ``TRAINSTORE_PROJECT``, else "default".
        name: The run's label. None: the arguments' ``run_name``, ``TRAINSTORE_RUN_NAME``, else made from the uid.
        tags: As for `TrainStore.start_run`.
        hyperparams: Recorded beside the training arguments; they win where a name is the same.
        resume: What a checkpoint that carries our key means. "auto": the next attempt of the same run (in the same
            output_dir). "never": always a new run. "must": an error where there is nothing to resume.
        loss: "auto": the true loss of every step. "logs": only the window means that the Trainer logs.
        on_error: "warn": a failure of ours is logged once, and the training goes on. "raise": it is raised.

    Raises (when training begins):
        InvalidArgumentError, StoreURLError, SchemaError, NotADatabaseError: What only you can mend.
    """

    def __init__(
        self,
        store_or_url: TrainStore | str | os.PathLike[str] | None = None,
        project: str | None = None,
        name: str | None = None,
        tags: Mapping[str, Any] | Sequence[str] | None = None,
        hyperparams: Mapping[str, Any] | None = None,
        resume: str = "auto",
        loss: str = "auto",
        on_error: str = "warn",
    ) -> None:
        for argument, value, allowed in (
            ("resume", resume, ("auto", "never", "must")),
            ("loss", loss, ("auto", "logs")),
            ("on_error", on_error, ("warn", "raise")),
        ):
            if value not in allowed:
                raise InvalidArgumentError(f"{argument} {value!r} is not one of {', '.join(map(repr, allowed))}")
        self._config: dict[str, Any] = {
            "store_or_url": store_or_url,
            "project": project,
            "name": name,
            "tags": tags,
            "hyperparams": hyperparams,
            "resume": resume,
            "loss": loss,
            "on_error": on_error,
        }
        self._reset()

    def _reset(self) -> None:
        self._store: TrainStore | None = None
        self._run: ActiveRun | None = None
        self._last_run: ActiveRun | None = None
        self._trainer: weakref.ref[Any] | None = None
        self._uninstall_wrappers: list[Callable[[], None]] = []
        self._disabled = False
        self._failures = 0
        self._warned: set[str] = set()
        self._retry_after: BaseException | None = None
        self._begin_training()

    def _begin_training(self) -> None:
        self._reader: LossReader | None = None
        self._learning_rates: Values = {}
        self._tokens = 0
        self._step_began = self._idle_since = perf_counter()
        self._data_time: float | None = None
        self._window_first = 1
        self._window: list[float] = []
        self._logged: tuple[int, frozenset[str]] = (-1, frozenset())

    # Only the configuration travels (Ray pickles the trainer); a store is opened anew, from TRAINSTORE_URL.
    def __getstate__(self) -> dict[str, Any]:
        given = self._config["store_or_url"]
        return {"config": {**self._config, "store_or_url": None if isinstance(given, TrainStore) else given}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._config = state["config"]
        self._reset()

    @property
    def run(self) -> ActiveRun | None:
        """The run that is being recorded, or the last one."""
        return self._run or self._last_run

    @property
    def run_uid(self) -> str:
        """The uid of that run. Raises `RunNotFoundError` where there is none yet."""
        if self.run is None:
            raise RunNotFoundError("nothing was recorded yet")
        return self.run.uid

    @property
    def store(self) -> TrainStore:
        """The store that is recorded into; opened at first use."""
        if self._store is None:
            given = self._config["store_or_url"]
            if isinstance(given, TrainStore):
                self._store = given
            else:
                self._store = TrainStore(given or os.environ.get("TRAINSTORE_URL") or "trainstore.db", offline_ok=True)
        return self._store

    def close(self) -> None:
        """Close a store that was opened here; one that was passed stays open."""
        store, self._store = self._store, None
        if store is not None and store is not self._config["store_or_url"]:
            store.close()

    # --- The training -----------------------------------------------------------------------------------------------

    @_guarded
    def on_init_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Find the trainer; nothing is opened yet."""
        self._find_trainer()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin a run, or go on with the one that the checkpoint names."""
        if self._disabled or recording_is_disabled() or not state.is_world_process_zero:
            return
        try:
            self._start(args, state, kwargs)
        except USER_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001
            self._internal_failure("on_train_begin", error)

    def _start(self, args: Any, state: Any, kwargs: dict[str, Any]) -> None:
        trainer = self._find_trainer()
        if trainer is not None and not self._is_first_of(trainer):
            self._disabled = True
            logger.warning("this trainer has two TrainStoreCallbacks; the second one records nothing")
            return
        self._begin_training()
        self._run = self._open_run(args, state)
        run = self._run
        state.stateful_callbacks[STATE_KEY] = {
            "args": {},
            "attributes": {
                "run_uid": run.uid,
                "lineage": run.lineage,
                "trial": _trial(state),
                "output_dir": _output_dir(args),
            },
        }
        source = self._install(trainer, args) if trainer is not None else "logs"
        if source == "logs" and self._config["loss"] == "auto":
            logger.warning("the Trainer was not found; only the mean losses that it logs are recorded")
        self._record_facts(run, args, state, trainer, source, kwargs)
        self._window_first = state.global_step + 1
        self._idle_since = perf_counter()

    def _record_facts(
        self, run: ActiveRun, args: Any, state: Any, trainer: Any, source: str, kwargs: dict[str, Any]
    ) -> None:
        own = {**(getattr(state, "trial_params", None) or {}), **(self._config["hyperparams"] or {})}
        run.log_hyperparams({**training_arguments(args), **own})
        run.log_hyperparams(model_facts(kwargs.get("model")), "mth")
        data = data_facts(trainer, kwargs.get("train_dataloader"), kwargs.get("eval_dataloader"))
        run.log_hyperparams(data, "dbh")
        run.log_hyperparams({**environment_facts(args), "loss_source": source}, "env")

    @_guarded
    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The wait for the first batch begins."""
        self._idle_since = perf_counter()

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The clock of the step; its batches were fetched before."""
        now = self._step_began = perf_counter()
        self._data_time = now - self._idle_since

    @_guarded
    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any) -> None:
        """The learning rate that this step is made with."""
        if self._run is None or optimizer is None:
            return
        groups = optimizer.param_groups
        rate = groups[0]["lr"]
        rates = self._learning_rates = {"learning_rate": rate}
        for index in range(1, len(groups)):
            if groups[index]["lr"] != rate:
                rates[f"learning_rate_{index}"] = groups[index]["lr"]

    @_guarded
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """One record: the whole step (on accelerators its loss and gradient norm follow)."""
        run = self._run
        if run is None:
            return
        now = perf_counter()
        metrics: dict[str, Any] = {"step_time": now - self._step_began, **self._learning_rates}
        if self._data_time is not None:
            metrics["data_time"] = self._data_time
        if self._tokens:
            metrics["tokens"] = self._tokens
            self._tokens = 0
        reader = self._reader
        if reader is not None:
            values = reader.end_step(state.global_step)
            if values:
                metrics.update(values)
                if "loss" in values:
                    self._window.append(values["loss"])
        run.log(metrics, step=state.global_step, epoch=state.epoch)
        if reader is not None:
            self._record_later(run, reader, wait=False)
        self._idle_since = perf_counter()

    def _record_later(self, run: ActiveRun, reader: LossReader, *, wait: bool) -> None:
        for step, values in reader.later(wait=wait):
            run.log(values, step=step)
            if "loss" in values:
                self._window.append(values["loss"])

    @_guarded
    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Whatever the Trainer logs, in the row of its step."""
        if self._run is None or not logs:
            return
        if self._reader is not None:
            self._record_later(self._run, self._reader, wait=True)  # the Trainer has just waited for the device
        metrics = dict(logs)
        epoch = metrics.pop("epoch", None)
        details = None
        step = state.global_step
        if "loss" in metrics:
            window = metrics["loss_window"] = metrics.pop("loss")
            details = {"loss_window": {"first_step": self._window_first, "last_step": step}}
            self._check_window(window, step, args)
        self._run.log(metrics, step=step, epoch=epoch, details=details)
        self._logged = (step, frozenset(logs))
        self._idle_since = perf_counter()

    def _check_window(self, window: Any, step: int, args: Any) -> None:
        """The mean of the recorded losses is what the Trainer logs, or the source is not what we take it for."""
        losses, self._window = self._window, []
        complete = len(losses) == step - self._window_first + 1
        self._window_first = step + 1
        if not complete or not losses or self._run is None or args.world_size != 1 or not isinstance(window, float):
            return
        mean = sum(losses) / len(losses)
        if mean - mean != 0.0:
            return  # the Trainer hides a NaN; the steps show it
        if abs(mean - window) > SELF_CHECK_TOLERANCE * max(abs(mean), abs(window)) + 1e-6:
            self._warn_once(f"the recorded losses do not add up to the logged one ({mean:g} and {window:g})")
            self._run.log_hyperparams({"loss_source": "unverified"}, "env")

    @_guarded
    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        """Evaluation metrics that were not logged already."""
        self._record_results(args, state, metrics)

    @_guarded
    def on_predict(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        """Metrics of ``predict()``, which the Trainer does not log."""
        self._record_results(args, state, metrics)

    def _record_results(self, args: Any, state: Any, metrics: Any) -> None:
        if not metrics or not state.is_world_process_zero or recording_is_disabled():
            return
        step, keys = self._logged
        left = {k: v for k, v in metrics.items() if not (step == state.global_step and k in keys)}
        epoch = left.pop("epoch", None)
        if left:
            with self._any_run(args) as run:
                run.log(left, step=state.global_step, epoch=epoch)
        self._idle_since = perf_counter()

    @contextmanager
    def _any_run(self, args: Any) -> Iterator[ActiveRun]:
        """The open run; else the last one, joined; else one of its own."""
        if self._run is not None:
            yield self._run
            return
        last = self._last_run
        if last is not None:
            run = self.store.resume_run(last.uid, lineage=last.lineage, source="transformers")
        else:
            run = self.store.start_run(**self._labels(args), source="transformers")
        try:
            yield run
        finally:
            run.finish()
            self._last_run = last or run

    @_guarded
    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A checkpoint was written."""
        if self._run is not None:
            folder = Path(_output_dir(args)) / f"checkpoint-{state.global_step}"
            details = {"path": str(folder), "best_model_checkpoint": state.best_model_checkpoint}
            self._run.log_event("checkpoint", step=state.global_step, details=details)
            self._idle_since = perf_counter()

    @_guarded
    def on_push_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The model goes to the Hub."""
        if self._run is not None:
            self._run.log_event("push", step=state.global_step, details={"hub_model_id": args.hub_model_id})

    @_guarded
    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The end that the Trainer announces; an exception is seen by the wrapper of its epochs."""
        if self._run is None:
            return
        stopped = state.global_step < state.max_steps
        if stopped and control.should_training_stop:
            self._run.log_event("early_stop", step=state.global_step, details={"max_steps": state.max_steps})
        pruned = stopped and not control.should_training_stop and state.is_hyper_param_search
        self._finish("pruned" if pruned else "finished")

    # --- Opening and closing ----------------------------------------------------------------------------------------

    def _open_run(self, args: Any, state: Any) -> ActiveRun:
        step = state.global_step
        previous, self._retry_after = self._retry_after, None
        if self._run is not None:
            open_run, self._run = self._run, None
            self._remove_wrappers()
            if previous is not None:
                # auto_find_batch_size begins again: another attempt of the run that ran out of memory.
                open_run.finish("failed", describe_exception(previous))
                lineage = open_run.lineage[:-1] if step else []
                return self.store.resume_run(
                    open_run.uid, step=step or -1, lineage=lineage, project=open_run.project, name=open_run.name
                )
            open_run.finish("failed", "left open when another training began")
        labels = self._labels(args)
        saved = _saved(state) if self._config["resume"] != "never" and step > 0 else None
        if saved is None:
            if self._config["resume"] == "must":
                raise InvalidArgumentError(
                    "resume='must', but this training does not resume a checkpoint that trainstore recorded; "
                    "pass resume_from_checkpoint to train(), or resume='auto'"
                )
            return self.store.start_run(**labels, tags=self._config["tags"], source="transformers")
        uid = saved["run_uid"]
        elsewhere = saved["output_dir"] != _output_dir(args) or saved["trial"] != _trial(state)
        if elsewhere or self.store.is_recorded_here(uid):
            return self.store.start_run(
                **labels, tags=self._config["tags"], source="transformers", parent=uid, parent_step=step
            )
        unknown = self._is_unknown(uid)
        run = self.store.resume_run(uid, step=step, lineage=saved["lineage"], source="transformers", **labels)
        if unknown:
            self._import_history(run, state)
        if self._config["tags"]:
            run.set_tags(self._config["tags"])
        return run

    def _is_unknown(self, uid: str) -> bool:
        try:
            self.store.get_current_step(uid)
        except RunNotFoundError:
            return True
        except StoreUnavailableError:
            return False
        return False

    @staticmethod
    def _import_history(run: ActiveRun, state: Any) -> None:
        """What the checkpoint remembers of the steps before, of a run that this database has never seen."""
        for entry in state.log_history:
            metrics = {key: value for key, value in entry.items() if key not in ("step", "epoch")}
            if "loss" in metrics:
                metrics["loss_window"] = metrics.pop("loss")
            run.log(metrics, step=entry.get("step"), epoch=entry.get("epoch"), details={"imported": "log_history"})

    def _labels(self, args: Any) -> dict[str, Any]:
        return {"project": self._config["project"], "name": self._config["name"] or getattr(args, "run_name", None)}

    def _finish(self, status: str, error: str | None = None) -> None:
        run, self._run = self._run, None
        self._remove_wrappers()
        if run is None:
            return
        if self._reader is not None:
            self._record_later(run, self._reader, wait=True)
        self._last_run = run
        run.finish(status, error)

    def _training_failed(self, error: BaseException) -> None:
        """An exception came out of the training: say so in the run. Never raises itself."""
        try:
            if self._run is None:
                return
            if self._reader is not None:
                self._reader.discard()
            if self._is_retried(error):
                self._retry_after = error
                return
            lines = traceback.format_exception(type(error), error, error.__traceback__, limit=-20)
            self._finish(status_of(error), f"{describe_exception(error)}\nrank 0\n{''.join(lines)}")
        except Exception as failure:  # noqa: BLE001
            self._internal_failure("a failed training", failure, reraise=False)

    def _is_retried(self, error: BaseException) -> bool:
        trainer = self._trainer() if self._trainer is not None else None
        if trainer is None or not trainer.args.auto_find_batch_size or not isinstance(error, Exception):
            return False
        from accelerate.utils.memory import should_reduce_batch_size

        return bool(should_reduce_batch_size(error))

    # --- The Trainer ------------------------------------------------------------------------------------------------

    def _find_trainer(self) -> Any | None:
        """The trainer that calls: it is a local of a frame above, and never an argument of an event."""
        if self._trainer is not None and self._trainer() is not None:
            return self._trainer()
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            candidate = frame.f_locals.get("self")
            handler = getattr(candidate, "callback_handler", None)
            if handler is not None and any(callback is self for callback in handler.callbacks):
                self._trainer = weakref.ref(candidate)
                return candidate
            frame = frame.f_back
        return None

    def _is_first_of(self, trainer: Any) -> bool:
        ours = [c for c in trainer.callback_handler.callbacks if isinstance(c, TrainStoreCallback)]
        return not ours or ours[0] is self

    def _install(self, trainer: Any, args: Any) -> str:
        """Wrap what tells the loss, the gradient norm and a failure; which source of the loss is used."""
        self._remove_wrappers()
        self._wrap(trainer, "_run_epoch", self._watch_failures)
        if self._config["loss"] == "logs" or not hasattr(trainer, "training_step"):
            return "logs"
        self._reader = DirectLoss() if args.device.type == "cpu" else RingLoss(args.device)
        self._wrap(trainer, "training_step", self._watch_losses)
        accelerator = getattr(trainer, "accelerator", None)
        if accelerator is not None:
            self._wrap(accelerator, "clip_grad_norm_", self._watch_grad_norms)
        return "training_step"

    def _wrap(self, owner: Any, name: str, wrapper: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        original = getattr(owner, name, None)
        if original is None:
            return
        own = vars(owner).get(name)
        wrapped = functools.wraps(original)(wrapper(original))
        wrapped.__trainstore__ = True  # type: ignore[attr-defined]
        setattr(owner, name, wrapped)

        def restore() -> None:
            if vars(owner).get(name) is not wrapped:
                return  # somebody wrapped it after us; taking ours out would take theirs
            if own is None:
                delattr(owner, name)
            else:
                setattr(owner, name, own)

        self._uninstall_wrappers.append(restore)

    def _remove_wrappers(self) -> None:
        while self._uninstall_wrappers:
            self._uninstall_wrappers.pop()()

    def _watch_failures(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def run_epoch(*args: Any, **kwargs: Any) -> Any:
            try:
                return original(*args, **kwargs)
            except BaseException as error:
                self._training_failed(error)
                raise

        return run_epoch

    def _watch_losses(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def training_step(*args: Any, **kwargs: Any) -> Any:
            loss = original(*args, **kwargs)
            reader = self._reader
            if reader is not None and self._run is not None:
                try:
                    reader.add_loss(loss)
                    inputs = args[1] if len(args) > 1 else kwargs.get("inputs")
                    if inputs is not None and "input_ids" in inputs:
                        self._tokens += inputs["input_ids"].numel()
                except Exception as error:  # noqa: BLE001
                    self._internal_failure("training_step", error)
            return loss

        return training_step

    def _watch_grad_norms(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def clip_grad_norm_(*args: Any, **kwargs: Any) -> Any:
            norm = original(*args, **kwargs)
            reader = self._reader
            if reader is not None and self._run is not None:
                try:
                    reader.add_grad_norm(norm)
                except Exception as error:  # noqa: BLE001
                    self._internal_failure("clip_grad_norm_", error)
            return norm

        return clip_grad_norm_

    # --- Our own trouble --------------------------------------------------------------------------------------------

    def _internal_failure(self, where: str, error: Exception, *, reraise: bool = True) -> None:
        if reraise and self._config["on_error"] == "raise":
            raise error
        self._failures += 1
        # Only our own errors' text: another's may hold a value or a URL.
        text = f": {error}" if isinstance(error, TrainStoreError) else ""
        self._warn_once(f"{where} could not be recorded ({type(error).__name__}{text}); the training goes on")
        if self._failures >= MAX_FAILURES and not self._disabled:
            self._disabled = True
            self._remove_wrappers()
            logger.warning("trainstore failed %d times and records no more of this training", self._failures)

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            logger.warning("%s", message)


@contextmanager
def record(trainer: Any, store: TrainStore | str | os.PathLike[str], **options: Any) -> Iterator[TrainStoreCallback]:
    """Record what a trainer does inside the block.

    The same as `TrainStoreCallback`, but the trainer is known without looking for it, and a failure outside the epochs
    (set-up, the evaluation at the start, the end) is seen too.

    Args:
        trainer: A ``transformers.Trainer``.
        store: An open store, or what one is opened with.
        **options: The other arguments of `TrainStoreCallback`.

    Yields:
        The callback.
    """
    callback = TrainStoreCallback(store, **options)
    callback._trainer = weakref.ref(trainer)
    trainer.add_callback(callback)
    try:
        yield callback
    except BaseException as error:
        callback._retry_after = None
        callback._training_failed(error)
        raise
    finally:
        trainer.remove_callback(callback)
        callback.close()


def _output_dir(args: Any) -> str:
    return str(Path(args.output_dir or ".").resolve())


def _trial(state: Any) -> str | None:
    name = getattr(state, "trial_name", None)
    return None if name is None else str(name)


def _saved(state: Any) -> dict[str, Any] | None:
    """What a checkpoint carries of ours; None where it is not there, or is damaged."""
    saved = state.stateful_callbacks.get(STATE_KEY)
    attributes = saved.get("attributes") if isinstance(saved, dict) else None
    if not isinstance(attributes, dict) or not {"run_uid", "lineage", "trial", "output_dir"} <= attributes.keys():
        return None
    return attributes


INTEGRATION_TO_CALLBACK[STATE_KEY] = TrainStoreCallback
