"""Connecting to PostgreSQL, and never waiting forever for a server that does not answer."""

from __future__ import annotations

import ipaddress
import os
import random
import socket
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from typing import Any

from sqlalchemy import URL, Engine, event
from sqlalchemy.exc import DisconnectionError

from trainstore.backends.urls import safe_url
from trainstore.errors import StoreURLError

CONNECT_TIMEOUT = 5  # seconds, as libpq counts
PING_TIMEOUT = 5
FULL, STARTING = "it has no free connection", "it is starting up"


def check_options(text: str, url: URL) -> None:
    """Refuse options that libpq does not know now, by name, rather than at the first connection."""
    from psycopg.pq import Conninfo

    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    for name in url.query:
        if name not in known:
            like = get_close_matches(name, known, n=1)
            remedy = f"did you mean {like[0]}?" if like else "leave it out"
            if name in ("mode", "read_only", "readonly"):
                remedy = "pass read_only=True to TrainStore"
            raise StoreURLError(
                f"{safe_url(text)!r} has the option {name!r}, which is not a connection parameter of libpq: {remedy}"
            )


def connect(dialect: Any, _record: Any, args: Sequence[Any], options: dict[str, Any]) -> Any:
    """Retry for a while if the server has no free connection or is starting up.

    Jobs of a cluster start at the same moment, and each needs a connection only briefly.
    """
    deadline = time.monotonic() + CONNECT_TIMEOUT
    while True:
        try:
            return dialect.connect(*args, **options)
        except dialect.dbapi.OperationalError as error:
            if connection_reason(str(error)) not in (FULL, STARTING) or time.monotonic() > deadline:
                raise
        time.sleep(random.uniform(0.05, 0.25))


@contextmanager
def watched(driver: Any, seconds: float) -> Iterator[None]:
    """Shut the connection down if the block takes longer than ``seconds``.

    No timeout of libpq or of the server frees a client from a stopped server (SIGSTOP) or from a network that swallows
    everything, because a kernel still answers. Shutting down the socket does.
    """
    guard = threading.Lock()
    ended = False

    def shut_down() -> None:
        with guard:
            if not ended and not driver.closed:
                with suppress(OSError), socket.socket(fileno=os.dup(driver.pgconn.socket)) as own:
                    own.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, shut_down)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with guard:
            ended = True


def watch_first_queries(engine: Engine) -> None:
    """Limit the queries that SQLAlchemy itself sends on an engine's first connection, to learn the server's version."""

    def begin(driver: Any, record: Any) -> None:
        record.info["watch"] = watch = watched(driver, CONNECT_TIMEOUT)
        watch.__enter__()

    def end(_driver: Any, record: Any) -> None:
        record.info.pop("watch").__exit__(None, None, None)

    event.listen(engine, "connect", begin, insert=True)
    event.listen(engine, "connect", end)


def ping(dialect: Any, driver: Any, _record: Any, _proxy: Any) -> None:
    """Ping a pooled connection before it is used; the pool replaces one that does not answer."""
    try:
        with watched(driver, PING_TIMEOUT):
            dialect.do_ping(driver)
    except dialect.dbapi.Error:
        raise DisconnectionError from None


def replace_socket(driver: Any) -> None:
    """Close the socket in this process alone. Its number stays taken: what libpq still sends there goes nowhere."""
    descriptor = driver.fileno()
    if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, descriptor, inheritable=False)
        os.close(null)


def make_read_only(driver: Any, _record: Any, _proxy: Any) -> None:
    """Begin every transaction of this connection as READ ONLY; by psycopg, so that no pooler has to keep a setting."""
    driver.read_only = True


def is_clear_text(pgconn: Any) -> bool:
    """Whether a password was used and the connection leaves this machine without TLS."""
    if not pgconn.used_password or pgconn.ssl_in_use:
        return False
    address = (pgconn.hostaddr or b"").decode()
    with suppress(ValueError):  # a socket has no address
        return not ipaddress.ip_address(address.partition("%")[0]).is_loopback
    return False


def connection_reason(message: str) -> str:
    """Why a connection failed, from the driver's message, which itself may hold what must not be shown."""
    for words, reason in (
        ("timeout", "no answer in time"),
        ("refused", "connection refused; is the server running?"),
        ("resolve", "the host name is not known"),
        ("translate host", "the host name is not known"),
        ("No such file", "no server listens on that socket"),
        ("password", "the password was not accepted"),
        ("authentication", "the login was not accepted"),
        ("permission denied for database", "this user may not connect to the database"),
        ("does not exist", "the database or the user does not exist"),
        ("SSL", "TLS could not be agreed on"),
        ("too many", FULL),
        ("connection slots", FULL),
        ("starting up", STARTING),
        ("shutting down", "it is shutting down"),
        ("invalid value for parameter", "a setting (PGTZ, PGDATESTYLE, PGOPTIONS, ?options=) has an invalid value"),
    ):
        if words in message:
            return reason
    return "the connection failed"
