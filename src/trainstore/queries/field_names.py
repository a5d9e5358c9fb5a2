"""The names of the filter language: which fact of a run, metric or hyperparameter each stands for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, exists, func, select

from trainstore.errors import InvalidArgumentError
from trainstore.models import NAMESPACES
from trainstore.queries.fields import (
    DurationField,
    Field,
    HyperparamField,
    MetricField,
    NumberField,
    Scope,
    StatusField,
    TagNamesField,
    TextField,
    TimeField,
)
from trainstore.queries.literals import Token
from trainstore.queries.names import (
    did_you_mean,
    is_there,
    known_names,
    metric_readings,
    resolve_name,
    spelled,
    spelled_key,
)
from trainstore.queries.reader import Reader
from trainstore.values import stored_label

SUMMARIES = ("last", "min", "max", "count")

_FIELDS: dict[str, Callable[[Scope, Token], Field]] = {
    "name": lambda scope, token: TextField(scope, token, _run(scope).name, stored_label),
    "project": lambda scope, token: TextField(scope, token, _run(scope).project, stored_label),
    "status": lambda scope, token: StatusField(scope, token, scope.source.status),
    "tag": TagNamesField,
    "notes": lambda scope, token: TextField(scope, token, _run(scope).notes),
    "host": lambda scope, token: TextField(scope, token, scope.source.head.c.host),
    "command": lambda scope, token: TextField(scope, token, scope.source.head.c.command),
    "commit": lambda scope, token: TextField(scope, token, scope.source.head.c.git_commit),
    "source": lambda scope, token: TextField(scope, token, _run(scope).source),
    "error": lambda scope, token: TextField(scope, token, _run(scope).error),
    "uid": lambda scope, token: TextField(scope, token, _run(scope).uid),
    "id": lambda scope, token: NumberField(scope, token, _run(scope).id),
    "started": lambda scope, token: TimeField(scope, token, _run(scope).started_at),
    "ended": lambda scope, token: TimeField(scope, token, _run(scope).ended_at),
    "duration": DurationField,
    "last_step": lambda scope, token: NumberField(scope, token, _run(scope).last_step),
    "attempts": lambda scope, token: NumberField(scope, token, _attempts(scope)),
}


# Columns of the run table that have another name here.
_OF_COLUMNS = {"run_id": "id", "started_at": "started", "ended_at": "ended", "git_commit": "commit"}


def is_field(token: Token) -> bool:
    """Whether a word that stands alone is the name of a field, and not a word to search for."""
    first, dot, _ = token.text.partition(".")
    return token.kind == "word" and (token.text in _FIELDS or (dot != "" and first in (*NAMESPACES, "metric")))


def field_named(scope: Scope, token: Token) -> Field:
    """What a name stands for: a fact of the run, a metric, or else a hyperparameter.

    Raises `FilterError` for what the store does not have, except tags, which come and go, and for what may be two.
    """
    if token.kind == "word" and token.text in _FIELDS:
        return _FIELDS[token.text](scope, token)
    if token.kind == "word" and token.text.startswith("metric."):
        return _metric(scope, token)
    text = spelled_key(token.text) if token.raw.startswith("'") else token.raw
    try:
        name = resolve_name(scope.reader, text)
    except InvalidArgumentError as error:
        raise scope.error(token, str(error)) from None
    if name.namespace != "tag" and not is_there(scope.reader, name):
        field = _of_column(token)
        if field is not None:
            return field_named(scope, field)
        known = [*known_names(scope.reader), *_metric_names(scope.reader), *_FIELDS]
        raise scope.error(token, f"there is no hyperparameter or field {text}{did_you_mean(text, known)}")
    return HyperparamField(scope, token, name)


def _of_column(token: Token) -> Token | None:
    """The field that a column of the run table shows, by that column's name, such as ``metric__loss``."""
    if token.kind != "word":
        return None
    if token.text.startswith("metric__"):
        return token._replace(text=token.text.replace("__", ".", 1))
    return token._replace(text=_OF_COLUMNS[token.text]) if token.text in _OF_COLUMNS else None


def _metric(scope: Scope, token: Token) -> Field:
    """A metric by its name, and which of its summaries. A dot may belong to the name: what there is decides."""
    reader, table = scope.reader, scope.reader.models.metric_summary.c
    readings = metric_readings(token.text, SUMMARIES)
    if not readings:
        raise scope.error(token, f'{token.raw} is not the name of a metric; write metric.loss.min or metric."a.b".min')
    asked: list[Any] = [exists().where(table.metric == name, table.count > 0) for name, _ in readings]
    found = [reading for reading, there in zip(readings, reader.rows(select(*asked))[0], strict=False) if there]
    if len(found) > 1:
        spellings = " and ".join(f"metric.{spelled_key(name)}.{summary}" for name, summary in found)
        raise scope.error(token, f"{token.raw} is ambiguous: there are {spellings}; write one of these")
    if not found:
        known = did_you_mean(token.text, _metric_names(reader))
        raise scope.error(token, f"there is no metric {token.text.partition('.')[2]}{known}")
    name, summary = found[0]
    if summary == "count":
        return NumberField(scope, token, _count(scope, name), counted=name)
    return MetricField(scope, token, name, summary)


def _metric_names(reader: Reader) -> list[str]:
    statement = select(reader.models.metric_summary.c.metric).distinct()
    return sorted(spelled("metric", name) for (name,) in reader.rows(statement))


def _run(scope: Scope) -> Any:
    return scope.reader.models.run.c


def _attempts(scope: Scope) -> ColumnElement[int]:
    attempt, run = scope.reader.models.attempt, scope.reader.models.run
    return select(func.count()).where(attempt.c.run_id == run.c.id).correlate(run).scalar_subquery()


def _count(scope: Scope, metric: str) -> ColumnElement[int]:
    """How often a run has a metric: 0 if it has none."""
    table, run = scope.reader.models.metric_summary.c, scope.reader.models.run
    of_run = select(table.count).where(table.run_id == run.c.id, table.metric == metric).correlate(run)
    return func.coalesce(of_run.scalar_subquery(), 0)
