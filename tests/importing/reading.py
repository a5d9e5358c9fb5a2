"""What a reader says of a source, in forms that are easy to compare."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from trainstore.importing.foreign import Entry, Event, ForeignRun, Hyperparams, Options, Step, Unread
from trainstore.importing.places import Place

SAMPLES = Path(__file__).parent / "samples"
WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

Point = tuple[str, int, str]  # metric, step, value as text: NaN equals NaN, 1.0 does not equal True


def truth(tool: str) -> list[dict[str, Any]]:
    """The runs of a sample as its makers logged them."""
    found: list[dict[str, Any]] = json.loads((SAMPLES / tool / "truth.json").read_text())["runs"]
    return found


def true_points(points: Iterable[list[Any]]) -> list[Point]:
    """Points of a truth, sorted."""
    return sorted((name, step, _text(WORDS.get(value, value))) for name, step, value, *_ in points)


def points(entries: Iterable[Entry]) -> list[Point]:
    """Each point of some entries, sorted."""
    return sorted(
        (name, entry.step, _text(value))
        for entry in entries
        if isinstance(entry, Step)
        for name, value in flat(entry.metrics)
    )


def flat(metrics: Any) -> Iterable[tuple[str, Any]]:
    """Names and values."""
    return [(str(name), value) for name, value in metrics.items()]


def _text(value: object) -> str:
    return repr(float(value)) if isinstance(value, (int, float)) and not isinstance(value, bool) else repr(value)


def hyperparams(entries: Iterable[Entry], namespace: str = "hp") -> dict[str, Any]:
    """What the hyperparameters of some entries come to; "tag" for tags."""
    found: dict[str, Any] = {}
    for entry in entries:
        if isinstance(entry, Hyperparams) and entry.namespace == namespace:
            found |= entry.values
    return found


def events(entries: Iterable[Entry]) -> list[Event]:
    """The events among some entries."""
    return [entry for entry in entries if isinstance(entry, Event)]


def runs_of(reader: ModuleType, source: Path, **options: Any) -> dict[str, ForeignRun]:
    """The runs of a source by their names."""
    found = {run.name: run for run in reader.runs(Place.of(source), Options(**options)) if isinstance(run, ForeignRun)}
    assert all(run.sessions for run in found.values())
    return found


def unread_of(reader: ModuleType, source: Path) -> dict[str, str]:
    """What is not read of a source, and why."""
    found = reader.runs(Place.of(source), Options())
    return {one.where: one.why for one in found if isinstance(one, Unread)}


def entries_of(run: ForeignRun) -> list[Entry]:
    """All entries of a run, session by session."""
    return [entry for session in run.sessions for entry in ascending(session.entries())]


def ascending(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The same entries; their positions must ascend."""
    last = 0
    for entry in entries:
        assert entry.position > last
        last = entry.position
        yield entry
