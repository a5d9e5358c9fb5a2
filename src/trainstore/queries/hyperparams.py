"""Hyperparameters and events row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, or_, select

from trainstore.errors import InvalidArgumentError
from trainstore.models import NAMESPACES
from trainstore.queries.columns import sort_key
from trainstore.queries.frames import COUNT, INTEGER, NUMBER, TEXT, TIME, frame, parse
from trainstore.queries.names import resolve_name
from trainstore.queries.reader import Reader, rows_of_runs
from trainstore.values import stored_label

if TYPE_CHECKING:
    from pandas import DataFrame

HYPERPARAM_COLUMNS = (
    ("uid", TEXT),
    ("namespace", TEXT),
    ("key", TEXT),
    ("value", TEXT),
    ("number", NUMBER),
    ("attempt", COUNT),
)
EVENT_COLUMNS = (
    ("uid", TEXT),
    ("at", TIME),
    ("step", INTEGER),
    ("kind", TEXT),
    ("details", TEXT),
    ("writer_uid", TEXT),
)


def list_hyperparams(
    reader: Reader, runs: object = None, *, namespace: str | None = None, key: str | None = None
) -> DataFrame:
    """Hyperparameters of a run, of several or of all."""
    table = reader.models.hyperparam
    h = table.c
    statement = select(h.namespace, h.key, reader.backend.json_text(h.value), h.number, h.attempt)
    if namespace is not None:
        if namespace not in NAMESPACES:
            raise InvalidArgumentError(f"namespace {namespace!r} is not one of {', '.join(NAMESPACES)}")
        statement = statement.where(h.namespace == namespace)
    if key is not None:
        name = resolve_name(reader, key)
        if name.path:
            raise InvalidArgumentError(f"{key!r} stands inside a hyperparameter; ask for that one: key={name.key!r}")
        statement = statement.where(
            or_(h.key == stored_label(key), and_(h.namespace == name.namespace, h.key == name.key))
        )
    rows = sorted(rows_of_runs(reader, table, statement, runs), key=lambda row: (row[0], sort_key(*row[2:4])))
    return frame(HYPERPARAM_COLUMNS, [(*row[1:4], parse(row[4]), *row[5:]) for row in rows], exact=reader.exact)


def list_events(reader: Reader, runs: object = None, *, kind: str | None = None) -> DataFrame:
    """Events of a run, of several or of all."""
    table = reader.models.event
    e = table.c
    statement = select(e.at, e.step, e.kind, reader.backend.json_text(e.details), e.writer_uid, e.seq)
    if kind is not None:
        if not isinstance(kind, str):
            raise InvalidArgumentError(f"kind {kind!r} is not a str")
        statement = statement.where(e.kind == stored_label(kind))
    rows = sorted(rows_of_runs(reader, table, statement, runs), key=lambda row: (row[0], row[2], row[6], row[7]))
    return frame(EVENT_COLUMNS, [(*row[1:5], parse(row[5]), row[6]) for row in rows])
