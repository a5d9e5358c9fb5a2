"""TrainStore: opens a store, starts and resumes runs, closes.

Its queries come from ``querying.py``, the methods that change stored runs from ``editing.py``, those of ScalarStop's
vocabulary (data sets, models, their epochs) from ``scalarstop.py``.
"""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from html import escape
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any, Self
from weakref import WeakSet

from sqlalchemy import URL, Connection, Engine, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from trainstore import endings, notices, queries, schema
from trainstore.backends import open_backend
from trainstore.backends.standing import StandingConnection
from trainstore.commands import commands_to_look
from trainstore.defaults import default_prefix, default_store
from trainstore.display import commands_html, overview, table_html
from trainstore.editing import EditMethods
from trainstore.errors import (
    InvalidArgumentError,
    PendingRecordsWarning,
    StoreUnavailableError,
    TrainStoreError,
)
from trainstore.models import models_for
from trainstore.pickling import StoreAddress
from trainstore.queries import Reader
from trainstore.querying import QueryMethods, Snapshot
from trainstore.recording import opening
from trainstore.recording.deletion import deleted_at
from trainstore.recording.recovery import Recovered
from trainstore.recording.service import RecordingService
from trainstore.run import ActiveRun, canonical_tags, recording_is_disabled
from trainstore.scalarstop import ClosedError, ScalarStopMethods
from trainstore.transfer.methods import MergeMethods
from trainstore.values import canonical_hyperparams

logger = logging.getLogger("trainstore")

READ_OWN_WRITES_TIMEOUT = 1.0  # seconds that a query waits for this store's own records
CLOSE_TIMEOUT = 10.0
NEWEST_IN_NOTEBOOK = 10  # runs in a store's HTML table

_stores: WeakSet[TrainStore] = WeakSet()
_of_the_parent: list[Connection | None] = []  # in a forked child: never closed, as they are the parent's too


class TrainStore(QueryMethods, EditMethods, MergeMethods, ScalarStopMethods):
    """A store of training runs in one SQL database.

    Args:
        connection_string: A path or ``sqlite:///…`` (SQLite, the file is made), ``:memory:``,
            ``postgresql://user:password@host:5432/database``, an SQLAlchemy ``URL``, or a scheme that an installed
            backend serves. None: ``TRAINSTORE_URL``, else ``trainstore.db`` in the current folder, as for the command
            line and the callbacks.
        table_name_prefix: Put before the name of every table, so that several stores share a database: at most 20 of
            ``a-z 0-9 _``, not a digit first. None: ``TRAINSTORE_PREFIX``, else none.
        echo: Log every SQL statement.
        offline_ok: Do not raise if the server cannot be reached: runs start in the journal and reach the database
            when it is back.
        auto_upgrade: Whether a schema of an older trainstore is upgraded at opening. None: SQLite yes (after a copy
            beside the file), PostgreSQL no.
        read_only: Only look: no store is made or upgraded, no journal is kept or delivered, and the database's own
            connections refuse to write (the right to SELECT is enough). Whatever records or edits raises
            `ReadOnlyStoreError`.

    Opening also delivers the records that ended processes of this machine left in their journals.

    Raises:
        StoreURLError: A scheme without a backend, a malformed URL, a driver that is not installed.
        StoreUnavailableError: The database cannot be reached (unless ``offline_ok``) or opened.
        NotADatabaseError: The file is something else; it is left as it is.
        SchemaError: `SchemaOutdatedError`, `SchemaTooNewError`, `SchemaForeignError`, `SchemaMissingError`.
        InvalidArgumentError: A prefix that cannot be used.

    It is a context manager; leaving it closes the store. ``copy.deepcopy`` gives the same object. It may be pickled,
    unless it is in memory: unpickled it is opened again by its URL; a password is left out (then ``TRAINSTORE_URL`` is
    used if it names the same database, else what libpq finds, such as ``PGPASSWORD``).
    """

    def __init__(
        self,
        connection_string: str | os.PathLike[str] | URL | None = None,
        *,
        table_name_prefix: str | None = None,
        echo: bool = False,
        offline_ok: bool = False,
        auto_upgrade: bool | None = None,
        read_only: bool = False,
    ) -> None:
        if read_only and (offline_ok or auto_upgrade):
            raise InvalidArgumentError(
                "read_only=True records and upgrades nothing: leave out offline_ok and auto_upgrade"
            )
        if table_name_prefix is None:
            table_name_prefix = default_prefix()
        self._models = models_for(table_name_prefix)
        self._backend = open_backend(
            default_store() if connection_string is None else connection_string, echo=echo, read_only=read_only
        )
        if read_only and self._backend.in_memory:
            raise InvalidArgumentError("a store in memory starts empty: read_only=True leaves nothing to read")
        self._auto_upgrade = auto_upgrade
        self._engine = self._backend.create_engine()
        self._service = RecordingService(self._backend, self._models, self._prepare_for_writer)
        options = {"table_name_prefix": table_name_prefix, "echo": echo, "offline_ok": offline_ok}
        self._service.address = self._address = StoreAddress(
            type(self),
            self._backend.safe_url,
            options | {"auto_upgrade": auto_upgrade, "read_only": read_only},
            self._backend.in_memory,
        )
        self._connection: Connection | None = None
        self._closed = False
        self._is_new = False  # created by this object, which has recorded no run yet and was not queried
        self._attached = False
        self.recovered = Recovered()  # what opening delivered of ended processes
        self._attach_guard = threading.Lock()
        try:
            self._attach()
        except StoreUnavailableError as error:
            if not offline_ok or not self._backend.can_be_away:
                self._engine.dispose()
                raise
            logger.warning("%s; runs start in the journal %s", error, self._service.journal_root())
        except BaseException:
            self._engine.dispose()
            raise
        _stores.add(self)

    @classmethod
    def from_filesystem(
        cls,
        *,
        filename: str | os.PathLike[str],
        table_name_prefix: str | None = None,
        echo: bool = False,
        read_only: bool = False,
    ) -> Self:
        """Open, or make, a store in an SQLite file.

        Args:
            filename: Its path; ``~`` is the home folder.
            table_name_prefix, echo, read_only: As for `TrainStore`.
        """
        return cls(Path(filename), table_name_prefix=table_name_prefix, echo=echo, read_only=read_only)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        """The same store: what holds one may be copied (a model, a data set, a trainer)."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Unpickled it is opened again, by its URL without the password (pickling.py)."""
        return (StoreAddress.open, (self._address,))

    def __repr__(self) -> str:
        prefix = f", table_name_prefix={self._models.prefix!r}" if self._models.prefix else ""
        state = f"{', read only' if self._backend.read_only else ''}{', closed' if self._closed else ''}"
        return f"<TrainStore {self._backend.safe_url}{prefix}{state}>"

    def _repr_html_(self) -> str:
        """The newest runs, for notebooks; only the address if they cannot be read."""
        try:
            runs = self.list_runs(columns="short", limit=NEWEST_IN_NOTEBOOK)
        except (TrainStoreError, SQLAlchemyError) as error:
            return f"<p>{escape(repr(self))}: {escape(str(error))}</p>"
        if not len(runs):
            return f"<p>{escape(repr(self))}</p>"
        commands = commands_html(commands_to_look(self._backend, self._models.prefix))
        return table_html(f"{self!r}, its newest runs:", overview(runs)) + commands

    # --- Recording --------------------------------------------------------------------------------------------------

    def start_run(
        self,
        name: str | None = None,
        *,
        project: str | None = None,
        hyperparams: Mapping[str, Any] | Any | None = None,
        tags: Mapping[str, Any] | Sequence[str] | None = None,
        notes: str | None = None,
        parent: Any | None = None,
        parent_step: int | None = None,
        source: str = "python",
        model_name: str | None = None,
        rank: int = 0,
    ) -> ActiveRun:
        """Start a new run. This does not touch the database: the first records reach it within a second.

        Args:
            name: A label, not unique. None: ``TRAINSTORE_RUN_NAME``, else made from the uid.
            project: None: ``TRAINSTORE_PROJECT``, else "default".
            hyperparams: A mapping or a configuration (a dataclass, an ``argparse.Namespace``, a model of pydantic or
                attrs, OmegaConf), recorded in the namespace ``hp``; secrets are redacted.
            tags: Names, or a mapping of names to values.
            notes: Free text.
            parent: The run whose checkpoint it starts from: a handle, a record or a uid; an id or a name that only one
                run has is looked up in the database.
            parent_step: That checkpoint's step.
            source: Which integration records it.
            model_name: A name in ``model``, if ScalarStop's tables are used.
            rank: Of this process, if several train together.

        Raises:
            InvalidArgumentError: An argument of the wrong type.
            NetworkFileSystemError: The SQLite file is on one; it can only be read.
            PermissionDeniedError: The login, as a PostgreSQL reader's, has no right to record.
            RunNotFoundError, RunNotUniqueError: No run, or several, have the id or name of ``parent``.
            JournalError: No journal can be kept.
            StoreClosedError: The store is closed.
        """
        self._check_open()
        if hyperparams is not None:
            opening.check("hyperparams", canonical_hyperparams, hyperparams)
        if tags is not None:
            tags = list(tags) if isinstance(tags, Iterator) else tags  # it is iterated twice
            opening.check("tags", canonical_tags, tags)
        run = opening.new_run(
            project=project,
            name=name,
            notes=notes,
            parent=None if parent is None else self._uid_of(parent),
            parent_step=parent_step,
            source=source,
            model_name=model_name,
        )
        active = ActiveRun(
            self._recording(),
            run,
            opening.new_attempt(start_step=-1, lineage=[]),
            opener=True,
            seen=False,
            rank=rank,
            next_step=0,
        )
        if hyperparams is not None:
            active.log_hyperparams(hyperparams)
        if tags is not None:
            active._begin_with_tags(tags)
        active._tell_begun()
        return active

    def resume_run(
        self,
        run: Any,
        step: int | None = None,
        *,
        lineage: Sequence[Sequence[Any]] | None = None,
        project: str | None = None,
        name: str | None = None,
        source: str = "python",
        rank: int = 0,
    ) -> ActiveRun:
        """Resume a run: as its next attempt, or as one more writer of the current attempt.

        Args:
            run: A handle, a record, a uid, an id, or a name that only one run has.
            step: The last step kept (a checkpoint's ``global_step``): later steps of the attempts before stay in the
                database but are not shown any more. -1 keeps nothing. None joins the attempt that is shown now and
                adds to it: another rank, a notebook that adds an evaluation.
            lineage: `ActiveRun.lineage` of the attempt to resume or join, from a checkpoint. With it, the database may
                be unreachable, or not have the run, which is then created under this uid. Without it, the attempt
                is the one that is shown now.
            project: Of a run that has to be created, as for `start_run`.
            name: Likewise.
            source: Likewise.
            rank: Of this process, if several train together.

        Raises:
            RunNotFoundError, RunNotUniqueError: ``run`` names none, or several; their uids are listed.
            StoreUnavailableError: The database cannot be reached, and no ``lineage`` is given.
            InvalidArgumentError: An impossible step or lineage.
            PermissionDeniedError, JournalError, StoreClosedError: As for `start_run`.
        """
        self._check_open()
        step = None if step is None else opening.step_of("step", step, lowest=-1)
        opening.check_resume(step, lineage)
        known, latest = self._known_run(run, lineage)
        if known is not None:
            record, ancestors, last_step, status = known
            ancestors = ancestors if lineage is None else [list(entry) for entry in lineage]
        else:
            assert lineage is not None
            record = opening.new_run(project=project, name=name, source=source, uid=opening.uid_of(run))
            ancestors, last_step, status = [list(entry) for entry in lineage], None, None
        if step is None:
            attempt = opening.joined_attempt(ancestors)
            next_step = 0 if last_step is None else last_step + 1
        else:
            attempt = opening.new_attempt(start_step=step, lineage=ancestors, latest=latest)
            next_step = step + 1
        active = ActiveRun(
            self._recording(),
            record,
            attempt,
            opener=step is not None,
            seen=known is not None,
            rank=rank,
            next_step=next_step,
            joined_status=status,
        )
        active._tell_begun()
        return active

    def is_recorded_here(self, run: Any) -> bool:
        """Whether a live process on this machine, this one included, is recording the run.

        Args:
            run: A handle, a record, a uid, an id, or a name that only one run has.

        Raises:
            RunNotFoundError, RunNotUniqueError: No run, or several, have this id or name.
        """
        return self._service.is_recorded_here(self._uid_of(run))

    def recover(self) -> Recovered:
        """Deliver the records that ended processes left on this machine; opening the store does it too.

        Raises:
            ReadOnlyStoreError: The store was opened with ``read_only=True``; so for all that records or edits.
        """
        self._check_open()
        self._attach()
        return self._recover()

    def flush(self, timeout: float = 10) -> bool:
        """Wait until everything that this store object recorded is stored.

        Args:
            timeout: Seconds to wait.

        Returns:
            True if it is; if not, the journals keep it and delivery goes on.
        """
        return self._service.flush(None, timeout)

    def backup(self, path: str | os.PathLike[str]) -> Path:
        """Copy the store into a new file, as of one moment, while others go on recording (SQLite).

        What this store object recorded, and what ended processes of this machine left in their journals, is delivered
        first. What live processes log is in the copy as far as they have delivered it, which they do every second.

        Args:
            path: A file that does not exist yet; ``~`` is the home folder.

        Returns:
            Its absolute path. The file is whole or does not exist, and opens as a store: ``TrainStore(path)``.

        Raises:
            BackupError: The file exists or cannot be written; or the store is on PostgreSQL, and the message gives the
                ``pg_dump`` command to run.

        Warns:
            PendingRecordsWarning: Records that could not be delivered are not in the copy.
        """
        target = Path(os.path.abspath(os.path.expanduser(path)))
        with self._reader():
            pass
        if not self._backend.read_only:
            self.recovered = self._recover()
        self._backend.back_up(target, self._models)
        return target

    # --- Looking ----------------------------------------------------------------------------------------------------

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """A view of the store as it is now, for several queries that must fit together.

        ``with store.snapshot() as now:`` gives an object that has the query methods of the store, from `list_runs` to
        `get_current_step`. They all read what was stored when the block began, whatever is recorded meanwhile. A query
        that fails does not keep the next from working. Keep the block short: a long one holds the old rows on
        PostgreSQL, and lets an SQLite file's ``-wal`` grow.

        Warns:
            PendingRecordsWarning: Records of this store object that could not be delivered are not in it.
        """
        self._settle_own(stacklevel=4)
        with self._backend.snapshot(self._engine) as connection:
            connection.execute(select(self._models.store.c.uid)).first()  # the first statement fixes the moment
            view = Snapshot(Reader(connection, self._models, self._backend))
            try:
                yield view
            finally:
                view._end()

    @property
    def url(self) -> str:
        """The connection string, without its password. That of an SQLite file opens the same file, from any folder."""
        return self._backend.safe_url

    # --- SQLAlchemy -------------------------------------------------------------------------------------------------

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine, for anything else."""
        self._check_open()
        return self._engine

    @property
    def connection(self) -> Connection:
        """One SQLAlchemy connection, made at first use and kept until the store is closed.

        Each statement sees what is stored at its moment and is committed by itself, and one that fails does not keep
        the next from working. Statements in a ``with store.connection.begin():`` block are one transaction.
        """
        self._check_open()
        if self._connection is None or self._connection.closed or self._connection.invalidated:
            with self._backend.translated():
                self._connection = StandingConnection(self._engine)
        return self._connection

    @property
    def table(self) -> SimpleNamespace:
        """The Table objects: ``store.table.run``, ``.step_log``, ``.current_step_log``, …, and ``.metadata``."""
        return self._models.tables

    @contextmanager
    def session(self) -> Iterator[Session]:
        """An ORM session in a transaction, committed at the end of the block. The classes: ``store.models``."""
        self._check_open()
        with self._backend.translated(), Session(self._engine) as session, session.begin():
            yield session

    @property
    def models(self) -> Any:
        """The mapped classes of this store's prefix: ``store.models.Run``, ``.StepLog``, …"""
        return self._models

    # --- The end ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Deliver what is waiting, for at most 10 s, and disconnect. Closing again does nothing.

        Runs of this store object that were not finished end here: finished, or as the exception says that is being
        handled. An event of kind ``end`` says so. A journal left behind is named in a warning. What a handle logs after
        this is still kept: in its journal, and delivered at the process's end.
        """
        self._close(CLOSE_TIMEOUT)

    def _close(self, timeout: float) -> None:
        """`close` that delivers for at most so many seconds."""
        if self._closed:
            return
        self._closed = True
        endings.end_with_store(self._service)
        self._service.close(timeout)
        if self._connection is not None:
            self._connection.close()
        self._engine.dispose()
        self._backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # --- How --------------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"the store {self._backend.safe_url} is closed; open a new TrainStore")

    def _prepare(self) -> str:
        return schema.prepare(
            self._engine,
            self._backend,
            self._models,
            auto_upgrade=self._auto_upgrade,
            on_created=self._note_created,
        )

    def _note_created(self) -> None:
        self._is_new = True

    def _prepare_for_writer(self) -> str:
        try:
            return self._prepare()
        finally:
            self._backend.release_idle(self._engine)

    def _attach(self) -> None:
        """Check the schema, once, and deliver what ended processes left."""
        with self._attach_guard:
            if self._attached:
                return
            self._service.store_uid = self._prepare()
            self._attached = True
            if not self._backend.read_only:
                self.recovered = self._recover()

    def _recover(self) -> Recovered:
        recovered = self._service.recover()
        if recovered.records:
            logger.info("delivered %d records of processes that have ended", recovered.records)
        if recovered.failed:
            failed = ", ".join(f"{folder} ({reason})" for folder, reason in recovered.failed.items())
            logger.warning("these journals could not be delivered and are kept: %s", failed)
        return recovered

    def _recording(self) -> RecordingService | None:
        self._is_new = False
        if recording_is_disabled():
            return None
        self._backend.refuse_if_read_only()
        if self._backend.lacks_rights:
            with suppress(TrainStoreError):
                self._prepare()  # asks again: they may have been granted since
            self._backend.refuse_without_rights()
        return self._service

    @contextmanager
    def _reader(self) -> Iterator[Reader]:
        """A connection for one query, once this store object's own records are stored."""
        self._settle_own(stacklevel=5)
        with self._backend.reading(self._engine) as connection:
            yield Reader(connection, self._models, self._backend)

    def _settle_own(self, *, stacklevel: int) -> None:
        """Wait until what this store object recorded is stored, or warn."""
        self._check_open()
        self._attach()
        if self._is_new:
            self._is_new = False
            notices.tell_created(self._backend)
        if not self._service.flush(None, READ_OWN_WRITES_TIMEOUT):
            warnings.warn(
                f"{self._service.pending} records are not stored yet; the answer does not include them",
                PendingRecordsWarning,
                stacklevel=stacklevel,
            )

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """A connection in a transaction, for what is stored without a journal."""
        self._check_open()
        self._attach()
        with self._backend.translated(), self._service.transaction() as connection:
            yield connection

    def _uid_of(self, run: Any) -> str:
        """The uid of a run that need not be stored; the database is asked only for an id or a name."""
        try:
            return opening.uid_of(run)
        except InvalidArgumentError:
            with self._reader() as reader:
                return queries.resolve_run(reader, run).uid

    def _known_run(
        self, run: Any, lineage: Sequence[Sequence[Any]] | None
    ) -> tuple[tuple[dict[str, Any], opening.Lineage, int | None, str | None] | None, int]:
        """What the database has of a run to be resumed: its record, the head's lineage, its last step and its status.

        None if it has no such run, or cannot be reached, and a lineage is given. And the latest time that it knows of
        the run, that of its deletion too: the new attempt is later.
        """
        statements = self._service.statements
        try:
            with self._reader() as reader:
                try:
                    if lineage is not None:
                        opening.check_lineage(reader.connection, statements, self._uid_of(run), lineage)
                    key = queries.resolve_run(reader, run)
                except LookupError:
                    if lineage is None:
                        raise
                    return None, deleted_at(reader.connection, self._models, opening.uid_of(run))
                record, ancestors, last_step, latest = opening.known_run(reader.connection, statements, key.id)
                latest = max(latest, deleted_at(reader.connection, self._models, key.uid))
                return (record, ancestors, last_step, queries.shown_status(reader, key.id)), latest
        except StoreUnavailableError:
            if lineage is None:
                raise
            return None, 0


def _renew_in_child() -> None:
    for store in list(_stores):
        store._attach_guard = threading.Lock()
        _of_the_parent.append(store._connection)
        store._connection = None
        store._engine.dispose(close=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_in_child)
