"""What a merge did, to be read by people and by programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from trainstore.transfer.sources import Waiting
from trainstore.values import Json, plain_text

SHOWN = 10  # names, and conflicts, in a text


@dataclass(frozen=True, slots=True)
class RunKey:
    """A run in a report."""

    uid: str
    name: str
    project: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """A value that both stores have, each a different one, and both with news: which of them counts now."""

    uid: str
    step: int | None
    name: str
    counts: Json
    other: Json


@dataclass(slots=True, repr=False)
class Merged:
    """What `TrainStore.merge` did."""

    source: str
    """The source's URL, without its password."""
    new: list[RunKey] = field(default_factory=list)
    """Runs that the target did not have."""
    updated: list[RunKey] = field(default_factory=list)
    """Runs of which it lacked something."""
    unchanged: list[RunKey] = field(default_factory=list)
    """Runs of which it lacked nothing."""
    behind: list[RunKey] = field(default_factory=list)
    """Runs of which the source lacks something that the target has; a merge in the other direction brings it."""
    skipped: list[RunKey] = field(default_factory=list)
    """Runs that were deleted in the target, and were not brought back; ``revive=True`` does."""
    revived: list[RunKey] = field(default_factory=list)
    """Runs that were deleted in the target, and are there again."""
    deleted: list[RunKey] = field(default_factory=list)
    """Runs that were deleted in the source, and now in the target too (``delete=True``)."""
    kept: list[RunKey] = field(default_factory=list)
    """Runs that were deleted in the source, and are kept in the target."""
    missing_parents: list[RunKey] = field(default_factory=list)
    """Runs whose parent is not in the target."""
    conflicts: list[Conflict] = field(default_factory=list)
    """Values that differ though both stores had news; both are kept, the one that counts not in ``earlier``."""
    refused: dict[str, str] = field(default_factory=dict)
    """Runs that could not be merged, by their uids, and why."""
    scalarstop: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Rows of ScalarStop's tables, new and updated, by the tables' names."""
    scalarstop_refused: str = ""
    """Why ScalarStop's tables could not be merged."""
    waiting: Waiting = field(default_factory=Waiting)
    """What journals of the source hold that is not in its database yet."""
    dry_run: bool = False
    """Whether nothing was written."""

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {**asdict(self), "waiting": self.waiting._asdict()}

    @property
    def refusals(self) -> list[str]:
        """What could not be merged, and why: a line for each."""
        lines = [f"run {uid} was not merged: {why}" for uid, why in self.refused.items()]
        if self.scalarstop_refused:
            lines.append(f"ScalarStop's tables were not merged: {self.scalarstop_refused}")
        return lines

    def __str__(self) -> str:
        would = "would be " if self.dry_run else ""
        parts = [
            (self.new, f"{would}new"),
            (self.updated, f"{would}updated"),
            (self.unchanged, "unchanged"),
            (self.revived, f"{would}revived"),
            (self.deleted, f"{would}deleted"),
        ]
        counts = ", ".join(f"{len(runs)} {what}" for runs, what in parts if runs) or "no runs"
        lines = [f"{self.source}: {counts}"]
        lines += self._notes()
        return "\n".join(lines)

    __repr__ = __str__  # what a notebook shows

    def _notes(self) -> list[str]:
        notes = [
            (self.behind, "this store has more; a merge in the other direction brings it there"),
            (self.skipped, "deleted here, not brought back; revive=True (--revive) does"),
            (self.kept, "deleted in the source, kept here; delete=True (--delete) deletes here, too"),
            (self.missing_parents, "began from a run that is not here"),
        ]
        lines = [f"{_runs(runs)}: {what}" for runs, what in notes if runs]
        if self.conflicts:
            lines.append(f"{_counted(len(self.conflicts), 'value')} had been changed in both stores; both are kept")
        lines += self.refusals
        if self.waiting.records:
            lines.append(
                f"{_counted(self.waiting.records, 'record')} in {_counted(self.waiting.journals, 'journal')} of the "
                "source are not in it yet"
                + (f"; deliver them with: {self.waiting.command}" if self.waiting.command else "")
            )
        return lines


def _runs(runs: list[RunKey]) -> str:
    names = ", ".join(_shown(run.name) for run in runs[:SHOWN])
    more = f" and {len(runs) - SHOWN:,} more" if len(runs) > SHOWN else ""
    return f"{_counted(len(runs), 'run')} ({names}{more})"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _shown(name: str) -> str:
    """A name without what a terminal would take for a command."""
    name = plain_text(name, 80)
    return name if name.isprintable() else name.encode("unicode_escape").decode()
