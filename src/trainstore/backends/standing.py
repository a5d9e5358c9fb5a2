"""A connection that stays open for days, in a notebook, and never shows an old moment of the database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, CursorResult


class StandingConnection(Connection):
    """Outside a ``begin()`` block each statement is a transaction of its own.

    SQLAlchemy's own connection begins a transaction at the first statement and waits for a ``commit()``. Until then
    SQLite shows the data of that moment, PostgreSQL refuses everything after a failed statement, and both keep their
    locks.
    """

    #: The current statement is a transaction of its own.
    alone = False

    def execute(self, statement: Any, parameters: Any = None, *, execution_options: Any = None) -> Any:
        """Like SQLAlchemy's."""
        return self._execute_alone(super().execute, statement, parameters, execution_options)

    def exec_driver_sql(self, statement: str, parameters: Any = None, execution_options: Any = None) -> Any:
        """Like SQLAlchemy's."""
        return self._execute_alone(super().exec_driver_sql, statement, parameters, execution_options)

    def scalar(self, statement: Any, parameters: Any = None, *, execution_options: Any = None) -> Any:
        """Like SQLAlchemy's."""
        return self.execute(statement, parameters, execution_options=execution_options).scalar()

    def scalars(self, statement: Any, parameters: Any = None, *, execution_options: Any = None) -> Any:
        """Like SQLAlchemy's."""
        return self.execute(statement, parameters, execution_options=execution_options).scalars()

    def _execute_alone(
        self, execute: Callable[..., CursorResult[Any]], statement: Any, parameters: Any, execution_options: Any
    ) -> CursorResult[Any]:
        if self.in_transaction():
            return execute(statement, parameters, execution_options=execution_options)
        self.alone = True
        try:
            result = execute(statement, parameters, execution_options=execution_options)
            # The rows of a server's cursor end with its transaction; those of others are here, or SQLite keeps them.
            if not result.context.execution_options.get("stream_results"):
                self.commit()
        except BaseException:
            self.rollback()
            raise
        finally:
            self.alone = False
        return result
