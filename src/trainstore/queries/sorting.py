"""The order of a run table: ``sort="metric.loss"``, ``"-hp.lr"``, by any field of the filter language.

Values are compared in Python, because databases sort texts and mixed types in different ways. Numbers come before
texts, and what is missing or NaN is last, whichever way the rest is sorted. Ties keep the order of the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, exists, select

from trainstore.errors import FilterError, InvalidArgumentError
from trainstore.queries.field_names import field_named
from trainstore.queries.fields import (
    DurationField,
    Field,
    HyperparamField,
    MetricField,
    NumberField,
    Scope,
    TextField,
    TimeField,
)
from trainstore.queries.frames import parse
from trainstore.queries.literals import Token
from trainstore.queries.names import NOTHING, inside, spelled
from trainstore.queries.reader import Reader
from trainstore.queries.run_source import RunSource
from trainstore.values import stored_name


def in_order(
    reader: Reader, ids: Sequence[int], sort: object, source: RunSource, parameters: Mapping[str, Any]
) -> list[int]:
    """The ids of runs, sorted by one field or by several, the first of which counts most.

    Raises:
        InvalidArgumentError: ``sort`` is not a text or a list of texts.
        FilterError: A name that the store does not have, or that has no order.
    """
    ordered = list(ids)
    for text, field in reversed(sort_fields(reader, sort, source, parameters)):  # each sort is stable
        values = _values(field)
        keys = {run_id: key for run_id in ordered if (key := _key(values.get(run_id))) is not None}
        there = sorted(keys, key=keys.__getitem__, reverse=text.strip().startswith("-"))
        ordered = there + [run_id for run_id in ordered if run_id not in keys]
    return ordered


def sort_fields(
    reader: Reader, sort: object, source: RunSource, parameters: Mapping[str, Any]
) -> list[tuple[str, Field]]:
    """Each text of ``sort`` and the field that it names. Errors as for `in_order`."""
    texts = [sort] if isinstance(sort, str) else list(sort) if isinstance(sort, Iterable) else [sort]
    fields = []
    for text in texts:
        if not isinstance(text, str):
            raise InvalidArgumentError(f"sort {text!r} is not the name of a field; pass e.g. 'metric.loss' or '-hp.lr'")
        written = text.strip().removeprefix("-").strip()
        scope = Scope(reader, text, source, parameters, argument="sort")
        fields.append((text, _field(scope, Token("word", written, text.find(written), written))))
    return fields


def _field(scope: Scope, token: Token) -> Field:
    """What the name stands for; a metric may be named without ``metric.`` if nothing else has its name."""
    if not token.text:
        raise scope.error(token, "there is no name; write e.g. metric.loss or -hp.lr")
    try:
        return field_named(scope, token)
    except FilterError:
        summary = scope.reader.models.metric_summary.c
        name = stored_name(token.text)
        if not scope.reader.rows(select(exists().where(summary.metric == name, summary.count > 0)))[0][0]:
            raise
        full = spelled("metric", name)
        return field_named(scope, token._replace(text=full, raw=full))


def _values(field: Field) -> dict[int, Any]:
    """The field's value for each run that has one."""
    scope = field.scope
    run = scope.reader.models.run.c
    if isinstance(field, (TextField, NumberField, TimeField)):
        return _rows(scope, field.column)
    if isinstance(field, DurationField):
        ended, present = _rows(scope, run.ended_at), _rows(scope, run.started_at, field.present())
        now = scope.reader.now()
        return {run_id: (ended.get(run_id) or now) - started for run_id, started in present.items()}
    if isinstance(field, MetricField):
        statement = select(field.table.run_id, field.column)
        return dict(map(tuple, scope.reader.rows(statement.where(field.table.metric == field.metric))))
    if isinstance(field, HyperparamField):
        text = scope.reader.backend.json_text(field.table.value)
        statement = select(field.table.run_id, text).where(
            field.table.namespace == field.name.namespace, field.table.key == field.name.key
        )
        return {run_id: inside(parse(found), field.name.path) for run_id, found in scope.reader.rows(statement)}
    raise scope.error(field.token, f"{field.token.raw} has no order; sort by one tag, such as tag.owner")


def _rows(scope: Scope, column: ColumnElement[Any], *conditions: Any) -> dict[int, Any]:
    statement = scope.source.statement.with_only_columns(
        scope.reader.models.run.c.id, column, maintain_column_froms=True
    )
    return dict(map(tuple, scope.reader.rows(statement.where(*conditions), scope.parameters)))


def _key(value: Any) -> tuple[int, Any] | None:
    """Numbers, then texts, then the rest by its text; None for a value that is missing or NaN."""
    if value is None or value is NOTHING or value != value:
        return None
    if isinstance(value, (bool, int, float)):
        return 0, value
    if isinstance(value, datetime) or hasattr(value, "total_seconds"):
        return 1, value
    return (2, value) if isinstance(value, str) else (3, repr(value))
