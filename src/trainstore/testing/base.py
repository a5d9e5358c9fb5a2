"""What all parts of the contract share: its fixtures, its values, and the processes that it starts."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest
from sqlalchemy import insert

from trainstore import schema
from trainstore.backends import Backend, open_backend
from trainstore.models import Models, models_for
from trainstore.recording import delivery_thread
from trainstore.store import TrainStore

DEADLINE = 120.0  # seconds; only ends a test that is broken
PASSWORD = "c4n4ry-password"

#: One value of every kind that can be stored.
VALUES: dict[str, Any] = {
    "int": 3, "zero": 0, "lowest": -(2**63), "highest": 2**63 - 1, "big": 2**80, "negative big": -(10**30),
    "float": 0.1, "tiny": 5e-324, "nan": math.nan, "inf": math.inf, "-inf": -math.inf, "true": True, "false": False,
    "none": None, "text": "3", "empty": "",
    "unicode": "損失 é \u202e 🎉", "quotes": "'; DROP TABLE run; -- \\ \" % %s :a ?",
    "list": [1, [2.5, None]], "no list": [], "object": {"a": [1, {"b": None}], "ключ": True}, "no object": {},
    "a.b": 1.5, "a b": 2.5, "$": 3.5, "é'": 4.5, "0": 5.5, "[0]": 6.5, "a\\b": 7.5, 'a"b': 8.5, "%": 9.5,
}  # fmt: skip

AT = datetime(2026, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)


class Away(NamedTuple):
    """A database that cannot be reached until ``come_back()`` is called."""

    url: str
    come_back: Callable[[], None]


class Database(NamedTuple):
    """What stands below a store: engine, backend and models of a database that has the schema, one run, one attempt."""

    engine: Any
    backend: Backend
    models: Models


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, NaN equal to itself, True not equal to 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other or (one != one and other != other))


class ContractBase:
    """The fixtures and helpers of every part; `trainstore.testing.BackendContract` says what may be overridden."""

    setup_code: ClassVar[str] = ""
    transactional_ddl: ClassVar[bool] = True

    @pytest.fixture
    def database_url(self) -> str:
        """The connection string of an empty database; to be overridden."""
        raise NotImplementedError(f"{type(self).__name__} lacks a fixture database_url that gives an empty database")

    @pytest.fixture
    def unreachable_url(self) -> str:
        """The connection string of a database that does not answer; to be overridden."""
        pytest.skip("no fixture unreachable_url")

    @pytest.fixture
    def away(self) -> Away:
        """A database that is away and comes back; to be overridden."""
        pytest.skip("no fixture away")

    @pytest.fixture(autouse=True)
    def contract_environment(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Nothing of the caller's TRAINSTORE_* counts; journals lie in the test's folder; commits come fast."""
        for name in [name for name in os.environ if name.startswith("TRAINSTORE_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("TRAINSTORE_JOURNAL_DIR", str(tmp_path / "contract-journals"))
        monkeypatch.setattr(delivery_thread, "INTERVAL", 0.02)
        monkeypatch.setattr(delivery_thread, "BACKOFF", (0.01, 0.1))

    @pytest.fixture
    def lasting_url(self, database_url: str) -> str:
        """``database_url`` if the database outlives its store; otherwise the test is skipped."""
        backend = open_backend(database_url)
        try:
            if backend.in_memory:
                pytest.skip("the database is gone when its store is closed")
        finally:
            backend.close()
        return database_url

    @pytest.fixture
    def contract_store(self, database_url: str) -> Iterator[TrainStore]:
        """A store on the empty database, closed after the test."""
        with TrainStore(database_url) as store:
            yield store

    @pytest.fixture
    def database(self, database_url: str) -> Iterator[Database]:
        """The backend below, for what a store does not let one see."""
        backend = open_backend(database_url)
        engine = backend.create_engine()
        models = models_for("")
        try:
            schema.prepare(engine, backend, models)
            run = {"id": 1, "uid": "r", "project": "p", "name": "n", "status": "running", "started_at": AT}
            attempt = {"run_id": 1, "attempt": 1, "uid": "a", "start_step": -1, "end_step": 9, "opened_at": AT}
            with engine.begin() as connection:
                connection.execute(insert(models.run).values({**run, "source": "python"}))
                connection.execute(insert(models.attempt).values({**attempt, "status": "running"}))
            yield Database(engine, backend, models)
        finally:
            engine.dispose()
            backend.close()

    # --- Processes -------------------------------------------------------------------------------------------------

    def _start(self, code: str, url: str, *arguments: object) -> subprocess.Popen[str]:
        """A process that runs ``code``, which finds ``url``, ``sys`` and the arguments from ``sys.argv[2]`` on."""
        begin = f"import sys\n{textwrap.dedent(self.setup_code)}\nurl = sys.argv[1]\n"
        return subprocess.Popen(
            [sys.executable, "-c", begin + textwrap.dedent(code), url, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _line(self, process: subprocess.Popen[str]) -> str:
        """The next line of a process; the test fails if it ends first, or is silent for too long."""
        timer = threading.Timer(DEADLINE, process.kill)
        timer.start()
        try:
            line = process.stdout.readline()  # type: ignore[union-attr]
        finally:
            timer.cancel()
        if not line:
            process.kill()
            pytest.fail(f"the process wrote nothing: {process.communicate()[1]}")
        return line.strip()

    def _finish(self, process: subprocess.Popen[str]) -> str:
        """Wait for the end of a process, which must be a good one; what it wrote."""
        try:
            out, err = process.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            pytest.fail(f"the process did not end: {process.communicate()}")
        assert process.returncode == 0, err
        return out.strip()

    @staticmethod
    def _close(process: subprocess.Popen[str]) -> None:
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
