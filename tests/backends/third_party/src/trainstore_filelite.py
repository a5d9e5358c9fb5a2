"""A third party's backend: as little as a database needs, everything else from the base class."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Engine, NullPool, case, create_engine, event, func, make_url
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from trainstore.backends import Backend
from trainstore.backends.base import json_options
from trainstore.backends.parameters import convert_parameters
from trainstore.errors import StoreUnavailableError, TrainStoreError


class FileLiteBackend(Backend):
    """``filelite:///path/to/file``: SQLite as if nobody knew it; one transaction at a time, whoever reads or writes."""

    name = "filelite"

    @classmethod
    def from_url(cls, text: str, *, echo: bool = False) -> FileLiteBackend:
        """Make one from a connection string."""
        return cls(make_url(text), echo=echo)

    def create_engine(self) -> Engine:
        """As the writer's, for values as users have them."""
        engine = self.create_writer_engine()
        convert_parameters(engine)
        return engine

    def create_writer_engine(self) -> Engine:
        """No pool. The driver begins nothing by itself, so that DDL is part of the transaction."""
        engine = create_engine(
            f"sqlite:///{self.url.database}",
            poolclass=NullPool,
            connect_args={"isolation_level": None, "timeout": 30},
            echo=self.echo,
            **json_options(),
        )
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys = ON"))
        return engine

    def json_path_reaches(self, name: str) -> bool:
        """SQLite's JSON paths have no escapes."""
        return '"' not in name and "\\" not in name

    def json_number(self, column: ColumnElement[Any], name: str) -> ColumnElement[float]:
        """Guarded by the value's type."""
        kind = func.json_type(column, f'$."{name}"')
        return case((kind.in_(("integer", "real")), func.json_extract(column, f'$."{name}"')), else_=None)

    def lock_rows(self, statement: Any) -> Any:
        """BEGIN IMMEDIATE has locked the file."""
        return statement

    def translate(self, error: SQLAlchemyError) -> TrainStoreError | None:
        """A file that cannot be opened, or is somebody else's for too long."""
        text = str(getattr(error, "orig", ""))
        if isinstance(error, OperationalError) and ("unable to open" in text or "locked" in text):
            return StoreUnavailableError(f"{self.safe_url}: {text}")
        return super().translate(error)
