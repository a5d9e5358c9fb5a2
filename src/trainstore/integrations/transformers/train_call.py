"""Learns when a call of ``Trainer.train`` returns or raises, which no event tells.

The method is wrapped on the class. A wrapper on a single trainer would have to be there before the training begins, and
would keep the trainer, and so the model, in a reference cycle. A trainer without our callback is not affected.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

Listener = Callable[[BaseException | None], None]

_calls: dict[int, list[Listener]] = {}  # for each train() under way, by its trainer's id


def watch_train(trainer_class: Any, method: str) -> None:
    """Wrap the method of a class of trainers that is a whole training, unless it already is."""
    original = getattr(trainer_class, method, None)
    if not callable(original) or hasattr(original, "__trainstore__"):
        return

    @functools.wraps(original)
    def train(self: Any, *args: Any, **kwargs: Any) -> Any:
        if id(self) in _calls:  # train() inside train(): the outer call tells the end
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
            error = None  # its traceback refers to this frame: a cycle that would keep the training's frames alive

    wrapped: Any = train
    wrapped.__trainstore__ = True
    setattr(trainer_class, method, wrapped)


def when_train_ends(trainer: Any | None, listener: Listener) -> bool:
    """Call ``listener`` when the call of ``trainer.train()`` that is under way ends.

    Args:
        trainer: The trainer, if it is known.
        listener: Called once, in the trainer's thread, with the exception or None. It must not raise.

    Returns:
        False if there is no such call: the trainer has its own ``train()``, or is not a ``transformers.Trainer``.
    """
    listeners = _calls.get(id(trainer))
    if listeners is None:
        return False
    listeners.append(listener)
    return True
