"""What PostgreSQL's errors mean, by their SQLSTATE if there is one. Never with the server's text: it may show a row."""

from __future__ import annotations

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from trainstore.backends.base import too_many_values
from trainstore.backends.pg_connecting import connection_reason
from trainstore.errors import (
    InvalidArgumentError,
    PermissionDeniedError,
    StoreUnavailableError,
    StoreURLError,
    TrainStoreError,
)

_REASONS = {
    "53100": "has no space left on its disk",
    "57014": "cancelled a statement, because of statement_timeout or by hand",
    "25P03": "ended a transaction because of idle_in_transaction_session_timeout",
    "25P04": "ended a transaction because of transaction_timeout",
}


def error_by_state(error: DBAPIError, state: str, url: URL, server: str) -> TrainStoreError | None:
    """Our error for one that the server reported, or None if we have none for it.

    Args:
        error: The driver's error.
        state: Its SQLSTATE.
        url: Of the database; nothing but the names of the user and the database is shown.
        server: Host and port, for messages.
    """
    if state.startswith("28"):
        return StoreUnavailableError(f"PostgreSQL at {server} refused user {url.username!r} (SQLSTATE {state})")
    if state == "3D000":
        return StoreUnavailableError(
            f"PostgreSQL at {server} has no database {url.database!r}; "
            f"create it with: createdb --encoding=UTF8 --template=template0 {url.database}"
        )
    if state == "42501":
        return PermissionDeniedError(
            f"PostgreSQL at {server} refused user {url.username!r} {_right(error.statement)} in database "
            f"{url.database!r}; use another role, or grant it. The roles that trainstore db roles creates: "
            "reader (SELECT), writer (also INSERT and UPDATE), owner (also DELETE and changing tables)"
        )
    if state == "25006":
        return PermissionDeniedError(
            f"database {url.database!r} of PostgreSQL at {server} is read-only: it is a standby, or "
            "default_transaction_read_only is set"
        )
    if state[:2] in ("08", "53", "57") or state in (*_REASONS, "55P03", "40001", "40P01"):
        reason = _REASONS.get(state, "is not available now")
        return StoreUnavailableError(f"PostgreSQL at {server} {reason} (SQLSTATE {state})")
    return None


def error_without_state(error: DBAPIError, safe_url: str, server: str) -> TrainStoreError | None:
    """Our error for one of the driver itself, or None if we have none for it."""
    text, kind = str(error.orig), type(error.orig).__name__
    if "number of parameters" in text:
        return InvalidArgumentError(too_many_values("PostgreSQL", 65_535))
    if text.startswith("cannot adapt"):
        value = text.removeprefix("cannot adapt ").partition(" using")[0]
        return InvalidArgumentError(f"a value in this query cannot be used: {value} is not supported")
    if kind in ("OperationalError", "ConnectionTimeout"):
        return StoreUnavailableError(f"PostgreSQL at {server} cannot be reached: {connection_reason(text)}")
    if error.statement is None and kind == "ProgrammingError":
        return StoreURLError(
            f"an option in {safe_url!r} cannot be used; after the '?' write libpq's connection parameters"
        )
    return None


def _right(statement: str | None) -> str:
    """The right that one of our statements needs, in words, by its first word."""
    verb = (statement or "").split(maxsplit=1)[0].upper() if statement else ""
    if verb == "SELECT" and "FOR NO KEY UPDATE" in str(statement):
        verb = "UPDATE"  # a row that is locked
    known = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "CREATE", "ALTER", "DROP")
    return f"the right to {verb}" if verb in known else "a right"
