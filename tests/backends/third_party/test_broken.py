"""Backends with one defect each, which the contract must find; run one by one, by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, Table, func, insert
from trainstore_filelite import FileLiteBackend

import trainstore.backends as registry
from trainstore.testing import BackendContract


class Healthy(FileLiteBackend):
    """No defect."""


class InsertsAgain(FileLiteBackend):
    """insert_missing() inserts what is there."""

    def write_rows(self, connection: Connection, table: Table, keys: Any, rows: Any, *, replace: bool) -> None:
        if replace:
            super().write_rows(connection, table, keys, rows, replace=True)
        else:
            connection.execute(insert(table), [dict(row) for row in rows])


class ReplacesNothing(FileLiteBackend):
    """upsert() leaves rows that are there as they are."""

    def write_rows(self, connection: Connection, table: Table, keys: Any, rows: Any, *, replace: bool) -> None:
        super().write_rows(connection, table, keys, rows, replace=False)


class BindsAnything(FileLiteBackend):
    """The driver gets values as users have them."""

    create_engine = FileLiteBackend.create_writer_engine


class ForgetsRows(FileLiteBackend):
    """The last of several rows is lost."""

    def write_rows(self, connection: Connection, table: Table, keys: Any, rows: Any, *, replace: bool) -> None:
        super().write_rows(connection, table, keys, rows[:-1] if len(rows) > 1 else rows, replace=replace)


class TakesTextForNumbers(FileLiteBackend):
    """json_number() does not look at what it extracts."""

    def json_number(self, column: Any, name: str) -> Any:
        return func.json_extract(column, f'$."{name}"')


class KeepsHalfAMigration(FileLiteBackend):
    """What a migration did until it failed stays."""

    @contextmanager
    def migration_transaction(self, engine: Engine, prefix: str) -> Iterator[Connection]:
        with engine.connect() as connection:
            try:
                yield connection
            finally:
                connection.commit()


class ShowsTheDriversErrors(FileLiteBackend):
    """Nothing is translated."""

    def translate(self, error: Any) -> None:
        return None


class OneForAll(FileLiteBackend):
    """Every name leads to the same place: stores are mixed up between opening and opening."""

    @property
    def identity(self) -> str:
        return str(id(self))


DEFECTS = [Healthy, InsertsAgain, ReplacesNothing, BindsAnything, ForgetsRows, TakesTextForNumbers, KeepsHalfAMigration,
           ShowsTheDriversErrors, OneForAll]  # fmt: skip


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
class TestBroken(BackendContract):
    @pytest.fixture(autouse=True)
    def broken(self, defect: type[FileLiteBackend], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(registry._registered, "filelite", defect)

    @pytest.fixture
    def database_url(self, tmp_path: Path) -> str:
        return f"filelite:///{tmp_path}/store"

    @pytest.fixture
    def unreachable_url(self, tmp_path: Path) -> str:
        return f"filelite:///{tmp_path}/no-folder/store"
