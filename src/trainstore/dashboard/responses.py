"""What the dashboard's server answers: JSON, and errors that say what to do."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Mapping
from traceback import format_tb
from typing import Any

import orjson
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response

from trainstore.dashboard.limits import LimitError
from trainstore.errors import (
    FilterError,
    InvalidArgumentError,
    ModelNotFoundError,
    NotADatabaseError,
    PermissionDeniedError,
    ReadOnlyStoreError,
    RunActiveError,
    RunNotFoundError,
    RunNotUniqueError,
    SchemaError,
    StoreClosedError,
    StoreUnavailableError,
    TrainStoreError,
)

logger = logging.getLogger("trainstore.dashboard")

RETRY_SECONDS = 2  # after which a page asks again for a database that is away
GZIP_FROM = 64 << 10  # bytes; below that, packing gains nothing
GZIP_LEVEL = 1  # a table of 3 MB becomes 0.8 MB in 29 ms; level 6 takes 121 ms for 0.7 MB


class ApiError(Exception):
    """An answer that is an error.

    Args:
        status: Of HTTP.
        code: A word for programs.
        message: A sentence for people; it names the value.
        hint: What to do.
        position: Where in a filter; None elsewhere.
        headers: More headers.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        hint: str = "",
        *,
        position: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.hint = status, code, message, hint
        self.position, self.headers = position, dict(headers or {})

    def answer(self) -> Response:
        """The response."""
        error: dict[str, Any] = {"code": self.code, "message": self.message, "hint": self.hint}
        if self.position is not None:
            error["position"] = self.position
        body = orjson.dumps({"error": error})
        return Response(body, self.status, headers=self.headers, media_type="application/json")


#: The first that fits counts.
_STATUSES: tuple[tuple[type[TrainStoreError], int, str], ...] = (
    (LimitError, 413, "limit"),
    (FilterError, 400, "filter"),
    (InvalidArgumentError, 400, "argument"),
    (RunNotFoundError, 404, "run"),
    (ModelNotFoundError, 404, "run"),
    (RunNotUniqueError, 400, "run"),
    (RunActiveError, 409, "active"),
    (ReadOnlyStoreError, 403, "read-only"),
    (PermissionDeniedError, 403, "rights"),
    (StoreUnavailableError, 503, "away"),
    (StoreClosedError, 503, "away"),
    (SchemaError, 503, "schema"),
    (NotADatabaseError, 503, "store"),
)


def error_of(error: Exception) -> ApiError:
    """The answer for an error of a read."""
    if isinstance(error, ApiError):
        return error
    for kind, status, code in _STATUSES:
        if isinstance(error, kind):
            headers = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else {}
            position = error.position if isinstance(error, FilterError) else None
            return ApiError(status, code, str(error), position=position, headers=headers)
    if isinstance(error, TrainStoreError):
        return ApiError(500, "store", str(error))
    name = type(error).__name__
    # Not its text, here and there: it may contain a row, or the URL of the database.
    logger.error("a request failed: %s\n%s", name, "".join(format_tb(error.__traceback__)))
    if isinstance(error, SQLAlchemyError):
        return ApiError(500, "database", f"the database reported an error ({name})", "see: trainstore doctor")
    return ApiError(500, "internal", f"the dashboard failed ({name})", "please report it, with the terminal's output")


def json_answer(value: Any, request: Request, headers: Mapping[str, str] | None = None) -> Response:
    """A value as JSON, packed if it is long."""
    return bytes_answer(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY), "application/json", request, headers)


def bytes_answer(body: bytes, media_type: str, request: Request, headers: Mapping[str, str] | None = None) -> Response:
    """An answer of JSON or text that is packed if it is long."""
    own = {"Cache-Control": "private, no-cache", **(headers or {})}
    if len(body) >= GZIP_FROM and "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, GZIP_LEVEL)
        own |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return Response(body, headers=own, media_type=media_type)
