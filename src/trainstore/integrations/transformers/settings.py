"""The arguments of a callback: checked, and as a pickle carries them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainstore.backends import current_folder
from trainstore.errors import InvalidArgumentError
from trainstore.integrations.targets import StoreTarget, absolute_store, open_store, pickled_store
from trainstore.store import TrainStore
from trainstore.values import canonical_hyperparams

CHOICES = {"resume": ("auto", "never", "must"), "loss": ("auto", "logs"), "on_error": ("warn", "raise")}


@dataclass(frozen=True)
class Settings:
    """The arguments of one callback. `TrainStoreCallback` says what each of them means.

    ``folder`` is where relative paths start, whatever ``chdir`` follows.
    """

    store_or_url: StoreTarget
    project: str | None
    name: str | None
    tags: Mapping[str, Any] | Sequence[str] | None
    hyperparams: Mapping[str, Any] | None
    resume: str
    loss: str
    on_error: str
    folder: str = field(default_factory=current_folder)

    def checked(self) -> Settings:
        """The same with an absolute path. Raises `InvalidArgumentError` for an argument that cannot be used."""
        for argument, allowed in CHOICES.items():
            value = getattr(self, argument)
            if value not in allowed:
                raise InvalidArgumentError(f"{argument} {value!r} is not one of {', '.join(map(repr, allowed))}")
        try:
            canonical_hyperparams(self.hyperparams or {})
        except Exception as error:
            raise InvalidArgumentError(f"hyperparams: {error}") from error
        return dataclasses.replace(self, store_or_url=absolute_store(self.store_or_url, self.folder))

    def open_store(self) -> TrainStore:
        """The store to record into: the one that was passed, or one that is opened here."""
        return open_store(self.store_or_url, self.folder)

    def pickled(self) -> dict[str, Any]:
        """What a pickle carries: the arguments by name, the store as its address, without a password."""
        arguments = {one.name: getattr(self, one.name) for one in dataclasses.fields(self) if one.name != "folder"}
        return arguments | {"store_or_url": pickled_store(self.store_or_url)}

    @classmethod
    def unpickled(cls, arguments: Mapping[str, Any]) -> Settings:
        """The settings that `pickled` gave, in this process and its current folder."""
        return cls(**arguments)
