"""Failures of trainstore itself: they are logged, and the training goes on."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import Any

from trainstore.errors import TrainStoreError

logger = logging.getLogger("trainstore")

MAX_FAILURES = 5  # of one kind; after these, that kind is not tried again in this training

# Kinds of failures that are not hooks.
STEP, LOSS, GRAD_NORM, LEARNING_RATE = "a step", "the loss", "the gradient norm", "the learning rate"
NAME = "the run's name in a checkpoint"
NEVER_GIVEN_UP = {STEP, LOSS, GRAD_NORM, LEARNING_RATE, "on_train_begin", "on_train_end"}


@dataclass
class LostSteps:
    """The steps of a training that were not recorded, because trainstore failed."""

    count: int = 0
    first: int = -1
    last: int = -1
    error: str = ""

    def add(self, step: int, error: Exception) -> None:
        """A step was lost."""
        if not self.count:
            self.first, self.error = step, type(error).__name__
        self.count += 1
        self.last = step

    def details(self) -> dict[str, Any]:
        """For the event that tells it."""
        return {"count": self.count, "first_step": self.first, "last_step": self.last, "error": self.error}


class Failures:
    """Counts one callback's failures by their kind, and gives up a kind that fails too often; never the steps.

    Logs the first failure of all, and each kind that is given up.

    Args:
        reraise: Raise a failure instead of logging it, if the caller can handle that.

    Attributes:
        given_up: The kinds that are not tried any more in this training.
    """

    def __init__(self, *, reraise: bool) -> None:
        self.given_up: set[str] = set()
        self._reraise = reraise
        self._counts: Counter[str] = Counter()
        self._is_told = False
        self._warned: set[str] = set()

    def begin(self) -> None:
        """A training begins: try everything again."""
        self.given_up.clear()
        self._counts.clear()

    def report(self, kind: str, error: Exception, *, reraise: bool = True) -> None:
        """Log that something could not be recorded, or raise the error if that was asked for.

        Args:
            kind: The name of a hook, or a part of the run.
            error: What went wrong.
            reraise: False in code that must never raise.
        """
        if reraise and self._reraise:
            raise error
        self._counts[kind] += 1
        name = type(error).__name__
        if self._is_told:
            logger.debug("%s could not be recorded (%s)", kind, name)
        else:
            self._is_told = True
            # Only our own errors are logged with their text: others may contain a value or a URL.
            text = f": {error}" if isinstance(error, TrainStoreError) else ""
            logger.warning("%s could not be recorded (%s%s); the training goes on", kind, name, text)
        if self._counts[kind] == MAX_FAILURES and kind not in NEVER_GIVEN_UP:
            self.given_up.add(kind)
            logger.warning("%s failed %d times and is left out of this training's record", kind, MAX_FAILURES)

    def warn_once(self, message: str, *args: object) -> None:
        """Log a warning, unless the same message was logged before."""
        if message not in self._warned:
            self._warned.add(message)
            logger.warning(message, *args)
