"""Finds the trainer that calls a callback, and replaces methods of it for the length of a training."""

from __future__ import annotations

import copy
import functools
import logging
import sys
from collections.abc import Callable, Iterator
from types import FrameType, MethodType
from typing import Any
from weakref import ref

from trainstore.integrations.protocol import attribute_of, callbacks_of

logger = logging.getLogger("trainstore")

Method = Callable[..., Any]
Reference = Callable[[], Any | None]


def reference_to(trainer: Any) -> Reference:
    """A weak reference; a strong one if the class allows no other (``__slots__`` without ``__weakref__``)."""
    try:
        return ref(trainer)
    except TypeError:
        return lambda: trainer


def calling_trainer(callback: object) -> Any | None:
    """The trainer whose event ``callback`` handles now, or None.

    No event of a ``transformers.Trainer`` carries it. It is the ``self`` of a frame further up, recognised by its
    callbacks.
    """
    return next((one for one in owners_of_frames() if any(two is callback for two in callbacks_of(one))), None)


def is_calling(trainer: object) -> bool:
    """Whether a method of the trainer is running in this thread."""
    return any(one is trainer for one in owners_of_frames())


def owners_of_frames() -> Iterator[Any]:
    """The ``self`` of each method that is running in this thread, the innermost first.

    Reading a frame's locals keeps copies of them until that function returns, so do this once a training, not at every
    step.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if "self" in frame.f_code.co_varnames:
            yield frame.f_locals.get("self")
        frame = frame.f_back


class _Wrapper(functools.partial[Any]):
    """Replaces a method of one object; a copy of that object gets the original method back.

    A trainer may be copied or pickled in the middle of its training. A plain function among its attributes would be
    copied as it is, and the copy would train the original's model. (A `partial`, because it is called in every step:
    it calls the replacement without a frame of its own.)
    """

    original: Method  # bound to its object, so copying and pickling lead to the object's copy
    is_retired = False

    def __new__(cls, original: Method, replacement: Method) -> _Wrapper:
        wrapper = super().__new__(cls, replacement)
        functools.update_wrapper(wrapper, original, updated=())
        wrapper.original = original
        wrapper.__trainstore__ = True  # type: ignore[attr-defined]
        return wrapper

    def retire(self) -> None:
        """From now on be the original: whoever still holds this wrapper reaches nothing of the training that ended."""
        self.__setstate__((self.original, (), {}, vars(self)))  # type: ignore[attr-defined]
        self.is_retired = True

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copy.deepcopy(self.original, memo)

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (self.original,)


def _itself(one: Any) -> Any:
    return one


def _method(owner: Any, name: str) -> Any:
    """The method of ``owner``; None if it has none. A shallow copy still has the wrappers of its original."""
    found = getattr(owner, name, None)
    method = found
    while isinstance(method, _Wrapper):
        method = method.original
    if method is not found and isinstance(method, MethodType) and method.__self__ is not owner:
        return MethodType(method.__func__, owner)
    return found


def _living(method: Any) -> Any:
    """A method without those wrappers around it that have been retired."""
    while isinstance(method, _Wrapper) and method.is_retired:
        method = method.original
    return method


def _of_class(owner: Any, name: str) -> Any:
    """The method that ``owner`` has from its class."""
    found: Any = getattr(type(owner), name, None)
    return found.__get__(owner) if hasattr(found, "__get__") else found


class Wrappers:
    """Methods that are replaced on single objects during a training, and put back after it."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def wrap(self, trainer: Any, path: str | None, make: Callable[[Method], Method]) -> bool:
        """Replace the method that a path leads to by ``make(original)``; False if there is none, or if it stays."""
        if path is None:
            return False
        way, _, name = path.rpartition(".")
        owner = attribute_of(trainer, way) if way else trainer
        try:
            original = _method(owner, name)
            if not callable(original):
                return False
            had_own = name in vars(owner)
            wrapped = _Wrapper(original, make(original))
            setattr(owner, name, wrapped)
        except Exception as error:  # noqa: BLE001 - an object of any library may refuse, for example with __slots__
            logger.debug("%s cannot be watched (%s)", name, type(error).__name__)
            return False

        def undo() -> None:
            wrapped.retire()
            if vars(owner).get(name) is not wrapped:
                return  # somebody else wrapped it after us: removing our wrapper would remove theirs too
            before = _living(original)
            if had_own and before != _of_class(owner, name):
                setattr(owner, name, before)
            else:
                delattr(owner, name)

        self._undo.append(undo)
        return True

    def remove(self) -> None:
        """Put back what was there before."""
        while self._undo:
            undo = self._undo.pop()
            try:
                undo()
            except Exception as error:  # noqa: BLE001 - the object may refuse; the other methods are put back
                logger.debug("a watched method cannot be put back (%s)", type(error).__name__)
