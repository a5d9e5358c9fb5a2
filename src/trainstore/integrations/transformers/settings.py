"""The arguments of a callback: checked, and as a pickle carries them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainstore.backends import current_folder
from trainstore.errors import InvalidArgumentError
from trainstore.integrations.arguments import (
    check_choice,
    check_hyperparams,
    check_labels,
    check_tags,
    check_target,
)
from trainstore.integrations.targets import Target, open_store, pickled_store
from trainstore.run import ActiveRun
from trainstore.store import TrainStore

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
        """The same with an absolute path. Raises the errors of an argument that cannot be used."""
        for argument, choices in CHOICES.items():
            check_choice(argument, getattr(self, argument), choices)
        target = check_target("store_or_url", self.store_or_url, self.folder)
        check_labels(target, project=self.project, name=self.name)
        if self.given is not None and self.resume == "must":
            raise InvalidArgumentError("resume='must' was given with an open run, which goes on as it is: leave it out")
        check_hyperparams(self.hyperparams)  # kept as they are: the run names those that cannot be read
        return dataclasses.replace(self, store_or_url=target, tags=check_tags(self.tags))

    @property
    def given(self) -> ActiveRun | None:
        """The run that was passed, which is recorded into and left open; None: a store was."""
        return self.store_or_url if isinstance(self.store_or_url, ActiveRun) else None

    def open_store(self) -> TrainStore:
        """The store to record into: the one that was passed, or one that is opened here.

        Raises:
            InvalidArgumentError: An open run was passed instead.
        """
        if isinstance(self.store_or_url, ActiveRun):
            raise InvalidArgumentError("the callback was given an open run: its store is where you started the run")
        return open_store(self.store_or_url, self.folder)

    def pickled(self) -> dict[str, Any]:
        """What a pickle carries: the arguments by name, the store as its address, without a password."""
        arguments = {one.name: getattr(self, one.name) for one in dataclasses.fields(self) if one.name != "folder"}
        target = self.store_or_url
        return arguments | {
            "store_or_url": target if isinstance(target, ActiveRun) else pickled_store(target),
            "hyperparams": check_hyperparams(self.hyperparams),  # without secrets
        }

    @classmethod
    def unpickled(cls, arguments: Mapping[str, Any]) -> Settings:
        """The settings that `pickled` gave, in this process and its current folder."""
        return cls(**arguments)
