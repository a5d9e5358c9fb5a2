"""The callbacks beside a callback: those of the same trainer."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from trainstore.integrations.transformers.wrappers import owners_of_frames


def list_with(callback: TrainerCallback) -> tuple[Any, list[Any]] | None:
    """The object whose event ``callback`` handles now, and its list of callbacks; None outside an event.

    No event carries it. It is the ``self`` of a frame further up, a ``CallbackHandler`` or a trainer with a list of its
    own.
    """
    for owner in owners_of_frames():
        found = [] if owner is callback else _callbacks(owner)
        if any(one is callback for one in found):
            return owner, found
    return None


def _callbacks(owner: object) -> list[Any]:
    try:
        found = vars(owner).get("callbacks")
    except Exception:  # noqa: BLE001 - it may be any object from any frame further up
        return []
    return found if isinstance(found, list) else []
