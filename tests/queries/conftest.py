"""Builders on fresh databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from queries.builders import Builder


@pytest.fixture
def builder(database_url: str) -> Iterator[Builder]:
    """A builder on each backend in turn."""
    built = Builder(database_url)
    yield built
    built.close()


@pytest.fixture
def on_sqlite(new_database: Callable[..., str]) -> Iterator[Builder]:
    """A builder on SQLite."""
    built = Builder(new_database("sqlite"))
    yield built
    built.close()


@pytest.fixture
def both(on_sqlite: Builder, new_database: Callable[..., str]) -> Iterator[tuple[Builder, Builder]]:
    """A builder on each backend, to be told the same."""
    other = Builder(new_database("postgresql"))
    yield on_sqlite, other
    other.close()
