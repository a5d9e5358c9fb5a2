"""What the processes of one training tell each other, by the key-value store that their process group was made with.

Not by a collective: if one rank does not enter it (a callback on rank 0 alone, recording disabled on one machine), the
training would hang.
"""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import torch.distributed

logger = logging.getLogger("trainstore")

POLL = 0.05  # seconds


class Pinboard:
    """Values by name, seen by all processes of the group that there is now. Nothing here raises.

    They are about the training under way. They carry no count of trainings, as ranks may count differently.
    """

    def __init__(self) -> None:
        self._store = _store()

    @property
    def is_there(self) -> bool:
        """Whether there is a group."""
        return self._store is not None

    def put(self, what: str, value: Any) -> None:
        """Tell the others something that JSON can hold; None takes it back."""
        try:
            if self._store is not None:
                self._store.set(f"trainstore/{what}", json.dumps(value))
        except Exception as error:  # noqa: BLE001 - the process that kept the store is gone
            logger.debug("the other ranks cannot be told the %s (%s)", what, type(error).__name__)

    def get(self, what: str, wait: float = 0.0) -> Any:
        """What one of them told; None if nobody did, after ``wait`` seconds."""
        deadline = time.monotonic() + wait
        while True:
            found = self._read(f"trainstore/{what}")
            if found is not None or self._store is None or time.monotonic() >= deadline:
                return found
            time.sleep(POLL)

    def _read(self, key: str) -> Any:
        try:
            if self._store is None or not self._store.check([key]):
                return None
            return json.loads(self._store.get(key))
        except Exception as error:  # noqa: BLE001
            logger.debug("the other ranks' %s cannot be read (%s)", key, type(error).__name__)
            return None


def _store() -> Any | None:
    """The key-value store that the process group was made with; None if there is no group."""
    try:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return torch.distributed.distributed_c10d._get_default_store()
    except Exception as error:  # noqa: BLE001
        logger.debug("the process group has no key-value store (%s)", type(error).__name__)
    return None
