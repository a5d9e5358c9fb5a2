"""HTTP/1.1 as uvicorn speaks it, with clear answers to heads that are too long or that never end."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from trainstore.dashboard.responses import ApiError
from trainstore.dashboard.security import HEADERS

HEAD_LIMIT = 64 << 10  # bytes of a request's address and headers
HEAD_SECONDS = 20.0  # until the head of a request has arrived, from the first byte or from the connection on
TOO_LONG = 431


class Protocol(H11Protocol):
    """One connection."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, but not forever."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Once a request is there, the application has its own limits."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._wait()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more is waited for."""
        self._stop_waiting()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Called while the error is being handled: it says whether the head was too long."""
        error = sys.exc_info()[1]
        status = getattr(error, "error_status_hint", 400)
        if status == TOO_LONG:
            refusal = ApiError(
                TOO_LONG,
                "limit",
                f"the request's address and headers are longer than {HEAD_LIMIT:,} bytes",
                "send the arguments as JSON: POST to the same address without them",
            )
        else:
            status, refusal = 400, ApiError(400, "http", "the request is not HTTP/1.1")
        answer = refusal.answer()
        headers: Any = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
        headers += [*answer.raw_headers, (b"connection", b"close")]
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            events = (
                h11.Response(status_code=status, headers=headers, reason=STATUS_PHRASES[status]),
                h11.Data(data=bytes(answer.body)),
                h11.EndOfMessage(),
            )
            for event in events:
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _wait(self) -> None:
        if self._waiting is None:
            self._waiting = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self._waiting = None
        if not self.transport.is_closing():
            self.transport.close()
