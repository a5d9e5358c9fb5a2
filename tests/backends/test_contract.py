"""Our own backends keep the contract that a third party's is tried by."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from backends.forked_contract import start_forked
from recording.proxy import Proxy
from trainstore.backends import sqlite
from trainstore.testing import PASSWORD, Away, BackendContract


class Contract(BackendContract):
    """Its processes are forked, which is quicker; a third party's first one is started (test_third_party.py)."""

    _start = start_forked


class TestSQLite(Contract):
    """A file."""

    @pytest.fixture
    def database_url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/contract.db"

    @pytest.fixture
    def unreachable_url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/no-folder/contract.db"

    @pytest.fixture
    def away(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Away]:
        """A file that another process has to itself until it lets it go."""
        monkeypatch.setattr(sqlite, "READER_TIMEOUT", 0.1)
        monkeypatch.setattr(sqlite, "WRITER_TIMEOUT", 0.1)
        monkeypatch.setattr(sqlite, "MIGRATION_TIMEOUT", 0.1)
        path = tmp_path / "locked.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as holder:
            holder.execute("BEGIN EXCLUSIVE")
            yield Away(f"sqlite:///{path}", lambda: holder.execute("ROLLBACK") and None)


class TestSQLiteInMemory(Contract):
    """A database that only its store sees: what needs it to outlive the store is left out."""

    @pytest.fixture
    def database_url(self) -> str:
        return "sqlite://"


class TestPostgreSQL(Contract):
    """A server."""

    @pytest.fixture
    def database_url(self, new_database: Callable[..., str]) -> str:
        return new_database("postgresql", migrated=False)

    @pytest.fixture
    def unreachable_url(self) -> str:
        return f"postgresql://me:{PASSWORD}@127.0.0.1:1/db"

    @pytest.fixture
    def away(self, new_database: Callable[..., str]) -> Iterator[Away]:
        """A server behind a port that refuses until it is let through."""
        proxy = Proxy(new_database("postgresql", migrated=False))
        yield Away(proxy.url, proxy.up)
        proxy.down()
