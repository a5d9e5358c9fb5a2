"""Who is told, in this process, that a run has begun, sent an alert or ended: one listener, set by the package.

Telling is no part of recording. A listener must neither wait nor raise, and nothing that it does reaches a training.
`log` tells nobody anything. This module is imported with the package, before whatever else registers for the exit, so
that its own function is called last: after the runs have ended and their records are delivered.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from typing import Any, NamedTuple

#: The end of an attempt, as an event of its opener. No record of a journal has this number.
END = 0


class Event(NamedTuple):
    """What somebody may want to hear of a run. ``writer_uid`` and ``seq`` are its identity."""

    kind: str  # begun, alert, ended
    writer_uid: str
    seq: int  # of an alert: its record's number; of an end: `END`
    run_uid: str
    name: str
    project: str
    step: int | None = None
    title: str = ""  # of an alert, as are the next two
    text: str = ""
    level: str = "info"
    status: str = "running"
    error: str | None = None  # of an end


_listener: Callable[[Event, Any], None] | None = None
_at_exit: Callable[[], None] | None = None


def listen(listener: Callable[[Event, Any], None], at_exit: Callable[[], None]) -> None:
    """Be told of every event from now on, with the `RecordingService` that records it; and of the exit, last of all."""
    global _listener, _at_exit
    _listener, _at_exit = listener, at_exit


def tell(event: Event, service: Any) -> None:
    """Tell the listener. Never raises."""
    try:
        if _listener is not None:
            _listener(event, service)
    except Exception as error:  # noqa: BLE001 - whatever fails there must not reach a training
        import logging  # not above: `import trainstore` would load it

        logging.getLogger("trainstore").debug("nobody was told of the %s of a run (%s)", event.kind, error)


def _exit() -> None:
    if _at_exit is not None:
        _at_exit()


atexit.register(_exit)
