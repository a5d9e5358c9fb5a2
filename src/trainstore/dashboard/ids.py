"""What the columns of a table are called: fields of the filter language, so that a column can be filtered by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import exists, select

from trainstore.queries.field_names import SUMMARIES, field_named
from trainstore.queries.fields import HyperparamField, MetricField, NumberField, Scope
from trainstore.queries.literals import Token
from trainstore.queries.names import COLUMNS, Name, metric_readings, readings_of, spelled_key
from trainstore.queries.reader import Reader
from trainstore.queries.run_source import liveness, run_source

_PLAIN = re.compile(r"""[^\s()=!<>~,"'.]+""")  # a key that needs no quotes
MANY = 1_000  # names: from here on it is faster to read all that there are


# Looking for secrets in a name takes long, and a page asks for the same columns again and again.
_readings = lru_cache(maxsize=50_000)(readings_of)


class Metric(NamedTuple):
    """One of the summaries of a metric: last, min, max or count."""

    name: str
    summary: str


Key = Name | Metric


def hyperparam_ids(reader: Reader, names: Sequence[Name]) -> list[str]:
    """The id of each hyperparameter: ``hp.lr``; in quotes if it could also mean something else in this store."""
    short = [_short(name) for name in names]
    others = [
        [reading for reading in _readings(text) if reading != (name.namespace, name.key)] if text else []
        for name, text in zip(names, short, strict=True)
    ]
    taken = _hyperparams_among(reader, (reading for readings in others for reading in readings))
    return [
        text if text and taken.isdisjoint(readings) else _quoted(name)
        for name, text, readings in zip(names, short, others, strict=True)
    ]


def metric_ids(reader: Reader, metrics: Sequence[Metric]) -> list[str]:
    """The id of each summary of a metric: ``metric.loss`` (the last value), ``metric.loss.min``."""
    taken = _metrics_among(reader, (f"{name}.{summary}" for name, summary in metrics if summary != SUMMARIES[0]))
    ids = []
    for name, summary in metrics:
        last = summary == SUMMARIES[0]
        plain = _PLAIN.fullmatch(name) is not None and (last or f"{name}.{summary}" not in taken)
        ids.append(f"metric.{name if plain else spelled_key(name)}{'' if last else f'.{summary}'}")
    return ids


def keys_of(reader: Reader, ids: Iterable[str]) -> dict[str, Key]:
    """The hyperparameters and metrics that ids name.

    Raises:
        FilterError: A name that the store does not have, or that may mean two.
    """
    asked = list(dict.fromkeys(ids))
    # Most ids mean one thing only: those take two queries for all of them instead of several for each.
    found = {**_plain_hyperparams(reader, asked), **_plain_metrics(reader, asked)}
    return {one: found[one] if one in found else _key_of(reader, one) for one in asked}


def _plain_hyperparams(reader: Reader, ids: Sequence[str]) -> Mapping[str, Key]:
    readings = {one: _readings(one) for one in ids if "." in one and not one.startswith("metric.")}
    there = _hyperparams_among(reader, (reading for of_one in readings.values() for reading in of_one))
    only = {one: [reading for reading in of_one if reading in there] for one, of_one in readings.items()}
    return {one: Name(*found[0]) for one, found in only.items() if len(found) == 1 and not readings[one][found[0]]}


def _plain_metrics(reader: Reader, ids: Sequence[str]) -> Mapping[str, Key]:
    readings = {one: metric_readings(one, SUMMARIES) for one in ids if one.startswith("metric.")}
    there = _metrics_among(reader, (name for of_one in readings.values() for name, _ in of_one))
    only = {one: [reading for reading in of_one if reading[0] in there] for one, of_one in readings.items()}
    return {one: Metric(*found[0]) for one, found in only.items() if len(found) == 1}


def _key_of(reader: Reader, one: str) -> Key:
    """What an id names, by the rules of filters, which also say what is wrong with it."""
    scope = Scope(reader, one, run_source(reader.models), liveness(reader), argument="columns")
    field = field_named(scope, Token("word", one, 0, one))
    if isinstance(field, HyperparamField):
        return field.name
    if isinstance(field, MetricField):
        return Metric(field.metric, field.summary)
    if isinstance(field, NumberField) and field.counted is not None:
        return Metric(field.counted, "count")
    raise scope.error(0, f"{one} is no column; write hp.NAME, tag.NAME, metric.NAME, or the name of a fact of a run")


def _hyperparams_among(reader: Reader, asked: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of these namespaces and keys that a run has."""
    table, wanted = reader.models.hyperparam.c, list(set(asked))
    if len(wanted) > MANY:
        rows = reader.rows(select(table.namespace, table.key).distinct())
        return {(namespace, key) for namespace, key in rows}.intersection(wanted)
    there = [exists().where(table.namespace == namespace, table.key == key) for namespace, key in wanted]
    return set(_those(reader, wanted, there))


def _metrics_among(reader: Reader, asked: Iterable[str]) -> set[str]:
    """Those of these metrics that a run has."""
    table, wanted = reader.models.metric_summary.c, list(set(asked))
    if len(wanted) > MANY:
        rows = reader.rows(select(table.metric).where(table.count > 0).distinct())
        return {name for (name,) in rows}.intersection(wanted)
    return set(_those(reader, wanted, [exists().where(table.metric == name, table.count > 0) for name in wanted]))


def _those(reader: Reader, wanted: Sequence[Any], conditions: Sequence[Any]) -> Iterable[Any]:
    """Those whose condition is true. DISTINCT would read every row of them."""
    for start in range(0, len(wanted), COLUMNS):
        (found,) = reader.rows(select(*conditions[start : start + COLUMNS]))
        yield from (one for one, is_there in zip(wanted[start:], found, strict=False) if is_there)


def _short(name: Name) -> str | None:
    keys = (name.key, *name.path)
    return ".".join((name.namespace, *keys)) if all(map(_PLAIN.fullmatch, keys)) else None


def _quoted(name: Name) -> str:
    return ".".join((name.namespace, *map(spelled_key, (name.key, *name.path))))
