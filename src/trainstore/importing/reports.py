"""What an import did: the runs that it brought, and what it could not keep."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

_AFTER_A_NOUN = re.compile(r" (?:at|of|that|with|without) |, | \(")
_CONSONANT_Y = re.compile(r"[^aeiou]y\Z")
STATES = ("new", "updated", "unchanged", "skipped")


@dataclass(slots=True)
class ImportedRun:
    """One run of a source."""

    uid: str
    name: str
    project: str
    where: str
    """What it was read from, relative to the source."""
    state: str = "unchanged"
    """One of "new", "updated", "unchanged" and "skipped"."""
    reason: str | None = None
    """Why it was skipped."""
    points: int = 0
    """Values of metrics that this import brought."""
    left_out: dict[str, int] = field(default_factory=dict)
    """How many of what is in the source and is not kept: ``{"histogram": 12}``."""
    damage: list[str] = field(default_factory=list)
    """What could not be read."""


@dataclass(slots=True)
class Imported:
    """What `import_runs` did, or would do.

    ``print`` shows it in a few lines; `to_json` has everything.
    """

    tool: str
    """The tool that wrote the source: "tensorboard"."""
    label: str
    """The tool as people write it: "TensorBoard"."""
    source: str
    """The path, or the URL without its password."""
    dry_run: bool = False
    """Whether nothing was written."""
    runs: list[ImportedRun] = field(default_factory=list)
    """The source's runs, in the order in which they were read."""
    unread: dict[str, str] = field(default_factory=dict)
    """Parts of the source that were not read, relative to it, and why."""
    interrupted: bool = False
    """Whether Ctrl-C ended it, as it ends ``follow=True``; what was brought until then is stored."""

    @property
    def points(self) -> int:
        """Values of metrics that were brought."""
        return sum(run.points for run in self.runs)

    @property
    def counts(self) -> dict[str, int]:
        """How many runs are new, updated, unchanged, skipped."""
        found = Counter(run.state for run in self.runs)
        return {state: found[state] for state in STATES}

    @property
    def left_out(self) -> dict[str, int]:
        """What was not kept of all runs, the most first."""
        total: Counter[str] = Counter()
        for run in self.runs:
            total.update(run.left_out)
        return dict(total.most_common())

    @property
    def is_damaged(self) -> bool:
        """Whether something could not be read."""
        return bool(self.unread) or any(run.damage for run in self.runs)

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON has it."""
        names = ("uid", "name", "project", "where", "state", "reason", "points", "left_out", "damage")
        return {
            "tool": self.tool,
            "source": self.source,
            "dry_run": self.dry_run,
            "interrupted": self.interrupted,
            **self.counts,
            "points": self.points,
            "left_out": self.left_out,
            "unread": dict(self.unread),
            "runs": [{name: getattr(run, name) for name in names} for run in self.runs],
        }

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> Iterable[str]:
        """The summary: what was brought, what was left out, what is damaged, what was skipped."""
        yield self.headline
        if self.left_out:
            yield f"not kept: {counted(self.left_out)}"
        for run in self.runs:
            if run.state == "skipped":
                yield f"skipped: {run.name} ({run.where}): {run.reason}"
            for line in run.damage:
                yield f"damaged: {run.where}: {line}"
        for where, why in self.unread.items():
            yield f"not read: {where} {why}"

    @property
    def headline(self) -> str:
        """One line with the counts."""
        if not self.runs:
            return f"{self.label}: no runs"
        states = ", ".join(f"{count:,} {state}" for state, count in self.counts.items() if count)
        would = " (dry run: nothing was written)" if self.dry_run else ""
        runs, points = plural(len(self.runs), "run"), plural(self.points, "new point")
        return f"{self.label}: {runs} ({states}), {points}{would}"


def counted(left_out: dict[str, int]) -> str:
    """What was left out, as text."""
    return ", ".join(plural(count, name) for name, count in left_out.items())


def plural(count: int, noun: str) -> str:
    """A count with its noun, which more words may follow: "1 run", "2,000 runs", "3 entries without a step"."""
    if count == 1:
        return f"1 {noun}"
    words = _AFTER_A_NOUN.search(noun)
    head, rest = (noun[: words.start()], noun[words.start() :]) if words else (noun, "")
    if _CONSONANT_Y.search(head):
        head = f"{head[:-1]}ies"
    elif not head.endswith(("s", "data")):
        head = f"{head}s"
    return f"{count:,} {head}{rest}"
