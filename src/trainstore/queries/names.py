"""Names of runs and metrics: all, or, for the shell's completion, a few that begin in some way."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import or_, select

from trainstore.queries.reader import Reader, RunKey


class RunName(NamedTuple):
    """A run as a person would name it."""

    id: int
    uid: str
    name: str
    project: str
    status: str


def all_runs(reader: Reader) -> list[RunKey]:
    """Every run, by id."""
    run = reader.models.run.c
    return [RunKey(*row) for row in reader.rows(select(run.id, run.uid).order_by(run.id))]


def runs_beginning(reader: Reader, start: str, limit: int = 100) -> list[RunName]:
    """The newest runs whose name or uid begins so."""
    run = reader.models.run.c
    statement = (
        select(run.id, run.uid, run.name, run.project, run.status)
        .where(or_(run.name.startswith(start, autoescape=True), run.uid.startswith(start, autoescape=True)))
        .order_by(run.id.desc())
        .limit(limit)
    )
    return [RunName(*row) for row in reader.rows(statement)]


def metrics_beginning(reader: Reader, start: str, limit: int = 200) -> list[str]:
    """The metrics whose name begins so, by name."""
    metric = reader.models.metric_summary.c.metric
    statement = select(metric).distinct().where(metric.startswith(start, autoescape=True)).order_by(metric).limit(limit)
    return [row[0] for row in reader.rows(statement)]
