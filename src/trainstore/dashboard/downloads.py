"""Answers that are made while they are sent: files that may be larger than memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Generator
from contextvars import copy_context

from anyio import CancelScope, fail_after, to_thread
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from trainstore.dashboard.deadlines import current_deadline
from trainstore.dashboard.responses import ApiError

DOWNLOAD_SECONDS = 600.0
SEND_SECONDS = 30.0  # until the client takes a piece: meanwhile the database keeps old rows for it
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
        self._making = threading.Lock()

    async def _all(self, first: bytes) -> AsyncIterator[bytes]:
        piece: bytes | None = first
        while piece is not None:
            yield piece
            piece = await to_thread.run_sync(self._context.run, self._next, abandon_on_cancel=True)

    def _next(self) -> bytes | None:
        with self._making:
            return next(self._pieces, None)

    def _close(self) -> None:
        """Give the connection back; in a thread, as the database may have to be asked."""
        self._deadline.stop()
        with self._making:  # the last piece may still be on its way to its end
            self._pieces.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; at the end, or when the client has gone, give the connection back."""

        async def send_in_time(message: Message) -> None:
            with fail_after(SEND_SECONDS):
                await send(message)

        try:
            async with asyncio.timeout(DOWNLOAD_SECONDS):
                await super().__call__(scope, receive, send_in_time)
        finally:
            try:
                with CancelScope(shield=True):
                    await to_thread.run_sync(self._close)
            finally:
                self._ended()
