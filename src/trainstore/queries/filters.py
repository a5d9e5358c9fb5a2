"""Which runs: project, name, status, tag, hyperparameters, and any SQLAlchemy expression."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, literal, or_, select, type_coerce

from trainstore.errors import InvalidArgumentError
from trainstore.models import JsonType
from trainstore.queries.reader import Reader
from trainstore.values import canonical, metric_name

LOST_AFTER = timedelta(seconds=90)  # a heartbeat comes every 30 s
SHOWN_STATUSES = ("running", "finished", "failed", "interrupted", "pruned", "lost")


@dataclass(frozen=True)
class RunFilter:
    """The conditions that every list of runs takes; they are joined by AND.

    A text may be a list of texts: any of them; an empty list matches nothing.
    """

    project: str | Iterable[str] | None = None
    name: str | Iterable[str] | None = None
    status: str | Iterable[str] | None = None
    tag: str | Iterable[str] | Mapping[str, Any] | None = None
    hyperparams: Mapping[str, Any] | None = None
    where: Any = None


@dataclass(frozen=True)
class RunSource:
    """The FROM clause of a list of runs: the run, its head attempt and that attempt's opener."""

    statement: Select[Any]
    status: ColumnElement[str]
    head: Any


def run_source(reader: Reader, chosen: RunFilter, *columns: ColumnElement[Any]) -> RunSource:
    """A SELECT of ``columns`` from the runs that a filter admits. ``status`` is the one shown, "lost" derived."""
    run, writer = reader.models.run, reader.models.writer
    head = reader.models.attempt.alias("head")
    status = _shown_status(reader, head)
    statement = (
        select(*columns)
        .select_from(run)
        .join(head, and_(head.c.run_id == run.c.id, head.c.attempt == _head_number(reader)), isouter=True)
        .join(writer, writer.c.uid == head.c.uid, isouter=True)
        .where(*_conditions(reader, chosen, status))
    )
    return RunSource(statement, status, head)


def _head_number(reader: Reader) -> Any:
    """The head's number: the last opened of the attempts that nobody resumed."""
    run = reader.models.run
    candidate, child = reader.models.attempt.alias("candidate"), reader.models.attempt.alias("child")
    resumed = exists().where(child.c.run_id == candidate.c.run_id, child.c.resumed_from == candidate.c.attempt)
    return (
        select(candidate.c.attempt)
        .where(candidate.c.run_id == run.c.id, ~resumed)
        .order_by(candidate.c.opened_at.desc(), candidate.c.uid.desc())
        .limit(1)
        .correlate(run)
        .scalar_subquery()
    )


def _shown_status(reader: Reader, head: Any) -> ColumnElement[str]:
    run, writer = reader.models.run.c, reader.models.writer.c
    heard_of = func.coalesce(writer.heartbeat_at, head.c.opened_at)
    alive = and_(writer.closed_at.is_(None), heard_of > literal(reader.now() - LOST_AFTER, head.c.opened_at.type))
    return case((run.status != "running", run.status), (alive, "running"), else_="lost")


def _conditions(reader: Reader, chosen: RunFilter, status: ColumnElement[str]) -> list[ColumnElement[bool]]:
    run = reader.models.run.c
    conditions: list[ColumnElement[bool]] = []
    if chosen.project is not None:
        conditions.append(run.project.in_(_texts("project", chosen.project)))
    if chosen.name is not None:
        conditions.append(run.name.in_(_texts("name", chosen.name)))
    if chosen.status is not None:
        wanted = _texts("status", chosen.status)
        for value in wanted:
            if value not in SHOWN_STATUSES:
                raise InvalidArgumentError(f"status {value!r} is not one of {', '.join(SHOWN_STATUSES)}")
        conditions.append(status.in_(wanted))
    if isinstance(chosen.tag, Mapping):
        conditions += [_has(reader, "tag", key, value) for key, value in chosen.tag.items()]
    elif chosen.tag is not None:
        conditions += [_has_key(reader, "tag", key) for key in _texts("tag", chosen.tag)]
    for name, value in (chosen.hyperparams or {}).items():
        namespace, key = qualified(name)
        conditions.append(_has(reader, namespace, key, value))
    if chosen.where is not None:
        several = isinstance(chosen.where, (list, tuple))
        for expression in chosen.where if several else [chosen.where]:
            if not isinstance(expression, ColumnElement):
                raise InvalidArgumentError(
                    f"where {expression!r} is no SQLAlchemy expression; write e.g. store.table.run.c.last_step > 100"
                )
            conditions.append(expression)
    return conditions


def qualified(name: str) -> tuple[str, str]:
    """("mth", "n_layer") of "mth.n_layer"; a name without one of our namespaces means ``hp``."""
    if not isinstance(name, str):
        raise InvalidArgumentError(f"hyperparameter {name!r} is no text")
    namespace, dot, key = name.partition(".")
    return (namespace, key) if dot and namespace in ("hp", "mth", "dbh", "env", "tag") else ("hp", name)


def _texts(argument: str, value: str | Iterable[str]) -> list[str]:
    texts = [value] if isinstance(value, str) else list(value)
    for text in texts:
        if not isinstance(text, str):
            raise InvalidArgumentError(f"{argument} {text!r} is no text")
    return texts


def _has_key(reader: Reader, namespace: str, key: str, *also: ColumnElement[bool]) -> ColumnElement[bool]:
    table, run = reader.models.hyperparam.c, reader.models.run.c
    return (
        exists()
        .where(table.run_id == run.id, table.namespace == namespace, table.key == metric_name(key), *also)
        .correlate(reader.models.run)
    )


def _has(reader: Reader, namespace: str, key: str, value: Any) -> ColumnElement[bool]:
    """The hyperparameter equals the value, or one of a list of values."""
    if isinstance(value, (list, tuple, set, frozenset)):
        alternatives = [_equals(reader, key, item) for item in value]
        return _has_key(reader, namespace, key, or_(*alternatives) if alternatives else literal(False))
    return _has_key(reader, namespace, key, _equals(reader, key, value))


def _equals(reader: Reader, key: str, value: Any) -> ColumnElement[bool]:
    stored: ColumnElement[Any] = reader.models.hyperparam.c.value
    number: ColumnElement[float] = reader.models.hyperparam.c.number
    kept = canonical(value)
    if kept is None:
        return stored.is_(None)
    if type(kept) in (int, float) and math.isfinite(kept):
        return number == float(kept)  # 1 and 1.0 are equal, True is another thing
    if isinstance(kept, (dict, list)):
        raise InvalidArgumentError(
            f"runs cannot be filtered by {key!r} = {value!r}: compare with a number, text, bool or None, "
            "or pass where= with an expression of your own"
        )
    return stored == type_coerce(kept, JsonType)
