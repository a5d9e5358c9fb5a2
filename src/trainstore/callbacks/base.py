"""`Callback`: what all callbacks have in common, so that none of them can disturb a training."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any, ClassVar

from transformers import TrainerCallback

from trainstore.callbacks.neighbours import list_with
from trainstore.callbacks.summary_writer import SummaryWriterSource, write_scalars
from trainstore.errors import TrainStoreError
from trainstore.integrations.transformers import TrainStoreCallback
from trainstore.run import ActiveRun, checked_run, recording_is_disabled

logger = logging.getLogger("trainstore")

LONG = 0.001  # seconds that an event takes
MAX_FAILURES = 5  # of one event; after these the callback ignores it

_Hook = Callable[..., Any]


def guarded(hook: _Hook) -> _Hook:
    """An event's method whose failures never reach the training, and which acts only where the callback does.

    If it takes long, that is left out of the step's recorded time, and of the next one's wait for data.
    """
    name = hook.__name__

    @functools.wraps(hook)
    def within(self: Callback, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        if self._is_inside:  # a subclass calls super().on_…: the outermost call has the guard
            return hook(self, args, state, control, **kwargs)
        if not (self.every_rank or getattr(state, "is_world_process_zero", True)):
            return None
        self._is_inside, self._state = True, state
        began = perf_counter()
        try:
            if name == "on_train_begin" and self._calls.get(name, 0) % self._places == 0:
                self._join()
            if self._is_idle and self._ignores(name):
                return None
            return hook(self, args, state, control, **kwargs)
        except Exception as error:  # noqa: BLE001 - no failure of a callback may end a training
            self._fail(name, error)
            return None
        finally:
            self._is_inside = False
            took = perf_counter() - began
            if took > LONG:
                self._leave_out(took)

    return within


def only_if(is_due: Callable[[Any, Any], Any]) -> Callable[[_Hook], _Hook]:
    """For an event's method that most steps have no use for: the guard takes longer than to find that out.

    Args:
        is_due: ``(callback, state) -> whether``. If it fails, the method is called.
    """

    def decorate(hook: _Hook) -> _Hook:
        careful = guarded(hook)

        @functools.wraps(hook)
        def quick(self: Callback, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
            try:
                if not is_due(self, state):
                    return None
            except Exception:  # noqa: BLE001 - the method will fail, too, and its guard tells how
                pass
            return careful(self, args, state, control, **kwargs)

        quick.has_guard = True  # type: ignore[attr-defined]
        return quick

    return decorate


class _ClassName:
    """The name of the class, unless a subclass or an object has another ``name``."""

    def __get__(self, instance: object, owner: type) -> str:
        return owner.__name__


class Callback(TrainerCallback):  # type: ignore[misc]
    """The base of our callbacks, and of yours: an event method that fails costs a warning, not the training.

    Its subclasses define the events that they need (``on_log``, ``on_step_end``, …) as for
    ``transformers.TrainerCallback``. They are called on rank 0 alone. What they raise is logged once; an event that has
    failed five times is no longer handled in this training.

    Args:
        run: The run to write into. None: the one that the `TrainStoreCallback` of the same trainer records.
        summary_writer: A ``SummaryWriter`` of TensorBoard, or the folder in which one is opened.

    Raises:
        InvalidArgumentError: An argument that cannot be used.

    It may be copied and pickled, with its trainer too: the copy has the same arguments, and belongs to no training yet.
    """

    #: How the callback is called. Forgather's trainer asks one that stops the training for it.
    name: str = _ClassName()  # type: ignore[assignment]
    #: Whether every process of a distributed training calls the events; otherwise rank 0 alone does.
    every_rank: ClassVar[bool] = False
    #: Whether it has something to write. If it finds neither a run nor a summary writer, it says so.
    writes: ClassVar[bool] = False

    _given_run: ActiveRun | None
    _summary: SummaryWriterSource

    def __new__(cls, *args: Any, **kwargs: Any) -> Callback:
        """An object that belongs to no training, even if a subclass does not call ``super().__init__()``."""
        self: Callback = super().__new__(cls)
        self._given_run, self._summary = None, SummaryWriterSource(None)
        self._reset()
        return self

    def __init__(self, run: ActiveRun | None = None, summary_writer: Any = None) -> None:
        self._given_run = None if run is None else checked_run(run)
        self._summary = SummaryWriterSource(summary_writer)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, value in list(vars(cls).items()):
            if name.startswith("on_") and callable(value) and not hasattr(value, "has_guard"):
                setattr(cls, name, guarded(value))
        # Python would show that of __new__, which takes anything.
        _, *parameters = inspect.signature(cls.__init__).parameters.values()
        cls.__signature__ = inspect.Signature(parameters)

    def _reset(self) -> None:
        """Belong to no training. What is set here is neither copied nor pickled."""
        self._state: Any = None  # that of the event under way
        self._is_inside = False  # an event of ours
        self._is_idle = False  # whether some events are to be ignored
        self._is_second = False  # whether another callback does what this one would do
        self._places = 1  # in the trainer's list
        self._calls: dict[str, int] = {}  # of each event, if there are several places
        self._failures: dict[str, int] = {}  # by event
        self._recorders: list[TrainStoreCallback] | None = None  # of the same trainer; None: not looked for yet
        self._has_lost_writer = False  # whether TensorBoard's writer has failed in this training
        self._warned: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        of_a_training = vars(type(self).__new__(type(self))).keys() - {"_given_run", "_summary"}
        return {name: value for name, value in vars(self).items() if name not in of_a_training}

    # --- Where it writes --------------------------------------------------------------------------------------------

    @property
    def run(self) -> ActiveRun | None:
        """The run to write into, inside an event of a training. None: nothing records the training, or not yet.

        A `TrainStoreCallback` begins its run in ``on_train_begin``: one that comes later in the list has none then.
        """
        if self._given_run is not None:
            return self._given_run
        if self._recorders is None:
            self._find_recorders()
        for recorder in self._recorders or ():
            run = recorder.run_of(self._state)
            if run is not None:
                return run
        return None

    @property
    def summary_writer(self) -> Any | None:
        """The TensorBoard writer that was given, or that is opened in the folder that was given.

        None if there is none, or if it has failed in this training.
        """
        return None if self._has_lost_writer else self._guard_writer(self._summary.open)

    def to_summary(self, write: Callable[[Any], None]) -> None:
        """Write to TensorBoard: ``write`` is called with the writer, if there is one.

        If that fails, as on a full disk, it is told once, and nothing more goes there in this training.
        """
        writer = self.summary_writer
        if writer is not None:
            self._guard_writer(lambda: write(writer))

    def add_scalars(self, values: Mapping[str, float], step: int) -> None:
        """The same for numbers: each is a scalar of TensorBoard under its name."""
        writer = self.summary_writer
        if writer is not None:
            self._guard_writer(lambda: write_scalars(writer, values, step))

    def close_summary(self) -> None:
        """Write what the TensorBoard writer still holds; close it, if it was opened here."""
        if not self._has_lost_writer:
            self._guard_writer(self._summary.close)

    def _guard_writer(self, action: Callable[[], Any]) -> Any | None:
        try:
            return action()
        except Exception as error:
            self._has_lost_writer = True
            self.warn_once(f"nothing more goes to TensorBoard ({_described(error)})")
            logger.debug("%s: TensorBoard's writer failed", type(self).__name__, exc_info=error)
            return None

    def warn_once(self, message: str) -> None:
        """Log a warning, unless this callback has logged the same one before."""
        if message not in self._warned:
            self._warned.add(message)
            logger.warning("%s: %s", type(self).__name__, message)

    # --- For subclasses ---------------------------------------------------------------------------------------------

    def warn_without_evaluations(self, args: Any, effect: str) -> None:
        """Say what follows if the training's arguments ask for no evaluation."""
        if getattr(args, "eval_strategy", None) == "no":
            self.warn_once(f"eval_strategy is 'no': without evaluations {effect}")

    def target(self) -> object | None:
        """What two callbacks of this class must not both write to; None: any number of them may be used."""
        return None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A training begins. (Before this, the callback has looked for its run.)"""

    on_train_begin = guarded(on_train_begin)

    # --- The rules --------------------------------------------------------------------------------------------------

    def _join(self) -> None:
        """A training begins: find its run, and whether another callback does the same."""
        self._failures.clear()
        self._calls.clear()
        self._is_idle = self._is_second = self._has_lost_writer = False
        self._places = 1
        found = self._find_recorders()
        self._places = max(1, sum(one is self for one in found))
        if self._places > 1:
            self.warn_once(f"is {self._places} times in the trainer's list; each event is handled once")
            self._is_idle = True
        target = self.target()
        twins = [one for one in found if type(one) is type(self) and (one is self or one.target() == target)]
        if target is not None and twins and twins[0] is not self:
            self.warn_once("another one in the trainer's list does the same; this one does nothing")
            self._is_idle = self._is_second = True
        nowhere = self._given_run is None and not self._recorders and not self._summary
        if self.writes and nowhere and not recording_is_disabled():
            self.warn_once(
                "has nowhere to write; add a TrainStoreCallback to the trainer, or give run= or summary_writer="
            )
        if not self._is_second:
            self._guard_writer(self._summary.make_folder)

    def _find_recorders(self) -> list[Any]:
        """Remember what records this trainer; return all of its callbacks."""
        place = list_with(self)
        found = [] if place is None else place[1]
        self._recorders = [one for one in found if isinstance(one, TrainStoreCallback)]
        return found

    def _ignores(self, name: str) -> bool:
        if self._is_second or self._failures.get(name, 0) >= MAX_FAILURES:
            return True
        if self._places > 1:
            count = self._calls.get(name, 0)
            self._calls[name] = count + 1
            return count % self._places != 0
        return False

    def _leave_out(self, seconds: float) -> None:
        try:
            for recorder in self._recorders or ():
                recorder.leave_out(self._state, seconds)
        except Exception as error:
            logger.debug("the time of %s cannot be left out", type(self).__name__, exc_info=error)

    def _fail(self, name: str, error: Exception) -> None:
        """Tell a failure once; too many of one event, and it is no longer handled."""
        count = self._failures[name] = self._failures.get(name, 0) + 1
        told = f"{name} failed ({type(error).__name__}"
        if told not in self._warned:  # its text may be another one each time
            self._warned.add(told)
            self.warn_once(f"{name} failed ({_described(error)}); the training goes on")
        logger.debug("%s.%s failed", type(self).__name__, name, exc_info=error)
        if count >= MAX_FAILURES:
            self._is_idle = True
            self.warn_once(f"{name} failed {count} times and is no longer handled")


def _described(error: Exception) -> str:
    """Only our own errors and the system's with their text: others may contain a value or a URL."""
    kind = type(error).__name__
    return f"{kind}: {error}" if isinstance(error, (TrainStoreError, OSError)) else kind
