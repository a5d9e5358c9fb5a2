"""One training under way, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from weakref import ref

from trainstore.integrations.transformers.foreign import Events
from trainstore.integrations.transformers.incomplete import Incomplete
from trainstore.integrations.transformers.ranks import Ranks
from trainstore.integrations.transformers.steps import StepRecorder
from trainstore.integrations.transformers.wrappers import Wrappers
from trainstore.run import ActiveRun


@dataclass(eq=False)
class Training:
    """What the callback knows of one training. A callback has several if trainings are nested, or run in threads.

    Attributes:
        args: The trainer's arguments; of another library's, a `Foreign`.
        state: The trainer's state, likewise.
        trainer: The trainer, if it was found.
        events: Reads what the events give.
        given_state: The state as the last event gave it. It tells trainings apart: a Trainer has the same object in all
            events of a training.
        run: The run. None: another rank records it.
        incomplete: What of it cannot be read.
        steps: Records its steps. None: nothing is recorded, here or any more.
        is_watched: Whether the end of ``train()`` will be told. Else the outermost of our wrappers ends the training.
        in_epoch: Whether an epoch is under way.
        failure: The last exception that was seen, as text.
        stopped_by: What stopped the training before its end, for the run's ``error``.
        wrappers: The methods that are replaced while it lasts.
        ranks: The processes that train together.
    """

    args: Any
    state: Any
    trainer: ref[Any] | None
    events: Events
    given_state: Any = None
    run: ActiveRun | None = None
    incomplete: Incomplete | None = None
    steps: StepRecorder | None = None
    is_watched: bool = False
    in_epoch: bool = False
    failure: str | None = None
    stopped_by: str | None = None
    wrappers: Wrappers = field(default_factory=Wrappers)
    ranks: Ranks = field(init=False)
    _seen: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        self.args = self.events.arguments(self.args)
        self.is_told(self.state)
        self.ranks = Ranks.of(self.args, self.state)

    def is_told(self, state: Any) -> None:
        """An event gives this state."""
        self.given_state, self.state = state, self.events.state(state)

    @property
    def known_trainer(self) -> Any | None:
        """The trainer, if it was found and still exists."""
        return None if self.trainer is None else self.trainer()

    def is_new(self, error: BaseException) -> bool:
        """Whether an exception on its way out was not seen yet; it passes several of our wrappers.

        The exception is not kept: its traceback refers to what the failed step holds on the device.
        """
        seen, self._seen = self._seen, (id(error), self.state.global_step)
        return seen != self._seen

    def let_go_of_steps(self) -> StepRecorder | None:
        """Record no more steps; the one that waits for its log is recorded."""
        steps, self.steps = self.steps, None
        if steps is not None:
            steps.release()
        return steps
