"""Which runs: project, name, status, tag, hyperparameters, start, and a filter as text or any SQLAlchemy expression."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    false,
    literal,
    select,
)
from sqlalchemy.exc import DataError, SQLAlchemyError

from trainstore.errors import InvalidArgumentError
from trainstore.models import STATUSES
from trainstore.queries import language, literals
from trainstore.queries.comparisons import check_condition
from trainstore.queries.fields import Field, Scope
from trainstore.queries.matches import has_name, has_value, shown
from trainstore.queries.names import Name, resolve_name
from trainstore.queries.reader import Reader
from trainstore.queries.run_source import liveness, run_source
from trainstore.times import utc
from trainstore.values import plain_text, stored_label

SHOWN_STATUSES = (*STATUSES, "lost")
FOREVER = 1_000 * 365 * 86_400  # seconds; a datetime cannot be much earlier than this


@dataclass(frozen=True)
class RunFilter:
    """The conditions that every list of runs takes; they are joined by AND.

    Instead of a text there may be a list: any of them must match (of tags: all); an empty list matches nothing.
    """

    project: str | Iterable[str] | None = None
    name: str | Iterable[str] | None = None
    status: str | Iterable[str] | None = None
    tag: str | Iterable[str] | Mapping[str, Any] | None = None
    hyperparams: Mapping[str, Any] | None = None
    where: Any = None
    since: Any = None
    until: Any = None


def conditions(reader: Reader, chosen: RunFilter, status: ColumnElement[str]) -> list[ColumnElement[bool]]:
    """What a filter asks of a run; ``status`` as in `RunSource`."""
    run = reader.models.run.c
    asked: list[ColumnElement[bool]] = []
    if chosen.project is not None:
        asked.append(run.project.in_([stored_label(text) for text in texts("project", chosen.project)]))
    if chosen.name is not None:
        asked.append(run.name.in_([stored_label(text) for text in texts("name", chosen.name)]))
    if chosen.status is not None:
        wanted = texts("status", chosen.status)
        for value in wanted:
            if value not in SHOWN_STATUSES:
                raise InvalidArgumentError(f"status {value!r} is not one of {', '.join(SHOWN_STATUSES)}")
        asked.append(status.in_(wanted))
    if isinstance(chosen.tag, Mapping):
        names = texts("tag", list(chosen.tag))
        asked += [has_value(reader, _tag(key), value) for key, value in zip(names, chosen.tag.values(), strict=True)]
    elif chosen.tag is not None:
        asked += [has_name(reader, _tag(key)) for key in texts("tag", chosen.tag)] or [false()]
    if chosen.hyperparams is not None:
        if not isinstance(chosen.hyperparams, Mapping):
            raise InvalidArgumentError(f"hyperparams {chosen.hyperparams!r} is not a mapping of names to values")
        for name, value in chosen.hyperparams.items():
            asked.append(has_value(reader, resolve_name(reader, name), value))
    asked += [_condition(reader, item) for item in _listed(chosen.where)]
    if chosen.since is not None:
        asked.append(run.started_at >= _moment(reader, "since", chosen.since))
    if chosen.until is not None:
        asked.append(run.started_at < _moment(reader, "until", chosen.until))
    return asked


@contextmanager
def refusals_explained(reader: Reader, chosen: RunFilter) -> Iterator[None]:
    """Raise `InvalidArgumentError` if the database refuses a statement for an expression of the caller.

    Such as a column or a parameter that the statement does not have. ``from None``: the cause shows the whole SQL.
    """
    try:
        yield
    except SQLAlchemyError as error:
        # Nothing is left of a generator; the reason says enough then.
        written = [repr(" ".join(str(item).split())) for item in _listed(chosen.where) if not isinstance(item, str)]
        if not written or reader.backend.translate(error) is not None:
            raise
        cause = getattr(error, "orig", None) or error
        # A value that cannot be computed is not quoted: it may be a run's.
        reason = type(cause).__name__ if isinstance(error, DataError) else _first_line(cause)
        raise InvalidArgumentError(
            f"where {' and '.join(written)} cannot be used: {reason}; write conditions over the columns of "
            f"store.table.run.c ({', '.join(reader.models.run.c.keys()[:6])}, …)"
        ) from None


def _first_line(error: BaseException) -> str:
    return str(error).partition(" (Background on")[0].strip().partition("\n")[0]


def _listed(where: Any) -> list[Any]:
    if where is None:
        return []
    return list(where) if isinstance(where, (list, tuple, set, frozenset, Iterator)) else [where]


def _moment(reader: Reader, argument: str, value: object) -> datetime:
    """The moment that a time means, or a span of time: so long before now, by the database's clock."""
    ago = value
    if isinstance(value, str):
        text = value.strip().removeprefix("-")
        seconds = literals.span(text)
        ago = value if seconds is None else timedelta(seconds=min(seconds, FOREVER))
    if isinstance(ago, timedelta):
        return reader.now() - min(abs(ago), timedelta(seconds=FOREVER))
    try:
        return utc(ago.strip() if isinstance(ago, str) else ago)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{argument}: {error}, or how long ago, like '7d'") from None


def _tag(name: str) -> Name:
    return Name("tag", stored_label(name))


def _condition(reader: Reader, where: object) -> ColumnElement[bool]:
    if isinstance(where, str):
        return language.condition(reader, where, run_source(reader.models), liveness(reader))
    return _expression(reader, where)


def fields_in(reader: Reader, where: Any) -> list[Field]:
    """The fields that the filters as text among these name."""
    source, parameters = run_source(reader.models), liveness(reader)
    written = [item for item in _listed(where) if isinstance(item, str)] if not isinstance(where, Iterator) else []
    return [field for text in written for field in language.fields_in(Scope(reader, text, source, parameters))]


def _expression(reader: Reader, where: object) -> ColumnElement[bool]:
    run = reader.models.run
    # The attribute of a mapped class becomes a clause by this method.
    clause = where.__clause_element__() if hasattr(where, "__clause_element__") else where
    if not isinstance(clause, ColumnElement):
        raise InvalidArgumentError(
            f"where {shown(where)} is not an SQLAlchemy expression or a text; write e.g. 'last_step > 100' or "
            "store.table.run.c.last_step > 100"
        )
    others = {str(table) for table in select(literal(1)).where(clause).get_final_froms()} - {str(run)}
    if others:
        # It would join every run to every row there.
        raise InvalidArgumentError(
            f"where {str(where)!r} uses {', '.join(sorted(others))}, not only {run.name}; "
            f"write conditions on other tables as {run.name}.c.id.in_(select(…))"
        )
    check_condition(clause)
    return clause


def texts(argument: str, value: object) -> list[str]:
    """The texts that a condition names, one or a list of them, as they are stored."""
    if not isinstance(value, Iterable) or isinstance(value, bytes):
        raise InvalidArgumentError(f"{argument} {value!r} is neither a str nor a list of them")
    found = [value] if isinstance(value, str) else list(value)
    for text in found:
        if not isinstance(text, str):
            raise InvalidArgumentError(f"{argument} {text!r} is not a str")
    return [plain_text(text) for text in found]  # PostgreSQL refuses NUL even in a query
