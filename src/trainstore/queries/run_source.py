"""What every list of runs selects from: the run, its head attempt, and the status that is shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, Table, and_, bindparam, case, exists, func, select

from trainstore.models import LOST_AFTER, Models

if TYPE_CHECKING:
    from trainstore.queries.reader import Reader

_HEARD_AFTER = "heard_after"


@dataclass(frozen=True)
class RunSource:
    """The FROM clause of a list of runs: the run, its head attempt and that attempt's opener.

    ``status`` is the one that is shown. "lost" is derived, which needs the parameters `liveness`.
    """

    statement: Select[Any]
    status: ColumnElement[str]
    head: Any


def run_source(models: Models) -> RunSource:
    """All runs; the caller chooses the columns."""
    run, writer = models.run, models.writer
    head = alias(models.attempt, "head")
    status = displayed_status(run.c.status, head.c.opened_at, writer)
    statement = (
        select()
        .select_from(run)
        .join(head, and_(head.c.run_id == run.c.id, head.c.attempt == _head_number(models)), isouter=True)
        .join(writer, writer.c.uid == head.c.uid, isouter=True)
    )
    return RunSource(statement, status, head)


def liveness(reader: Reader) -> dict[str, Any]:
    """The parameters of a statement with a status in it: how recent an alive writer's last heartbeat must be."""
    return {_HEARD_AFTER: reader.now() - LOST_AFTER}


@lru_cache(maxsize=256)
def alias(table: Table, name: str) -> Any:
    """An alias, the same object each time: making its columns would take a third of a short query."""
    made = table.alias(name)
    made.c.keys()  # made now, so that no two threads make them at the same time
    return made


def _head_number(models: Models) -> Any:
    """The head's number: of the attempts that nobody resumed, the one opened last."""
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


def displayed_status(status: ColumnElement[str], opened_at: ColumnElement[Any], writer: Table) -> ColumnElement[str]:
    """A status as it is shown: ``lost`` instead of ``running`` if its writer is not heard of any more.

    A statement with it needs the parameters `liveness`.
    """
    return case((status != "running", status), (alive(writer, opened_at), "running"), else_="lost")


def alive(writer: Table, begun: ColumnElement[Any] | None = None) -> ColumnElement[bool]:
    """Whether a writer is: it is open, and was heard of not long ago. It needs the parameters `liveness`.

    Args:
        writer: The table.
        begun: When it began; None: as its own row says, if there is one.
    """
    heard = heard_of(writer, begun)
    return and_(writer.c.closed_at.is_(None), heard > bindparam(_HEARD_AFTER, type_=writer.c.started_at.type))


def heard_of(writer: Table, begun: ColumnElement[Any] | None = None) -> ColumnElement[Any]:
    """When a writer was heard of last: by a heartbeat, or when it began."""
    return func.coalesce(writer.c.heartbeat_at, writer.c.started_at if begun is None else begun)


def is_alive(closed_at: datetime | None, heard: datetime, now: datetime) -> bool:
    """What `alive` says, of a writer that has been read: when it closed, and `heard_of`."""
    return closed_at is None and heard > now - LOST_AFTER
