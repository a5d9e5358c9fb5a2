"""Everything that one store object records: its journals, the delivery thread, fork and exit.

Fork: the child closes the journals that it inherits, and its copy of the delivery connection's socket, so that neither
outlives a parent that is killed. The connection itself is set aside, as it is the parent's. The child's first ``log()``
opens a writer of its own. Exit: delivery goes on for at most ten seconds; then the journals left behind are named.
Nothing here runs in a finalizer.
"""

from __future__ import annotations

import atexit
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Engine

from trainstore.backends import Backend
from trainstore.backends.health import network_file_system
from trainstore.commands import command_on
from trainstore.errors import InvalidArgumentError, JournalError, StoreClosedError, StoreUnavailableError
from trainstore.models import Models
from trainstore.recording import journal as journals
from trainstore.recording.delivery_thread import DeliveryThread
from trainstore.recording.environment import writer_facts
from trainstore.recording.flush import Source
from trainstore.recording.journal import FileJournal, Journal, MemoryJournal
from trainstore.recording.journal.places import JournalPlaces
from trainstore.recording.patience import patiently
from trainstore.recording.recorder import Recorder
from trainstore.recording.records import Record, attempt_record, now, run_record
from trainstore.recording.recovery import Recovered, recover
from trainstore.recording.statements import Statements

logger = logging.getLogger("trainstore")

MAX_RANK = 2**31 - 1
EXIT_TIMEOUT = 10.0  # seconds
FORK_TIMEOUT = 5.0  # seconds that a fork waits for a transaction to end

_open: set[RecordingService] = set()  # those that record; strong, so that the exit finds them
_of_the_parent: list[DeliveryThread] = []  # in a forked child


class RecordingService:
    """The recording side of one ``TrainStore``.

    ``attach`` checks the schema (and creates it, if that is allowed) and returns the store's uid; it is called before
    each connection of the writer, and raises while the database cannot be used.
    """

    def __init__(self, backend: Backend, models: Models, attach: Callable[[], str]) -> None:
        self.backend = backend
        self.models = models
        self.store_uid: str | None = None
        self.schema: str | None = None
        self.address: Any = None  # a `StoreAddress`: what a pickled handle takes along
        self._places = JournalPlaces(backend, models.prefix)
        self._closed = False
        self._network_told = False
        self.statements = Statements(models, backend)
        self._attach = attach
        self._engine: Engine = backend.create_writer_engine()
        self._delivery = self._new_delivery()

    def _new_delivery(self) -> DeliveryThread:
        return DeliveryThread(self._connect, self.statements, self.backend.safe_url)

    # --- Where journals lie -----------------------------------------------------------------------------------------

    def journal_root(self) -> Path:
        """The folder for new journals."""
        return self._places.root()

    def _belongs(self, folder: Path, meta: dict[str, Any]) -> bool:
        return self._places.belongs(folder, meta, self.store_uid)

    def journals(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        """The journals of this store on this machine, each with its ``meta.json``."""
        return self._places.journals(self.store_uid)

    def holds(self, path: Path) -> bool:
        """Whether a path is the folder of this store's journals, or a journal of any store, or lies in one of them."""
        real = path.resolve()
        if any("run_uid" in (journals.read_meta(folder) or ()) for folder in (real, *real.parents[:2])):
            return True
        try:
            return real.is_relative_to(self.journal_root().resolve())
        except JournalError:
            return False

    def is_recorded_here(self, run_uid: str) -> bool:
        """Whether a live process on this machine holds a journal of this run."""
        return any(meta.get("run_uid") == run_uid and journals.is_live(folder) for folder, meta in self.journals())

    # --- Recorders --------------------------------------------------------------------------------------------------

    def open_recorder(self, run: Record, attempt: Record, *, opener: bool, seen: bool, rank: int) -> Recorder:
        """Begin a journal with the run's and the attempt's record, and deliver it from now on.

        Raises `JournalError` if no journal can be kept, `InvalidArgumentError` for an invalid rank, and
        `StoreClosedError` for a closed in-memory store, whose data is gone (a closed file or server can still be
        recorded into).
        """
        if not isinstance(rank, int) or isinstance(rank, bool) or not 0 <= rank <= MAX_RANK:
            raise InvalidArgumentError(f"rank {rank!r} is not an int from 0 to {MAX_RANK}")
        self._check_writable()
        if self._closed and self.backend.in_memory:
            raise StoreClosedError("the store in memory was closed, and is gone")
        uid = attempt["uid"] if opener else str(uuid.uuid4())
        writer = {"uid": uid, "rank": rank, "started_at": now(), **writer_facts()}
        opening = (run_record(run, seen=seen, writer=writer), attempt_record(attempt))
        journal = self._new_journal(uid, run["uid"], seen, opening)
        recorder = Recorder(journal, Source(uid, run["uid"], seen), self._wake)
        for record in opening:
            recorder.append(orjson.dumps(record))
        _open.add(self)
        self._delivery.add(recorder)
        return recorder

    def _new_journal(self, uid: str, run_uid: str, seen: bool, opening: Sequence[Record]) -> Journal:
        if self.backend.in_memory:
            return MemoryJournal(uid)
        meta = {
            "run_uid": run_uid,
            "prefix": self.models.prefix,
            "database": self.backend.identity,
            "schema": self.schema,
            "store_uid": self.store_uid,
            "seen": seen,
            "opening": opening,  # nothing can be stored without these records, so they are on disk twice
        }
        root = self.journal_root()
        self._warn_of_network(root)
        return FileJournal(root, uid, meta, limit=_journal_limit())

    def _warn_of_network(self, root: Path) -> None:
        kind = None if self._network_told else network_file_system(root)
        if kind is not None:
            logger.warning(
                "the journal is on a network file system (%s): %s; set TRAINSTORE_JOURNAL_DIR to a folder "
                "on a local disk",
                kind,
                root,
            )
        self._network_told = True

    def _wake(self) -> None:
        self._delivery.wake()

    def flush(self, recorders: list[Recorder] | None, timeout: float) -> bool:
        """Wait until what was recorded is stored: by these recorders, or by all."""
        return self._delivery.wait_until_stored(self._delivery.recorders if recorders is None else recorders, timeout)

    def finish(self, recorder: Recorder, timeout: float) -> bool:
        """Wait for the last records of a finished recorder; its journal is deleted when they are stored."""
        complete = self._delivery.wait_until_stored([recorder], timeout)
        if not complete:
            logger.warning(
                "run %s: %d records are not stored in %s yet; the journal keeps them, and delivery goes on",
                recorder.source.run_uid,
                recorder.pending,
                self.backend.safe_url,
            )
        return complete

    @property
    def is_away(self) -> bool:
        """Whether the database could not be written the last time."""
        return self._delivery.failing

    @property
    def pending(self) -> int:
        """The number of records that wait."""
        return sum(recorder.pending for recorder in self._delivery.recorders)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction on a writer's connection, for what is written beside the journals."""
        self._check_writable()
        with self._engine.connect() as connection, self.backend.writing(connection):
            yield connection
        _open.add(self)
        self._delivery.settle_soon()

    def connect(self) -> Connection:
        """A writer's connection, for records that have no journal (an import's, a merge's); `release` takes it back."""
        return patiently(self.backend, self._connect)

    def release(self, connection: Connection) -> None:
        """Close a connection of `connect`."""
        connection.close()
        _open.add(self)
        self._delivery.settle_soon()

    def recover(self) -> Recovered:
        """Deliver the journals of this store whose process is gone."""
        self.backend.refuse_if_read_only()
        if self.backend.in_memory:
            return Recovered()
        return recover(self._connect, self.statements, self._places.roots(), self._belongs)

    def _check_writable(self) -> None:
        self.backend.refuse_if_read_only()
        self.backend.check_recording()

    def _connect(self) -> Connection:
        self._check_writable()
        uid = self._attach()
        connection = self._engine.connect()
        try:
            with self.backend.writing(connection):
                # Asked on this connection: the other one may lead to a file that has been deleted since.
                found = self.statements.store_uid(connection)
                self.schema = self.schema or self.backend.resolved_schema(connection)
            if found != (self.store_uid or uid):
                raise StoreUnavailableError(
                    f"{self.backend.safe_url} is not the same store as before: the database was replaced"
                )
        except BaseException:
            connection.close()
            raise
        self.store_uid = uid
        for recorder in self._delivery.recorders:
            recorder.journal.update_meta(store_uid=uid, schema=self.schema)
        return connection

    # --- The end ----------------------------------------------------------------------------------------------------

    def close(self, timeout: float) -> bool:
        """Deliver for at most ``timeout`` seconds, then stop. False, and a warning, if a journal is left behind."""
        self._closed = True
        deadline = time.monotonic() + timeout
        for recorder in self._delivery.recorders:
            try:
                recorder.close()
            except (OSError, JournalError) as error:
                logger.warning("the end of run %s could not be recorded (%s)", recorder.source.run_uid, error)
        complete = self._delivery.wait_until_stored(self._delivery.recorders, timeout)
        if not complete:
            logger.warning(
                "%d records are not stored in %s yet; they are kept in %s. Deliver them with: %s, "
                "or by opening the store again",
                self.pending,
                self.backend.safe_url,
                self.journal_root(),
                command_on(self.backend, self.models.prefix, "recover"),
            )
        self._delivery.stop(max(1.0, deadline - time.monotonic()))
        self._engine.dispose()
        _open.discard(self)
        return complete

    def hold_for_fork(self) -> None:
        """Before a fork: close the writer's connection, on databases that cannot be forked with one open."""
        if not self.backend.may_fork_connected:
            self._delivery.hold(FORK_TIMEOUT)

    def go_on_after_fork(self) -> None:
        """In the parent, after the fork."""
        self._delivery.release()

    def renew_in_child(self) -> None:
        """After a fork: leave journals, connections and thread to the parent."""
        for recorder in self._delivery.recorders_unlocked:
            recorder.usable = False
            recorder.abandoned = True
            recorder.journal.forget_in_child()
        self._engine.dispose(close=False)
        self._delivery.leave_to_parent()
        # Kept, not dropped: closing the parent's connection here would end it for the parent.
        _of_the_parent.append(self._delivery)
        self._delivery = self._new_delivery()


def _journal_limit() -> int:
    """Bytes of one journal: ``TRAINSTORE_JOURNAL_LIMIT``, else 1 GiB."""
    configured = os.environ.get("TRAINSTORE_JOURNAL_LIMIT")
    if not configured:
        return journals.LIMIT
    if not configured.isdecimal() or int(configured) == 0:
        raise InvalidArgumentError(
            f"TRAINSTORE_JOURNAL_LIMIT={configured!r} is not a number of bytes; write for example 1073741824"
        )
    return int(configured)


def _deliver_at_exit() -> None:
    deadline = time.monotonic() + EXIT_TIMEOUT
    for service in list(_open):
        service.close(max(0.0, deadline - time.monotonic()))


def _hold_for_fork() -> None:
    for service in list(_open):
        service.hold_for_fork()


def _go_on_after_fork() -> None:
    for service in list(_open):
        service.go_on_after_fork()


def _renew_in_child() -> None:
    journals.forget_all_in_child()
    for service in list(_open):
        service.renew_in_child()
    _open.clear()


atexit.register(_deliver_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold_for_fork, after_in_parent=_go_on_after_fork, after_in_child=_renew_in_child)
