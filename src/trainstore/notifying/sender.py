"""The thread of a process that trains, which sends what its runs tell.

It is started by the first run, if there may be targets. It reads them and loads Apprise then: whatever is wrong is
told at the beginning and not when it is too late. Nothing waits for the thread but the end of the process, for three
seconds. What waits is bounded; a database that is away, or a run that has not reached it, is asked again for ten
minutes.

Fork: the thread is not in the child, which starts its own when it has something to tell. The fork waits while the
thread imports, so that the child inherits no module's lock; and, on databases that cannot be forked with a connection
open, until a transaction has ended.
"""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401 - Apprise needs it, and an interpreter that ends cannot load it any more
import logging
import os
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from trainstore.errors import TrainStoreError
from trainstore.notifying import targets
from trainstore.notifying.channels import Channel
from trainstore.notifying.claims import DeletedError, NotThereYetError
from trainstore.notifying.messages import is_sent, wanted
from trainstore.notifying.relaying import has_room, leave_to_parent, send_once
from trainstore.recording.listeners import Event

logger = logging.getLogger("trainstore")

EXIT_TIMEOUT = 3.0  # seconds
FORK_TIMEOUT = 5.0
GIVE_UP_AFTER = 600.0  # seconds, of a database that is away
DELETED_AFTER = 10.0  # seconds, of a run that was deleted and does not come back by being resumed
PAUSES = (0.2, 10.0)  # seconds between two attempts, the first and the longest

_sender: Sender | None = None
_guard = threading.RLock()  # a signal's handler may tell something in the middle of `hear`
_of_the_parent: list[Sender] = []  # in a forked child


@dataclass(eq=False)
class _Waiting:
    """An event, the service that records it, and where it is still to be sent."""

    event: Event
    service: Any
    left: list[Channel]
    since: float


class Sender:
    """The thread, and what waits for it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._told: set[str] = set()
        self._channels: list[Channel] | None = None  # None: not opened yet
        self._closing = False
        self._stopped = threading.Event()  # nothing is begun any more
        self.busy = threading.Lock()  # held where a fork must not happen
        self._thread = threading.Thread(target=self._run, name="trainstore-sender", daemon=True)
        self._thread.start()

    def add(self, event: Event, service: Any) -> None:
        """Send it soon. Never waits."""
        with self._changed:
            if self._channels == []:
                return
            is_full = not has_room(event, len(self._waiting))
            if not is_full:
                self._waiting.append(_Waiting(event, service, [], time.monotonic()))
                self._changed.notify_all()
        if is_full:  # told without the lock: a handler of logging may wait for the thread, or tell something itself
            self._tell_once(
                "too many alerts are waiting to be sent: further ones are recorded, but not sent by this process until "
                "there is room"
            )

    def close(self, timeout: float) -> None:
        """Send what waits, for so many seconds, first how runs ended; then nothing is begun any more."""
        with self._changed:
            self._closing = True
            self._waiting.sort(key=lambda one: one.event.kind == "alert")
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._waiting or not self._thread.is_alive(), timeout)
            self._stopped.set()
            left = len(self._waiting)
        if left:
            logger.warning(
                "%d alerts or ends of runs could not be sent before the process ended; they are recorded, and "
                "`trainstore watch --notify`, if it is running, sends those that were not on their way",
                left,
            )

    # --- The thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        self._open_channels()
        if not self._channels:
            return
        attempts = 0
        while not self._stopped.is_set():
            with self._changed:
                if self._closing and not self._waiting:
                    return
                # While nothing waits, until something does; else until it is time to try again.
                self._changed.wait(self._pause(attempts) if self._waiting else None)
                waiting, closing = list(self._waiting), self._closing
            late: set[object] = set()  # runs and databases of which something has to wait: what follows does too
            for one in waiting:
                if self._stopped.is_set():
                    return
                if self._deal_with(one, late, closing):
                    with self._changed:
                        self._waiting.remove(one)
                        self._changed.notify_all()
            attempts = attempts + 1 if late else 0

    def _pause(self, attempts: int) -> float:
        first, longest = PAUSES
        return first if self._closing else min(longest, first * 2 ** min(attempts, 16)) if attempts else 0.0

    def _open_channels(self) -> None:
        opened: list[Channel] = []
        try:
            with self.busy:
                wanted()  # what is misspelled is told at once
                opened = [Channel(target) for target in targets.find()]
        except TrainStoreError as error:
            self._tell_once(f"alerts and ends of runs are not sent: {error}")
        except Exception as error:  # noqa: BLE001 - a training must not see it
            self._tell_once(f"alerts and ends of runs are not sent ({type(error).__name__})")
        with self._changed:
            self._channels = opened
            if not opened:
                self._waiting.clear()
            self._changed.notify_all()

    def _deal_with(self, one: _Waiting, late: set[object], closing: bool) -> bool:
        """Send an event to the targets that are left, unless it has to wait; whether there is nothing more to do."""
        one.left = one.left or list(self._channels or ())
        backend, age = one.service.backend, time.monotonic() - one.since
        for channel in list(one.left):
            if self._stopped.is_set():
                return False
            if one.event.run_uid in late or backend in late:
                break
            if not self._leave_alone(channel, closing):
                return False
            try:
                transacting = None if backend.may_fork_connected else self.busy
                reason = send_once(backend, one.service.models, one.event, channel, transacting)
            except DeletedError:
                if not self._closing and age < DELETED_AFTER:
                    late.add(one.event.run_uid)
                    continue
                reason = None
            except NotThereYetError:
                late.add(one.event.run_uid)
                continue
            except (TrainStoreError, SQLAlchemyError):  # it is away: asked again for every event, it would be stormed
                late.add(backend)
                continue
            except Exception as error:  # noqa: BLE001 - a training must not see it
                reason = f"it failed ({type(error).__name__})"
            one.left.remove(channel)
            if reason is not None:
                self._tell_once(f"a message to {channel.target.shown} was lost: {reason}. It is not sent again")
        if one.left and age > GIVE_UP_AFTER:
            self._tell_once("an alert or the end of a run was not sent: it did not reach the database in time")
            return True
        return not one.left

    def _leave_alone(self, channel: Channel, closing: bool) -> bool:
        """Wait as long as the service wishes, before anything is claimed; not when the process ends.

        False: its end has begun since the round did, so that what waits has another order now.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closing, channel.busy_for)
            return self._closing == closing

    def _tell_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            logger.warning("%s", text)


# --- Of this process --------------------------------------------------------------------------------------------------


def hear(event: Event, service: Any) -> None:
    """What recording/listeners.py tells: a run began, sent an alert or ended. Never waits."""
    sender = _sender
    if sender is None:
        if not targets.may_exist():
            return
        with _guard:
            sender = _sender or _adopted(Sender())
    if is_sent(event):
        sender.add(event, service)


def _adopted(made: Sender) -> Sender:
    """The sender of this process: this one, unless a signal's handler has made another meanwhile."""
    global _sender
    if _sender is None:
        _sender = made
        _close_with_child()
    else:
        made.close(0.0)
    return _sender


def close() -> None:
    """At the end of the process, when its runs are delivered."""
    if _sender is not None:
        _sender.close(EXIT_TIMEOUT)


def _close_with_child() -> None:
    """A child of multiprocessing leaves out the functions for the exit, but not its own finalizers."""
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None and processes.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(None, close, exitpriority=-1)  # after that of endings.py


def _hold_for_fork() -> None:
    if _sender is not None:
        _held[:] = [_sender] if _sender.busy.acquire(timeout=FORK_TIMEOUT) else []


def _go_on_after_fork() -> None:
    while _held:  # emptied first: another thread may fork as soon as the lock is free
        _held.pop().busy.release()


def _renew_in_child() -> None:
    global _sender, _guard
    if _sender is not None:
        _of_the_parent.append(_sender)  # with its connections, which are the parent's
    _sender, _guard = None, threading.RLock()
    _held.clear()
    leave_to_parent()


_held: list[Sender] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold_for_fork, after_in_parent=_go_on_after_fork, after_in_child=_renew_in_child)
