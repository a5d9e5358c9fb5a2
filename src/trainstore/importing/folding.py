"""Entries of one step as one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from trainstore.importing.foreign import Entry, Step


def merged(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Entries of one step that follow each other as one, where that changes nothing."""
    waiting: Step | None = None
    metrics: dict[str, Any] = {}
    for entry in entries:
        if isinstance(entry, Step) and waiting is not None and _fit(waiting, metrics, entry):
            metrics.update(entry.metrics)
            waiting = Step(
                min(waiting.at, entry.at),
                entry.step,
                metrics,
                waiting.epoch if entry.epoch is None else entry.epoch,
                waiting.step_time if entry.step_time is None else entry.step_time,
            )
            continue
        if waiting is not None:
            yield waiting
            waiting = None
        if isinstance(entry, Step):
            metrics = dict(entry.metrics)
            waiting = Step(entry.at, entry.step, metrics, entry.epoch, entry.step_time, entry.details)
        else:
            yield entry
    if waiting is not None:
        yield waiting


def _fit(waiting: Step, metrics: Mapping[str, Any], entry: Step) -> bool:
    if waiting.step != entry.step or waiting.details or entry.details or len(metrics) > 1_000:
        return False
    return metrics.keys().isdisjoint(entry.metrics)
