"""What is logged at a step: metrics, samples (the rows of tables), and events (media, artifacts)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trainstore.arrays import is_array, is_table, size_of
from trainstore.integrations.wandb.artifacts import Artifact
from trainstore.integrations.wandb.media import Chart, Histogram, Media, media_of
from trainstore.integrations.wandb.names import Nothing
from trainstore.integrations.wandb.tables import Table, samples_of
from trainstore.run import ActiveRun
from trainstore.values import scalar_of

PLAIN = frozenset({float, int, str, bool, type(None)})
MAX_ELEMENTS = 32  # of an array that is kept as it is; a larger one becomes a histogram, as in W&B
MAX_ITEMS = 100  # of a list of media, that an event describes


def record(run: ActiveRun, step: int, values: dict[str, Any]) -> dict[str, Any]:
    """Record a step's values.

    Args:
        run: Where.
        step: Which.
        values: Name → whatever W&B takes.

    Returns:
        Those of them that are single values, for the summary.
    """
    metrics: dict[str, Any] = {}
    single: dict[str, Any] = {}
    details: dict[str, Any] = {}
    for name, value in values.items():
        if type(value) in PLAIN:
            metrics[name] = single[name] = value
        elif isinstance(value, Nothing):
            continue
        elif not _is_other(run, step, name, value, details):
            scalar = scalar_of(value)
            if scalar is not None:
                metrics[name] = single[name] = scalar  # not the tensor: the summary would keep it alive
            else:
                metrics[name] = value
    if metrics or details:
        run.log(metrics, step, details=details or None)
    return single


def _is_other(run: ActiveRun, step: int, name: str, value: Any, details: dict[str, Any]) -> bool:
    """Whether a value is no metric; then it is recorded as an event, or added to the step's details."""
    if isinstance(value, Table):
        details |= samples_of(name, value)
    elif isinstance(value, Media):
        _record_media(run, step, name, value, details)
    elif isinstance(value, Artifact):
        run.log_event("artifact", step, value.details(key=name))
    elif is_table(value):
        details |= samples_of(name, Table(dataframe=value))
    elif isinstance(value, (list, tuple)):
        if not value or not all(isinstance(item, (Media, Table)) for item in value):
            return False
        tables = [item for item in value if isinstance(item, Table)]
        for number, table in enumerate(tables):
            details |= samples_of(name if len(tables) == 1 else f"{name}/{number}", table)
        for kind, items in _by_kind([item for item in value if isinstance(item, Media)]):
            facts = [item.facts for item in items[:MAX_ITEMS]]
            run.log_event(kind, step, {"key": name, "count": len(items), "items": facts})
    else:
        is_large = is_array(value) and size_of(value) > MAX_ELEMENTS
        found = Histogram(value, num_bins=MAX_ELEMENTS) if is_large else media_of(value)
        if found is None:
            return False
        _record_media(run, step, name, found, details)
    return True


def _record_media(run: ActiveRun, step: int, name: str, media: Media, details: dict[str, Any]) -> None:
    run.log_event(media.kind, step, {"key": name, **media.facts})
    if isinstance(media, Chart) and isinstance(media.table, Table):
        details |= samples_of(name, media.table)


def _by_kind(items: list[Media]) -> Iterator[tuple[str, list[Media]]]:
    for kind in dict.fromkeys(item.kind for item in items):
        yield kind, [item for item in items if item.kind == kind]
