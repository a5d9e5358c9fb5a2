"""What a query reads with, and which run is meant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import ColumnElement, Connection, Select, select

from trainstore.backends import Backend
from trainstore.errors import InvalidArgumentError, RunNotFoundError, RunNotUniqueError
from trainstore.models import Models
from trainstore.values import restore

# How many ids an IN list may hold; above it, a range is read and sifted here.
IN_LIMIT = 500


@dataclass(frozen=True)
class Reader:
    """The connection of one query, with the store's tables and backend."""

    connection: Connection
    models: Models
    backend: Backend
    _parsed: dict[str, Any] = field(default_factory=dict)

    def now(self) -> datetime:
        """The database's clock."""
        value: datetime = self.connection.execute(select(self.backend.now())).scalar_one()
        return value

    def rows(self, statement: Select[Any]) -> Sequence[Any]:
        """The rows of a statement, as plain tuples."""
        return self.connection.execute(statement).all()

    def parse(self, text: str | None) -> Any:
        """The Python value of stored JSON text. Runs share most of their hyperparameters: each text is parsed once."""
        if text is None:
            return None
        if text not in self._parsed:
            self._parsed[text] = restore(orjson.loads(text))
        return self._parsed[text]


class RunKey(NamedTuple):
    """Which run: its id in this database, and its uid everywhere."""

    id: int
    uid: str


def resolve_run(reader: Reader, run: object) -> RunKey:
    """The run that is meant by a handle, a record, a uid, an id, or a name that only one run has.

    Raises:
        RunNotFoundError: There is none.
        RunNotUniqueError: Several runs have the name; their uids are listed.
        InvalidArgumentError: Something else was given.
    """
    table = reader.models.run.c
    columns = (table.id, table.uid)
    wanted = getattr(run, "uid", run)
    if isinstance(wanted, int) and not isinstance(wanted, bool):
        found = reader.rows(select(*columns).where(table.id == wanted)) if abs(wanted) < 2**63 else []
    elif isinstance(wanted, str):
        found = reader.rows(select(*columns).where(table.uid == wanted))
        if not found:
            found = reader.rows(select(*columns).where(table.name == wanted).order_by(table.id))
    else:
        raise InvalidArgumentError(f"{run!r} is no run: pass a handle, a record, a uid, an id or a name")
    if not found:
        raise RunNotFoundError(f"there is no run {wanted!r}; list_runs() shows those there are")
    if len(found) > 1:
        uids = ", ".join(uid for _, uid in found[:10])
        raise RunNotUniqueError(f"{len(found)} runs are called {wanted!r}; say which by its uid: {uids}")
    return RunKey(*found[0])


def resolve_runs(reader: Reader, runs: object) -> list[RunKey]:
    """The runs that are meant by one of the above or by a list, tuple or set of them."""
    if isinstance(runs, Iterable) and not isinstance(runs, (str, bytes)) and not hasattr(runs, "uid"):
        return [resolve_run(reader, run) for run in runs]
    return [resolve_run(reader, runs)]


def among(column: ColumnElement[int], ids: Sequence[int]) -> tuple[ColumnElement[bool], Callable[[int], bool]]:
    """A condition for rows of these runs, and what else must be asked of a row's run id."""
    if len(ids) <= IN_LIMIT:
        return column.in_(ids), lambda _: True
    return column.between(min(ids), max(ids)), frozenset(ids).__contains__
