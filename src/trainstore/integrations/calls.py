"""Learns how a call ends that is a whole training: Keras and the boosting libraries tell no callback of an exception.

The function is replaced where its library looks it up, when the adapter is imported. (Not when a callback is made: in
``train(…, callbacks=[Callback()])`` the function is looked up first.) The wrapper passes everything on; a training
without our callback only goes through it. Who bound the function to another name before, as ``from lightgbm import
train`` does, calls the original: then the callback knows of no call, and goes by what the library tells it.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Mapping
from typing import Any

Listener = Callable[[BaseException | None], None]


class Call:
    """A training that is under way.

    Attributes:
        package: Whose function it is.
        arguments: What it was called with, by the names of the parameters.
        listeners: Called once when it ends, with the exception or None, in the training's thread. They must not raise.
    """

    def __init__(
        self, package: str, signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.package = package
        try:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            self.arguments: Mapping[str, Any] = bound.arguments
        except TypeError:  # the library is about to say so
            self.arguments = {}
        self.listeners: list[Listener] = []

    def end(self, error: BaseException | None) -> None:
        """Tell the listeners, and let go of the data: they may refer to the call, in a cycle."""
        listeners, self.listeners = self.listeners, []
        for listener in listeners:
            listener(error)
        self.arguments = {}


class _UnderWay(threading.local):
    """The watched calls of one thread, the innermost last."""

    def __init__(self) -> None:
        self.calls: list[Call] = []


_under_way = _UnderWay()


def watch(name: str, *owners: Any) -> None:
    """Watch a function or method from now on.

    Args:
        name: Its name.
        owners: The class or modules that have it under this name; one that has another function there is left alone.
    """
    original = getattr(owners[0], name)
    if hasattr(original, "__trainstore__"):
        return
    signature, package = inspect.signature(original), original.__module__.partition(".")[0]

    @functools.wraps(original)
    def watched(*args: Any, **kwargs: Any) -> Any:
        call = Call(package, signature, args, kwargs)
        _under_way.calls.append(call)
        error: BaseException | None = None
        try:
            return original(*args, **kwargs)
        except BaseException as raised:
            error = raised
            raise
        finally:
            _under_way.calls.remove(call)
            call.end(error)
            error = None  # its traceback refers to this frame: a cycle that would keep the training's frames alive

    watched.__trainstore__ = True  # type: ignore[attr-defined]
    for owner in owners:
        if getattr(owner, name, None) is original:
            setattr(owner, name, watched)


def call_under_way(package: str) -> Call | None:
    """The innermost watched call of a package in this thread."""
    return next((call for call in reversed(_under_way.calls) if call.package == package), None)
