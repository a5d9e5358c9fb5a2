"""The process around the application: opens the store and the sockets, says where it listens, ends at a signal."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import uvicorn
from starlette.types import ASGIApp

from trainstore.dashboard.app import make_app
from trainstore.dashboard.browser import has_browser, opened_in_browser
from trainstore.dashboard.protocol import HEAD_LIMIT, Protocol
from trainstore.dashboard.reading import Reading
from trainstore.dashboard.security import Access, is_host_name, is_loopback
from trainstore.dashboard.sockets import PORT, bound_sockets, unix_socket
from trainstore.dashboard.tokens import new_token, token_from_environment, token_of
from trainstore.errors import InvalidArgumentError

SHUTDOWN_SECONDS = 2  # for answers that are on their way
KEEP_ALIVE_SECONDS = 35  # longer than a page waits between two questions while the database is away
ANY_ADDRESS = ("0.0.0.0", "::")
LAST_PORT = 65_535
_ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@dataclass(frozen=True)
class Options:
    """How the dashboard is served; `trainstore.dashboard.serve` explains them."""

    url: str
    prefix: str
    host: str
    port: int | None
    allow_hosts: tuple[str, ...]
    edit: bool
    token: bool
    token_file: Path | None
    uds: Path | None
    open_browser: bool
    project: str | None
    tell: Callable[[str], None]
    tell_request: Callable[[str], None] | None

    def __post_init__(self) -> None:
        """Refuse what nobody could connect to."""
        if not self.host:
            raise InvalidArgumentError("host '' is no address: pass 127.0.0.1, or 0.0.0.0 for all of this machine's")
        if self.port is not None and not (type(self.port) is int and 0 <= self.port <= LAST_PORT):
            raise InvalidArgumentError(
                f"port {self.port!r} is no whole number from 0 to {LAST_PORT:,}; leave it out for the first free one"
            )
        for name in self.allow_hosts:
            if not is_host_name(name):
                raise InvalidArgumentError(
                    f"allow_hosts (--allow-host) {name!r} is no name of a server: pass it without http:// and port, as "
                    "browsers send it, such as box.example"
                )

    @property
    def is_open_to_others(self) -> bool:
        """Whether other machines can connect."""
        return self.uds is None and not is_loopback(self.host)

    def find_token(self) -> str | None:
        """The token that requests must carry; None if they need none."""
        if self.token_file is not None:
            return token_of(self.token_file)
        given = token_from_environment()
        needed = self.token or self.edit or self.is_open_to_others
        return given or (new_token() if needed else None)

    def access(self, token: str | None) -> Access:
        """Who may ask."""
        hosts = [name.lower().strip("[]") for name in self.allow_hosts]
        if self.host in ANY_ADDRESS:
            hosts.append(socket.gethostname().lower())
        else:
            hosts.append(self.host.lower())
        return Access(frozenset(hosts), self.host in ANY_ADDRESS and self.uds is None, token)

    def link(self, port: int, token: str | None) -> str:
        """The address of the page; the token stands behind the "#", which browsers do not send."""
        name = socket.gethostname() if self.host in ANY_ADDRESS else self.host
        parameters = [f"project={quote(self.project, safe='')}"] if self.project else []
        parameters += [f"token={quote(token, safe='')}"] if token else []
        place = f"#/runs?{'&'.join(parameters)}" if parameters else ""
        return f"http://{f'[{name}]' if ':' in name else name}:{port}/{place}"


class _EndedError(BaseException):
    """The process was told to end before it served anything."""


def serve(options: Options) -> None:
    """Serve until the process is told to end."""
    with suppress(_EndedError), _signals(_end), ExitStack() as stack:
        reading = Reading(options.url, options.prefix, can_edit=options.edit)
        stack.callback(reading.close)
        token = options.find_token()
        app = make_app(reading, options.access(token), options.tell_request)
        shows = f"trainstore ui shows {reading.store.place}"
        if options.uds is not None:
            listening, path = stack.enter_context(unix_socket(options.uds))
            sockets = [listening]
            options.tell(shows)
            options.tell(f"  listens on {path}, for you alone. On your own machine:")
            options.tell(f"  ssh -N -L {PORT}:{path} {socket.gethostname()}")
            options.tell(f"  {options.link(PORT, token)}")
        else:
            sockets = bound_sockets(options.host, options.port)
            options.tell(shows)
            port = sockets[0].getsockname()[1]
            if options.port is None and port != PORT:
                options.tell(f"  port {PORT} is taken, perhaps by another dashboard")
            link = options.link(port, token)
            options.tell(f"  {link}")
            if options.is_open_to_others:
                options.tell("  warning: what is sent is not encrypted; let a proxy with TLS stand before it")
            if options.open_browser and has_browser():
                stack.enter_context(opened_in_browser(link, secret=token is not None))
        run(app, sockets, lambda: options.tell("  Ctrl-C ends it"))


def _end(_number: int, _frame: Any) -> None:
    raise _EndedError


@contextmanager
def _signals(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Let the signals that end a process call this instead."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # An ignored signal (nohup) stays ignored.
    kept = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in kept}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


class _Server(uvicorn.Server):
    """uvicorn's server, which leaves signals to us: it would raise them again at the end."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        """Change nothing."""
        return nullcontext()


def run(app: ASGIApp, sockets: list[socket.socket], ready: Callable[[], None] = lambda: None) -> None:
    """Answer requests until the process is told to end.

    Args:
        app: The application.
        sockets: That listen; they are closed at the end.
        ready: Called when signals end it as they should.
    """
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # what matters is told by our own lines
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=HEAD_LIMIT,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    server = _Server(config)
    with _signals(server.handle_exit):
        ready()
        asyncio.run(server.serve(sockets))
