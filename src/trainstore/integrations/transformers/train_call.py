"""The call of ``Trainer.train`` itself, whose end no event tells: it may raise, or just return.

``train`` is wrapped on the class. A wrapper on one trainer would have to be there before the training begins, and would
keep the trainer, and so the model, in a reference cycle. A trainer without our callback is not affected.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from transformers import Trainer

Listener = Callable[[BaseException | None], None]

_calls: dict[int, list[Listener]] = {}  # by the id of each trainer whose train() is under way


def watch_train() -> None:
    """Wrap ``Trainer.train``, unless that is done."""
    original = Trainer.train
    if hasattr(original, "__trainstore__"):
        return

    @functools.wraps(original)
    def train(self: Any, *args: Any, **kwargs: Any) -> Any:
        if id(self) in _calls:  # train() inside of train(): the outer call tells
            return original(self, *args, **kwargs)
        listeners = _calls[id(self)] = []
        error: BaseException | None = None
        try:
            return original(self, *args, **kwargs)
        except BaseException as raised:
            error = raised
            raise
        finally:
            del _calls[id(self)]
            for listener in listeners:
                listener(error)
            error = None  # else its traceback, which has this frame, would keep the frames of the training

    wrapped: Any = train
    wrapped.__trainstore__ = True
    Trainer.train = wrapped


def when_train_ends(trainer: Any | None, listener: Listener) -> bool:
    """Let ``listener`` know the end of the call of ``trainer.train()`` that is under way.

    Args:
        trainer: The trainer, if it is known.
        listener: Called once, in the trainer's thread, with the exception or None. It must not raise.

    Returns:
        False if there is no such call: a subclass has a ``train()`` of its own, or it is no ``transformers.Trainer``.
    """
    listeners = _calls.get(id(trainer))
    if listeners is None:
        return False
    listeners.append(listener)
    return True
