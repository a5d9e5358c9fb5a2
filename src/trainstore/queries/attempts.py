"""Attempts row by row, with the steps of each that are shown; and the runs that began from a run's checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import case, select

from trainstore.queries.frames import BOOLEAN, COUNT, INTEGER, TEXT, TIME, frame, parse
from trainstore.queries.reader import Reader, among, resolve_run, resolve_runs
from trainstore.queries.run_source import displayed_status, liveness

if TYPE_CHECKING:
    from pandas import DataFrame

ATTEMPT_COLUMNS = (
    ("uid", TEXT),
    ("attempt", COUNT),
    ("resumed_from", INTEGER),
    ("start_step", COUNT),
    ("last_step", INTEGER),
    ("kept_step", INTEGER),
    ("status", TEXT),
    ("error", TEXT),
    ("started_at", TIME),
    ("ended_at", TIME),
    ("host", TEXT),
    ("command", TEXT),
    ("git_commit", TEXT),
    ("git_dirty", BOOLEAN),
    ("versions", TEXT),
    ("changed_hyperparams", TEXT),
)
CHILD_COLUMNS = (("run_id", COUNT), ("uid", TEXT), ("name", TEXT), ("parent_step", INTEGER))


def list_attempts(reader: Reader, runs: object = None) -> DataFrame:
    """The attempts of a run, of several or of all, in the order in which they were opened."""
    run, attempt, writer = reader.models.run, reader.models.attempt, reader.models.writer
    a = attempt.c
    last = case((a.end_step < a.last_step, a.end_step), else_=a.last_step)
    kept = case((last > a.start_step, last))
    placed = (run.c.id, run.c.uid, a.attempt, a.resumed_from, a.start_step, a.last_step, kept)
    ended = (displayed_status(a.status, a.opened_at, writer), a.error, a.opened_at, a.closed_at)
    json = reader.backend.json_text
    where = (a.host, a.command, a.git_commit, a.git_dirty, json(a.versions), json(a.changed_hyperparams))
    statement = (
        select(*placed, *ended, *where)
        .join_from(attempt, run, a.run_id == run.c.id)
        .join(writer, writer.c.uid == a.uid, isouter=True)
        .order_by(run.c.id, a.opened_at, a.uid)
    )
    conditions = [None] if runs is None else among(a.run_id, sorted(key.id for key in resolve_runs(reader, runs)))
    parameters = liveness(reader)
    rows = [
        row
        for condition in conditions
        for row in reader.rows(statement if condition is None else statement.where(condition), parameters)
    ]
    return frame(ATTEMPT_COLUMNS, [(*row[1:-2], parse(row[-2]), parse(row[-1])) for row in rows])


def list_children(reader: Reader, run: object) -> DataFrame:
    """The runs that began from a checkpoint of a run, in the order in which they started."""
    table = reader.models.run.c
    statement = select(table.id, table.uid, table.name, table.parent_step)
    asked = statement.where(table.parent_uid == resolve_run(reader, run).uid).order_by(table.started_at, table.id)
    return frame(CHILD_COLUMNS, [tuple(row) for row in reader.rows(asked)])
