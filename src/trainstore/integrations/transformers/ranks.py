"""One run for all processes of a distributed training: rank 0 records it, another rank only adds why it failed.

When another rank fails, ``torchrun`` ends rank 0 by SIGTERM, which no hook sees, so each rank must know the run. Rank 0
pins it where the others find it (`Pinboard`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from trainstore.integrations.pinboard import Pinboard
from trainstore.integrations.transformers.checkpoint import SavedRun


@dataclass(frozen=True)
class SharedRun:
    """The run that rank 0 records."""

    saved: SavedRun
    project: str
    name: str


class Ranks:
    """The processes of one training, as one of them sees them. Made when the training begins; nothing here raises.

    Attributes:
        rank: This process's.
        records: Whether this process records the run.
        asks: Whether this process has yet to learn which run another one records.
    """

    def __init__(self, rank: int, world_size: int, *, records: bool) -> None:
        self.rank = rank
        self.records = records
        self.asks = world_size > 1 and not records
        self._board = Pinboard() if world_size > 1 else None
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
        self._put("failure", None)
        self._put("run", asdict(run))

    def withdraw(self) -> None:
        """Rank 0: the training is over, and the next one belongs to another run."""
        self._put("run", None)

    def run(self, wait: float = 0.0) -> SharedRun | None:
        """The run that rank 0 records; None if it is not known after ``wait`` seconds."""
        if self._known is None and self._board is not None:
            found = self._board.get("run", wait)
            if found is not None:
                self._known = SharedRun(**{**found, "saved": SavedRun(**found["saved"])})
        return self._known

    def publish_failure(self, error: str) -> None:
        """Tell rank 0 what ended this rank: all it can see itself is a lost connection."""
        self._put("failure", [None if self._known is None else self._known.saved.run_uid, error])

    def failure(self) -> str | None:
        """What ended another rank before this one, if that is known."""
        found = None if self._board is None else self._board.get("failure")
        if found is None or self._known is None or found[0] not in (None, self._known.saved.run_uid):
            return None
        return str(found[1])

    def _put(self, what: str, value: Any) -> None:
        if self._board is not None:
            self._board.put(what, value)
