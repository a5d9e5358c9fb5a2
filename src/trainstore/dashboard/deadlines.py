"""How long and how many: deadlines of reads, and lanes in which they wait.

A read runs in a thread. It ends when its time is over, when the client has gone away, or when the server stops: SQLite
asks a progress handler, PostgreSQL is told to cancel the statement, and between statements and rows the reader asks.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar, copy_context
from typing import Any, TypeVar

from trainstore.dashboard.responses import ApiError

READ_SECONDS = 30.0  # of one read
BODY_SECONDS = 10.0  # until a request's body has arrived
BODY_LIMIT = 64 << 10  # bytes
HEAVY_AT_ONCE = 4  # the light ones have threads of their own, so that live curves do not wait behind a long run
LIGHT_AT_ONCE = 4  # with the other four and two downloads: the ten connections of a store's pool
WAITING = 8  # in each lane
STOPPED_STATUS = 499  # the client is gone: nobody reads this

T = TypeVar("T")


class Deadline:
    """The end of one read, in time or by order."""

    def __init__(self, seconds: float = READ_SECONDS) -> None:
        self.seconds = seconds
        self._until = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._stopped = False
        self._stops: list[Callable[[], None]] = []

    @property
    def left(self) -> float:
        """Seconds, at least a thousandth."""
        return max(self._until - time.monotonic(), 0.001)

    def extend(self, seconds: float) -> None:
        """Give the read so many seconds from now on."""
        self.seconds, self._until = seconds, time.monotonic() + seconds

    def is_over(self) -> bool:
        """Whether the read must end."""
        return self._stopped or time.monotonic() >= self._until

    def check(self) -> None:
        """Raise what `error` gives if it is over."""
        if self.is_over():
            raise self.error()

    def error(self) -> ApiError:
        """The answer to a read that was ended."""
        if self._stopped:
            return self.gone()
        return ApiError(
            503,
            "deadline",
            f"reading took longer than {self.seconds:g} s and was ended",
            "ask for fewer runs, metrics or columns, or for a narrower filter",
        )

    @staticmethod
    def gone() -> ApiError:
        """The answer that nobody reads."""
        return ApiError(STOPPED_STATUS, "gone", "the client went away")

    def stop(self) -> None:
        """End the read now; from any thread. It may take a few seconds where a server has to be asked."""
        with self._lock:  # `stopping` waits for it: after that, the connection may be another read's
            self._stopped = True
            for stop in self._stops:
                with suppress(Exception):  # the connection may be lost
                    stop()

    @contextmanager
    def stopping(self, stop: Callable[[], None]) -> Iterator[None]:
        """While the block runs, `stop` calls this too; the block does not end in the middle of such a call."""
        with self._lock:
            self._stops.append(stop)
        try:
            yield
        finally:
            with self._lock:
                self._stops.remove(stop)


_current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


def current_deadline() -> Deadline:
    """That of the read in this thread; one of its own where none was set."""
    return _current.get() or Deadline()


class Lane:
    """Reads of one kind: so many at once, so many that wait; the next is told to come back.

    Args:
        name: For its threads.
        at_once: How many threads it has.
        seconds: Seconds for each read, including the wait.
    """

    def __init__(self, name: str, at_once: int, seconds: float = READ_SECONDS) -> None:
        self._threads = ThreadPoolExecutor(at_once, f"trainstore-ui-{name}")
        self._most, self._seconds = at_once + WAITING, seconds
        self._deadlines: set[Deadline] = set()

    async def run(self, work: Callable[[], T], gone: Callable[[], Awaitable[None]]) -> T:
        """What ``work`` returns, in a thread.

        Args:
            work: The read.
            gone: Returns when the client has gone away.

        Raises:
            ApiError: 429 if too many wait, 503 if it took too long.
        """
        if len(self._deadlines) >= self._most:
            message = f"{WAITING} reads are waiting already"
            raise ApiError(429, "busy", message, "try again in a second", headers={"Retry-After": "1"})
        deadline = Deadline(self._seconds)
        self._deadlines.add(deadline)
        context = copy_context()
        context.run(_current.set, deadline)

        def begun() -> T:
            deadline.check()
            return work()

        submitted = self._threads.submit(context.run, begun)
        future = asyncio.wrap_future(submitted)
        watch = asyncio.ensure_future(gone())
        both: set[asyncio.Future[Any]] = {future, watch}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not future.done():  # the client is gone
                if submitted.cancel():  # the read had not begun
                    raise deadline.gone()
                await asyncio.to_thread(deadline.stop)  # the database may have to be asked
            return await future
        finally:
            watch.cancel()
            self._deadlines.discard(deadline)
            if not future.done():  # this request was cancelled
                asyncio.get_running_loop().run_in_executor(None, deadline.stop)

    def close(self) -> None:
        """End every read, and the threads."""
        for deadline in list(self._deadlines):
            deadline.stop()
        self._threads.shutdown(wait=False, cancel_futures=True)
