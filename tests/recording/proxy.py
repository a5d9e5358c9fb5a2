"""A server that is away and comes back: a TCP port that leads to PostgreSQL only while it is told to."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Any

from sqlalchemy import URL, make_url


class Proxy:
    """Forwards a port of this machine to a PostgreSQL server while `up`; otherwise connections are refused."""

    def __init__(self, url: str) -> None:
        self._target = make_url(url)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._listener: socket.socket | None = None
        self._open: list[socket.socket] = []

    @property
    def url(self) -> str:
        """The connection string that goes through the proxy, with a password that nobody may see."""
        plain = {key: value for key, value in self._target.query.items() if key not in ("host", "port")}
        through = URL.create(
            "postgresql",
            username=self._target.username,
            password=self._target.password or "hidden-word",
            host="127.0.0.1",
            port=self.port,
            database=self._target.database,
            query=plain,
        )
        return through.render_as_string(hide_password=False)

    def up(self) -> None:
        """Let connections through."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def down(self) -> None:
        """Refuse new connections and cut those there are."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = self._connect()
            self._open += [client, server]
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=_copy, args=(source, target), daemon=True).start()

    def _connect(self) -> socket.socket:
        host: Any = self._target.host or self._target.query.get("host")
        port = int(str(self._target.port or self._target.query.get("port") or 5432))
        if str(host).startswith("/"):
            server = socket.socket(socket.AF_UNIX)
            server.connect(f"{host}/.s.PGSQL.{port}")
            return server
        return socket.create_connection((host, port))


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
