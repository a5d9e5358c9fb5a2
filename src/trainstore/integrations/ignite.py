"""Records a PyTorch Ignite training, in the way of Ignite's own loggers.

::

    from trainstore.integrations.ignite import TrainStoreLogger

    logger = TrainStoreLogger("trainstore.db", trainer=trainer)
    logger.attach_output_handler(trainer, Events.ITERATION_COMPLETED, output_transform=lambda loss: {"loss": loss})
    logger.attach_output_handler(evaluator, Events.COMPLETED, tag="validation", metric_names="all")
    trainer.run(loader, max_epochs=2)

The run begins and ends with ``trainer.run``. Whatever engine and event a value comes from, its step is the trainer's
iteration, and its epoch the trainer's.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trainstore.endings import Ending, ending_of
from trainstore.errors import InvalidArgumentError
from trainstore.integrations.libraries import needs
from trainstore.integrations.recording import Recording, bookmark
from trainstore.integrations.targets import Target
from trainstore.run import ActiveRun

with needs("ignite", "torch", extra="ignite"):
    import ignite.distributed as idist
    from ignite.engine import Engine, Events
    from ignite.handlers import Checkpoint, global_step_from_engine
    from ignite.handlers.base_logger import BaseLogger, BaseOptimizerParamsHandler, BaseOutputHandler
    from ignite.handlers.checkpoint import CheckpointEvents

__all__ = ["OptimizerParamsHandler", "OutputHandler", "TrainStoreLogger", "global_step_from_engine"]

_FROM_ENGINE = f"{global_step_from_engine.__qualname__}.<locals>."


class TrainStoreLogger(BaseLogger):  # type: ignore[misc]
    """A logger for Ignite's engines.

    It has ``state_dict`` and ``load_state_dict``: in ``to_save`` of a ``Checkpoint``, beside the trainer, it makes a
    training that resumes from the checkpoint the next attempt of the same run.

    Args:
        store_or_run: The path or URL of a store, an open `TrainStore` or run, or None: ``TRAINSTORE_URL``, else
            ``trainstore.db``. Of several processes, the first records.
        trainer: The engine that trains. None: the first to which a handler is attached.
        project, name, tags, hyperparams: As for `TrainStore.start_run`.

    Raises:
        InvalidArgumentError: An argument that cannot be used.
    """

    def __init__(
        self,
        store_or_run: Target = None,
        *,
        trainer: Engine | None = None,
        project: str | None = None,
        name: str | None = None,
        tags: Mapping[str, Any] | Sequence[str] | str | None = None,
        hyperparams: Mapping[str, Any] | Any | None = None,
    ) -> None:
        self._recording = Recording(
            store_or_run, source="ignite", project=project, name=name, tags=tags, hyperparams=hyperparams
        )
        self._trainer: Any = None
        self._checkpoint: Mapping[str, Any] | None = None  # what `load_state_dict` got, until the training begins
        self._trains = False  # the trainer's run is under way
        self._is_joined = False  # the run had ended, and gets what came later
        self._failure: tuple[int, Ending] | None = None  # the iteration in which an exception was raised
        if trainer is not None:
            self._watch(trainer)

    @property
    def run(self) -> ActiveRun | None:
        """The run that is being recorded, or was last. None: there is none yet, or this process records none."""
        return self._recording.run

    # --- Handlers ----------------------------------------------------------------------------------------------------

    def attach(
        self, engine: Engine, log_handler: Callable[..., Any], event_name: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Call a handler of this module, or one of your own, at an event: ``log_handler(engine, logger, event_name)``.

        Args:
            engine: The trainer, or an evaluator.
            log_handler: What records.
            event_name: An event with a count, filtered (``Events.ITERATION_COMPLETED(every=10)``) or not.
            *args, **kwargs: Passed on to the handler.

        Returns:
            Ignite's handle, by which the handler can be removed.
        """
        if self._trainer is None:
            self._watch(engine)
        return super().attach(engine, log_handler, event_name, *args, **kwargs)

    def attach_checkpoint_handler(self, engine: Engine, checkpoint: Checkpoint) -> None:
        """Record an event of kind ``checkpoint``, ``{"path"}``, whenever this ``Checkpoint`` has written a file.

        Args:
            engine: The engine to which the ``Checkpoint`` is attached.
            checkpoint: The handler.
        """
        if not isinstance(checkpoint, Checkpoint):
            raise InvalidArgumentError(f"checkpoint {checkpoint!r} is not a handler of Ignite's class Checkpoint")
        if not engine.has_registered_events(CheckpointEvents.SAVED_CHECKPOINT):
            engine.register_events(*CheckpointEvents)
        known = list(checkpoint._saved)  # its entries; a file that is written again has a new one

        def started(_engine: Engine) -> None:
            known[:] = checkpoint._saved  # those of before, which `include_self` loads

        def saved(_engine: Engine) -> None:
            with self._recording.guard("a checkpoint"):
                new = [item for item in checkpoint._saved if not any(item is one for one in known)]
                known[:] = checkpoint._saved  # the event also comes for another Checkpoint of the engine
                for item in new:
                    folder = getattr(checkpoint.save_handler, "dirname", None)
                    self.log_event(
                        "checkpoint", {"path": str(item.filename if folder is None else folder / item.filename)}
                    )

        engine.add_event_handler(Events.STARTED, started)
        engine.add_event_handler(CheckpointEvents.SAVED_CHECKPOINT, saved)

    def _create_output_handler(self, *args: Any, **kwargs: Any) -> OutputHandler:
        return OutputHandler(*args, **kwargs)

    def _create_opt_params_handler(self, *args: Any, **kwargs: Any) -> OptimizerParamsHandler:
        return OptimizerParamsHandler(*args, **kwargs)

    # --- What is recorded --------------------------------------------------------------------------------------------

    def log(self, metrics: Mapping[str, Any], step: int | None = None, trainer: Engine | None = None) -> None:
        """Record metrics. Never raises once the run has begun.

        Args:
            metrics: As for `ActiveRun.log`.
            step: None: the trainer's iteration.
            trainer: Another engine whose iteration and epoch count.
        """
        run = self._open_run()
        if run is None:
            return
        with self._recording.guard("a step"):
            state = (trainer or self._trainer).state
            if step is not None and step != state.iteration:
                run.log(metrics, step)
                return
            length = state.epoch_length
            run.log(metrics, state.iteration, state.iteration / length if length else state.epoch)

    def log_event(self, kind: str, details: Mapping[str, Any] | None = None) -> None:
        """Record an event at the trainer's iteration: see `ActiveRun.log_event`."""
        run = self._open_run()
        if run is not None:
            run.log_event(kind, None if self._trainer is None else self._trainer.state.iteration, details)

    def _open_run(self) -> ActiveRun | None:
        """The run, begun or joined if need be. None: it could not be begun, or is recorded by another process."""
        if self._recording.is_open or self._recording.is_given:
            return self._recording.run
        if self._trains:
            return None  # it was tried when the training began
        if self._recording.run is None:
            return self._begin()
        self._is_joined = True
        return self._recording.join()

    # --- The training ------------------------------------------------------------------------------------------------

    def _watch(self, trainer: Engine) -> None:
        """Learn when the trainer's run begins and ends, and what it raises."""
        if not isinstance(trainer, Engine):
            raise InvalidArgumentError(f"trainer {trainer!r} is not one of Ignite's engines")
        self._trainer = trainer
        run, handle_exception = trainer.run, trainer._handle_exception
        trainer.add_event_handler(Events.STARTED, lambda _: self._started())
        trainer.add_event_handler(Events.TERMINATE, lambda _: self.log_event("terminate"))

        # Not a handler of EXCEPTION_RAISED: if there is one, Ignite leaves it to that to raise the exception.
        def noted(error: BaseException) -> None:
            self._failure = trainer.state.iteration, ending_of(error)
            handle_exception(error)

        @functools.wraps(run)
        def run_recorded(*args: Any, **kwargs: Any) -> Any:
            self._failure = None
            try:
                result = run(*args, **kwargs)
            except BaseException as error:
                self._ended(ending_of(error))
                raise
            if trainer._internal_run_generator is None:  # otherwise it was interrupted, and will go on
                self._ended()
            return result

        trainer._handle_exception, trainer.run = noted, run_recorded

    def _started(self) -> None:
        if self._is_joined:
            self._recording.finish()
            self._is_joined = False
        if not self._recording.is_open:  # it is if something was recorded before
            self._begin()
        self._trains = True

    def _begin(self) -> ActiveRun | None:
        """Begin a run, or go on with that of the checkpoint or of the trainer's run before."""
        if idist.get_rank() != 0:
            return None
        loaded, before, state = self._checkpoint, self._recording.run, self._trainer.state
        self._checkpoint = None
        if loaded is None and before is not None and state.iteration:
            loaded = {**bookmark(before), "step": state.iteration}
        facts = {name: getattr(state, name, None) for name in ("max_epochs", "max_iters", "epoch_length")}
        facts["batch_size"] = getattr(state.dataloader, "batch_size", None)
        known = {name: value for name, value in facts.items() if value is not None}
        if loaded is None or not loaded.get("run_uid"):
            return self._recording.begin(hyperparams=known)
        uid = str(loaded["run_uid"])
        if not state.iteration:  # the weights are the checkpoint's, the training is another
            return self._recording.begin(hyperparams=known, parent=uid, parent_step=loaded.get("step"))
        return self._recording.resume(uid, state.iteration, lineage=loaded.get("lineage"), hyperparams=known)

    def _ended(self, ending: Ending | None = None) -> None:
        self._trains = False
        failure, self._failure = self._failure, None
        if ending is None and failure is not None and failure[0] == self._trainer.state.iteration:
            ending = failure[1]  # a handler of EXCEPTION_RAISED kept it from being raised
        if self._recording.is_open:
            self._recording.finish(*(ending or (None, None)))

    def close(self) -> None:
        """End a run that is still open, and close a store that was opened here."""
        self._recording.finish(*self._rest())

    def __exit__(self, kind: Any, value: BaseException | None, traceback: Any) -> None:
        self._recording.finish(*(self._rest() if value is None else ending_of(value)))

    def _rest(self) -> Ending:
        """How a run ends that nothing has ended: its trainer was interrupted, and did not go on."""
        is_paused = self._trainer is not None and self._trainer._internal_run_generator is not None
        return ("interrupted", None) if is_paused else ("finished", None)

    # --- Checkpoints -------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of the run: its uid and lineage, and the iteration."""
        run = self._recording.run
        if run is None or self._trainer is None:
            return {"run_uid": None}
        return {**bookmark(run), "step": self._trainer.state.iteration}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on with the checkpoint's run when the trainer runs next."""
        self._checkpoint = dict(state_dict)


class OutputHandler(BaseOutputHandler):  # type: ignore[misc]
    """Records an engine's output, metrics or state; see Ignite's loggers.

    Args:
        tag: What the metrics' names begin with: "validation" makes "validation/accuracy". None: nothing.
        metric_names: Names in ``engine.state.metrics``, or "all".
        output_transform: What makes of ``engine.state.output`` a number or a dict of numbers.
        global_step_transform: None, or ``global_step_from_engine(trainer)``: the trainer's iteration. Another function
            returns the step itself.
        state_attributes: Names of attributes of ``engine.state``.
    """

    def __init__(
        self,
        tag: str | None = None,
        metric_names: str | list[str] | None = None,
        output_transform: Callable[[Any], Any] | None = None,
        global_step_transform: Callable[[Engine, Any], int] | None = None,
        state_attributes: list[str] | None = None,
    ) -> None:
        super().__init__(tag, metric_names, output_transform, global_step_transform, state_attributes)
        self._clock: Engine | None = None
        self._own_step = global_step_transform
        if getattr(global_step_transform, "__qualname__", "").startswith(_FROM_ENGINE):
            # It would give the epoch at an event of an epoch, which is no step.
            self._clock = _closure_of(global_step_transform)["engine"]
            self._own_step = None

    def __call__(self, engine: Engine, logger: TrainStoreLogger, event_name: Any) -> None:
        """Record it; called by the engine."""
        step = None if self._own_step is None else self._own_step(engine, event_name)
        found = self._setup_output_metrics_state_attrs(engine, log_text=True, key_tuple=True)
        metrics = {"/".join(key) if isinstance(key, tuple) else key: value for key, value in found.items()}
        logger.log(metrics, step, self._clock)


class OptimizerParamsHandler(BaseOptimizerParamsHandler):  # type: ignore[misc]
    """Records a parameter of each group of an optimizer, as ``lr/group_0``.

    Args:
        optimizer: The optimizer.
        param_name: The parameter.
        tag: What the names begin with. None: nothing.
    """

    def __call__(self, engine: Engine, logger: TrainStoreLogger, event_name: Any) -> None:
        """Record them; called by the engine."""
        prefix = f"{self.tag}/" if self.tag else ""
        groups = enumerate(self.optimizer.param_groups)
        logger.log({f"{prefix}{self.param_name}/group_{place}": float(one[self.param_name]) for place, one in groups})


def _closure_of(function: Any) -> Mapping[str, Any]:
    return inspect.getclosurevars(function).nonlocals
