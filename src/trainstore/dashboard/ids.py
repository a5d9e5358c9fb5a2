"""What the columns of a table are called: fields of the filter language, so that a column can be filtered by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sqlalchemy import select, tuple_

from trainstore.queries.field_names import SUMMARIES
from trainstore.queries.names import Name, readings_of, spelled_key
from trainstore.queries.reader import IN_LIMIT, Reader

Metric = tuple[str, str]  # its name, and which summary of it
_PLAIN = re.compile(r"""[^\s()=!<>~,"'.]+""")  # a key that needs no quotes


def hyperparam_ids(reader: Reader, names: Sequence[Name]) -> list[str]:
    """The id of each hyperparameter: ``hp.lr``; in quotes if it could also mean something else in this store."""
    short = [_short(name) for name in names]
    others = [
        [reading for reading in readings_of(text) if reading != (name.namespace, name.key)] if text else []
        for name, text in zip(names, short, strict=True)
    ]
    table = reader.models.hyperparam.c
    taken: set[tuple[str, str]] = set()
    for some in _in_parts({reading for readings in others for reading in readings}):
        asked = select(table.namespace, table.key).where(tuple_(table.namespace, table.key).in_(some)).distinct()
        taken.update(map(tuple, reader.rows(asked)))
    return [
        text if text and taken.isdisjoint(readings) else _quoted(name)
        for name, text, readings in zip(names, short, others, strict=True)
    ]


def metric_ids(reader: Reader, metrics: Sequence[Metric]) -> list[str]:
    """The id of each summary of a metric: ``metric.loss`` (the last value), ``metric.loss.min``."""
    table = reader.models.metric_summary.c
    long = {f"{name}.{summary}" for name, summary in metrics if summary != SUMMARIES[0]}
    taken: set[str] = set()
    for some in _in_parts(long):
        taken.update(row[0] for row in reader.rows(select(table.metric).where(table.metric.in_(some)).distinct()))
    ids = []
    for name, summary in metrics:
        last = summary == SUMMARIES[0]
        plain = _PLAIN.fullmatch(name) is not None and (last or f"{name}.{summary}" not in taken)
        ids.append(f"metric.{name if plain else spelled_key(name)}{'' if last else f'.{summary}'}")
    return ids


def _short(name: Name) -> str | None:
    keys = (name.key, *name.path)
    return ".".join((name.namespace, *keys)) if all(map(_PLAIN.fullmatch, keys)) else None


def _quoted(name: Name) -> str:
    return ".".join((name.namespace, *map(spelled_key, (name.key, *name.path))))


def _in_parts(values: Iterable[object]) -> list[list[object]]:
    every = list(values)
    return [every[start : start + IN_LIMIT] for start in range(0, len(every), IN_LIMIT)]
