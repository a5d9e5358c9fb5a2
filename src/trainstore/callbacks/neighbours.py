"""The callbacks beside a callback: those of the same trainer."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from transformers import TrainerCallback


def list_with(callback: TrainerCallback) -> tuple[Any, list[Any]] | None:
    """The object whose event ``callback`` handles now, and its list of callbacks; None outside an event.

    No event carries it. It is the ``self`` of a frame further up, a ``CallbackHandler`` or a trainer with a list of its
    own. Reading a frame's locals keeps copies of them until that function returns, so do this once a training.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if "self" in frame.f_code.co_varnames:
            owner = frame.f_locals.get("self")
            if owner is not callback:
                found = _callbacks(owner)
                if any(one is callback for one in found):
                    return owner, found
        frame = frame.f_back
    return None


def _callbacks(owner: object) -> list[Any]:
    try:
        found = vars(owner).get("callbacks")
    except Exception:  # noqa: BLE001 - it may be any object from any frame further up
        return []
    return found if isinstance(found, list) else []
