"""Answers that are made while they are sent: files that may be larger than memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Generator
from contextvars import copy_context

from anyio import CancelScope, to_thread
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from trainstore.dashboard.deadlines import current_deadline
from trainstore.dashboard.responses import ApiError

DOWNLOAD_SECONDS = 600.0
DOWNLOADS = 2  # at once: each keeps a connection to the database until the client has taken the last piece
Pieces = Generator[bytes, None, None]


class Downloads:
    """The downloads of a server: so many at once."""

    def __init__(self) -> None:
        self._places = threading.BoundedSemaphore(DOWNLOADS)

    def begin(self, pieces: Pieces, name: str, media_type: str) -> Download:
        """The answer whose first piece is made now, in this thread and by the time of this read.

        Args:
            pieces: The rest of them are made when the client has taken those before.
            name: Of the file.
            media_type: Of the file.

        Raises:
            ApiError: 429 if there are enough downloads. Also what making the first piece raises.
        """
        if not self._places.acquire(blocking=False):
            message = f"{DOWNLOADS} downloads are under way already"
            raise ApiError(429, "busy", message, "try again when one has ended", headers={"Retry-After": "5"})
        try:
            current_deadline().extend(DOWNLOAD_SECONDS)
            return Download(next(pieces, b""), pieces, name, media_type, self._places.release)
        except BaseException:
            self._places.release()
            raise


class Download(StreamingResponse):
    """One download."""

    def __init__(self, first: bytes, pieces: Pieces, name: str, media_type: str, ended: Callable[[], None]) -> None:
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        super().__init__(self._all(first), headers=headers, media_type=media_type)
        self._pieces, self._ended = pieces, ended
        self._deadline, self._context = current_deadline(), copy_context()

    async def _all(self, first: bytes) -> AsyncIterator[bytes]:
        piece: bytes | None = first
        while piece is not None:
            yield piece
            piece = await to_thread.run_sync(self._context.run, self._next)

    def _next(self) -> bytes | None:
        return next(self._pieces, None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; at the end, or when the client has gone, give the connection back."""
        try:
            async with asyncio.timeout(DOWNLOAD_SECONDS):  # a client that takes nothing holds old rows in the database
                await super().__call__(scope, receive, send)
        finally:
            self._deadline.stop()
            with CancelScope(shield=True):
                await to_thread.run_sync(self._pieces.close)
            self._ended()
