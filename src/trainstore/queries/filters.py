"""Which runs: project, name, status, tag, hyperparameters, and any SQLAlchemy expression."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    and_,
    bindparam,
    case,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    type_coerce,
)

from trainstore.errors import InvalidArgumentError
from trainstore.models import NAMESPACES, STATUSES, JsonType, Models
from trainstore.queries.frames import comparable, parse
from trainstore.queries.reader import Reader
from trainstore.values import canonical, metric_name, plain_text, restore, stored_name

LOST_AFTER = timedelta(seconds=90)  # a heartbeat comes every 30 s
SHOWN_STATUSES = (*STATUSES, "lost")
_HEARD_AFTER = "heard_after"


@dataclass(frozen=True)
class RunFilter:
    """The conditions that every list of runs takes; they are joined by AND.

    A text may be a list of texts: any of them (of tags: all of them); an empty list matches nothing.
    """

    project: str | Iterable[str] | None = None
    name: str | Iterable[str] | None = None
    status: str | Iterable[str] | None = None
    tag: str | Iterable[str] | Mapping[str, Any] | None = None
    hyperparams: Mapping[str, Any] | None = None
    where: Any = None


@dataclass(frozen=True)
class RunSource:
    """The FROM clause of a list of runs: the run, its head attempt and that attempt's opener.

    ``status`` is the one shown, "lost" derived: it needs the parameters `liveness`.
    """

    statement: Select[Any]
    status: ColumnElement[str]
    head: Any


def run_source(models: Models) -> RunSource:
    """All runs; their columns are yet to be chosen."""
    run, writer = models.run, models.writer
    head = alias(models.attempt, "head")
    status = _shown_status(models, head)
    statement = (
        select()
        .select_from(run)
        .join(head, and_(head.c.run_id == run.c.id, head.c.attempt == _head_number(models)), isouter=True)
        .join(writer, writer.c.uid == head.c.uid, isouter=True)
    )
    return RunSource(statement, status, head)


def liveness(reader: Reader) -> dict[str, Any]:
    """The parameters of a statement with a status in it: since when a writer must have been heard of to be alive."""
    return {_HEARD_AFTER: reader.now() - LOST_AFTER}


@lru_cache(maxsize=256)
def alias(table: Table, name: str) -> Any:
    """An alias, the same one each time: making its columns would be a third of a short query."""
    made = table.alias(name)
    made.c.keys()  # made now, so that threads never make them at once
    return made


def _head_number(models: Models) -> Any:
    """The head's number: the last opened of the attempts that nobody resumed."""
    run = models.run
    candidate, child = alias(models.attempt, "candidate"), alias(models.attempt, "child")
    resumed = exists().where(child.c.run_id == candidate.c.run_id, child.c.resumed_from == candidate.c.attempt)
    return (
        select(candidate.c.attempt)
        .where(candidate.c.run_id == run.c.id, ~resumed)
        .order_by(candidate.c.opened_at.desc(), candidate.c.uid.desc())
        .limit(1)
        .correlate(run)
        .scalar_subquery()
    )


def _shown_status(models: Models, head: Any) -> ColumnElement[str]:
    run, writer = models.run.c, models.writer.c
    heard_of = func.coalesce(writer.heartbeat_at, head.c.opened_at)
    alive = and_(writer.closed_at.is_(None), heard_of > bindparam(_HEARD_AFTER, type_=head.c.opened_at.type))
    return case((run.status != "running", run.status), (alive, "running"), else_="lost")


def conditions(reader: Reader, chosen: RunFilter, status: ColumnElement[str]) -> list[ColumnElement[bool]]:
    """What a filter asks of a run; ``status`` as in `RunSource`."""
    run = reader.models.run.c
    asked: list[ColumnElement[bool]] = []
    if chosen.project is not None:
        asked.append(run.project.in_([stored_name(text) for text in texts("project", chosen.project)]))
    if chosen.name is not None:
        asked.append(run.name.in_([stored_name(text) for text in texts("name", chosen.name)]))
    if chosen.status is not None:
        wanted = texts("status", chosen.status)
        for value in wanted:
            if value not in SHOWN_STATUSES:
                raise InvalidArgumentError(f"status {value!r} is not one of {', '.join(SHOWN_STATUSES)}")
        asked.append(status.in_(wanted))
    if isinstance(chosen.tag, Mapping):
        asked += [_has(reader, "tag", key, value) for key, value in chosen.tag.items()]
    elif chosen.tag is not None:
        asked += [_has_key(reader, "tag", key) for key in texts("tag", chosen.tag)] or [false()]
    if chosen.hyperparams is not None:
        if not isinstance(chosen.hyperparams, Mapping):
            raise InvalidArgumentError(f"hyperparams {chosen.hyperparams!r} is no mapping of names to values")
        for name, value in chosen.hyperparams.items():
            asked.append(_has(reader, *qualified(name), value))
    if chosen.where is not None:
        several = isinstance(chosen.where, (list, tuple))
        asked += [_expression(reader, item) for item in (chosen.where if several else [chosen.where])]
    return asked


def qualified(name: object) -> tuple[str, str]:
    """("mth", "n_layer") of "mth.n_layer"; a name without one of our namespaces means ``hp``."""
    if not isinstance(name, str):
        raise InvalidArgumentError(f"hyperparameter {name!r} is no text")
    namespace, dot, key = name.partition(".")
    namespace, key = (namespace, key) if dot and namespace in NAMESPACES else ("hp", name)
    return namespace, metric_name(key)


def _expression(reader: Reader, where: object) -> ColumnElement[bool]:
    run = reader.models.run
    # An ORM attribute's expression is a clause by this method.
    clause = where.__clause_element__() if hasattr(where, "__clause_element__") else where
    if not isinstance(clause, ColumnElement):
        raise InvalidArgumentError(
            f"where {where!r} is no SQLAlchemy expression; write e.g. store.table.run.c.last_step > 100"
        )
    others = {str(table) for table in select(literal(1)).where(clause).get_final_froms()} - {str(run)}
    if others:
        # It would join every run to every row there.
        raise InvalidArgumentError(
            f"where {str(where)!r} speaks of {', '.join(sorted(others))}, not of {run.name} alone; "
            f"ask for other tables by {run.name}.c.id.in_(select(…))"
        )
    return clause


def texts(argument: str, value: object) -> list[str]:
    """The texts that a condition names, one or a list of them, as they are stored."""
    if not isinstance(value, Iterable) or isinstance(value, bytes):
        raise InvalidArgumentError(f"{argument} {value!r} is neither a text nor a list of texts")
    found = [value] if isinstance(value, str) else list(value)
    for text in found:
        if not isinstance(text, str):
            raise InvalidArgumentError(f"{argument} {text!r} is no text")
    # PostgreSQL refuses NUL even in a question.
    return [plain_text(text) for text in found]


def _has_key(reader: Reader, namespace: str, key: object, *also: ColumnElement[bool]) -> ColumnElement[bool]:
    table, run = reader.models.hyperparam.c, reader.models.run
    return (
        exists()
        .where(table.run_id == run.c.id, table.namespace == namespace, table.key == metric_name(key), *also)
        .correlate(run)
    )


def _has(reader: Reader, namespace: str, key: str, value: Any) -> ColumnElement[bool]:
    """The hyperparameter equals the value, or one of a list of values."""
    several = isinstance(value, (list, tuple, set, frozenset))
    alternatives = [_equals(reader, namespace, key, item) for item in (value if several else [value])]
    return _has_key(reader, namespace, key, or_(false(), *alternatives))


def _equals(reader: Reader, namespace: str, key: str, value: Any) -> ColumnElement[bool]:
    table = reader.models.hyperparam.c
    stored: ColumnElement[Any] = table.value
    number: ColumnElement[float] = table.number
    kept = canonical(value)
    if kept is None:
        return stored.is_(None)
    if type(kept) in (int, float):
        return number == float(kept)  # 1 and 1.0 are equal, True is another thing
    if not isinstance(kept, (dict, list)):
        return stored == type_coerce(kept, JsonType)
    # Databases compare objects in ways of their own (order of keys, 1 and 1.0): pick from the texts that there are.
    text = reader.backend.json_text(stored)
    all_texts = select(text).where(table.namespace == namespace, table.key == metric_name(key), table.number.is_(None))
    wanted = comparable(restore(kept))
    texts = [found for (found,) in reader.rows(all_texts.distinct()) if comparable(parse(found)) == wanted]
    return text.in_(texts)
