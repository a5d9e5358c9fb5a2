"""What a query reads with, and which run is meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, Table, or_, select

from trainstore.arrays import is_table
from trainstore.backends import Backend
from trainstore.backends.driver_rows import driver_rows
from trainstore.errors import InvalidArgumentError, RunNotFoundError, RunNotUniqueError
from trainstore.models import Models
from trainstore.queries.run_source import liveness, run_source
from trainstore.values import INT64_MAX, index_of, stored_label

MOST_TOLD = 5  # runs in an error about a name that several have
IN_LIMIT = 500  # values in one IN list
CHUNK = 300  # rows taken from the driver at a time; from 700 objects on the garbage collector looks at each of them


@dataclass(frozen=True)
class Reader:
    """The connection of one query, with the store's tables and backend.

    ``exact``: frames distinguish a missing number from NaN.
    """

    connection: Connection
    models: Models
    backend: Backend
    exact: bool = False

    def now(self) -> datetime:
        """The database's clock."""
        value: datetime = self.connection.execute(select(self.backend.now())).scalar_one()
        return value

    def rows(self, statement: Select[Any], parameters: Mapping[str, Any] | None = None) -> Sequence[Any]:
        """The rows of a statement, their values as the models' types say."""
        return self.connection.execute(statement, parameters).all()

    def chunks(self, statement: Select[Any], parameters: Mapping[str, Any] | None = None) -> Iterator[Sequence[Any]]:
        """The rows of a statement as the driver returns them, a few hundred at a time.

        For hundreds of thousands of rows: making SQLAlchemy's rows takes as long as reading the database's. Text,
        integers and floats are the same either way; select JSON as text (`Backend.json_text`), and pass times through
        `frames.times`.
        """
        yield from driver_rows(self.connection.execute(statement, parameters), CHUNK)


class RunKey(NamedTuple):
    """Which run: its id in this database, and its uid everywhere."""

    id: int
    uid: str


class TypedRun(str):
    """A run as typed on a command line, where digits may be an id or a name."""

    __slots__ = ()


def resolve_run(reader: Reader, run: object) -> RunKey:
    """The run that is meant by a handle, a record, a uid, an id, or a name that only one run has.

    A text is a uid or a name, even if it is all digits; ``id:1`` and ``name:1`` say which. Digits typed on a command
    line (`TypedRun`) may also be an id.

    Raises:
        RunNotFoundError: There is none.
        RunNotUniqueError: Several runs match; the message tells the newest by id, status, start and last step.
        InvalidArgumentError: Something else was given.
    """
    return resolve_runs(reader, [run])[0]


def resolve_runs(reader: Reader, runs: object) -> list[RunKey]:
    """The runs that are meant by one of the above, or by several: a list, a column of uids, or a frame of runs.

    They keep their order; a run that is named twice appears once. A frame needs the column ``uid`` or the
    index ``run_id``, as `list_runs` returns it. Errors as for `resolve_run`.
    """
    wanted = [_wanted(run) for run in ([runs] if is_one_run(runs) else _several(runs))]
    table = reader.models.run.c
    ids = [value for value in wanted if isinstance(value, int) and 0 < value <= INT64_MAX]
    texts = [stored_label(value) for value in wanted if isinstance(value, str)]
    by_id = {key.id: key for key in _keys(reader, table.id, ids)}
    by_uid = {key.uid: key for key in _keys(reader, table.uid, texts)}
    found: dict[RunKey, None] = {}
    for value in wanted:
        key = by_id.get(value) if isinstance(value, int) else by_uid.get(stored_label(value)) or _by_text(reader, value)
        if key is None:
            shown = value if isinstance(value, int) else str(value)
            raise RunNotFoundError(f"there is no run {shown!r}; list them with list_runs() or: trainstore runs")
        found[key] = None
    return list(found)


def is_one_run(run: object) -> bool:
    """Whether this means one run, and not several."""
    uid = getattr(run, "uid", run)
    # An array of no dimension, which NumPy makes of one id, calls itself iterable.
    return isinstance(uid, (str, bytes)) or not isinstance(uid, Iterable) or getattr(uid, "shape", None) == ()


def _several(runs: Any) -> list[object]:
    if is_table(runs) and not hasattr(runs, "uid"):
        index = getattr(runs, "index", None)
        if getattr(index, "name", None) == "run_id":  # list_runs(columns="short")
            return list(runs.index)
        raise InvalidArgumentError("a frame of runs needs a column uid; pass e.g. frame['run_id']")
    return list(getattr(runs, "uid", runs))


def _wanted(run: object) -> int | str:
    wanted = getattr(run, "uid", run)
    if isinstance(wanted, UUID):
        return str(wanted)
    number = index_of(wanted)  # an id out of a frame is a NumPy integer
    if number is not None:
        return number
    if isinstance(wanted, str):
        return wanted
    raise InvalidArgumentError(f"{run!r} is not a run: pass a handle, a record, a uid, an id or a name")


def _keys(reader: Reader, column: ColumnElement[Any], values: Sequence[Any]) -> Iterator[RunKey]:
    run = reader.models.run.c
    for start in range(0, len(values), IN_LIMIT):
        some = values[start : start + IN_LIMIT]
        yield from (RunKey(*row) for row in reader.rows(select(run.id, run.uid).where(column.in_(some))))


def _by_text(reader: Reader, text: str) -> RunKey | None:
    """The only run that a text may mean, in any reading."""
    run = reader.models.run.c
    names, ids = [stored_label(text)], []
    kind, colon, rest = text.partition(":")
    if colon and kind == "name":
        names.append(stored_label(rest))
    digits = rest if colon and kind == "id" else text if isinstance(text, TypedRun) else ""
    if digits.isascii() and digits.isdecimal() and len(digits) < 20 and int(digits) <= INT64_MAX:
        ids.append(int(digits))
    asked = or_(run.name.in_(names), run.id.in_(ids)) if ids else run.name.in_(names)
    found = reader.rows(select(run.id, run.uid, run.name).where(asked).order_by(run.id))
    if len(found) > 1:
        raise RunNotUniqueError(_ambiguous(reader, text, ids, found))
    return RunKey(*found[0][:2]) if found else None


def _ambiguous(reader: Reader, text: str, ids: Sequence[int], found: Sequence[Any]) -> str:
    named = [row for row in found if row.id not in ids]
    newest = [row.id for row in named[: -MOST_TOLD - 1 : -1]]
    several = "; ".join(_told(reader, newest)) + ("; …" if len(named) > len(newest) else "")
    if len(named) < len(found):
        (by_id,) = (row for row in found if row.id in ids)
        called = "the name of run" if len(named) == 1 else f"the name of {len(named)} runs,"
        return (
            f"{str(text)!r} is the id of run {by_id.uid} ({by_id.name!r}) and {called} {several}; "
            f"write id:{by_id.id}, name:{named[0].name} or a uid"
        )
    return f"{len(found)} runs are called {str(text)!r}; name one by its id or uid: {several}"


def _told(reader: Reader, ids: Sequence[int]) -> list[str]:
    """What distinguishes runs of one name, newest first."""
    source, run = run_source(reader.models), reader.models.run.c
    columns = (run.id, run.uid, source.status, run.started_at, run.last_step)
    statement = source.statement.with_only_columns(*columns, maintain_column_froms=True).where(run.id.in_(ids))
    return [
        f"id:{run_id} ({status}, started {started:%Y-%m-%d %H:%M} UTC, "
        f"{'no step' if last_step is None else f'last step {last_step}'}, uid {uid})"
        for run_id, uid, status, started, last_step in reader.rows(statement.order_by(run.id.desc()), liveness(reader))
    ]


def among(column: ColumnElement[int], ids: Sequence[int], *, exact: bool = True) -> list[ColumnElement[bool]]:
    """Conditions, one for each statement to be sent, that together select every row of these runs.

    Without ``exact`` they may also select rows of other runs, which the caller drops: ids that are close together are
    then read as a range, in one statement.
    """
    if not ids:
        return []
    low, high = min(ids), max(ids)
    if not exact and high - low < 2 * len(ids):
        return [column.between(low, high)]
    return [column.in_(ids[start : start + IN_LIMIT]) for start in range(0, len(ids), IN_LIMIT)]


def rows_of_runs(reader: Reader, table: Table, statement: Select[Any], runs: object) -> list[tuple[Any, ...]]:
    """The rows of a statement over a table with ``run_id``: id and uid of their run come first.

    ``runs``: as for `resolve_runs`; None is all.
    """
    run = reader.models.run
    joined = statement.with_only_columns(run.c.id, run.c.uid, *statement.selected_columns).join_from(table, run)
    if runs is None:
        return [tuple(row) for row in reader.rows(joined)]
    ids = [key.id for key in resolve_runs(reader, runs)]
    return [tuple(row) for part in among(table.c.run_id, ids) for row in reader.rows(joined.where(part))]
