"""The rules of attempts: which history of a run is shown, and which attempt a step belongs to.

A training that crashed at step 620 and resumes from its checkpoint at 500 is one run with two attempts: nothing is
deleted, steps 501 to 620 of the first just stop being current. Attempts form a tree, as commits do: each names the one
that it resumed, and what is shown is the *chain*, the ancestry of the *head*: the last opened of those that nobody
resumed. Earlier and later mean (opened_at, uid) everywhere, which is fixed when an attempt is opened and stands in
every journal, so that the order in which journals arrive does not matter; the number is only a name.

The picture: an attempt's rows are those with step > start_step; on the chain they are current up to end_step, the
smallest start_step of its successors there (of the head: without end); off the chain end_step is the own start_step,
so none is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trainstore.models import OPEN_END


@dataclass(slots=True)
class Attempt:
    """What the rules need of a row of ``attempt``."""

    attempt: int
    uid: str
    resumed_from: int | None
    start_step: int
    end_step: int
    last_step: int | None
    opened_at: datetime
    closed_at: datetime | None
    status: str
    error: str | None
    changed_hyperparams: dict[str, Any] | None = None

    @property
    def order(self) -> tuple[datetime, str]:
        """What earlier and later mean."""
        return (self.opened_at, self.uid)


class AttemptTree:
    """The attempts of one run."""

    def __init__(self, attempts: Iterable[Attempt]) -> None:
        self.by_number = {attempt.attempt: attempt for attempt in attempts}
        self.by_uid = {attempt.uid: attempt for attempt in self.by_number.values()}

    def add(self, attempt: Attempt) -> None:
        """Take in a new one."""
        self.by_number[attempt.attempt] = attempt
        self.by_uid[attempt.uid] = attempt

    @property
    def next_number(self) -> int:
        """The number of the next one to be added; the first is 1."""
        return max(self.by_number, default=0) + 1

    @property
    def head(self) -> Attempt:
        """The last opened of those that nobody resumed."""
        resumed = {attempt.resumed_from for attempt in self.by_number.values()}
        return max((a for a in self.by_number.values() if a.attempt not in resumed), key=lambda a: a.order)

    def lineage(self, attempt: Attempt) -> list[Attempt]:
        """Its ancestors and itself, root first."""
        result = [attempt]
        while result[-1].resumed_from is not None:
            result.append(self.by_number[result[-1].resumed_from])
        return result[::-1]

    def end_steps(self) -> dict[int, int]:
        """end_step of every attempt, by its number."""
        ends = {attempt.attempt: attempt.start_step for attempt in self.by_number.values()}
        end = OPEN_END
        for attempt in reversed(self.lineage(self.head)):
            ends[attempt.attempt] = end
            end = min(end, attempt.start_step)
        return ends

    def set_end_steps(self) -> tuple[list[int], bool]:
        """Bring every attempt's end_step up to date.

        Returns:
            The numbers of those that changed, and whether rows that are stored become current or stop being so.
        """
        changed, stale = [], False
        for number, end_step in self.end_steps().items():
            attempt = self.by_number[number]
            if attempt.end_step != end_step:
                if attempt.last_step is not None and attempt.last_step > min(attempt.end_step, end_step):
                    stale = True
                attempt.end_step = end_step
                changed.append(number)
        return changed, stale

    def owner(self, attempt: Attempt, step: int) -> Attempt:
        """Whose row a record of a step is: the nearest of the writer's attempt and its ancestors that reach it."""
        lineage = self.lineage(attempt)
        return next((a for a in reversed(lineage) if a.start_step < step), lineage[0])
