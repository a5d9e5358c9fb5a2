"""``wandb.config``: the hyperparameters as attributes and items; whatever is set is recorded."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from trainstore.configs import plain_config
from trainstore.importing.plain_yaml import parse
from trainstore.integrations.wandb.errors import UsageError

DEFAULTS = "config-defaults.yaml"  # read from the current folder, as W&B does


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
        """The names."""
        return list(self._items)

    def values(self) -> list[Any]:
        """The values."""
        return list(self._items.values())

    def items(self) -> list[tuple[str, Any]]:
        """Names and values."""
        return list(self._items.items())

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
    elif isinstance(values, Config):
        values = values.as_dict()
    else:
        values = _flags_of(values)
        values = plain_config(values)
        if not isinstance(values, Mapping) and hasattr(values, "__dict__"):
            values = {name: value for name, value in vars(values).items() if not name.startswith("_")}
    if not isinstance(values, Mapping):
        raise UsageError(f"config cannot be {type(values).__name__}: pass a dict, a configuration or a YAML file")
    left_out, wanted = set(exclude or ()), set(include or ())
    # W&B strips hyphens from names: those of a command line's options.
    named = {name.strip("-") if isinstance(name, str) else name: value for name, value in values.items()}
    return {name: value for name, value in named.items() if (not wanted or name in wanted) and name not in left_out}


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
