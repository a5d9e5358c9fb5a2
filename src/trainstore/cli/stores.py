"""Opening the store that a command line names, as each kind of command needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from trainstore.cli.streams import visible
from trainstore.defaults import PREFIX_VARIABLE, STORE_VARIABLE
from trainstore.errors import SchemaMissingError, StoreUnavailableError, TrainStoreError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from trainstore.backends import Backend
    from trainstore.models import Models
    from trainstore.queries import Reader
    from trainstore.store import TrainStore

SQLITE_MAGIC = b"SQLite format 3\0"
MAX_LOOKED_AT = 1_000  # files in a folder


class Database(NamedTuple):
    """A database that may have any schema or none: what the functions of ``schema.py`` take."""

    engine: Engine
    backend: Backend
    models: Models


@contextmanager
def open_database(url: str, prefix: str, *, read_only: bool = False) -> Iterator[Database]:
    """The database itself: nothing is created, upgraded or recovered."""
    from trainstore.backends import open_backend
    from trainstore.models import models_for

    models = models_for(prefix)
    backend = open_backend(url, read_only=read_only)
    engine = backend.create_engine()
    try:
        yield Database(engine, backend, models)
    finally:
        engine.dispose()
        backend.close()


@contextmanager
def open_store(url: str, prefix: str, *, make: bool = False, make_tables: bool = False) -> Iterator[TrainStore]:
    """The store. If there is none, an error says how to begin.

    Args:
        url: What --store says.
        prefix: What --prefix says.
        make: Create the store if it does not exist.
        make_tables: Create its tables if the database exists.

    Raises:
        StoreUnavailableError: There is no store, and it may not be created.
        SchemaMissingError: The database does not have its tables, and they may not be created.
    """
    from trainstore.store import TrainStore

    if not make:
        check_exists(url, prefix, tables=not make_tables)
    with TrainStore(url, table_name_prefix=prefix) as store:
        yield store


def check_exists(url: str, prefix: str, *, tables: bool, read_only: bool = False) -> None:
    """Refuse a mistyped path, database or prefix: opening it as a store would create a file or tables there.

    Args:
        url: What --store says.
        prefix: What --prefix says.
        tables: The database must have the store's tables.
        read_only: Look by a connection that refuses to write.

    Raises the errors of `open_store`.
    """
    from trainstore import schema

    with open_database(url, prefix, read_only=read_only) as database:
        folder = ", which is a folder" if _is_folder(url) else ""
        if folder or not database.backend.exists():
            raise StoreUnavailableError(
                f"there is no store at {visible(url)}{folder}{_neighbour(url, prefix)}; name one with --store or "
                f"{STORE_VARIABLE}, or create one with: trainstore demo"
            )
        if tables and schema.current(*database) is None:
            raise SchemaMissingError(
                f"{visible(database.backend.safe_url)} has no trainstore tables"
                f"{f' with the prefix {prefix}' if prefix else ''}; choose others with --store or {STORE_VARIABLE}, "
                f"--prefix or {PREFIX_VARIABLE}, or create them with: trainstore db upgrade"
            )


def exists(url: str, prefix: str) -> bool:
    """Whether there is a store: for a command that would make one, but only looks."""
    try:
        check_exists(url, prefix, tables=True, read_only=True)
    except (StoreUnavailableError, SchemaMissingError):
        return False
    return True


def _neighbour(url: str, prefix: str) -> str:
    """The only store in the folder where the path ``url`` would be, or which it is, for a message."""
    if "://" in url:
        return ""
    try:
        path = Path(url).expanduser()
        paths = list(islice((path if path.is_dir() else path.parent).iterdir(), MAX_LOOKED_AT))
    except (OSError, RuntimeError):
        return ""
    found = [path for path in paths if _is_store(path, prefix)]
    return f", but at {visible(found[0])}" if len(found) == 1 else ""


def _is_folder(url: str) -> bool:
    try:
        return "://" not in url and Path(url).expanduser().is_dir()
    except (OSError, RuntimeError, ValueError):
        return False


def _is_store(path: Path, prefix: str) -> bool:
    from trainstore import schema

    try:
        with path.open("rb") as file:
            if file.read(len(SQLITE_MAGIC)) != SQLITE_MAGIC:
                return False
        with open_database(str(path), prefix, read_only=True) as database:
            return schema.current(*database) is not None
    except (OSError, TrainStoreError):
        return False


@contextmanager
def open_snapshot(url: str, prefix: str) -> Iterator[tuple[TrainStore, Reader]]:
    """The store, and an exact reader whose statements all see the same moment of it."""
    with open_store(url, prefix) as store, snapshot_of(store) as reader:
        yield store, reader


@contextmanager
def snapshot_of(store: TrainStore) -> Iterator[Reader]:
    """An exact reader of an open store, whose statements all see the same moment of it."""
    from dataclasses import replace

    with store.snapshot() as view:
        yield replace(view.reader, exact=True)


def shown_url(store: TrainStore) -> str:
    """The store's URL as --store takes it, without the password."""
    return store.url if "%" in store.url else store.url.removeprefix("sqlite:///")
