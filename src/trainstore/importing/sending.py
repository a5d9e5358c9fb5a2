"""Records on their way into the store: in batches, one transaction each, as a recovery delivers a journal.

Others may be writing into the store at the same moment, trainings or another import: each transaction waits for them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import orjson
from sqlalchemy import Connection

from trainstore.recording.delivery import deliver
from trainstore.recording.delivery_thread import MAX_BYTES, MAX_RECORDS
from trainstore.recording.flush import Source, WatermarkMovedError, flush
from trainstore.recording.patience import patiently
from trainstore.recording.records import Record, Records
from trainstore.recording.service import RecordingService

OTHER_SIZE = 200  # bytes that a record counts for that is not a step


class Target:
    """The store that is written, by one connection that is opened when it is needed; nothing in a dry run."""

    def __init__(self, service: RecordingService, *, dry_run: bool) -> None:
        self.service = service
        self.statements = service.statements
        self.dry_run = dry_run
        self._connection: Connection | None = None

    def deliver(self, source: Source, acked: int, records: list[tuple[int, Record | bytes]]) -> int:
        """Store records; the number of the last one. Raises as `delivery.deliver` does."""
        if self.dry_run:
            return records[-1][0]
        connection, backend = self._connected(), self.service.backend

        def store(after: int, some: Records) -> None:
            patiently(backend, partial(flush, connection, self.statements, source, after, some))

        with backend.translated():
            stored = deliver(store, backend.is_refusal, acked, records)
        source.seen = True
        return stored

    def transact(self, work: Callable[[Connection], object]) -> None:
        """Do in a transaction what is no record; ``work`` may be called more than once."""
        connection, backend = self._connected(), self.service.backend

        def transact() -> None:
            with backend.writing(connection):
                work(connection)

        with backend.translated():
            patiently(backend, transact)

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self.service.connect()
        return self._connection

    def drop(self) -> None:
        """After an error: the next records get a new connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()

    def close(self) -> None:
        """Give the connection back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self.service.release(connection)


class Sender:
    """The records of one writer. `add` stores them when there are enough, `send` what is left.

    If somebody else stores records of the same writer meanwhile, another import, `moved` is called with the number up
    to which they are there.
    """

    def __init__(
        self, target: Target, source: Source, acked: int, *, moved: Callable[[int], None] | None = None
    ) -> None:
        self._target = target
        self._source = source
        self._moved = moved
        self._records: list[tuple[int, Record | bytes]] = []
        self._bytes = 0
        self.acked = acked

    def add(self, number: int, record: Record) -> None:
        """Take a record; numbers ascend. One that somebody else has stored meanwhile is passed over."""
        if number <= self.acked:
            return
        if record["kind"] == "step":
            payload = orjson.dumps(record)
            self._records.append((number, payload))
            self._bytes += len(payload)
        else:
            self._records.append((number, record))
            self._bytes += OTHER_SIZE if record["kind"] != "event" else len(orjson.dumps(record))
        if len(self._records) >= MAX_RECORDS or self._bytes >= MAX_BYTES:
            self.send()

    def send(self) -> None:
        """Store what was taken."""
        records, self._records, self._bytes = self._records, [], 0
        while records:
            try:
                self.acked = self._target.deliver(self._source, self.acked, records)
                return
            except WatermarkMovedError as moved:
                if self._moved is not None:
                    self._moved(moved.acked)
                self.acked = moved.acked
                records = [(number, record) for number, record in records if number > moved.acked]
