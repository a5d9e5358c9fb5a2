"""``wandb.config``: the hyperparameters as attributes and items; whatever is set is recorded."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from trainstore.arrays import elements, is_array, size_of
from trainstore.configs import plain_config
from trainstore.importing.plain_yaml import parse
from trainstore.integrations.wandb.errors import UsageError
from trainstore.values import MAX_DEPTH, scalar_of

DEFAULTS = "config-defaults.yaml"  # read from the current folder, as W&B does
MAX_ELEMENTS = 32  # of an array that is read as a list
_PLAIN = frozenset({str, int, float, bool, type(None)})


class Config:
    """A run's hyperparameters. Setting one again replaces it; ``allow_val_change`` is not needed.

    Args:
        values: Those that the run begins with.
        record: Is called with what is set later.
    """

    _items: dict[str, Any]
    _record: Callable[[dict[str, Any]], None] | None

    def __init__(
        self, values: Mapping[str, Any] | None = None, record: Callable[[dict[str, Any]], None] | None = None
    ) -> None:
        object.__setattr__(self, "_items", dict(values or {}))
        object.__setattr__(self, "_record", record)

    def __repr__(self) -> str:
        return str(dict(self))

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __getitem__(self, name: str) -> Any:
        return self._items[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def __getattr__(self, name: str) -> Any:
        if name in ("_items", "_record"):  # unpickled, and not yet filled
            raise AttributeError(name)
        try:
            return self._items[name]
        except KeyError:
            known = ", ".join(map(str, self._items)) or "nothing"
            raise AttributeError(f"wandb.config has no {name!r}; it has {known}", name=name) from None

    __setattr__ = __setitem__

    def __getstate__(self) -> dict[str, Any]:
        return {"_items": self._items, "_record": self._record}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)

    def keys(self) -> list[str]:
        """The names; those that begin with an underscore are left out, as in W&B."""
        return [name for name in self._items if not str(name).startswith("_")]

    def values(self) -> list[Any]:
        """The values, of `keys`."""
        return [self._items[name] for name in self.keys()]

    def items(self) -> list[tuple[str, Any]]:
        """Names and values, of `keys`."""
        return [(name, self._items[name]) for name in self.keys()]

    def get(self, name: str, default: Any = None) -> Any:
        """A value, or ``default``."""
        return self._items.get(name, default)

    def as_dict(self) -> dict[str, Any]:
        """All of them, as a copy."""
        return dict(self._items)

    def update(self, values: Any, allow_val_change: bool | None = None) -> None:
        """Set hyperparameters.

        Args:
            values: A mapping, a configuration (``argparse.Namespace``, a dataclass, …), or the path of a YAML file.
            allow_val_change: Not needed: a value may always change.
        """
        found = read_config(values)
        self._items.update(found)
        if self._record is not None and found:
            self._record(found)

    def setdefaults(self, values: Any) -> None:
        """Set those that are not set yet."""
        self.update({name: value for name, value in read_config(values).items() if name not in self._items})

    def update_locked(self, values: Any, user: Any = None, _allow_val_change: bool | None = None) -> None:
        """As `update`: nothing is locked here."""
        self.update(values)

    merge_locked = update_locked

    def persist(self) -> None:
        """Not needed: whatever is set is recorded."""


def read_config(
    values: Any, exclude: Iterable[str] | None = None, include: Iterable[str] | None = None
) -> dict[str, Any]:
    """A configuration as a dict.

    Args:
        values: As for `Config.update`; None is none.
        exclude, include: Names that are left out, or the only ones that are taken.

    Raises:
        UsageError: It is none of these, or the file cannot be read.
    """
    if values is None:
        return {}
    if isinstance(values, (str, os.PathLike)):
        values = _from_file(Path(values))
    else:
        values = _named(values)
        if not isinstance(values, Mapping) and hasattr(values, "__dict__"):
            values = {name: value for name, value in vars(values).items() if not name.startswith("_")}
    if not isinstance(values, Mapping):
        raise UsageError(f"config cannot be {type(values).__name__}: pass a dict, a configuration or a YAML file")
    left_out, wanted = set(exclude or ()), set(include or ())
    # W&B strips hyphens from names: those of a command line's options.
    named = {name.strip("-") if isinstance(name, str) else name: value for name, value in values.items()}
    chosen = {name: value for name, value in named.items() if (not wanted or name in wanted) and name not in left_out}
    return {name: read_value(value) for name, value in chosen.items()}


def read_value(value: Any) -> Any:
    """A value as it is read again: plain data, as in W&B. What has no text of its own stays the object that it is.

    Scripts count on it: ``config.layers + [10]`` if a tuple was given, ``config.folder + "/best.pt"`` if a Path was.
    """
    try:
        return _plain(value, ())
    except Exception:  # noqa: BLE001 - any object may have been given
        return value


def _plain(value: Any, around: tuple[int, ...]) -> Any:
    if type(value) in _PLAIN or len(around) > MAX_DEPTH or id(value) in around:
        return value
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    scalar = scalar_of(value)
    if scalar is not None:
        return scalar
    if is_array(value):
        return elements(value) if size_of(value) <= MAX_ELEMENTS else value
    around = (*around, id(value))
    value = _named(value)
    if isinstance(value, Mapping):
        return {name: _plain(item, around) for name, item in value.items()}
    if isinstance(value, (set, frozenset)):
        value = sorted(value, key=str)
    if isinstance(value, (list, tuple, range)):
        return [_plain(item, around) for item in value]
    text = str(value)
    return value if " at 0x" in text or isinstance(value, (bytes, bytearray)) else text


def _named(values: Any) -> Any:
    """A configuration of any library as a mapping; anything else as it is."""
    if isinstance(values, Mapping):
        return values
    if isinstance(values, Config) or type(values).__module__.startswith("ml_collections."):
        return {name: values[name] for name in values}
    return plain_config(_flags_of(values))


def defaults_here() -> dict[str, Any]:
    """What the current folder's ``config-defaults.yaml`` says; empty without one."""
    path = Path(DEFAULTS)
    return read_config(path) if path.is_file() else {}


def _flags_of(values: Any) -> Any:
    """The flags of absl, as a mapping; anything else as it is."""
    flags = getattr(values, "FLAGS", values)
    if type(flags).__module__ == "absl.flags._flagvalues":
        return {name: flags[name].value for name in flags}
    return values


def _from_file(path: Path) -> dict[str, Any]:
    """A YAML file; ``{name: {value: …}}`` as W&B writes it, or names and values."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(f"config file {path} cannot be read: {error}") from error
    found = _parsed(text)
    if not isinstance(found, Mapping):
        raise UsageError(f"config file {path} does not hold a mapping of names to values")
    found = {name: value for name, value in found.items() if name != "wandb_version"}
    return {
        name: value["value"] if isinstance(value, Mapping) and "value" in value else value
        for name, value in found.items()
    }


def _parsed(text: str) -> Any:
    try:
        import yaml
    except ImportError:
        return parse(text)[0]
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"the config file is not valid YAML: {error}") from error
