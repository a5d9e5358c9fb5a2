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

import dataclasses
import functools
import logging
import os
import traceback
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from trainstore.backends import absolute_target, current_folder, open_backend
from trainstore.errors import (
    InvalidArgumentError,
    NetworkFileSystemError,
    NotADatabaseError,
    RunNotFoundError,
    SchemaError,
    StoreClosedError,
    StoreURLError,
    TrainStoreError,
)
from trainstore.integrations._checkpoint import STATE_KEY, SavedRun, checkpoint_dir_of
from trainstore.integrations._facts import facts_of
from trainstore.integrations._foreign import Events, missing_from
from trainstore.integrations._incomplete import Incomplete
from trainstore.integrations._loss import DirectLoss, RingLoss
from trainstore.integrations._ranks import Ranks, SharedRun
from trainstore.integrations._runs import SOURCE, final_status, labels_of, next_attempt, open_run
from trainstore.integrations._steps import StepRecorder
from trainstore.integrations._wrappers import Wrappers, callbacks_of, calling_trainer
from trainstore.pickling import StoreAddress
from trainstore.run import ActiveRun, describe_exception, recording_is_disabled
from trainstore.store import TrainStore
from trainstore.values import canonical_hyperparams, safe_url

logger = logging.getLogger("trainstore")

FINISH_TIMEOUT = 10.0  # seconds that the end of a training waits for the database
RANK_TIMEOUT = 5.0  # seconds that a failed rank waits to learn which run it is
MAX_FAILURES = 5  # internal ones, after which the callback disables itself
# What the user must mend before a training starts; everything else is our own trouble.
USER_ERRORS = (
    InvalidArgumentError,
    StoreURLError,
    SchemaError,
    NotADatabaseError,
    NetworkFileSystemError,
    StoreClosedError,
)


def _guarded(hook: Callable[..., None]) -> Callable[..., None]:
    """A hook whose failures never reach the training. (The hooks of every step guard themselves: it is faster.)"""

    @functools.wraps(hook)
    def guarded(self: TrainStoreCallback, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        try:
            told = self._events
            hook(self, told.arguments(args), told.state(state), told.control(control), **kwargs)
        except Exception as error:  # noqa: BLE001
            self._internal_failure(hook.__name__, error)

    return guarded


class TrainStoreCallback(TrainerCallback):  # type: ignore[misc]
    """Records a ``transformers.Trainer`` into a store.

    Args:
        store_or_url: An open `TrainStore`, which stays open; or what one is opened with (then a database that is away
            is no error: the run begins in the journal), closed when the training ends. None: ``TRAINSTORE_URL``, else
            ``trainstore.db``.
        project: None: ``TRAINSTORE_PROJECT``, else "default".
        name: The run's label. None: the arguments' ``run_name``, ``TRAINSTORE_RUN_NAME``, else made from the uid.
        tags: As for `TrainStore.start_run`.
        hyperparams: Recorded beside the training arguments; they win where a name is the same.
        resume: What a checkpoint that carries our key means. "auto": the next attempt of the same run (in the same
            output_dir; elsewhere a new run whose parent it is). "never": always a new run. "must": an error where
            there is no run to go on with.
        loss: "auto": the true loss of every step. "logs": only the window means that the Trainer logs.
        on_error: "warn": a failure of ours is logged once, and the training goes on. "raise": it is raised.

    Raises:
        InvalidArgumentError: An argument that cannot be used, here or when training begins.
        TrainStoreError: When training begins, and only what you can mend: a store that cannot be opened
            (`StoreURLError`, `SchemaError`, `NotADatabaseError`, a file in a missing folder) or is closed.

    It may be copied and pickled, alone or with its trainer, also in the middle of a training: the copy has the same
    arguments, and what it records is a run of its own. A copy shares an open store. Pickled, the store travels as its
    URL without the password: then ``TRAINSTORE_URL`` is used if it names the same database, else what libpq finds.
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
        try:
            canonical_hyperparams(hyperparams or {})
        except Exception as error:
            raise InvalidArgumentError(f"hyperparams: {error}") from error
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
        self._folder = current_folder()  # relative paths start here, whatever chdir follows
        if store_or_url is not None and not isinstance(store_or_url, TrainStore):
            self._config["store_or_url"] = absolute_target(store_or_url, self._folder)
        self._reset()

    def _reset(self) -> None:
        self._store: TrainStore | None = None
        self._run: ActiveRun | None = None
        self._steps: StepRecorder | None = None  # of the training under way
        self._given_up: ActiveRun | None = None  # open, and no longer recorded into: we failed too often
        self._last_run: ActiveRun | None = None
        self._trainer: weakref.ref[Any] | None = None
        self._wrappers = Wrappers()
        self._events = Events()
        self._disabled = False
        self._failures = 0
        self._warned: set[str] = set()
        self._retry_after: BaseException | None = None
        self._batch_size: int | None = None  # of the training under way
        self._in_epoch = False
        self._ranks: Ranks | None = None  # on rank 0 of several
        self._follows: Ranks | None = None  # on the others
        self._asks: Ranks | None = None  # likewise, until the run is known

    def __copy__(self) -> TrainStoreCallback:
        return self.__deepcopy__({})

    def __deepcopy__(self, memo: object) -> TrainStoreCallback:
        """A callback with the same arguments that has recorded nothing: what it records is not the original's run."""
        copied = type(self).__new__(type(self))
        copied._config, copied._folder = self._config, self._folder
        copied._reset()
        return copied

    def __getstate__(self) -> dict[str, Any]:
        return {"config": {**self._config, "store_or_url": _address_of(self._config["store_or_url"])}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._config = state["config"]
        self._folder = current_folder()
        self._reset()

    @property
    def run(self) -> ActiveRun | None:
        """The run that is being recorded, or the last one, finished."""
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
            elif isinstance(given, StoreAddress):
                self._store = given.open(offline_ok=True)
            else:
                url = given or os.environ.get("TRAINSTORE_URL") or "trainstore.db"
                target = absolute_target(url, self._folder)
                self._store = TrainStore(target, offline_ok=True)
        return self._store

    def close(self) -> None:
        """Close a store that was opened here; one that was passed stays open."""
        store, self._store = self._store, None
        if store is not None and store is not self._config["store_or_url"]:
            store.close()

    # --- The beginning ----------------------------------------------------------------------------------------------

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin a run, or go on with the one that the checkpoint names."""
        self._events = Events(kwargs.get("model"))
        args, state = self._events.arguments(args), self._events.state(state)
        self._ranks = self._follows = self._asks = None
        if self._disabled or recording_is_disabled():
            return
        try:
            ranks = Ranks(args.process_index) if args.world_size > 1 else None
            if not state.is_world_process_zero:
                if ranks is not None:
                    self._follow(ranks)
                return
            trainer = self._find_trainer()
            if self._is_second_of(trainer):
                return
            self.store  # noqa: B018 - opened before the run that it is for
            run = self._run = self._open_run(trainer, args, state)
            saved = SavedRun.of(run, trainer, args, state)
            saved.write(state)
            if ranks is not None:
                self._ranks = ranks
                ranks.publish(SharedRun(saved, run.project, run.name))
            incomplete = Incomplete(run)
            for name in missing_from(args, state):
                incomplete.note(name, "not given")
            source = self._watch(run, trainer, args, state, incomplete)
            self._record_facts(run, args, state, kwargs, incomplete)
            run.log_hyperparams({"loss_source": source}, "env")
            self._steps.pause()  # type: ignore[union-attr]
        except Exception as error:
            # What keeps a store from being opened is for the user to mend too, now, and not after days of training.
            if isinstance(error, USER_ERRORS) or (self._store is None and isinstance(error, TrainStoreError)):
                raise
            self._internal_failure("on_train_begin", error)

    def _open_run(self, trainer: Any | None, args: Any, state: Any) -> ActiveRun:
        self._let_go_of_steps()
        before, self._run = self._run, None
        retried, self._retry_after = self._retry_after, None
        size, self._batch_size = self._batch_size, getattr(trainer, "_train_batch_size", None)
        if before is None:
            return open_run(self.store, self._config, trainer, args, state)
        self._wrappers.remove()
        smaller = args.auto_find_batch_size and size is not None and (self._batch_size or size) < size
        if retried is None and not smaller:
            before.finish("failed", "left open when another training began")
            return open_run(self.store, self._config, trainer, args, state)
        # auto_find_batch_size begins again inside train(): another attempt of the run that ran out of memory.
        before.finish("failed", describe_exception(retried) if retried else "begun again with a smaller batch size")
        return next_attempt(self.store, before, state.global_step)

    def _follow(self, ranks: Ranks) -> None:
        """On a rank that records nothing: see its failures, as nobody else does."""
        trainer = self._find_trainer()
        self._wrappers.remove()
        if trainer is not None and not self._is_second_of(trainer):
            self._follows = self._asks = ranks
            self._watch_ends(trainer)

    def _learn_run(self, state: Any) -> None:
        """After a step that rank 0 has made too: the run is known by now, and stands in this rank's checkpoints."""
        asks, self._asks = self._asks, None
        shared = None if asks is None else asks.run()
        if shared is not None:
            shared.saved.write(state)

    def _record_facts(
        self, run: ActiveRun, args: Any, state: Any, event: dict[str, Any], incomplete: Incomplete
    ) -> None:
        facts = facts_of(self._known_trainer(), args, state, self._config["hyperparams"], event, incomplete)
        for namespace, get in facts.items():
            try:
                run.log_hyperparams(get(), namespace)
            except Exception as error:  # noqa: BLE001
                self._internal_failure(f"the facts {namespace}", error)
        incomplete.tell()

    # --- The trainer ------------------------------------------------------------------------------------------------

    def _known_trainer(self) -> Any | None:
        return None if self._trainer is None else self._trainer()

    def _find_trainer(self) -> Any | None:
        """The trainer that calls now; else the one that is known from before, or from `record`."""
        trainer = calling_trainer(self)
        if trainer is None:
            return self._known_trainer()
        self._trainer = weakref.ref(trainer)
        return trainer

    def _is_second_of(self, trainer: Any | None) -> bool:
        """Whether another of us records this trainer: the first that was given a store, or else the first."""
        ours = [one for one in callbacks_of(trainer) if isinstance(one, TrainStoreCallback)]
        chosen = next((one for one in ours if one._config["store_or_url"] is not None), None) or (ours or [self])[0]
        if chosen is self:
            return False
        self._warn_once("this trainer has two TrainStoreCallbacks; one of them records nothing")
        return True

    def _watch(self, run: ActiveRun, trainer: Any | None, args: Any, state: Any, incomplete: Incomplete) -> str:
        """Wrap what tells the loss, the gradient norm and a failure; return the source of the loss."""
        self._wrappers.remove()
        watched = trainer is not None and self._watch_ends(trainer)
        steps = self._steps = StepRecorder(run, None, state.global_step, incomplete.lose)
        if self._config["loss"] == "logs":
            return "logs"
        reader = None if trainer is None else incomplete.attempt("loss", functools.partial(_reader_for, args))
        watch_losses = functools.partial(self._watch_losses, steps, not watched)
        if reader is None or not self._wrappers.wrap(trainer, "training_step", watch_losses):
            incomplete.note("loss", "the Trainer was not found; only the means that it logs are recorded")
            return "logs"
        steps.reader = reader
        watch_norms = functools.partial(self._watch_grad_norms, steps)
        self._wrappers.wrap(getattr(trainer, "accelerator", None), "clip_grad_norm_", watch_norms)
        return "training_step"

    def _watch_ends(self, trainer: Any) -> bool:
        """See what ends the training: in its epochs, and in the evaluation that comes before them."""
        self._wrappers.wrap(trainer, "_evaluate", self._watch_failures)
        return self._wrappers.wrap(trainer, "_run_epoch", self._watch_epoch)

    def _watch_epoch(self, original: Callable[..., Any]) -> Callable[..., Any]:
        watched = self._watch_failures(original)

        def run_epoch(*args: Any, **kwargs: Any) -> Any:
            self._in_epoch = True
            try:
                return watched(*args, **kwargs)
            finally:
                self._in_epoch = False

        return run_epoch

    def _watch_failures(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            try:
                return original(*args, **kwargs)
            except BaseException as error:
                self._training_failed(error)
                raise

        return watched

    def _watch_losses(
        self, steps: StepRecorder, failures_too: bool, original: Callable[..., Any]
    ) -> Callable[..., Any]:
        if failures_too:  # a Trainer without _run_epoch
            original = self._watch_failures(original)

        def training_step(*args: Any, **kwargs: Any) -> Any:
            loss = original(*args, **kwargs)
            if steps is self._steps:
                try:
                    steps.add_micro_batch(loss, args[1] if len(args) > 1 else kwargs.get("inputs"))
                except Exception as error:  # noqa: BLE001
                    self._internal_failure("training_step", error)
            return loss

        return training_step

    def _watch_grad_norms(self, steps: StepRecorder, original: Callable[..., Any]) -> Callable[..., Any]:
        def clip_grad_norm_(*args: Any, **kwargs: Any) -> Any:
            norm = original(*args, **kwargs)
            if steps is self._steps:
                try:
                    steps.add_grad_norm(norm)
                except Exception as error:  # noqa: BLE001
                    self._internal_failure("clip_grad_norm_", error)
            return norm

        return clip_grad_norm_

    # --- Every step -------------------------------------------------------------------------------------------------

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The clock of the step."""
        steps = self._steps
        if steps is not None:
            if steps.held is not None:
                steps.release()
            steps.step_began = perf_counter()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any) -> None:
        """The learning rate of the step."""
        steps = self._steps
        if steps is not None:
            try:
                steps.before_optimizer(optimizer)
            except Exception as error:  # noqa: BLE001
                self._internal_failure("on_pre_optimizer_step", error)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """One record: the whole step (on accelerators its loss and gradient norm follow), and a log that comes next."""
        steps = self._steps
        if steps is not None:
            try:
                if not (isinstance(state, TrainerState) and isinstance(control, TrainerControl)):
                    state, control = self._events.state(state, step_ends=True), self._events.control(control)
                steps.end_step(state.global_step, state.epoch, log_follows=control.should_log)
            except Exception as error:  # noqa: BLE001
                self._internal_failure("on_step_end", error)
        elif self._asks is not None:
            self._learn_run(state)

    # --- Now and then -----------------------------------------------------------------------------------------------

    @_guarded
    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """An epoch begins with a wait for data."""
        if self._steps is not None:
            self._steps.begin_epoch()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Whatever the Trainer logs, in the row of its step."""
        steps = self._steps
        if steps is None or logs is None:
            return
        try:
            if not isinstance(state, TrainerState):
                args, state = self._events.arguments(args), self._events.state(state)
            doubt = steps.log(_complete_logs(logs, state), state.global_step)
            if doubt is not None and args.world_size == 1:
                self._warn_once(*doubt)
                steps.run.log_hyperparams({"loss_source": "unverified"}, "env")
        except Exception as error:  # noqa: BLE001
            self._internal_failure("on_log", error)

    @_guarded
    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        """Evaluation metrics that were not logged already."""
        self._record_results(args, state, metrics, kwargs)

    @_guarded
    def on_predict(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        """Metrics of ``predict()``, which the Trainer does not log."""
        self._record_results(args, state, metrics, kwargs)

    def _record_results(self, args: Any, state: Any, metrics: Any, kwargs: dict[str, Any]) -> None:
        if self._disabled or metrics is None or not state.is_world_process_zero or recording_is_disabled():
            return
        if self._steps is not None:
            self._steps.log_results(metrics, state.global_step)
        elif not self._is_second_of(self._find_trainer()):
            with self._run_of_its_own(args, state, kwargs) as run:
                run.log(metrics, state.global_step)

    @contextmanager
    def _run_of_its_own(self, args: Any, state: Any, kwargs: dict[str, Any]) -> Iterator[ActiveRun]:
        """Outside a training: the last run, joined and left as it is, or a run for what comes now."""
        last = self._last_run
        if last is not None:
            run = self.store.resume_run(last.uid, lineage=last.lineage, source=SOURCE)
        else:
            run = self.store.start_run(**labels_of(self._config, args, state), tags=self._config["tags"], source=SOURCE)
            self._record_facts(run, args, state, kwargs, Incomplete(run))
            self._last_run = run
        try:
            yield run
        finally:
            if run.finish(timeout=FINISH_TIMEOUT):
                self.close()

    @_guarded
    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A checkpoint was written."""
        if self._steps is not None:
            path = checkpoint_dir_of(self._known_trainer(), args, state)
            self._steps.run.log_event("checkpoint", state.global_step, {"path": path})
            self._steps.pause()

    @_guarded
    def on_push_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The model goes to the Hub."""
        if self._run is not None:
            self._run.log_event("push", state.global_step, {"hub_model_id": args.hub_model_id})

    # --- The end ----------------------------------------------------------------------------------------------------

    @_guarded
    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The end that the Trainer announces; an exception is seen by the wrapper of its epochs."""
        run, stopped = self._run, state.global_step < state.max_steps
        # A pruned trial ends in the middle of an epoch, which no other training does.
        pruned = state.is_hyper_param_search and (self._in_epoch or (stopped and not control.should_training_stop))
        if run is not None and stopped and not pruned and control.should_training_stop:
            run.log_event("early_stop", state.global_step, {"max_steps": state.max_steps})
        if run is not None and state.best_model_checkpoint:
            step, metric = getattr(state, "best_global_step", None), getattr(state, "best_metric", None)
            best = {"path": state.best_model_checkpoint, "metric": metric, "step": step}
            run.log_event("best_model", step, best)
        self._finish("pruned" if pruned else "finished")

    def _training_failed(self, error: BaseException, *, final: bool = False) -> None:
        """An exception came out of the training: say so in the run. Never raises itself."""
        try:
            if not final and self._is_retried(error):
                self._retry_after = error
                return
            if self._follows is not None:
                self._rank_failed(self._follows, error)
                return
            run = self._run or self._given_up
            if run is not None:
                self._log_exception(run, error, 0)
                status, reason = final_status(error), describe_exception(error)
                if status == "failed" and self._ranks is not None:
                    reason = self._ranks.failure() or reason
                self._finish(status, reason)
        except Exception as failure:  # noqa: BLE001
            self._internal_failure("a failed training", failure, reraise=False)

    def _rank_failed(self, ranks: Ranks, error: BaseException) -> None:
        """On another rank than 0, which may not live to say it."""
        self._finish("finished")  # nothing is recorded here: the wrappers go
        if final_status(error) != "failed":
            return  # Ctrl-C and a pruned trial reach rank 0 too
        reason = describe_exception(error)
        ranks.publish_failure(reason)
        shared = ranks.run(wait=RANK_TIMEOUT)
        if shared is not None:
            run = self.store.resume_run(
                shared.saved.run_uid, lineage=shared.saved.lineage, rank=ranks.rank,
                project=shared.project, name=shared.name, source=SOURCE,
            )  # fmt: skip
            self._log_exception(run, error, ranks.rank)
            if run.finish("failed", reason, FINISH_TIMEOUT):
                self.close()

    def _log_exception(self, run: ActiveRun, error: BaseException, rank: int) -> None:
        trainer = self._known_trainer()
        step = getattr(getattr(trainer, "state", None), "global_step", None)
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        what = {"type": type(error).__qualname__, "rank": rank, "traceback": "".join(lines)}
        run.log_event("exception", step, {**what, "message": describe_exception(error)})

    def _is_retried(self, error: BaseException) -> bool:
        """Whether auto_find_batch_size begins again after this error."""
        trainer = self._known_trainer()
        finds_size = getattr(getattr(trainer, "args", None), "auto_find_batch_size", False)
        if not finds_size or not isinstance(error, Exception):
            return False
        from accelerate.utils.memory import should_reduce_batch_size

        return bool(should_reduce_batch_size(error))

    def _finish(self, status: str, error: str | None = None) -> None:
        run, steps = self._run or self._given_up, self._let_go_of_steps()
        self._run = self._given_up = self._retry_after = self._batch_size = None
        if self._ranks is not None:
            self._ranks.withdraw()
        self._ranks = self._follows = self._asks = None
        self._wrappers.remove()
        if run is None:
            return
        self._last_run = run
        if steps is not None:
            try:
                steps.catch_up(wait=True)
            except Exception as failure:  # noqa: BLE001 - a device that failed takes its last losses along
                self._internal_failure("the last losses", failure, reraise=False)
        if run.finish(status, error, FINISH_TIMEOUT):
            self.close()  # else it goes on delivering while the process lives

    def _let_go_of_steps(self) -> StepRecorder | None:
        """Record no more steps of this training; the one that waits for its log is recorded."""
        steps, self._steps = self._steps, None
        if steps is not None:
            steps.release()
        return steps

    # --- Our own trouble --------------------------------------------------------------------------------------------

    def _internal_failure(self, where: str, error: Exception, *, reraise: bool = True) -> None:
        if reraise and self._config["on_error"] == "raise":
            raise error
        self._failures += 1
        if self._failures == 1:
            # Only our own errors' text: another's may hold a value or a URL.
            text = f": {error}" if isinstance(error, TrainStoreError) else ""
            logger.warning(
                "%s could not be recorded (%s%s); the training goes on", where, type(error).__name__, text
            )  # fmt: skip
        else:
            logger.debug("%s could not be recorded (%s)", where, type(error).__name__)
        if self._failures >= MAX_FAILURES and not self._disabled:
            self._disabled = True
            self._let_go_of_steps()
            self._given_up, self._run = self._run or self._given_up, None
            logger.warning("trainstore failed %d times and records no more of this training", self._failures)

    def _warn_once(self, message: str, *args: object) -> None:
        if message not in self._warned:
            self._warned.add(message)
            logger.warning(message, *args)


def _reader_for(args: Any) -> DirectLoss | RingLoss:
    """What reads the losses of a training on this device."""
    return DirectLoss() if args.device.type == "cpu" else RingLoss(args.device)


def _address_of(store_or_url: Any) -> Any:
    """What a pickled callback carries of its store: where it is, and no password."""
    if isinstance(store_or_url, TrainStore):
        # A store in memory stays here: unpickled, the callback records into one of its own.
        return dataclasses.replace(store_or_url._address, in_memory=False)
    if store_or_url is None or isinstance(store_or_url, StoreAddress) or "://" not in str(store_or_url):
        return store_or_url
    try:
        return StoreAddress(TrainStore, open_backend(store_or_url).safe_url, {}, in_memory=False)
    except StoreURLError:
        return safe_url(store_or_url)  # an error when it is opened, there as here


def _complete_logs(logs: Any, state: Any) -> Any:
    """What is logged, with what a callback before us took out (PrinterCallback: total_flos)."""
    history = state.log_history[-1] if state.log_history else None
    if type(logs) is not dict or type(history) is not dict:
        return logs
    if len(history) == len(logs) + 1 and "step" not in logs:  # the step, and nothing that was taken out
        return logs
    if history.get("step") == state.global_step and logs.keys() <= history.keys():
        return {key: value for key, value in {**history, **logs}.items() if key != "step"}
    return logs


@contextmanager
def record(trainer: Any, store: TrainStore | str | os.PathLike[str], **options: Any) -> Iterator[TrainStoreCallback]:
    """Record what a trainer does inside the block.

    The same as `TrainStoreCallback`, but the trainer is known without looking for it, and a failure outside the epochs
    and evaluations (the end of the training, another callback's ``on_train_begin``) is seen too.

    Args:
        trainer: A ``transformers.Trainer``.
        store: An open store, which stays open, or what one is opened with.
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
        callback._training_failed(error, final=True)
        raise
    finally:
        trainer.remove_callback(callback)
        callback.close()


INTEGRATION_TO_CALLBACK[STATE_KEY] = TrainStoreCallback
