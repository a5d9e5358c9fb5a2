"""One event to one target, at most once; and what ``trainstore watch --notify`` sends."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from trainstore.backends import Backend
from trainstore.errors import TrainStoreError
from trainstore.models import Models
from trainstore.notifying.channels import Channel
from trainstore.notifying.claims import NotThereYetError, claim, mark_sent
from trainstore.notifying.messages import is_sent, message_of, wanted
from trainstore.notifying.targets import Target
from trainstore.recording.listeners import Event

#: What may wait while the database is away or a receiver slow. More important than alerts is how a run ended.
MAX_ALERTS, MAX_WAITING = 100, 1_000
MARKS = 5  # attempts to note that a message has left
TURN = 5.0  # seconds; a receiver that does not answer may take one message longer

_last: list[tuple[Backend, Engine]] = []  # used last; most processes send of one store
_of_the_parent: list[object] = []  # in a forked child


def send_once(
    backend: Backend,
    models: Models,
    event: Event,
    channel: Channel,
    transacting: AbstractContextManager[object] | None = None,
) -> str | None:
    """Claim the event for the target, and send it; nothing if somebody else has claimed it.

    Args:
        backend: The database's.
        models: The store's tables.
        event: What is sent.
        channel: Where to.
        transacting: Entered while a connection is open.

    Returns:
        Why the message was lost, if it was.

    Raises:
        NotThereYetError: The run is not in the database, but may be later. Nothing was claimed then, nor at any other
            error of the database.
    """
    transacting = nullcontext() if transacting is None else transacting
    engine = _engine_of(backend)
    try:
        with transacting, backend.translated(), engine.connect() as connection:
            if not claim(connection, backend, models, event, channel.target):
                return None
    except NotThereYetError:
        raise
    except (TrainStoreError, SQLAlchemyError):
        if not backend.in_memory:
            raise
        # Its store is closed, so that it is gone: nobody else can send what was in it.
    reason = channel.send(message_of(event))
    for attempt in range(0 if reason else MARKS):
        try:
            with transacting, engine.connect() as connection:
                mark_sent(connection, backend, models, event, channel.target)
            break
        except (TrainStoreError, SQLAlchemyError):  # it is away just now
            if backend.in_memory:
                break
            time.sleep(0.2 * 2**attempt)
    return reason


def has_room(event: Event, waiting: int) -> bool:
    """Whether an event may join so many that wait."""
    return waiting < (MAX_ALERTS if event.kind == "alert" else MAX_WAITING)


def leave_to_parent() -> None:
    """In a forked child: it needs engines of its own, as a thread of the parent's may just have held their locks."""
    _of_the_parent.append(_last[:])
    _last.clear()


def _engine_of(backend: Backend) -> Engine:
    """Of its own, as it outlives the store that it sends for. Between two transactions it is not connected."""
    for known, engine in _last[:]:
        if known is backend:
            return engine
    engine = backend.create_writer_engine()
    _last[:] = [(backend, engine)]
    return engine


class Relay:
    """Claims and sends, in the caller's thread.

    Args:
        backend: The database's.
        models: The store's tables.
        targets: Where to.

    Raises:
        InvalidArgumentError: One of the targets cannot be used, or ``TRAINSTORE_NOTIFY_ON`` is misspelled.
        TrainStoreError: Apprise is not installed.
    """

    def __init__(self, backend: Backend, models: Models, targets: Sequence[Target]) -> None:
        wanted()  # what is misspelled is told at once
        self._backend = backend
        self._models = models
        self._channels = [Channel(target) for target in targets]
        self._waiting: deque[tuple[Event, Channel]] = deque()
        self._told = ""  # what is in the way since it was last told

    @property
    def is_waiting(self) -> bool:
        """Whether there is something left to send."""
        return bool(self._waiting)

    def add(self, events: Iterable[Event]) -> int:
        """Take events to be sent; how many there was no room for."""
        dropped = 0
        for event in filter(is_sent, events):
            if not has_room(event, len(self._waiting) // len(self._channels)):
                dropped += 1
                continue
            self._waiting.extend((event, channel) for channel in self._channels)
        return dropped

    def send(self) -> Iterator[str]:
        """Send what waits; what went wrong, a line each. The next call goes on, if the database is away or time is up.

        What is in the way is told once, until something is sent.
        """
        end = time.monotonic() + TURN
        while self._waiting and time.monotonic() < end:
            event, channel = self._waiting[0]
            if channel.busy_for > 0:
                return
            try:
                reason = send_once(self._backend, self._models, event, channel)
            except NotThereYetError:  # it was found there, and deleted since: nobody needs to hear of it
                reason = None
            except (TrainStoreError, SQLAlchemyError) as error:
                kind = str(error) if isinstance(error, TrainStoreError) else type(error).__name__
                if kind != self._told:
                    yield f"not sent yet, the database cannot be written ({kind}); trying again"
                self._told = kind
                return
            self._told = ""
            self._waiting.popleft()
            if reason is not None:
                yield f"a message to {channel.target.shown} was lost: {reason}. It is not sent again"
