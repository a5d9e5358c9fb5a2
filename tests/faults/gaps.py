"""What the gaps of a run say, against what was reported and what is stored."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from faults.oracle import Producer
from trainstore.store import TrainStore


@dataclass
class Account:
    """Which of the reported steps are where."""

    reported: set[int]
    stored: set[int]
    gaps: list[dict[str, object]]
    warnings: int
    status: str

    @property
    def missing(self) -> set[int]:
        """Reported and not stored."""
        return self.reported - self.stored

    @property
    def named(self) -> set[int]:
        """Steps in the ranges that final gaps name (not those that only say that something begins to be lost)."""
        return {step for first, last in self._ranges() for step in range(first, last + 1)}

    @property
    def counted(self) -> int:
        """How many records the gaps say are lost. One that says "more may follow" counts within the next."""
        return sum(int(str(gap["lost"])) for gap in self.gaps if "more may follow" not in str(gap["reason"]))

    def _ranges(self) -> list[tuple[int, int]]:
        ranges = []
        for gap in self.gaps:
            if "more may follow" not in str(gap["reason"]):
                first, last = gap["steps"]
                ranges.append((int(str(first)), int(str(last))))
        return ranges


def account(url: str, producer: Producer) -> Account:
    """Open the store (which recovers) and take stock."""
    with TrainStore(url) as store:
        frame = store.list_step_logs(producer.run)
        gaps = store.list_events(producer.run, kind="gap")["details"].tolist()
        status = store.get_run(producer.run).status
    steps = Counter(frame["step"].tolist())
    assert set(steps.values()) <= {1}
    numbers = producer.reported.numbers
    return Account(set(numbers), set(steps), gaps, producer.stderr.count("could not be recorded"), status)
