"""The store that a merge reads: as of one moment, and without anything written in it or beside it.

An SQLite file of an older schema is copied into a temporary folder and upgraded there. What waits in journals of the
source is counted, and left alone: its own trainstore delivers it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import URL, Connection, inspect

from trainstore import schema
from trainstore.backends import Backend, open_backend
from trainstore.backends.sqlite_source import check_unchanged
from trainstore.commands import command_on
from trainstore.errors import SchemaMissingError, SchemaOutdatedError, SourceError
from trainstore.models import VERSION_TABLE, VIEW_NAME, Models, models_for
from trainstore.queries import Reader, resolve_run
from trainstore.recording.journal import JournalPlaces, is_live, last_record
from trainstore.recording.statements import Statements
from trainstore.values import plain_text


class Waiting(NamedTuple):
    """What the journals of a source hold that is not in its database."""

    journals: int = 0
    records: int = 0
    live: int = 0  # of the journals: their processes run, and deliver them
    command: str = ""  # that delivers the others


@dataclass(frozen=True)
class Source:
    """A store to be read. Its backend makes statements; it must not be asked for connections."""

    connection: Connection
    models: Models
    backend: Backend
    store_uid: str
    waiting: Waiting

    @property
    def name(self) -> str:
        """What it is called in messages: its URL without the password."""
        return self.backend.safe_url

    def check_unchanged(self) -> None:
        """Raise `SourceError` if what was read may not fit together; called before something is committed."""
        check_unchanged(self.connection)


class Target(NamedTuple):
    """The store that a source is brought into: a source must not be that."""

    backend: Backend
    models: Models
    connection: Connection


@contextmanager
def open_store(location: str | os.PathLike[str] | URL, prefix: str, target: Target) -> Iterator[Source]:
    """Open the store at a path or a URL to read it.

    Args:
        location: As for `TrainStore`.
        prefix: Of its tables.
        target: Where it is brought.

    Raises:
        SourceError: There is no store that can be read, or it is the target itself.
        SchemaMissingError, SchemaForeignError: The database is not a store, or has another prefix.
        SchemaTooNewError: It was made by a newer trainstore.
        SchemaOutdatedError: It is older, and cannot be upgraded in a copy (PostgreSQL).
        StoreURLError, StoreUnavailableError: As for `TrainStore`.
    """
    backend, models = open_backend(location, read_only=True), models_for(prefix)
    if backend.is_same(target.backend.identity) and prefix == target.models.prefix:
        raise _itself(backend)
    _refuse_journals(backend, target)
    with backend.as_source() as connection:
        revision = _revision(connection, backend, models)
        if revision == schema.HEAD:
            _refuse_itself(connection, backend, models, target)
            with _source(connection, models, backend) as source:
                yield source
            return
    with tempfile.TemporaryDirectory(prefix="trainstore-source-") as folder:
        copy = backend.copy_in(Path(folder))
        if copy is None and not revision:
            raise SchemaMissingError(
                f"{backend.safe_url} has ScalarStop's tables only; make it a store with: "
                f"{command_on(backend, prefix, 'db upgrade')}"
            )
        if copy is None:
            raise SchemaOutdatedError(
                f"the schema of {backend.safe_url} is at revision {revision}, this trainstore needs {schema.HEAD}; "
                f"upgrade it with: {command_on(backend, prefix, 'db upgrade')}"
            )
        engine = copy.create_engine()
        try:
            schema.upgrade(engine, copy, models)
            with copy.snapshot(engine) as connection, _source(connection, models, backend) as source:
                yield source
        finally:
            engine.dispose()
            copy.close()


def check_store(location: str | os.PathLike[str] | URL, prefix: str, runs: Iterable[Any] = ()) -> None:
    """Raise the errors of `open_store` without a target: before one is made for a source that cannot be read.

    Args:
        location: As for `open_store`.
        prefix: As for `open_store`.
        runs: That it must have, else `RunNotFoundError` or `RunNotUniqueError`.
    """
    backend, models = open_backend(location, read_only=True), models_for(prefix)
    with backend.as_source() as connection:
        if _revision(connection, backend, models) == schema.HEAD:
            for run in runs:
                resolve_run(Reader(connection, models, backend), run)


@contextmanager
def read_store(connection: Connection, models: Models, backend: Backend, target: Target) -> Iterator[Source]:
    """A store that is open in this process, by a connection of `Backend.snapshot`.

    Raises:
        SourceError: It is the target.
    """
    _refuse_itself(connection, backend, models, target)
    with _source(connection, models, backend) as source:
        yield source


@contextmanager
def _source(connection: Connection, models: Models, backend: Backend) -> Iterator[Source]:
    statements = Statements(models, backend)
    with backend.any_text(connection):
        uid = statements.store_uid(connection)
        if type(uid) is not str:
            raise SourceError(f"{backend.safe_url} is no whole store: its table {models.store.name!r} has no uid")
        yield Source(connection, models, backend, uid, _waiting(connection, statements, uid))


def _waiting(connection: Connection, statements: Statements, uid: str) -> Waiting:
    """Look into the journals of the source on this machine."""
    backend, prefix = statements.backend, statements.models.prefix
    if backend.in_memory:
        return Waiting()
    records = live = 0
    journals = 0
    for folder, meta in JournalPlaces(backend, prefix).journals(uid):
        missing = last_record(folder, meta) - (statements.writer_acked(connection, folder.name) or 0)
        if missing > 0:
            journals, records = journals + 1, records + missing
            live += is_live(folder)
    return Waiting(journals, records, live, command_on(backend, prefix, "recover") if journals > live else "")


def _refuse_journals(backend: Backend, target: Target) -> None:
    """Refuse a file in a folder where journals of the target are, which are no store."""
    path: Path | None = getattr(backend, "path", None)
    if path is None:
        return
    real = Path(os.path.realpath(path))
    for root in JournalPlaces(target.backend, target.models.prefix).roots():
        if real.is_relative_to(os.path.realpath(root)):
            raise SourceError(
                f"{plain_text(str(path), 500)} lies in {plain_text(str(root), 500)}, where journals of the target are; "
                "they are delivered by: trainstore recover. Name the source's database"
            )


def _refuse_itself(connection: Connection, backend: Backend, models: Models, target: Target) -> None:
    if models.prefix != target.models.prefix or backend.name != target.backend.name:
        return
    begun = target.connection.in_transaction()
    place = target.backend.place_of(target.connection)
    if not begun:
        target.connection.rollback()  # the caller begins its own
    if backend.is_same(target.backend.identity) or backend.place_of(connection) == place:
        raise _itself(backend)


def _itself(backend: Backend) -> SourceError:
    return SourceError(f"{backend.safe_url} is the target itself; name another store as the source, or as the target")


def _revision(connection: Connection, backend: Backend, models: Models) -> str:
    """The revision of the source's schema, one that this trainstore knows; "" for tables of ScalarStop's."""
    found = schema.revision_of(connection, models)
    if found is not None:
        if found != schema.HEAD:
            schema.check_known(found, backend)
        else:
            _check_tables(connection, backend, models)
        return found
    if schema.of_scalarstop(connection, backend, models):
        return ""
    prefixed = f" with the prefix {models.prefix}" if models.prefix else ""
    raise SchemaMissingError(f"{backend.safe_url} has no trainstore tables{prefixed}{_other_prefixes(connection)}")


def _check_tables(connection: Connection, backend: Backend, models: Models) -> None:
    """Refuse a file without all the tables: views in their place could do anything."""
    needed = models.table_names - {f"{models.prefix}{VIEW_NAME}"}
    missing = sorted(needed - set(inspect(connection).get_table_names()))
    if missing:
        raise SourceError(f"{backend.safe_url} is no whole store: it has no table {missing[0]!r}")


def _other_prefixes(connection: Connection) -> str:
    names = inspect(connection).get_table_names()
    prefixes = sorted(name.removesuffix(VERSION_TABLE) for name in names if name.endswith(VERSION_TABLE))
    if not prefixes:
        return "; name the file or the database of another store"
    shown = ", ".join(repr(prefix) for prefix in prefixes[:5])
    return f", but some with the prefix {shown}; say so with source_prefix (--source-prefix)"
