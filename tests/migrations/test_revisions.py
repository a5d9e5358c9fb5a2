"""The revisions themselves: one line of them, each reversible, and together what the models say."""

from __future__ import annotations

import re

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from fixtures.databases import migrate, opened
from fixtures.snapshots import SNAPSHOTS, dump
from trainstore import schema
from trainstore.models import Models, models_for

REVISIONS = [
    script.revision
    for script in reversed(list(ScriptDirectory(str(schema.migrations_directory())).walk_revisions("base", "head")))
]


def run(connection, models: Models, function, *arguments) -> None:
    function(schema._config(connection, models), *arguments)


def test_one_head():
    """The revisions are one line that ends in the revision that schema.py names."""
    assert ScriptDirectory(str(schema.migrations_directory())).get_heads() == [schema.HEAD]
    assert REVISIONS[-1] == schema.HEAD


@pytest.mark.parametrize("prefix", ["", "mine_"])
@pytest.mark.parametrize("revision", REVISIONS)
def test_stairway(empty_database_url: str, revision: str, prefix: str):
    """Each revision can be taken, undone and taken again, and ends in the same schema both times."""
    with opened(empty_database_url, prefix) as (engine, backend, models):
        before = REVISIONS[REVISIONS.index(revision) - 1] if REVISIONS.index(revision) else "base"
        with backend.migration_transaction(engine, prefix) as connection:
            if before != "base":
                run(connection, models, command.upgrade, before)
            run(connection, models, command.upgrade, revision)
            first = dump(connection)
            run(connection, models, command.downgrade, before)
            lower = dump(connection)
            run(connection, models, command.upgrade, revision)
            assert dump(connection) == first
        assert first != lower
        assert schema.current(engine, backend, models) == revision


def test_schema_snapshot(database_url: str, backend_name: str):
    """The schema at head is the one in snapshots/; after a new revision run fixtures/snapshots.py."""
    with opened(database_url) as database, database.engine.connect() as connection:
        assert dump(connection) == (SNAPSHOTS / f"{backend_name}.sql").read_text(encoding="utf-8")


def test_models_make_the_same_schema(empty_database_url: str, backend_name: str):
    """What the migrations make is what the models' own create_all makes, storage options included."""
    with opened(empty_database_url) as (engine, _, models):
        models.metadata.create_all(engine)
        with engine.connect() as connection:
            made = dump(connection)
    snapshot = (SNAPSHOTS / f"{backend_name}.sql").read_text(encoding="utf-8")
    assert tables_in(made) == tables_in(snapshot)


def tables_in(schema_text: str) -> list[list[str]]:
    # The view is one helper's in the migrations; the version table's key has the name that Alembic gives it. Within a
    # statement the order of columns and constraints may differ; SQLite puts an added column behind a comma of its line.
    statements = [part for part in schema_text.split("\n\n") if "VIEW" not in part and "trainstore_version" not in part]
    lines = [re.sub(r", (?=[a-z_]+ [A-Z])", ",\n", statement).splitlines() for statement in statements]
    return [sorted(line.strip(" \t,") for line in statement) for statement in lines]


@pytest.mark.parametrize("prefix", ["", "a_prefix_of_20_chars"])
def test_models_equal_migrations(empty_database_url: str, prefix: str):
    """At head Alembic finds no difference, also beside another prefix and other people's tables."""
    with opened(empty_database_url) as (engine, _, _), engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('theirs')"))
        connection.execute(text("CREATE TABLE runs (id INTEGER PRIMARY KEY)"))
    for one in (prefix, "other_"):
        migrate(empty_database_url, one)
    with opened(empty_database_url, prefix) as database:
        assert schema.check(*database) == []
        with database.engine.connect() as connection:
            assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "theirs"


def test_check_names_differences(database_url: str):
    """A column that is missing, and a table of ours that is gone, are named by check()."""
    with opened(database_url) as database:
        with database.engine.begin() as connection:
            connection.execute(text("ALTER TABLE run DROP COLUMN notes"))
            connection.execute(text("DROP TABLE event"))
        differences = "\n".join(schema.check(*database))
    assert "notes" in differences
    assert "event" in differences


def test_check_needs_head(empty_database_url: str):
    """Checking a database without schema says which command makes one."""
    with (
        opened(empty_database_url) as database,
        pytest.raises(schema.SchemaError, match="trainstore db upgrade --store"),
    ):
        schema.check(*database)


def test_downgrade_leaves_others(empty_database_url: str):
    """Downgrading to base takes our tables and view by name and leaves another prefix and other people's tables."""
    with opened(empty_database_url) as (engine, _, _), engine.begin() as connection:
        connection.execute(text("CREATE TABLE theirs (id INTEGER PRIMARY KEY)"))
    migrate(empty_database_url)
    uid = migrate(empty_database_url, "other_")
    with opened(empty_database_url) as (engine, backend, models):
        with backend.migration_transaction(engine, "") as connection:
            run(connection, models, command.downgrade, "base")
        inspector = inspect(engine)
        left = {*inspector.get_table_names(), *inspector.get_view_names()}
        assert left == {"theirs", "trainstore_version", *models_for("other_").table_names}
        assert schema.current(engine, backend, models) is None
    assert migrate(empty_database_url, "other_") == uid


def test_drop_all_takes_everything(database_url: str):
    """The metadata's drop_all leaves nothing of ours, the view and the version table included."""
    with opened(database_url) as (engine, _, models):
        models.metadata.drop_all(engine)
        inspector = inspect(engine)
        assert [*inspector.get_table_names(), *inspector.get_view_names()] == []
