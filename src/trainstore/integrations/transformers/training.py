"""What the callback knows about one training under way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from trainstore.integrations.failures import LostSteps
from trainstore.integrations.protocol import Protocol, protocol_of
from trainstore.integrations.transformers.foreign import Events
from trainstore.integrations.transformers.incomplete import Incomplete
from trainstore.integrations.transformers.ranks import Ranks
from trainstore.integrations.transformers.steps import StepRecorder
from trainstore.integrations.transformers.wrappers import Reference, Wrappers
from trainstore.run import ActiveRun


@dataclass(eq=False)
class Training:
    """One training under way. A callback has several if trainings are nested, or run in threads.

    Attributes:
        args: The trainer's arguments; those of another library are wrapped in a `Foreign`.
        state: The trainer's state, likewise.
        trainer: A reference to the trainer, if it was found.
        events: Reads what the events carry.
        protocol: The names inside the trainer.
        given_state: The state as the last event gave it. It identifies the training: a Trainer passes the same object
            in all events of a training.
        run: The run. None: another rank records it.
        incomplete: The run's fields that cannot be read.
        steps: Records the steps. None: they are not recorded, or no longer.
        is_watched: Whether we will learn when ``train()`` ends. Otherwise the outermost of our wrappers ends the
            training.
        in_epoch: Whether an epoch is under way.
        failure: The last exception that was seen, as text.
        stopped_by: What stopped the training early, for the run's ``error``.
        checkpoint: The folder of the last checkpoint, if the trainer told.
        lost_steps: The steps that a failure of trainstore kept from being recorded.
        wrappers: The methods that are replaced during the training.
        ranks: The processes that train together.
    """

    args: Any
    state: Any
    trainer: Reference | None
    events: Events
    given_state: Any = None
    run: ActiveRun | None = None
    incomplete: Incomplete | None = None
    steps: StepRecorder | None = None
    is_watched: bool = False
    in_epoch: bool = False
    failure: str | None = None
    stopped_by: str | None = None
    checkpoint: Any = None
    lost_steps: LostSteps = field(default_factory=LostSteps)
    wrappers: Wrappers = field(default_factory=Wrappers)
    protocol: Protocol = field(init=False)
    ranks: Ranks = field(init=False)
    _seen: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        self.protocol = protocol_of(self.known_trainer)
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

    @property
    def last_step(self) -> int:
        """The last step that ended. The state may count back: some trainers load the best model's step with it."""
        step: int = self.state.global_step
        return step if self.steps is None else max(step, self.steps.last_step)

    def is_new(self, error: BaseException) -> bool:
        """Whether an exception on its way out is seen for the first time: it passes several of our wrappers.

        The exception itself is not kept: its traceback refers to what the failed step holds on the device.
        """
        seen, self._seen = self._seen, (id(error), self.state.global_step)
        return seen != self._seen
