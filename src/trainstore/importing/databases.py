"""Databases of other tools: which tables they have, and their rows, chunk by chunk, as of one moment."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, column, func, inspect, make_url, null, select, table
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from trainstore.backends.sqlite_source import check_unchanged, open_source, tables
from trainstore.backends.url_source import open_url_source
from trainstore.errors import SourceError
from trainstore.importing.foreign import Unread
from trainstore.importing.places import File, Place

CHUNK = 2_000  # rows
SUFFIXES = (".db", ".sqlite", ".sqlite3", ".db3")
_SQLITE = b"SQLite format 3\0"

Query = Select[*tuple[Any, ...]]
Schema = Mapping[str, frozenset[str]]  # tables and their columns, in lower case


class Database:
    """An SQLite file, or a database behind a URL. It is open while somebody is in `reading`, which may be nested."""

    def __init__(self, place: Place, file: File | None) -> None:
        self.file = file
        self.shown = file.relative if file is not None else place.shown
        self._url = place.url
        self._users = 0
        self._stack = ExitStack()
        self._connection: Connection | None = None

    def where(self, part: str) -> str:
        """A part of it, relative to the source."""
        return part if self.file is None else f"{self.file.relative}: {part}"

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Keep it open. Raises `SourceError`."""
        if not self._users:
            self._open()
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._close()

    def _open(self) -> Connection:
        opened = open_source(self.file.path) if self.file is not None else open_url_source(self._url or "")
        self._connection = self._stack.enter_context(opened)
        return self._connection

    def _close(self) -> None:
        self._connection = None
        with suppress(SourceError):  # it was written meanwhile: each chunk has been checked
            self._stack.close()

    def schema(self) -> Schema:
        """Its real tables and their columns. Raises `SourceError`."""
        with self.reading():
            assert self._connection is not None
            if self.file is not None:
                return _sqlite_schema(self._connection)
            try:
                inspector = inspect(self._connection)
                found = inspector.get_multi_columns()
            except SQLAlchemyError as error:
                raise SourceError(f"{self.shown} cannot be read: {error}") from None
            return {
                name.lower(): frozenset(str(one["name"]).lower() for one in columns)
                for (_, name), columns in found.items()
            }

    def chunks(self, statement: Query, size: int = CHUNK) -> Iterator[Sequence[Any]]:
        """The rows of a query; of a file that is read where it lies, none that was written meanwhile.

        Raises:
            SourceError: It was written meanwhile (it is opened anew for the next query), or cannot be read.
        """
        with (
            self._querying() as connection,
            connection.execute(statement, execution_options={"yield_per": size}) as result,
        ):
            for rows in result.partitions(size):
                check_unchanged(connection)
                yield rows
            check_unchanged(connection)

    def tuples(self, statement: Query, size: int = CHUNK) -> Iterator[Sequence[Any]]:
        """As `chunks`, but the rows of an SQLite file are plain tuples, in half the time."""
        if self.file is None:
            yield from self.chunks(statement, size)
            return
        with self._querying() as connection:
            compiled = statement.compile(dialect=connection.dialect)
            values = [compiled.params[name] for name in compiled.positiontup or ()]
            with closing(connection.connection.cursor()) as cursor:
                cursor.execute(str(compiled), values)
                while rows := cursor.fetchmany(size):
                    check_unchanged(connection)
                    yield rows
            check_unchanged(connection)

    @contextmanager
    def _querying(self) -> Iterator[Connection]:
        with self.reading():
            connection = self._connection or self._open()
            try:
                yield connection
            except SQLAlchemyError as error:
                raise SourceError(f"{self.shown} cannot be read: {error}") from None
            except SourceError:
                if self._connection is connection:
                    self._close()
                raise

    def rows(self, statement: Query) -> Iterator[Any]:
        """The rows of a query one by one, as `chunks`."""
        for rows in self.chunks(statement):
            yield from rows


def _sqlite_schema(connection: Connection) -> Schema:
    found: dict[str, frozenset[str]] = {}
    for name in tables(connection):
        quoted = name.replace('"', '""')
        columns = connection.exec_driver_sql(f'PRAGMA table_info("{quoted}")')
        found[name.lower()] = frozenset(str(row[1]).lower() for row in columns)
    return found


def databases(place: Place) -> Iterator[tuple[Database, Schema] | Unread]:
    """The databases that a place holds, and what cannot be read.

    Raises:
        SourceError: The place itself is a database, and cannot be read.
    """
    if place.url is not None:
        path = _sqlite_path(place.url)
        if path is None:
            database = Database(place, None)
            yield database, database.schema()
            return
        place = Place.of(path)
    is_file = place.path is not None and place.path.is_file()
    for file in sorted(place.files, key=written_at, reverse=True):  # of one that was copied, the one in use first
        if not (is_file or file.name.lower().endswith(SUFFIXES)):
            continue
        try:
            if _is_sqlite(file):
                yield Database(place, file), _schema_of(file.path, *_state(file.path))
        except (SourceError, OSError) as error:
            why = Unread.of(file, error).why.removeprefix(f"{file.path} ")
            if is_file:
                raise (error if isinstance(error, SourceError) else SourceError(f"{place.shown} {why}")) from None
            yield Unread(file.relative, why)


def have(place: Place, *names: str) -> bool:
    """Whether one of the databases of a place has all these tables ("runs") or columns ("runs.status")."""
    return any(not isinstance(found, Unread) and has(found[1], *names) for found in databases(place))


def has(schema: Schema, *names: str) -> bool:
    """Whether a database has all these tables or columns."""
    for name in names:
        table_name, _, column_name = name.partition(".")
        if table_name not in schema or (column_name and column_name not in schema[table_name]):
            return False
    return True


def query(schema: Schema, name: str, wanted: Sequence[str]) -> tuple[Query, Mapping[str, ColumnElement[Any]]]:
    """A query of columns of a table, NULL for those that it does not have, and its columns by their names."""
    there: dict[str, ColumnElement[Any]] = {one: column(one) for one in wanted if one in schema.get(name, ())}
    columns = [there[one] if one in there else null().label(one) for one in wanted]
    return select(*columns).select_from(table(name)), there


def counts(database: Database, schema: Schema, name: str, by: str) -> dict[Any, int]:
    """How many rows a table has for each value of a column; empty if there is no such table."""
    if not has(schema, f"{name}.{by}"):
        return {}
    key: ColumnElement[Any] = column(by)
    statement = select(key, func.count()).select_from(table(name)).group_by(key)
    return {row[0]: int(row[1]) for row in database.rows(statement)}


class Digests:
    """A digest for each run of what several tables say of it, in whatever order the rows come."""

    def __init__(self) -> None:
        self._sums: dict[Any, int] = {}

    def add(self, key: Any, *values: Any) -> None:
        """Take in a row."""
        digest = hashlib.blake2b(repr(values).encode("utf-8", "backslashreplace"), digest_size=8).digest()
        self._sums[key] = (self._sums.get(key, 0) + int.from_bytes(digest)) & (2**64 - 1)

    def of(self, key: Any) -> str:
        """The digest of all rows of a key."""
        return f"{self._sums.get(key, 0):016x}"


def text_of(value: Any) -> str | None:
    """A value of a column of texts: whatever type it has there."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "replace")
    return str(value)


def int_of(value: Any) -> int | None:
    """A value of a column of integers; None if it is none."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and len(value) <= 20:
        with suppress(ValueError):
            return int(value)
    return None


def written_at(file: File) -> int:
    """When an SQLite file or the log beside it was last written."""
    _, modified, _, logged = _state(file.path)
    return max(modified, logged) // 1_000


def _sqlite_path(url: str) -> str | None:
    """The file that a URL names, if it is SQLite's."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        return None
    return parsed.database if parsed.get_backend_name() == "sqlite" and not parsed.query else None


def _is_sqlite(file: File) -> bool:
    with file.open() as opened:
        return opened.read(len(_SQLITE)) == _SQLITE


@lru_cache(maxsize=256)
def _schema_of(path: Path, *_state: int) -> Schema:
    """The tables of a file in a state: several readers ask for them."""
    with open_source(path) as connection:
        return _sqlite_schema(connection)


def _state(path: Path) -> tuple[int, int, int, int]:
    found: list[int] = []
    for one in (path, path.with_name(f"{path.name}-wal")):
        try:
            status = one.stat()
            found += [status.st_size, status.st_mtime_ns]
        except OSError:
            found += [0, 0]
    return found[0], found[1], found[2], found[3]
