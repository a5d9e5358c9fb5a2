"""What no event of a Trainer tells: which trainer calls, and what its methods return."""

from __future__ import annotations

import copy
import functools
import logging
import sys
from collections.abc import Callable
from types import FrameType, MethodType
from typing import Any

logger = logging.getLogger("trainstore")

Method = Callable[..., Any]


def calling_trainer(callback: object) -> Any | None:
    """The trainer whose event ``callback`` handles now, or None.

    It is the ``self`` of a frame above, known by its callback handler: no event carries it. Reading a frame's locals
    keeps copies of them until the function returns, so this is for once a training, not for every step.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if "self" in frame.f_code.co_varnames:
            candidate = frame.f_locals.get("self")
            if any(one is callback for one in callbacks_of(candidate)):
                return candidate
        frame = frame.f_back
    return None


def is_calling(trainer: object) -> bool:
    """Whether a method of the trainer is under way in this thread."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if "self" in frame.f_code.co_varnames and frame.f_locals.get("self") is trainer:
            return True
        frame = frame.f_back
    return False


def attribute_of(owner: Any, name: str) -> Any | None:
    """An attribute of an object of any library; None if there is none, or if asking for it raises."""
    try:
        return getattr(owner, name, None)
    except Exception:  # noqa: BLE001
        return None


def callbacks_of(trainer: object) -> list[Any]:
    """A trainer's callbacks; an empty list for what is no trainer."""
    try:
        found = vars(trainer)["callback_handler"].callbacks
    except Exception:  # noqa: BLE001 - any object of any frame above may be asked
        return []
    return found if isinstance(found, list) else []


class _Wrapper:
    """A method of one object, replaced there; a copy of that object has the method as it was.

    A trainer may be copied or pickled in the middle of its training. A function in its attributes would go along as it
    is, and the copy would train the model of the original.
    """

    def __init__(self, original: Method, replacement: Method) -> None:
        functools.update_wrapper(self, original, updated=())
        self.original = original  # bound to its object, which copying and pickling find
        self._replacement = replacement
        self.__trainstore__ = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._replacement(*args, **kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copy.deepcopy(self.original, memo)

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (self.original,)


def _itself(one: Any) -> Any:
    return one


def _method(owner: Any, name: str) -> Any:
    """The method of ``owner``; None if it has none. A shallow copy brings the wrappers of what it was copied from."""
    found = getattr(owner, name, None)
    method = found
    while isinstance(method, _Wrapper):
        method = method.original
    if method is not found and isinstance(method, MethodType) and method.__self__ is not owner:
        return MethodType(method.__func__, owner)
    return found


class Wrappers:
    """Methods replaced on single objects for the length of a training, and put back after it."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def wrap(self, owner: Any, name: str, make: Callable[[Method], Method]) -> bool:
        """Replace ``owner.name`` by ``make(original)``; False if there is no such method, or it cannot be replaced."""
        try:
            original = _method(owner, name)
            if not callable(original):
                return False
            had_own = name in vars(owner)
            wrapped = _Wrapper(original, make(original))
            setattr(owner, name, wrapped)
        except Exception as error:  # noqa: BLE001 - an object of any library may refuse, as with __slots__
            logger.debug("%s cannot be watched (%s)", name, type(error).__name__)
            return False

        def undo() -> None:
            if vars(owner).get(name) is not wrapped:
                return  # somebody wrapped it after us: taking ours out would take theirs too
            if had_own:
                setattr(owner, name, original)
            else:
                delattr(owner, name)

        self._undo.append(undo)
        return True

    def remove(self) -> None:
        """Put back what was there before."""
        while self._undo:
            self._undo.pop()()
