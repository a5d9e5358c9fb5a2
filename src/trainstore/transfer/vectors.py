"""What a store knows of its runs, without reading a step: how far each writer's journal is in it.

``{writer.uid: acked}`` of a run is a version vector. What no journal holds, an edit or an end by hand, is an event of a
writer that is nobody's; such events are compared one by one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select

from trainstore.models import Models
from trainstore.values import plain_text

MANY = 500  # ids in one IN list
EventId = tuple[str, int]  # writer_uid, seq


@dataclass(slots=True)
class Known:
    """What a store knows of one run."""

    run_id: int
    uid: str
    project: str
    name: str
    parent_uid: str | None
    acked: dict[str, int] = field(default_factory=dict)  # by writer
    closed: set[str] = field(default_factory=set)  # writers
    by_hand: set[EventId] = field(default_factory=set)

    @property
    def is_sound(self) -> bool:
        """Whether it can be compared with what another store knows: a damaged file may hold anything."""
        texts = (self.uid, self.project, self.name, *self.acked, *(uid for uid, _ in self.by_hand))
        numbers = (*self.acked.values(), *(seq for _, seq in self.by_hand))
        return (
            {*map(type, texts)} == {str}
            and {*map(type, numbers)} <= {int}
            and type(self.parent_uid) in (str, type(None))
            and all(text.isascii() or plain_text(text, len(text)) == text for text in texts)
        )

    def has_news_for(self, other: Known | None) -> bool:
        """Whether the other store lacks something of it."""
        if other is None:
            return True
        return (
            any(number > other.acked.get(writer, -1) for writer, number in self.acked.items())
            or not self.by_hand <= other.by_hand
            or any(writer not in other.closed and self.acked[writer] >= other.acked[writer] for writer in self.closed)
            or (self.parent_uid is not None and other.parent_uid is None)
        )

    def ahead_of(self, other: Known) -> set[str]:
        """The writers of whom more is here than there."""
        return {writer for writer, number in self.acked.items() if number > other.acked.get(writer, -1)}


class DamagedRunError(ValueError):
    """A run of the source that cannot be taken, and why."""


def known_runs(connection: Connection, models: Models, run_ids: Collection[int] | None = None) -> dict[str, Known]:
    """What is known of runs, of all or of those with these ids; by their uids."""
    run, writer, event = models.run.c, models.writer.c, models.event.c
    runs = select(run.id, run.uid, run.project, run.name, run.parent_uid)
    writers = select(writer.run_id, writer.uid, writer.acked, writer.closed_at.is_not(None))
    nobody = models.event.outerjoin(models.writer, writer.uid == event.writer_uid)
    by_hand = select(event.run_id, event.writer_uid, event.seq).select_from(nobody).where(writer.uid.is_(None))
    found: dict[int, Known] = {}
    asked = None if run_ids is None else sorted(run_ids)
    for part in [None] if asked is None else [asked[i : i + MANY] for i in range(0, len(asked), MANY)]:
        some = (runs, writers, by_hand)
        if part is not None:
            some = (
                runs.where(run.id.in_(part)),
                writers.where(writer.run_id.in_(part)),
                by_hand.where(event.run_id.in_(part)),
            )
        found |= {row.id: Known(*row) for row in connection.execute(some[0]).all()}
        for run_id, uid, acked, closed in connection.execute(some[1]).all():
            if run_id in found:
                found[run_id].acked[uid] = acked
                if closed:
                    found[run_id].closed.add(uid)
        for run_id, writer_uid, seq in connection.execute(some[2]).all():
            if run_id in found:
                found[run_id].by_hand.add((writer_uid, seq))
    return {known.uid: known for known in found.values()}


def step_counts(connection: Connection, models: Models) -> dict[int, int]:
    """About how many steps each run has, by its id: as many as the metric of which it has most."""
    summary = models.metric_summary.c
    counted = select(summary.run_id, func.max(summary.count)).group_by(summary.run_id)
    found = connection.execute(counted)
    return {run_id: steps for run_id, steps in found if isinstance(steps, int)}  # a damaged file may hold anything


def check_attempts(connection: Connection, models: Models, run_ids: Sequence[int]) -> dict[int, str]:
    """Why runs cannot be taken of which an attempt resumes none that is there, or itself in a circle; by their ids."""
    attempt = models.attempt.c
    columns = select(attempt.run_id, attempt.attempt, attempt.resumed_from)
    resumed: dict[int, dict[int, int | None]] = {run_id: {} for run_id in run_ids}
    for run_id, number, resumed_from in connection.execute(columns.where(attempt.run_id.in_(run_ids))):
        resumed[run_id][number] = resumed_from
    found = {}
    for run_id, above in resumed.items():
        if not above:
            found[run_id] = "it has no attempts"
        elif not all(_descends(number, above) for number in above):
            found[run_id] = "its attempts do not descend from a first one"
    return found


def _descends(number: int, above: Mapping[int, int | None]) -> bool:
    """Whether the ancestors of an attempt end with one that resumed none."""
    seen: set[int] = set()
    here: int | None = number
    while here is not None:
        if here in seen or here not in above:
            return False
        seen.add(here)
        here = above[here]
    return True
