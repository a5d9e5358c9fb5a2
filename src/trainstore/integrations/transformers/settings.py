"""The arguments of a callback: checked, and as a pickle carries them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import URL

from trainstore.backends import absolute_target, current_folder, open_backend
from trainstore.backends.urls import safe_url
from trainstore.defaults import default_store
from trainstore.errors import InvalidArgumentError, StoreURLError
from trainstore.pickling import StoreAddress
from trainstore.store import TrainStore
from trainstore.values import canonical_hyperparams

Target = TrainStore | StoreAddress | str | os.PathLike[str] | URL | None  # what is recorded into
CHOICES = {"resume": ("auto", "never", "must"), "loss": ("auto", "logs"), "on_error": ("warn", "raise")}


@dataclass(frozen=True)
class Settings:
    """The arguments of one callback. `TrainStoreCallback` says what each of them means.

    ``folder`` is where relative paths start, whatever ``chdir`` follows.
    """

    store_or_url: Target
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
        if self.store_or_url is None or isinstance(self.store_or_url, (TrainStore, StoreAddress)):
            return self
        return dataclasses.replace(self, store_or_url=absolute_target(self.store_or_url, self.folder))

    def open_store(self) -> TrainStore:
        """The store to record into: the one that was passed, or one that is opened here."""
        given = self.store_or_url
        if isinstance(given, TrainStore):
            return given
        if isinstance(given, StoreAddress):
            opened: TrainStore = given.open(offline_ok=True)
            return opened
        return TrainStore(absolute_target(given or default_store(), self.folder), offline_ok=True)

    def pickled(self) -> dict[str, Any]:
        """What a pickle carries: the arguments by name, the store as its address, without a password."""
        arguments = {one.name: getattr(self, one.name) for one in dataclasses.fields(self) if one.name != "folder"}
        return arguments | {"store_or_url": _address_of(self.store_or_url)}

    @classmethod
    def unpickled(cls, arguments: Mapping[str, Any]) -> Settings:
        """The settings that `pickled` gave, in this process and its current folder."""
        return cls(**arguments)


def _address_of(store_or_url: Target) -> Target:
    if isinstance(store_or_url, TrainStore):
        # A store in memory stays here: the unpickled callback records into an in-memory store of its own.
        return dataclasses.replace(store_or_url._address, in_memory=False)
    if store_or_url is None or isinstance(store_or_url, StoreAddress) or "://" not in str(store_or_url):
        return store_or_url
    try:
        return StoreAddress(TrainStore, open_backend(store_or_url).safe_url, {}, in_memory=False)
    except StoreURLError:
        return safe_url(store_or_url)  # opening it is an error, there as here
