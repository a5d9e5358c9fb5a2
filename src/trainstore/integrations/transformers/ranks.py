"""One run for all processes of a distributed training: rank 0 records it, another rank only adds why it failed.

When another rank fails, ``torchrun`` ends rank 0 by SIGTERM, which no hook sees, so each rank must know the run. Rank 0
puts it into the process group's key-value store, where the others find it. Not by a collective: if one rank does not
enter it (a callback on rank 0 alone, recording disabled on one machine), the training would hang.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, dataclass
from typing import Any

import torch.distributed

from trainstore.integrations.transformers.checkpoint import SavedRun

logger = logging.getLogger("trainstore")

POLL = 0.05  # seconds


@dataclass(frozen=True)
class SharedRun:
    """The run that rank 0 records."""

    saved: SavedRun
    project: str
    name: str


class Ranks:
    """The processes of one training, as one of them sees them. Made when the training begins; nothing here raises.

    What is published is about the training under way. It carries no count of trainings, as ranks may count differently
    (one of them may have had no callback in the training before).

    Attributes:
        rank: This process's.
        records: Whether this process records the run.
        asks: Whether this process has yet to learn which run another one records.
    """

    def __init__(self, rank: int, world_size: int, *, records: bool) -> None:
        self.rank = rank
        self.records = records
        self.asks = world_size > 1 and not records
        self._store = _store() if world_size > 1 else None
        self._known: SharedRun | None = None

    @classmethod
    def of(cls, args: Any, state: Any) -> Ranks:
        """The processes of a training with these arguments and this state."""
        rank = args.process_index if args.world_size > 1 else 0
        return cls(rank, args.world_size, records=state.is_world_process_zero)

    def learn_run(self, state: Any) -> None:
        """After a step that rank 0 made too: its run is known by now, and goes into this rank's checkpoints."""
        self.asks = False
        shared = self.run()
        if shared is not None:
            shared.saved.write(state)

    def publish(self, run: SharedRun) -> None:
        """Rank 0: tell the others the run."""
        self._known = run
        self._set("failure", None)
        self._set("run", asdict(run))

    def withdraw(self) -> None:
        """Rank 0: the training is over, and the next one belongs to another run."""
        self._set("run", None)

    def run(self, wait: float = 0.0) -> SharedRun | None:
        """The run that rank 0 records; None if it is not known after ``wait`` seconds."""
        deadline = time.monotonic() + wait
        while self._known is None:
            found = self._get("run")
            if found is not None:
                self._known = SharedRun(**{**found, "saved": SavedRun(**found["saved"])})
            elif self._store is None or time.monotonic() >= deadline:
                break
            else:
                time.sleep(POLL)
        return self._known

    def publish_failure(self, error: str) -> None:
        """Tell rank 0 what ended this rank: all it can see itself is a lost connection."""
        self._set("failure", [None if self._known is None else self._known.saved.run_uid, error])

    def failure(self) -> str | None:
        """What ended another rank before this one, if that is known."""
        found = self._get("failure")
        if found is None or self._known is None or found[0] not in (None, self._known.saved.run_uid):
            return None
        return str(found[1])

    def _set(self, what: str, value: Any) -> None:
        try:
            if self._store is not None:
                self._store.set(f"trainstore/{what}", json.dumps(value))
        except Exception as error:  # noqa: BLE001 - the process that kept the store is gone
            logger.debug("the other ranks cannot be told the %s (%s)", what, type(error).__name__)

    def _get(self, what: str) -> Any:
        key = f"trainstore/{what}"
        try:
            if self._store is None or not self._store.check([key]):
                return None
            return json.loads(self._store.get(key))
        except Exception as error:  # noqa: BLE001
            logger.debug("the other ranks' %s cannot be read (%s)", what, type(error).__name__)
            return None


def _store() -> Any | None:
    """The key-value store that the process group was made with; None if there is no group."""
    try:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return torch.distributed.distributed_c10d._get_default_store()
    except Exception as error:  # noqa: BLE001
        logger.debug("the process group has no key-value store (%s)", type(error).__name__)
    return None
