"""What an exception that ends a training means for its run."""

from __future__ import annotations

import traceback

from trainstore.endings import Ending, describe_exception, ending_of
from trainstore.run import ActiveRun


def ending(error: BaseException | None) -> Ending:
    """Status and text of a run that ended badly. Lightning tells a SIGTERM by an exception of its own."""
    if error is None:
        return "failed", None
    if type(error).__name__ == "SIGTERMException":
        return "interrupted", "SIGTERM"
    return ending_of(error)


def log_exception(run: ActiveRun, step: int | None, error: BaseException, rank: int = 0) -> None:
    """Record an exception with its traceback as an event."""
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    details = {"type": type(error).__qualname__, "rank": rank, "traceback": "".join(lines)}
    run.log_event("exception", step, {**details, "message": describe_exception(error)})
