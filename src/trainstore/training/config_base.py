"""Configurations as plain dicts, and back."""

from __future__ import annotations

import dataclasses
import enum
import logging
import os
import sys
import types
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from trainstore.configs import plain_config
from trainstore.errors import InvalidArgumentError

logger = logging.getLogger("trainstore")

CLASS = "_target_"  # the key of a configuration's class in its dict; Hydra's, which builds it from that
C = TypeVar("C")


class Config:
    """What all configurations of the trainer can do. Subclasses are dataclasses."""

    def get(self, key: str, default: Any = None) -> Any:
        """The value of an attribute; ``default`` if there is none of this name."""
        return getattr(self, key, default)

    def to_dict(self) -> dict[str, Any]:
        """A dict of plain values, nested ones too, with each configuration's class; `from_dict` reads it."""
        return {CLASS: class_name(type(self)), **{name: plain_values(value) for name, value in _values(self).items()}}

    @staticmethod
    def from_dict(
        config_class: type[C],
        data: Mapping[str, Any],
        strict_classname_parsing: bool = False,
        ignore_extensive_attributes: bool = True,
        none_to_zero_for_ints: bool = False,
    ) -> C:
        """A configuration from a dict, such as `to_dict` makes or a YAML file holds.

        Args:
            config_class: Its class, a dataclass. A class that the dict names must be this one or a subclass.
            data: The values by name. Configurations in it are dicts, too.
            strict_classname_parsing: Whether a class that is named and not imported is an error. Otherwise the class
                is the one that the attribute is declared as. Nothing is ever imported because a dict names it.
            ignore_extensive_attributes: Whether unknown keys are left out, with a warning, instead of being an error.
            none_to_zero_for_ints: Whether None becomes 0 if an attribute is an integer.

        Raises:
            InvalidArgumentError: An unknown key or class, or a value that cannot be used.
        """
        reader = _Reader(strict_classname_parsing, ignore_extensive_attributes, none_to_zero_for_ints)
        return reader.read(config_class, data)


class _Reader:
    def __init__(self, strict: bool, ignores: bool, zero: bool) -> None:
        self._strict, self._ignores, self._zero = strict, ignores, zero

    def read(self, kind: type[C], data: Any) -> C:
        data = plain_config(data)
        if not isinstance(data, Mapping):
            raise InvalidArgumentError(f"{data!r} is not a dict with the values of a {kind.__name__}")
        kind = self._named_class(kind, data)
        if not dataclasses.is_dataclass(kind):
            raise InvalidArgumentError(f"{kind.__name__} is not a dataclass: from_dict cannot make one")
        hints = get_type_hints(kind)
        names = [one.name for one in dataclasses.fields(kind) if one.init]
        unknown = [name for name in data if name not in names and name != CLASS]
        if unknown:
            self._tell_unknown(kind, unknown[0], names)
        values = {name: self._value(hints.get(name), data[name]) for name in names if name in data}
        try:
            return kind(**values)
        except TypeError as error:
            raise InvalidArgumentError(f"{kind.__name__}: {error}") from error

    def _tell_unknown(self, kind: type, name: Any, names: list[str]) -> None:
        close = get_close_matches(str(name), names, 1)
        message = f"{kind.__name__} has no {name!r}"
        message += f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(names)}"
        if not self._ignores:
            raise InvalidArgumentError(message)
        logger.warning("%s (the value is left out)", message)

    def _named_class(self, kind: type[C], data: Mapping[str, Any]) -> type[C]:
        name = data.get(CLASS)
        if name is None:
            return kind
        found = imported_class(str(name))
        if found is None and self._strict:
            raise InvalidArgumentError(f"the class {name!r} is not imported: import its module first")
        if found is None:
            return kind
        if not issubclass(found, kind):
            raise InvalidArgumentError(f"{name!r} is not a {kind.__name__}")
        return found

    def _value(self, hint: Any, value: Any) -> Any:
        if value is None:
            return 0 if self._zero and hint is int else None
        kinds = _alternatives(hint)
        if isinstance(value, Mapping):
            kind = next((one for one in kinds if dataclasses.is_dataclass(one)), None)
            if kind is None and CLASS in value:
                kind = imported_class(str(value[CLASS])) or (dict if not self._strict else None)
                if kind is None:
                    raise InvalidArgumentError(f"the class {value[CLASS]!r} is not imported: import its module first")
            return self.read(kind, value) if isinstance(kind, type) and dataclasses.is_dataclass(kind) else value
        if isinstance(value, (list, tuple)):
            inner = next((get_args(one)[0] for one in kinds if get_args(one)), None)
            return type(value)(self._value(inner, one) for one in value)
        return value


def _alternatives(hint: Any) -> list[Any]:
    return list(get_args(hint)) if get_origin(hint) in (Union, types.UnionType) else [hint]


def class_name(kind: type) -> str:
    """A class's name with its module."""
    return f"{kind.__module__}.{kind.__qualname__}"


def imported_class(name: str) -> type | None:
    """A class by its name, if its module is imported already: a file must not decide what is imported."""
    module, _, rest = name.rpartition(".")
    inner = [rest]
    while module and module not in sys.modules:
        module, _, part = module.rpartition(".")
        inner.insert(0, part)
    found: Any = sys.modules.get(module)
    for part in inner:
        found = getattr(found, part, None)
    return found if isinstance(found, type) else None


def _values(config: Any) -> dict[str, Any]:
    return {one.name: getattr(config, one.name) for one in dataclasses.fields(config) if one.init}


def plain_values(value: Any) -> Any:
    """A configuration as plain values; those in it keep the names of their classes."""
    if isinstance(value, Config):
        return value.to_dict()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {CLASS: class_name(type(value)), **{name: plain_values(one) for name, one in _values(value).items()}}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    value = plain_config(value)
    if isinstance(value, Mapping):
        return {str(name): plain_values(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_values(one) for one in value]
    return value
