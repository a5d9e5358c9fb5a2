"""The delivery thread: brings the records of one store object's journals into the database.

It knows recorders and a function that opens a connection, but neither the training nor SQL. It commits what is waiting
once a second, at 1,000 records or 1 MiB, and when somebody waits for it; a transaction takes up to 8,000 records. After
any error it drops the connection and reads the watermark back, so nothing is lost and nothing is stored twice, even if
the answer to a COMMIT never came. It retries forever, with growing pauses, and logs a failure once until it is over.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from trainstore.errors import SchemaError, TrainStoreError
from trainstore.models import HEARTBEAT
from trainstore.recording.delivery import decode, deliver, describe
from trainstore.recording.flush import RunDeletedError, Source, WatermarkMovedError, flush
from trainstore.recording.recorder import Recorder
from trainstore.recording.records import Records
from trainstore.recording.statements import Statements

logger = logging.getLogger("trainstore")

INTERVAL = 1.0  # seconds between commits
MAX_RECORDS = 8_000  # of one transaction
MAX_BYTES = 2 * 1024 * 1024
SETTLE_AFTER = 0.5  # seconds without a record, after the last run has finished
BACKOFF = (0.1, 30.0)  # seconds: the first and the longest pause after an error


class DeliveryThread:
    """The thread and its recorders. The first recorder starts it."""

    def __init__(self, connect: Callable[[], Connection], statements: Statements, store_name: str) -> None:
        self._connect = connect
        self._statements = statements
        self._store_name = store_name
        self._connection: Connection | None = None
        self._recorders: list[Recorder] = []
        self._guard = threading.Lock()
        self._wake = threading.Event()
        self._stored = threading.Condition()
        self._transacting = threading.Lock()  # held during a transaction
        self._held = False  # by a fork
        self._awaited = 0  # how many threads wait in `wait_until_stored`
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._failures = 0
        self._settled = True  # whether `Backend.settle` has nothing to do

    def add(self, recorder: Recorder) -> None:
        """Deliver this recorder's records from now on."""
        with self._guard:
            self._recorders.append(recorder)
            self._start()

    def settle_soon(self) -> None:
        """Something was written without a journal: call `Backend.settle` once nothing more is waiting."""
        if self._statements.backend.needs_settling:
            self._settled = False
            with self._guard:
                self._start()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="trainstore-writer", daemon=True)
            self._thread.start()

    @property
    def recorders(self) -> list[Recorder]:
        """Those that are open, or have records waiting."""
        with self._guard:
            return list(self._recorders)

    @property
    def recorders_unlocked(self) -> list[Recorder]:
        """The same after a fork, when the guard may have been held by a thread that is not here."""
        return list(self._recorders)

    @property
    def failing(self) -> bool:
        """Whether the last pass ended in an error."""
        return self._failures > 0

    def wake(self) -> None:
        """Do not wait for the next second."""
        if not self._wake.is_set():
            self._wake.set()

    def wait_until_stored(self, recorders: Iterable[Recorder], timeout: float) -> bool:
        """Wait until what these recorders hold now is stored.

        False if ``timeout`` seconds were not enough, or if the database's user turns out to have no right to record:
        nobody grants it meanwhile.
        """
        targets = [(recorder, recorder.journal.last) for recorder in recorders]
        deadline = time.monotonic() + timeout

        def stored() -> bool:
            # Finished also means that the journal is gone, so that nobody takes the run for one that is still recorded.
            return all(
                recorder.abandoned or (recorder.acked >= last and (recorder.usable or recorder.gone))
                for recorder, last in targets
            )

        if stored():
            return True
        failures = self._failures

        def is_refused() -> bool:
            return self._failures > failures and self._statements.backend.lacks_rights

        with self._stored:
            self._awaited += 1
            self.wake()
            try:
                self._stored.wait_for(lambda: stored() or is_refused(), max(0.0, deadline - time.monotonic()))
                return stored()
            finally:
                self._awaited -= 1

    def stop(self, timeout: float) -> None:
        """End the thread and close its connection; what is not stored stays in the journals. `add` starts a new one."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            self._stopping = True
            self.wake()
            thread.join(timeout)
        for recorder in self.recorders:
            recorder.usable = False
            if not recorder.journal.remove(recorder.acked):
                recorder.journal.close()
            recorder.gone = True
        with self._guard:
            self._recorders.clear()
            self._thread, self._stopping = None, False

    def hold(self, timeout: float) -> None:
        """Close the connection, and open none until `release`: for a fork. Gives up after ``timeout`` seconds."""
        self._held = self._transacting.acquire(timeout=timeout)
        if self._held:
            self._drop_connection()

    def release(self) -> None:
        """Go on after `hold`."""
        if self._held:
            self._held = False
            self._transacting.release()

    def leave_to_parent(self) -> None:
        """In a forked child, where the thread does not run: let go of the parent's connection."""
        if self._connection is not None:
            self._statements.backend.leave_to_parent(self._connection)

    # --- The thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        pause = INTERVAL
        while True:
            woken = self._wake.wait(pause)
            self._wake.clear()
            try:
                self._pass()
                if not woken and not self.recorders:
                    self._settle()
            except Exception as error:  # noqa: BLE001 - the thread must outlive whatever a database does
                self._drop_connection()
                self._failures += 1
                self._report(error)
                first, longest = BACKOFF
                if self._awaited:  # by somebody who gives up before the longest pause is over
                    longest = INTERVAL
                pause = min(longest, first * 2 ** min(self._failures, 16)) * random.uniform(0.5, 1.0)
            else:
                if self._failures:
                    logger.warning("%s is reached again; everything is stored", self._store_name)
                self._failures = 0
                pause = INTERVAL if self._settled or self.recorders else SETTLE_AFTER
            self._make_room()
            with self._stored:
                self._stored.notify_all()
            if self._stopping or self._thread is not threading.current_thread():
                self._settle()
                self._drop_connection()
                return

    def _make_room(self) -> None:
        for recorder in self.recorders:
            try:
                recorder.journal.make_room(recorder.acked, low_space=self._failures > 0)
            except OSError as error:
                logger.debug("%s: no room could be made (%s)", recorder.source.run_uid, error)

    def _pass(self) -> None:
        """Bring everything that waits to the disk, then into the database."""
        for recorder in self.recorders:
            if recorder.usable or self._failures or self._statements.backend.may_fall_silent:
                recorder.journal.sync()
            # Else it has ended: the next COMMIT makes it as safe, and if that fails, the next pass comes soon.
        for recorder in self.recorders:
            try:
                self._deliver(recorder)
            except RunDeletedError:
                self._drop_connection()
                self._abandon(recorder)
            if recorder.done:
                self._retire(recorder)

    def _deliver(self, recorder: Recorder) -> None:
        # Records that arrive meanwhile wait for the next pass. Otherwise a run that logs fast would get a transaction
        # for every few records and starve the others.
        last = recorder.journal.last
        while recorder.acked < last and recorder.pending:
            batch = recorder.journal.read(recorder.acked, MAX_RECORDS, MAX_BYTES)
            if not batch:
                return
            records = decode(recorder.acked, batch)
            try:
                store = partial(self._store_batch, recorder.source)
                acked = deliver(store, self._statements.backend.is_refusal, recorder.acked, records)
            except WatermarkMovedError as moved:
                if moved.acked < recorder.acked:
                    # The database lost what it had acknowledged (a backup was restored); those segments are deleted.
                    logger.warning(
                        "run %s: the database has forgotten records %d to %d of this process",
                        recorder.source.run_uid,
                        moved.acked + 1,
                        recorder.acked,
                    )
                recorder.acked = moved.acked
            else:
                recorder.acked = acked
                recorder.last_heartbeat = time.monotonic()
            if not recorder.source.seen:
                recorder.source.seen = True
                if not recorder.done:  # else its journal is about to be deleted
                    recorder.journal.update_meta(seen=True)
            recorder.journal.acknowledge(recorder.acked)
            with self._stored:
                self._stored.notify_all()
        if time.monotonic() - recorder.last_heartbeat >= HEARTBEAT:
            recorder.last_heartbeat = time.monotonic()
            recorder.journal.touch()
            with self._transacting, self._statements.backend.writing(connection := self._connected()):
                self._statements.beat_writer(connection, recorder.source.writer_uid)

    def _store_batch(self, source: Source, acked: int, records: Records) -> None:
        with self._transacting:
            flush(self._connected(), self._statements, source, acked, records)

    def _settle(self) -> None:
        backend = self._statements.backend
        with self._transacting:
            if self._settled or not backend.needs_settling:
                return
            try:
                self._connection = self._connection or self._connect()
            except Exception as error:  # noqa: BLE001 - no record waits for it: the next one brings it about again
                logger.debug("%s: not settled (%s)", self._store_name, type(error).__name__)
                self._settled = True
            else:
                self._settled = backend.settle(self._connection)

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._connect()
        self._settled = False  # whoever asks for it will write
        return self._connection

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.invalidate()
                connection.close()
            except Exception as error:  # noqa: BLE001 - it is broken already
                logger.debug("closing a broken connection failed: %s", type(error).__name__)

    def _abandon(self, recorder: Recorder) -> None:
        recorder.abandoned = True
        kept = recorder.journal.set_aside()
        logger.warning(
            "run %s was deleted from the store; recording into it stops%s",
            recorder.source.run_uid,
            f" and its records are kept in {kept}" if kept else "",
        )
        self._remove(recorder)

    def _retire(self, recorder: Recorder) -> None:
        # Not if another thread, which had the recorder before it was finished, has just appended a record.
        if recorder.journal.remove(recorder.acked):
            self._remove(recorder)

    def _remove(self, recorder: Recorder) -> None:
        recorder.gone = True
        with self._guard:
            if recorder in self._recorders:
                self._recorders.remove(recorder)

    def _report(self, error: Exception) -> None:
        if self._failures > 1:
            return
        # Never the text of a driver's error: it may show a row or a URL.
        if isinstance(error, SQLAlchemyError):
            error = self._statements.backend.translate(error) or error
        reason = str(error) if isinstance(error, TrainStoreError) else describe(error)
        advice = "" if isinstance(error, SchemaError) else "; trying again"
        logger.warning(
            "%s cannot be written (%s); the training goes on and its records wait in the journal%s",
            self._store_name,
            reason,
            advice,
        )
