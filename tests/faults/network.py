"""A network between a producer and PostgreSQL that fails: resets, lost answers, black holes, a byte a second."""

from __future__ import annotations

import random
import select
import socket
import struct
import threading
import time
from contextlib import suppress
from typing import Literal

from recording.proxy import Proxy

Way = Literal["pass", "hole", "trickle", "half-open"]

#: Python code for a producer's ``before``: its end waits a second for a database that is away.
SHORT_END = """
from trainstore import store
from trainstore.recording import service
store.CLOSE_TIMEOUT = service.EXIT_TIMEOUT = 1.0
"""

#: Every time limit of the store, much shorter than it ships with.
SHORT_LIMITS = f"""
{SHORT_END}
from trainstore.backends import pg_connecting, postgresql
from trainstore.recording import delivery_thread
postgresql.WRITER_TIMEOUT, postgresql.PATIENT_TIMEOUT = 2, 4
pg_connecting.PING_TIMEOUT, pg_connecting.CONNECT_TIMEOUT = 1, 2
delivery_thread.BACKOFF = (0.05, 0.5)
"""


class Network(Proxy):
    """A `Proxy` whose connections fare as the test says. It begins `up`.

    Attributes:
        way: "pass"; "hole": bytes are taken and go nowhere until the way is another, when they arrive late;
            "trickle": a byte a second; "half-open": the server's end is closed, and the client is told nothing.
        reset: The probability that a connection is reset instead of forwarding some bytes.
        swallow: The probability that the server gets a COMMIT, and the client a reset instead of its answer.
        resets: How often a connection was reset.
        swallowed: How many answers to COMMIT were lost.
        dies_at: Bytes; the connection whose client first sends them is half-open from then on. It becomes None.
    """

    def __init__(self, url: str, chance: random.Random) -> None:
        super().__init__(url)
        self.way: Way = "pass"
        self.reset = self.swallow = 0.0
        self.resets = self.swallowed = 0
        self.dies_at: bytes | None = None
        self.closed = False
        self._chance = chance
        self.up()

    def close(self) -> None:
        """End every connection."""
        self.closed = True
        self.down()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=_Link(self, client).run, daemon=True).start()

    def happens(self, probability: float) -> bool:
        """Throw the dice."""
        return probability > 0 and self._chance.random() < probability


class _Link:
    """One connection through a `Network`; one thread serves both directions, so that a close is a reset at once."""

    def __init__(self, network: Network, client: socket.socket) -> None:
        self.network = network
        self.client = client
        self.server: socket.socket | None = None
        self.swallows = False

    def run(self) -> None:
        """Forward until an end closes, or the network is closed."""
        try:
            while not self.network.closed:
                way = self.network.way
                if way == "half-open":
                    self._stay_dead()
                elif way == "hole":
                    time.sleep(0.005)
                elif not self._forward(slow=way == "trickle"):
                    return
        except OSError:
            pass
        finally:
            self._reset()

    def _forward(self, *, slow: bool) -> bool:
        if self.server is None:
            self.server = self.network._connect()
        ready, _, _ = select.select([self.client, self.server], [], [], 0.02)
        for source in ready:
            if slow:
                time.sleep(1)
                if self.network.way != "trickle":
                    return True
            data = source.recv(1 if slow else 65_536)
            if not data:
                return False
            if source is self.server and self.swallows:
                self.network.swallowed += 1
                return False
            if self.network.happens(self.network.reset):
                self.network.resets += 1
                return False
            if source is self.client and self.network.dies_at is not None and self.network.dies_at in data:
                self.network.dies_at = None
                self._stay_dead()
                return False
            if source is self.client and b"COMMIT\0" in data and self.network.happens(self.network.swallow):
                self.swallows = True
            (self.server if source is self.client else self.client).sendall(data)
        return True

    def _stay_dead(self) -> None:
        """Be half-open; the network's being well again does not mend it, as after the restart of a firewall."""
        if self.server is not None:
            self.server.close()
        while not self.network.closed:
            time.sleep(0.01)

    def _reset(self) -> None:
        with suppress(OSError):
            self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.close()
        if self.server is not None:
            self.server.close()
