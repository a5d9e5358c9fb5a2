"""What a pickled store or handle carries: the address from which another process opens the store, no password."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainstore.backends import open_backend
from trainstore.defaults import STORE_VARIABLE
from trainstore.errors import InvalidArgumentError, StoreURLError
from trainstore.recording.service import RecordingService

_shared: dict[tuple[Any, ...], Any] = {}  # the stores that unpickled handles record into, one each


@dataclass(frozen=True)
class StoreAddress:
    """How a store is opened again.

    A password is left out: if the store had one, the other process uses ``TRAINSTORE_URL`` if that names the same
    database, else what libpq finds (``PGPASSWORD``, ``~/.pgpass``).
    """

    factory: Any  # TrainStore, which lies above this module
    url: str  # as `Backend.safe_url` gives it: "***" stands for a secret
    options: Mapping[str, Any]
    in_memory: bool

    def __getstate__(self) -> dict[str, Any]:
        if self.in_memory:
            raise InvalidArgumentError(
                "a store in memory cannot be pickled, nor can its runs: no other process can reach it. "
                "Use a file: TrainStore('trainstore.db')"
            )
        return self.__dict__

    def open(self, **options: Any) -> Any:
        """A store object of its own."""
        return self.factory(self._target(), **{**self.options, **options})

    def shared_service(self) -> RecordingService:
        """The service that unpickled handles of this address record with in this process."""
        key = (self.factory, self.url, *sorted(self.options.items()))
        store = _shared.get(key)
        if store is None or store._closed:
            # An unreachable database must not harm a training: the run goes on in a journal.
            store = _shared[key] = self.open(offline_ok=True)
        service: RecordingService = store._service
        return service

    def _target(self) -> str:
        if "***" not in self.url:
            return self.url
        given = os.environ.get(STORE_VARIABLE)
        try:
            if given and open_backend(given).safe_url == self.url:
                return given
        except StoreURLError:
            pass
        address, mark, parameters = self.url.replace(":***@", "@").partition("?")
        kept = [item for item in parameters.split("&") if not item.endswith("=***")]
        return address + (mark + "&".join(kept) if kept else "")
