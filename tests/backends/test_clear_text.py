"""A password that goes over a network without TLS is warned of, once a store.

The server is real and asks for the password; a port of this machine's own address leads to it.
"""

from __future__ import annotations

import logging
import socket
import threading
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.sql import quote
from sqlalchemy import URL, make_url

from fixtures.databases import PostgresServer
from recording.proxy import Proxy
from trainstore.store import TrainStore

PASSWORD = "hidden-word"


def own_address() -> str:
    """An address of this machine that is not its loopback. Nothing is sent: the route alone is asked for."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        address: str = probe.getsockname()[0]
    assert not address.startswith("127."), "this machine has no address but its loopback, so this cannot be tested"
    return address


class Outside(Proxy):
    """A server that is reached at this machine's own address."""

    def up(self) -> None:
        """Let connections through."""
        self._listener = socket.create_server((own_address(), self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    @property
    def url(self) -> str:
        """The connection string that goes through it."""
        return make_url(super().url).set(host=own_address()).render_as_string(hide_password=False)


@pytest.fixture
def user(postgres_server: PostgresServer, postgres_template: str) -> Iterator[URL]:
    """A login whose password the server asks for, by sockets too; the URL of a database at head."""
    name = f"trainer_{uuid.uuid4().hex[:8]}"
    database = postgres_server.create(postgres_template)
    postgres_server.execute(f"CREATE ROLE {name} SUPERUSER LOGIN PASSWORD '{PASSWORD}'")
    plain = postgres_server.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        (before,) = connection.execute("SELECT pg_read_file(current_setting('hba_file'))").fetchone() or ("",)
        (path,) = connection.execute("SHOW hba_file").fetchone() or ("",)

        def write(text: str) -> None:
            lines = [" ".join(line.split()) for line in text.splitlines() if line and not line.startswith("#")]
            values = ", ".join(f"({index}, {quote(line)})" for index, line in enumerate(lines))
            rows = f"SELECT line FROM (VALUES {values}) AS t (i, line) ORDER BY i"
            connection.execute(f"COPY ({rows}) TO '{path}' (DELIMITER E'\\x01')")
            connection.execute("SELECT pg_reload_conf()")

        write(f"local all {name} scram-sha-256\nhost all {name} all scram-sha-256\n{before}")
        try:
            yield make_url(postgres_server.url_of(database)).set(username=name, password=PASSWORD)
        finally:
            write(before)
            postgres_server.drop(database)
            postgres_server.execute(f"DROP ROLE {name}")


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [entry.getMessage() for entry in caplog.records if "without TLS" in entry.getMessage()]


def use(url: URL) -> None:
    """Open a store, record a run, ask: connections of both engines."""
    with TrainStore(url) as store:
        run = store.start_run(name="r")
        run.log({"loss": 1.0}, step=0)
        assert run.finish(timeout=60)


def test_network_without_tls(user: URL, caplog: pytest.LogCaptureFixture):
    """One warning a store, with the remedy and without the password."""
    caplog.set_level(logging.WARNING)
    proxy = Outside(user.render_as_string(hide_password=False))
    proxy.up()
    try:
        use(make_url(proxy.url))
        (message,) = warned(caplog)
        assert "sslmode=verify-full" in message
        assert PASSWORD not in message
        use(make_url(proxy.url))
        assert len(warned(caplog)) == 2
    finally:
        proxy.down()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", None])
def test_own_machine(user: URL, host: str | None, caplog: pytest.LogCaptureFixture):
    """Never for a socket or for this machine's loopback (a tunnel's end), though the password is asked for there."""
    caplog.set_level(logging.WARNING)
    if host is None:
        use(user)
    else:
        proxy = Proxy(user.render_as_string(hide_password=False))
        proxy.up()
        try:
            use(make_url(proxy.url).set(host=host))
        finally:
            proxy.down()
    assert not warned(caplog)


def test_network_without_password(user: URL, postgres_server: PostgresServer, caplog: pytest.LogCaptureFixture):
    """Nor where no password was asked for."""
    caplog.set_level(logging.WARNING)
    url = make_url(postgres_server.url_of(user.database or ""))
    proxy = Outside(url.render_as_string(hide_password=False))
    proxy.up()
    try:
        use(make_url(proxy.url))
    finally:
        proxy.down()
    assert not warned(caplog)
