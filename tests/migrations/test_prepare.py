"""What opening a store does with the schema that it finds: makes it, upgrades it, or says why not."""

from __future__ import annotations

import hashlib
import logging
import shlex
import sqlite3
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import event, insert, make_url, select, text

from fixtures.databases import migrate, opened
from fixtures.revisions import AFTER, HEAD, PATCH
from fixtures.snapshots import dump
from trainstore import schema
from trainstore.backends import sqlite
from trainstore.cli import main
from trainstore.errors import (
    NotADatabaseError,
    SchemaForeignError,
    SchemaMissingError,
    SchemaOutdatedError,
    SchemaTooNewError,
    StoreUnavailableError,
)


def whole_schema(url: str) -> str:
    with opened(url) as (engine, _, _), engine.connect() as connection:
        return dump(connection)


def execute(url: str, *statements: str) -> None:
    with opened(url) as (engine, _, _), engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def version(url: str) -> str | None:
    with opened(url) as database:
        return schema.current(*database)


# --- New databases ---------------------------------------------------------------------------------------------------


def test_new_database_is_made(empty_database_url: str):
    """A new database gets the schema and its uid; opening it again changes neither."""
    uid = migrate(empty_database_url)
    made = whole_schema(empty_database_url)
    assert migrate(empty_database_url) == uid
    assert whole_schema(empty_database_url) == made


def test_stores_have_uids_of_their_own(new_database, backend_name: str):
    """Two databases, and two prefixes in one, are different stores."""
    url = new_database(backend_name, migrated=False)
    uids = {migrate(url), migrate(url, "b_"), migrate(new_database(backend_name, migrated=False))}
    assert len(uids) == 3


def test_empty_version_table_counts_as_new(empty_database_url: str):
    """A version table without a row, as a downgrade leaves it, is no schema: it is made."""
    execute(empty_database_url, "CREATE TABLE trainstore_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    migrate(empty_database_url)
    assert version(empty_database_url) == schema.HEAD


def test_empty_file_counts_as_new(tmp_path: Path):
    """A file of no bytes is a new database."""
    (tmp_path / "touched.db").touch()
    migrate(f"sqlite:///{tmp_path}/touched.db")
    assert version(f"sqlite:///{tmp_path}/touched.db") == schema.HEAD


def test_store_time_is_utc(database_url: str):
    """The one row of the table store holds an aware time, about now on any clock of this machine."""
    with opened(database_url) as (engine, backend, models), backend.reading(engine) as connection:
        row = connection.execute(models.store.select()).one()
        now = connection.execute(select(backend.now())).scalar_one()
    assert row.created_at.utcoffset().total_seconds() == 0
    assert abs((now - row.created_at).total_seconds()) < 86_400


def test_opening_at_head_is_one_select(database_url: str):
    """At head, opening sends one statement."""
    with opened(database_url) as (engine, backend, models):
        sent: list[str] = []

        def note(connection, cursor, statement, *rest):
            sent.append(statement)

        with engine.connect():
            pass  # the dialect's own questions to a new engine are not ours
        event.listen(engine, "before_cursor_execute", note)
        schema.prepare(engine, backend, models)
    statements = [statement for statement in sent if statement != "BEGIN"]
    assert len(statements) == 1
    assert statements[0].startswith("SELECT")


def test_opening_at_head_does_not_import_alembic(database_url: str, start_script):
    """At head, opening a store does not import Alembic."""
    script = start_script(
        """
        import sys
        from fixtures.databases import migrate
        migrate(sys.argv[1])
        print("alembic", [name for name in sys.modules if name.partition(".")[0] == "alembic"])
        """,
        database_url,
        env={"PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert script.finish() == ["alembic []"]


def test_host_is_left_alone(empty_database_url: str, newer_trainstore, monkeypatch: pytest.MonkeyPatch):
    """Making and upgrading a schema change neither the host's loggers nor its sys.path, and write to no stream."""
    monkeypatch.setattr(sys, "stdout", None)
    before = (list(sys.path), list(logging.root.handlers), logging.root.level, logging.getLogger("alembic").level)
    mine = logging.getLogger("a.training.script")
    migrate(empty_database_url)
    with newer_trainstore(), opened(empty_database_url) as database:
        schema.prepare(*database, auto_upgrade=True)
    after = (list(sys.path), list(logging.root.handlers), logging.root.level, logging.getLogger("alembic").level)
    assert after == before
    assert not mine.disabled


# --- Older databases -------------------------------------------------------------------------------------------------


def test_older_file_is_copied_and_upgraded(new_database, newer_trainstore, caplog: pytest.LogCaptureFixture):
    """An older SQLite file is upgraded when it is opened; before that a copy of it is put beside it."""
    url = new_database("sqlite")
    path = Path(make_url(url).database)
    old = whole_schema(url)
    uid = migrate(url)
    with newer_trainstore():
        assert migrate(url) == uid
        assert version(url) == AFTER
        (copy,) = path.parent.glob(f"{path.name}.backup-{HEAD}-*")
        assert not list(path.parent.glob("*.partial"))
        assert whole_schema(f"sqlite:///{copy}") == old
        assert version(f"sqlite:///{copy}") == HEAD
        migrate(url)  # at head: no second copy
    assert len(list(path.parent.glob("*.backup-*"))) == 1
    assert str(copy) in caplog.text


def test_new_file_is_not_copied(new_database, tmp_path: Path):
    """Making the schema in a new file leaves nothing but the file beside it."""
    migrate(new_database("sqlite", migrated=False))
    assert not list(tmp_path.glob("*.backup-*"))


def test_older_server_is_refused_with_the_command(new_database, newer_trainstore):
    """An older PostgreSQL database is refused, untouched, by an error with the command, which does upgrade it."""
    url = new_database("postgresql")
    old = whole_schema(url)
    with newer_trainstore():
        with pytest.raises(SchemaOutdatedError) as refused:
            migrate(url)
        assert whole_schema(url) == old
        assert HEAD in str(refused.value)
        assert AFTER in str(refused.value)
        assert "auto_upgrade=True" in str(refused.value)
        quoted = str(refused.value).partition("with: trainstore ")[2].partition(" (or")[0]
        with pytest.raises(SystemExit, match="0"):
            main(shlex.split(quoted))
        assert version(url) == AFTER


@pytest.mark.parametrize("prefix", ["", "mine_"])
def test_auto_upgrade(empty_database_url: str, newer_trainstore, prefix: str):
    """auto_upgrade=True upgrades on both databases, keeps every row, and the view shows the new column."""
    uid = migrate(empty_database_url, prefix)
    at = datetime(2026, 1, 2, tzinfo=UTC)
    run = {"id": 1, "uid": "r", "project": "p", "name": "n", "status": "running", "started_at": at, "source": "python"}
    attempt = {"run_id": 1, "attempt": 1, "uid": "a", "start_step": -1, "end_step": 9, "opened_at": at, "host": "h"}
    steps = [{"run_id": 1, "step": step, "attempt": 1, "logged_at": at, "metrics": {"x": 1.5}} for step in (1, 2, 99)]
    with opened(empty_database_url, prefix) as (engine, _, models), engine.begin() as connection:
        connection.execute(insert(models.run).values(run))
        connection.execute(insert(models.attempt).values(status="running", **attempt))
        connection.execute(insert(models.step_log), steps)
    with newer_trainstore(), opened(empty_database_url, prefix) as database:
        assert schema.prepare(*database, auto_upgrade=True) == uid
        assert schema.current(*database) == AFTER
        with database.engine.connect() as connection:
            rows = connection.execute(text(f"SELECT step, extra FROM {prefix}current_step_log ORDER BY step")).all()
            assert [tuple(row) for row in rows] == [(1, "new"), (2, "new")]
            assert connection.execute(text(f"SELECT count(*) FROM {prefix}step_log")).scalar_one() == 3
            assert connection.execute(text(f"SELECT machine FROM {prefix}attempt")).scalar_one() == "h"


def test_auto_upgrade_can_be_refused(database_url: str, newer_trainstore):
    """auto_upgrade=False refuses an older schema on both databases and leaves it as it was."""
    with newer_trainstore(), opened(database_url) as database:
        with pytest.raises(SchemaOutdatedError, match="trainstore db upgrade --store"):
            schema.prepare(*database, auto_upgrade=False)
        assert schema.current(*database) == HEAD


def test_failed_upgrade_leaves_the_old_schema(database_url: str, newer_trainstore, newer_migrations: Path):
    """A migration that fails half-way is rolled back as a whole, the view included."""
    broken = newer_migrations / "versions" / f"{AFTER}_next.py"
    broken.write_text(broken.read_text().replace('if os.environ.get("HOLD_MIGRATION")', "if 1 / 0"))
    old = whole_schema(database_url)
    with newer_trainstore(), opened(database_url) as database:
        with pytest.raises(ZeroDivisionError):
            schema.prepare(*database, auto_upgrade=True)
        assert schema.current(*database) == HEAD
    assert whole_schema(database_url) == old


# --- Newer and foreign ones ------------------------------------------------------------------------------------------


def test_newer_schema_is_refused_untouched(database_url: str, newer_trainstore):
    """A schema that a newer trainstore made is refused by the names of both revisions, even by an upgrade."""
    with newer_trainstore(), opened(database_url) as database:
        schema.upgrade(*database)
    before = whole_schema(database_url)
    with opened(database_url) as database:
        for function in (schema.prepare, schema.upgrade):
            with pytest.raises(SchemaTooNewError) as refused:
                function(*database)
            assert AFTER in str(refused.value)
            assert HEAD in str(refused.value)
            assert "pip install -U trainstore" in str(refused.value)
        with pytest.raises(SchemaTooNewError):
            schema.prepare(*database, auto_upgrade=True)
    assert whole_schema(database_url) == before


@pytest.mark.parametrize("name", ["run", "event", "current_step_log"])
def test_foreign_table_is_refused_before_any_ddl(empty_database_url: str, name: str):
    """A table of one of our names that is not ours stops everything; a prefix keeps the two apart."""
    execute(empty_database_url, f"CREATE TABLE {name} (theirs INTEGER)", f"INSERT INTO {name} VALUES (7)")
    before = whole_schema(empty_database_url)
    with opened(empty_database_url) as database:
        for function in (schema.prepare, schema.upgrade):
            with pytest.raises(SchemaForeignError, match=f"'{name}'.*table_name_prefix"):
                function(*database)
    assert whole_schema(empty_database_url) == before
    migrate(empty_database_url, "mine_")
    with opened(empty_database_url) as (engine, _, _), engine.connect() as connection:
        assert connection.execute(text(f"SELECT theirs FROM {name}")).scalar_one() == 7


def test_foreign_view_is_refused(empty_database_url: str):
    """A view of one of our names is no different."""
    execute(empty_database_url, "CREATE VIEW model AS SELECT 1 AS one")
    with opened(empty_database_url) as database, pytest.raises(SchemaForeignError, match="'model'"):
        schema.prepare(*database)


def test_foreign_file_keeps_every_byte(tmp_path: Path):
    """Refusing another application's SQLite file leaves it byte for byte as it was, its journal mode included."""
    path = tmp_path / "theirs.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE run (id INTEGER)")
    connection.commit()
    connection.close()
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(SchemaForeignError):
        migrate(f"sqlite:///{path}")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    assert list(tmp_path.glob("theirs*")) == [path]


def test_no_database(tmp_path: Path):
    """A file that is no database is refused by its path and stays as it is."""
    path = tmp_path / "notes.txt"
    path.write_text("shopping list\n" * 200)
    with pytest.raises(NotADatabaseError, match=r"notes\.txt"):
        migrate(f"sqlite:///{path}")
    assert path.read_text() == "shopping list\n" * 200


# --- Rights ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def guest_url(new_database, postgres_server):
    """A user of a new PostgreSQL database who may not create tables there; their connection string, the owner's."""
    url = new_database("postgresql", migrated=False)
    name = make_url(url).database
    guest = f"guest_{name[-12:]}"
    postgres_server.execute(f"CREATE ROLE {guest} LOGIN PASSWORD 'guests-secret'")
    postgres_server.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC", name)
    owner = make_url(url)
    yield owner.set(username=guest, password="guests-secret").render_as_string(hide_password=False), url
    postgres_server.execute(f"DROP OWNED BY {guest}", name)
    postgres_server.execute(f"DROP ROLE {guest}")


def test_no_right_to_create(guest_url):
    """A user who may not create the schema is told which command makes it and which role may run it."""
    guest, owner = guest_url
    with pytest.raises(SchemaMissingError) as refused:
        migrate(guest)
    message = str(refused.value)
    assert "trainstore db upgrade (with the URL of the database in TRAINSTORE_URL)" in message
    assert "a role that may create tables" in message
    assert "guests-secret" not in message
    assert version(owner) is None


def test_no_right_to_read(guest_url):
    """A user without rights on an existing schema is told so, and not that there is none."""
    guest, owner = guest_url
    migrate(owner)
    with pytest.raises(SchemaMissingError, match="may not create, change or read"):
        migrate(guest)


def test_user_without_ddl_rights_can_open(guest_url, postgres_server):
    """With rights on the rows alone a user opens a store at head."""
    guest, owner = guest_url
    uid = migrate(owner)
    user, name = make_url(guest).username, make_url(owner).database
    postgres_server.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {user}", name)
    assert migrate(guest) == uid


def test_no_right_to_upgrade(guest_url, postgres_server, newer_trainstore):
    """A user who may not alter the tables cannot upgrade, is told who can, and nothing has changed."""
    guest, owner = guest_url
    migrate(owner)
    user, name = make_url(guest).username, make_url(owner).database
    postgres_server.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {user}", name)
    with newer_trainstore(), opened(guest) as database, pytest.raises(SchemaMissingError, match="a role that may"):
        schema.prepare(*database, auto_upgrade=True)
    assert version(owner) == HEAD


# --- Several processes, and killed ones ------------------------------------------------------------------------------

MIGRATE = """
import sys
from trainstore.backends import open_backend
from trainstore.models import models_for
from trainstore import schema
from trainstore.cli import main

backend = open_backend(sys.argv[2])
engine = backend.create_engine()
print("ready", flush=True)
sys.stdin.readline()
print("uid", schema.prepare(engine, backend, models_for(), auto_upgrade=True), flush=True)
"""


def test_processes_make_one_schema(empty_database_url: str, start_script):
    """Three processes that open one new database at once all succeed and see one store."""
    scripts = [start_script(MIGRATE, "-", empty_database_url) for _ in range(3)]
    for script in scripts:
        script.wait_for("ready")
    for script in scripts:
        script.send("go")
    assert len({script.wait_for("uid") for script in scripts}) == 1
    for script in scripts:
        script.finish()


def test_processes_upgrade_once(database_url: str, backend_name: str, start_script, newer_migrations, tmp_path: Path):
    """Three processes that open an older database at once upgrade it once, after one copy."""
    scripts = [start_script(PATCH + MIGRATE, newer_migrations, database_url) for _ in range(3)]
    for script in scripts:
        script.wait_for("ready")
    for script in scripts:
        script.send("go")
    for script in scripts:
        script.wait_for("uid")
        script.finish()
    assert version(database_url) == AFTER
    assert len(list(tmp_path.glob("*.backup-*"))) == (1 if backend_name == "sqlite" else 0)


def test_killed_migration(database_url: str, start_script, newer_migrations: Path, newer_trainstore):
    """SIGKILL in the middle of an upgrade leaves the old schema, which the next opening upgrades."""
    old = whole_schema(database_url)
    script = start_script(PATCH + MIGRATE, newer_migrations, database_url, env={"HOLD_MIGRATION": "1"})
    script.wait_for("ready")
    script.send("go")
    script.wait_for("in the middle")
    script.kill()
    assert version(database_url) == HEAD
    with newer_trainstore(), opened(database_url) as database:
        schema.prepare(*database, auto_upgrade=True)
        assert schema.current(*database) == AFTER
    assert whole_schema(database_url) != old


def test_locked_file(new_database, monkeypatch: pytest.MonkeyPatch):
    """A file whose lock another process keeps is unavailable: named, and no traceback of the driver."""
    monkeypatch.setattr(sqlite, "READER_TIMEOUT", 0.2)
    url = new_database("sqlite")
    holder = sqlite3.connect(make_url(url).database, isolation_level=None)
    holder.execute("PRAGMA journal_mode = DELETE")
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(StoreUnavailableError, match="locked"):
            migrate(url)
    finally:
        holder.close()


def test_odd_path(tmp_path: Path):
    """A folder's name may hold what URLs and ini files treat specially."""
    folder = tmp_path / "odd 100% dir # é?&"
    folder.mkdir()
    path = folder / "it's.db"
    with opened(str(path)) as database:
        uid = schema.prepare(*database)
        assert schema.check(*database) == []
    assert path.is_file()
    with opened(str(path)) as database:
        assert schema.prepare(*database) == uid
