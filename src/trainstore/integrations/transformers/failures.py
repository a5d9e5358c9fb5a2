"""Failures of trainstore itself: they are logged, and the training goes on."""

from __future__ import annotations

import logging

from trainstore.errors import TrainStoreError

logger = logging.getLogger("trainstore")

MAX_FAILURES = 5  # after these, nothing more is recorded


class Failures:
    """Counts one callback's failures. Logs the first one, and when there are too many.

    Args:
        reraise: Raise a failure instead of logging it, if the caller can handle that.
    """

    def __init__(self, *, reraise: bool) -> None:
        self.disabled = False  # True: there were too many; record nothing more
        self._reraise = reraise
        self._count = 0
        self._warned: set[str] = set()

    def report(self, what: str, error: Exception, *, reraise: bool = True) -> None:
        """Log that ``what`` could not be recorded, or raise the error if that was asked for.

        Args:
            what: The name of a hook, or a part of the run.
            error: What went wrong.
            reraise: False in code that must never raise.
        """
        if reraise and self._reraise:
            raise error
        self._count += 1
        kind = type(error).__name__
        if self._count == 1:
            # Only our own errors are logged with their text: others may contain a value or a URL.
            text = f": {error}" if isinstance(error, TrainStoreError) else ""
            logger.warning("%s could not be recorded (%s%s); the training goes on", what, kind, text)
        else:
            logger.debug("%s could not be recorded (%s)", what, kind)
        if self._count >= MAX_FAILURES and not self.disabled:
            self.disabled = True
            logger.warning("trainstore failed %d times and stops recording this training", self._count)

    def warn_once(self, message: str, *args: object) -> None:
        """Log a warning, unless the same message was logged before."""
        if message not in self._warned:
            self._warned.add(message)
            logger.warning(message, *args)
