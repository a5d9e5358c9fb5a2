"""A PgBouncer in transaction mode, before a PostgreSQL server."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from sqlalchemy import URL, make_url

from fixtures.databases import PostgresServer
from recording.support import eventually

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")


class Bouncer:
    """PgBouncer's process: clients get one of ``connections`` for the time of a transaction, and no longer."""

    def __init__(self, server: PostgresServer, connections: int = 2, *, tls: bool = False) -> None:
        assert PROGRAM
        self._server = server
        self.folder = Path(tempfile.mkdtemp(prefix="ts-bouncer-"))
        query = server.url.query
        host = str(server.url.host or query.get("host") or "127.0.0.1")
        target = f"host={host} port={server.url.port or query.get('port') or 5432} user={server.url.username}"
        if server.url.password:
            target += f" password={server.url.password}"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        lines = [
            "[databases]",
            f"* = {target}",
            "[pgbouncer]",
            "listen_addr = 127.0.0.1",
            f"listen_port = {self.port}",
            "unix_socket_dir =",
            "auth_type = any",
            "pool_mode = transaction",
            f"default_pool_size = {connections}",
            "max_client_conn = 200",
        ]
        if tls:
            key, certificate = self.folder / "key.pem", self.folder / "certificate.pem"
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                 "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
                check=True, capture_output=True,
            )  # fmt: skip
            lines += [
                "client_tls_sslmode = require",
                f"client_tls_key_file = {key}",
                f"client_tls_cert_file = {certificate}",
            ]
        (self.folder / "pgbouncer.ini").write_text("\n".join(lines) + "\n")
        # Who may use the server's socket; PgBouncer refuses to run as root.
        self._user = os.stat(host).st_uid if host.startswith("/") and os.geteuid() == 0 else None
        if self._user is not None:
            for path in (self.folder, *self.folder.iterdir()):
                os.chown(path, self._user, -1)
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        assert PROGRAM
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAM, str(self.folder / "pgbouncer.ini")],
                stdout=log,
                stderr=log,
                user=self._user,
                extra_groups=[] if self._user is not None else None,
            )
        eventually(self._answers, "PgBouncer's answer")

    def kill(self) -> None:
        """SIGKILL: every connection is cut."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """The end."""
        self.kill()
        shutil.rmtree(self.folder)

    def url(self, database: str) -> str:
        """The connection string of a database that goes through it."""
        through = URL.create(
            "postgresql",
            username=make_url(self._server.url).username,
            host="127.0.0.1",
            port=self.port,
            database=database,
        )
        return through.render_as_string(hide_password=False)

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self.folder / "log").read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True
