"""Databases of others behind a URL, read in one transaction that cannot write. SQLite files: `sqlite_source`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, NullPool, create_engine, event, make_url
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from trainstore.backends.base import json_options
from trainstore.backends.sqlite_source import DEADLINE, open_source
from trainstore.backends.urls import safe_url
from trainstore.errors import SourceError

CONNECT_TIMEOUT = 10  # seconds

#: Statements that make a session read one state, unable to write, each with an end. By SQLAlchemy's dialect.
_SETTINGS: dict[str, tuple[str, ...]] = {
    "postgresql": (
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        "SET LOCAL statement_timeout = {milliseconds}",
    ),
    "mysql": (
        "SET SESSION max_execution_time = {milliseconds}",
        "ROLLBACK",
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    ),
    "mariadb": (
        "SET SESSION max_statement_time = {seconds}",
        "ROLLBACK",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    ),
}


@contextmanager
def open_url_source(url: str, *, deadline: float = DEADLINE) -> Iterator[Connection]:
    """Open the database of another program to read it as of one moment, in a transaction that cannot write.

    Args:
        url: ``postgresql://…``, ``mysql+pymysql://…`` or whatever SQLAlchemy has a driver for. ``sqlite:///…`` is read
            as `open_source` reads a file.
        deadline: Seconds that one statement may take.

    Raises:
        SourceError: The URL cannot be used, its driver is not installed, the database cannot be reached, or a query
            fails. No message has the URL's password.
    """
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        if not parsed.database or parsed.query:
            raise SourceError(f"{safe_url(url)} names no file: write sqlite:///path/to/file.db")
        with open_source(Path(parsed.database), deadline=deadline) as connection:
            yield connection
        return
    name = safe_url(parsed.set(drivername=parsed.get_backend_name()))

    def translated(context: ExceptionContext) -> SourceError:
        text = str(context.original_exception).strip().partition("\n")[0]
        if parsed.password:
            text = text.replace(parsed.password, "***")
        return SourceError(f"{name} cannot be read: {text}")

    try:
        engine = create_engine(
            parsed, poolclass=NullPool, hide_parameters=True, connect_args=_limits(parsed), **json_options()
        )
    except (NoSuchModuleError, ImportError) as error:
        raise SourceError(f"{name}: {error}; {_driver_hint(parsed)}") from None
    except SQLAlchemyError as error:
        raise SourceError(f"{name} cannot be opened: {error}") from None
    event.listen(engine, "handle_error", translated, retval=True)
    try:
        with engine.connect() as connection:
            for statement in _SETTINGS.get(engine.dialect.name, ()):
                connection.exec_driver_sql(
                    statement.format(milliseconds=int(deadline * 1000), seconds=int(deadline) or 1)
                )
            try:
                yield connection
            finally:
                with suppress(SourceError, SQLAlchemyError):
                    connection.rollback()
    finally:
        engine.dispose()


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise SourceError(f"{safe_url(url)} is not the URL of a database: write dialect://user@host/database") from None
    if parsed.drivername in ("postgres", "postgresql"):
        return parsed.set(drivername="postgresql+psycopg")
    return parsed


def _limits(url: URL) -> dict[str, Any]:
    if url.get_backend_name() in ("postgresql", "mysql", "mariadb"):
        return {"connect_timeout": CONNECT_TIMEOUT}
    return {}


def _driver_hint(url: URL) -> str:
    if url.get_backend_name() == "postgresql":
        return "pip install 'trainstore[postgres]'"
    return f"install the package of the driver that the URL names ({url.drivername})"
