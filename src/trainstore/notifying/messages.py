"""What a message says: the run's name and project, what happened, the step, and an error's first line.

Nothing else of a run leaves the store: no hyperparameters, no metrics, no paths. Everything is plain text of one
language and a bounded length; whatever a name or an alert holds, it is shown and not interpreted.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from trainstore.errors import InvalidArgumentError
from trainstore.recording.listeners import Event

VARIABLE = "TRAINSTORE_NOTIFY_ON"
KNOWN = ("alert", "finished", "failed", "lost", "interrupted", "pruned")
#: Without the variable. Who interrupts a run sits before it, and trials are pruned by the dozen.
DEFAULT = KNOWN[:4]
MAX_TITLE = 200  # characters
MAX_NAME = 80
MAX_TEXT = 1_500
_KINDS = {"info": "info", "warn": "warning", "error": "failure"}  # an alert's level → as Apprise calls it
_KINDS_OF_ENDS = {"finished": "success", "failed": "failure", "lost": "failure"}


class Message(NamedTuple):
    """What is sent."""

    kind: str  # info, success, warning, failure
    title: str
    body: str


def wanted() -> frozenset[str]:
    """Of what there are messages: the words in ``TRAINSTORE_NOTIFY_ON``, else `DEFAULT`.

    Raises:
        InvalidArgumentError: One of the words is not known.
    """
    words = [word for word in re.split(r"[\s,]+", os.environ.get(VARIABLE, "").lower()) if word]
    for word in words:
        if word not in KNOWN:
            raise InvalidArgumentError(f"{VARIABLE} holds {word!r}, which is not one of {', '.join(KNOWN)}")
    return frozenset(words or DEFAULT)


def is_sent(event: Event) -> bool:
    """Whether there is a message of this event. Raises as `wanted`."""
    return event.kind in ("alert", "ended") and ("alert" if event.kind == "alert" else event.status) in wanted()


def message_of(event: Event) -> Message:
    """The message."""
    name, project = _line(event.name, MAX_NAME), f"project {_line(event.project, MAX_NAME)}"
    at = "" if event.step is None else f" at step {event.step}"
    if event.kind == "alert":
        said = [_text(event.text)] if event.text.strip() else []
        about = f"{_line(event.level, 20)}{at}, run {name}, {project}"
        title = _line(event.title, MAX_TITLE) or "(no title)"
        return Message(_KINDS.get(event.level, "info"), title, "\n".join([*said, about, event.run_uid]))
    kind = _KINDS_OF_ENDS.get(event.status, "info")
    lines = (event.error or "").strip().splitlines()
    said = [_line(lines[0], MAX_TITLE)] if lines else []
    if event.status == "lost":
        said = ["Its process was killed, or is not heard of any more."]
    return Message(kind, f"{name} {event.status}{at}", "\n".join([*said, project, event.run_uid]))


def trial_message() -> Message:
    """What ``trainstore notify test`` sends."""
    return Message("info", "trainstore: a test", "Alerts and ends of runs will arrive here.")


def _line(text: str, limit: int) -> str:
    """One line of a text, without control characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * limit]).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def _text(text: str) -> str:
    """A text of several lines, without control characters."""
    cut = text.strip()[: MAX_TEXT + 1]
    clean = "".join(c if c == "\n" or c.isprintable() else " " for c in cut)
    return clean if len(clean) <= MAX_TEXT else f"{clean[:MAX_TEXT]}…"
