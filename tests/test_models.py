"""The mapped classes: one set for each prefix, every name under it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import StatementError

import trainstore
from fixtures.databases import opened
from trainstore.errors import InvalidArgumentError
from trainstore.models import HEARTBEAT, LOST_AFTER, NAMESPACES, TABLE_NAMES, models_for

PAGES_OF_LOST = ("concepts", "guarantees", "querying", "recording")


@pytest.mark.parametrize("prefix", ["", "a", "_", "ts_", "exp2_", "a" * 20])
def test_prefixes_that_are_taken(prefix: str):
    """A prefix is empty or up to 20 of a-z, 0-9 and _, not a digit first."""
    assert models_for(prefix).run.name == f"{prefix}run"


@pytest.mark.parametrize("prefix", ["A_", "2x", "a-b", "a b", "é", "a" * 21, 'x"', "run;", "a\n", "\n", None, 3, b"a"])
def test_prefixes_that_are_refused(prefix: object):
    """Anything else is refused by name before any database is touched."""
    with pytest.raises(InvalidArgumentError, match="table_name_prefix") as refused:
        models_for(prefix)
    assert repr(prefix) in str(refused.value)


def test_classes_are_made_once():
    """The same prefix gives the same classes, so that a program may open many stores."""
    assert models_for("x_") is models_for("x_")
    assert models_for("").Run is trainstore.Run
    assert models_for("x_").Run is not trainstore.Run


def test_every_name_is_under_the_prefix():
    """Tables, indexes, constraints, view and version table take the prefix, and foreign keys stay within it."""
    metadata = models_for("zz_").metadata
    names = set(metadata.tables)
    for table in metadata.tables.values():
        names.update(str(index.name) for index in table.indexes)
        names.update(str(constraint.name) for constraint in table.constraints if constraint.name)
        for key in table.foreign_keys:
            assert key.column.table.name.startswith("zz_")
    kinds = ("ix_", "uq_", "fk_", "pk_")
    bare = [name[3:] if name.startswith(kinds) else name for name in names]
    assert len(bare) > 30
    assert [name for name in bare if not name.startswith("zz_")] == []


def test_names_fit_postgresql():
    """With the longest prefix no name is longer than the 63 characters that PostgreSQL keeps."""
    metadata = models_for("p" * 20).metadata
    names = [
        str(item.name)
        for table in metadata.tables.values()
        for item in (table, *table.indexes, *table.constraints)
        if item.name
    ]
    assert max(map(len, names)) <= 63


def test_tables_by_bare_names():
    """`models.tables` holds every table and the view by the names that the documentation uses."""
    tables = models_for("zz_").tables
    assert {*TABLE_NAMES, "current_step_log", "metadata"} == set(vars(tables))
    assert tables.run.name == "zz_run"


def test_unknown_table():
    """A name that does not exist is answered by those that do."""
    with pytest.raises(AttributeError, match="step_log"):
        models_for("").stepp_log  # noqa: B018


def test_times_come_back_in_utc(database_url: str):
    """A time in any zone is stored as that moment and read back in UTC, to the microsecond."""
    given = datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    with opened(database_url) as (engine, _, models), engine.begin() as connection:
        row = {"uid": "second", "created_at": given}
        connection.execute(insert(models.store).values(row))
        read = connection.execute(
            select(models.store.c.created_at).where(models.store.c.created_at == given)
        ).scalar_one()
    assert read == given
    assert read.tzinfo is UTC


def test_naive_times_are_refused(database_url: str):
    """A time without zone is refused, as nobody can say which moment it means."""
    with opened(database_url) as (engine, _, models), engine.begin() as connection:
        row = {"uid": "second", "created_at": datetime(2026, 1, 1)}  # noqa: DTZ001
        with pytest.raises((InvalidArgumentError, StatementError), match="no time zone"):
            connection.execute(insert(models.store).values(row))


def test_namespaces_fit_their_column():
    """Every namespace fits the column that holds it."""
    assert max(map(len, NAMESPACES)) <= models_for("").hyperparam.c.namespace.type.length


def test_the_texts_say_when_a_run_is_lost():
    """Docstring and pages name the seconds of LOST_AFTER and HEARTBEAT; a writer has time for three heartbeats."""
    assert timedelta(seconds=3 * HEARTBEAT) <= LOST_AFTER
    root = Path(__file__).parents[1]
    texts = [root / "src/trainstore/queries/records.py", *(root / f"docs/{page}.md" for page in PAGES_OF_LOST)]
    for path in texts:
        assert f"{LOST_AFTER.seconds} s" in path.read_text(encoding="utf-8"), path
    assert f"every {HEARTBEAT:.0f} s" in (root / "docs/concepts.md").read_text(encoding="utf-8")
