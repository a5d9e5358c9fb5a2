"""The store as the dashboard reads it: opened read-only, and with an end to every read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select

from trainstore.commands import place_of
from trainstore.dashboard.answers import Answers
from trainstore.dashboard.deadlines import (
    HEAVY_AT_ONCE,
    LIGHT_AT_ONCE,
    Deadline,
    Lane,
    current_deadline,
)
from trainstore.dashboard.downloads import Downloads
from trainstore.dashboard.editing import EditingStore
from trainstore.queries.reader import Reader
from trainstore.querying import Snapshot
from trainstore.store import TrainStore


@dataclass(frozen=True)
class WatchedReader(Reader):
    """A reader that stops between rows when its time is over."""

    deadline: Deadline = field(default_factory=Deadline)
    times: list[datetime] = field(default_factory=list)

    def now(self) -> datetime:
        """The database's clock, when it was first asked for: one answer shows one moment."""
        if not self.times:
            self.times.append(super().now())
        return self.times[0]

    def rows(self, statement: Select[Any], parameters: Mapping[str, Any] | None = None) -> Sequence[Any]:
        """As `Reader.rows`."""
        self.deadline.check()
        return super().rows(statement, parameters)

    def chunks(self, statement: Select[Any], parameters: Mapping[str, Any] | None = None) -> Iterator[Sequence[Any]]:
        """As `Reader.chunks`."""
        for rows in super().chunks(statement, parameters):
            self.deadline.check()
            yield rows


class WatchedStore(TrainStore):
    """A store whose snapshots end with the deadline of the read that took them."""

    @property
    def place(self) -> str:
        """Where it is, for people: a path, or the URL without its password."""
        return place_of(self._backend)

    def check_schema(self) -> None:
        """Raise `SchemaError` if the schema does not fit any more."""
        self._prepare()

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """As `TrainStore.snapshot`; its frames distinguish a missing number from NaN."""
        self._check_open()
        deadline = current_deadline()
        deadline.check()
        backend = self._backend
        try:
            with (
                backend.snapshot(self._engine) as connection,
                backend.stoppable(connection, deadline.left, deadline.is_over) as stop,
                deadline.stopping(stop),
            ):
                connection.execute(select(self._models.store.c.uid)).first()  # the first statement fixes the moment
                view = Snapshot(WatchedReader(connection, self._models, backend, exact=True, deadline=deadline))
                try:
                    yield view
                finally:
                    view._end()
        except Exception:
            if deadline.is_over():  # whatever the database says of it
                raise deadline.error() from None
            raise


class Reading:
    """A store that is open for looking, the answers that it gives, and the lanes in which reads wait.

    Args:
        url: What ``--store`` says.
        prefix: Of the names of its tables.
        can_edit: Runs may be edited, by a second store that writes.

    Raises:
        TrainStoreError: As `TrainStore` with ``read_only=True``, and as `EditingStore`.
    """

    def __init__(self, url: str, prefix: str = "", *, can_edit: bool = False) -> None:
        self.store = WatchedStore(url, table_name_prefix=prefix, read_only=True)
        self.answers = Answers(self.store, can_edit=can_edit)
        try:
            self.editing = EditingStore(url, prefix) if can_edit else None
        except BaseException:
            self.store.close()
            raise
        self.downloads = Downloads()
        self.heavy = Lane("heavy", HEAVY_AT_ONCE)
        self.light = Lane("light", LIGHT_AT_ONCE)

    def check_schema(self) -> None:
        """Raise `SchemaError` if another program has changed the schema meanwhile."""
        self.store.check_schema()

    def close(self) -> None:
        """End every read, and close the store."""
        for lane in (self.heavy, self.light):
            lane.close()
        if self.editing is not None:
            self.editing.close()
        self.store.close()
