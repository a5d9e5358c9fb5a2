"""One run for all processes of a distributed training: rank 0 records, the others may say that it failed.

When another rank fails, ``torchrun`` ends rank 0 by SIGTERM, which no hook sees; so each rank must know the run. Rank 0
leaves it in the process group's key-value store, where the others find it. It is no collective on purpose: a collective
that not every rank enters (a callback on rank 0 alone, recording disabled on one machine) would stop the training.
"""

from __future__ import annotations

import itertools
import json
import logging
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import torch.distributed

from trainstore.integrations._checkpoint import SavedRun

logger = logging.getLogger("trainstore")

# One for each on_train_begin in this process: the same number on every rank, as they begin the same trainings.
_trainings = itertools.count()


@dataclass(frozen=True)
class SharedRun:
    """The run that rank 0 records."""

    saved: SavedRun
    project: str
    name: str


class Ranks:
    """The processes of one training. Made on each of them when the training begins; nothing here waits or raises."""

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self._key = f"trainstore/{next(_trainings)}"
        self._store = _store()
        self._known: SharedRun | None = None

    def publish(self, run: SharedRun) -> None:
        """Rank 0: let the others know the run."""
        self._set("run", asdict(run))

    def run(self, wait: float = 0.0) -> SharedRun | None:
        """The run that rank 0 records, once it is known, after ``wait`` seconds at most."""
        if self._known is None:
            found = self._get("run", wait)
            if found is not None:
                self._known = SharedRun(**{**found, "saved": SavedRun(**found["saved"])})
        return self._known

    def publish_failure(self, error: str) -> None:
        """Let rank 0 know what ended this rank: what it sees itself, if anything, is a lost connection."""
        self._set("failure", error)

    def failure(self) -> str | None:
        """What ended another rank before this one, as far as it is known."""
        found = self._get("failure", 0.0)
        return None if found is None else str(found)

    def _set(self, what: str, value: Any) -> None:
        try:
            if self._store is not None:
                self._store.set(f"{self._key}/{what}", json.dumps(value))
        except Exception as error:  # noqa: BLE001 - whoever kept the store is gone
            logger.debug("the other ranks cannot be told of the %s (%s)", what, type(error).__name__)

    def _get(self, what: str, wait: float) -> Any:
        key = f"{self._key}/{what}"
        try:
            if self._store is None:
                return None
            if not self._store.check([key]):
                if not wait:
                    return None
                self._store.wait([key], timedelta(seconds=wait))
            return json.loads(self._store.get(key))
        except Exception as error:  # noqa: BLE001
            logger.debug("the other ranks' %s cannot be had (%s)", what, type(error).__name__)
            return None


def _store() -> Any | None:
    """The key-value store through which the process group was made; None where there is no group."""
    try:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return torch.distributed.distributed_c10d._get_default_store()
    except Exception as error:  # noqa: BLE001
        logger.debug("the process group has no key-value store (%s)", type(error).__name__)
    return None
