"""PostgreSQL's roles: what owner, writer and reader may do, and how each refusal is told.

The script of ``trainstore db roles`` is run in a new database; then every operation of ours and raw SQL is tried by a
login of each role.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import func, make_url, select

from fixtures.databases import PostgresServer, migrate, opened
from fixtures.revisions import AFTER, HEAD
from trainstore import schema
from trainstore.backends.roles import postgresql_roles
from trainstore.cli import main
from trainstore.dashboard.reading import Reading
from trainstore.errors import (
    InvalidArgumentError,
    PermissionDeniedError,
    ReadOnlyStoreError,
    SchemaMissingError,
    StoreUnavailableError,
)
from trainstore.models import VIEW_NAME, models_for
from trainstore.recording import delivery_thread
from trainstore.recording.deletion import deleted_runs, latest_of
from trainstore.run import ActiveRun
from trainstore.store import TrainStore

ROLES = ("owner", "writer", "reader")
FOREVER = 3600.0  # seconds: no test waits so long
EVERYBODY, RECORDING, OWNER, NOBODY = set(ROLES), {"owner", "writer"}, {"owner"}, set()


@dataclass
class Roles:
    """A database with our three roles, and a login that has each."""

    server: PostgresServer
    database: str
    suffix: str

    def name(self, role: str) -> str:
        """Of the group role."""
        return f"{role}_{self.suffix}"

    def url(self, role: str) -> str:
        """Of the login that has the role."""
        login = make_url(self.server.url_of(self.database)).set(username=f"login_{role}_{self.suffix}")
        return login.render_as_string(hide_password=False)

    def run_script(self, prefix: str = "", schema: str = "public", database: str | None = None) -> None:
        """What an administrator does: give the printed script to psql."""
        names = {role: self.name(role) for role in ROLES}
        self.server.execute(postgresql_roles(prefix, schema=schema, **names), database or self.database)

    def execute(self, role: str, statement: str) -> str | None:
        """Run one statement as a role and take it back; the SQLSTATE of its refusal, or None."""
        plain = make_url(self.url(role)).set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain) as connection:
            try:
                connection.execute(statement)
            except psycopg.Error as error:
                return error.sqlstate or type(error).__name__
            finally:
                connection.rollback()
        return None


def make_roles(server: PostgresServer, database: str) -> Roles:
    roles = Roles(server, database, uuid.uuid4().hex[:8])
    roles.run_script()
    for role in ROLES:
        server.execute(f"CREATE ROLE login_{role}_{roles.suffix} LOGIN IN ROLE {roles.name(role)}")
    server.execute(f"ALTER ROLE login_owner_{roles.suffix} SET role = '{roles.name('owner')}'")
    server.execute(f"CREATE ROLE login_stranger_{roles.suffix} LOGIN")
    return roles


def drop_roles(roles: Roles) -> None:
    for role in (*ROLES, "stranger"):
        roles.server.execute(f"DROP ROLE IF EXISTS login_{role}_{roles.suffix}, {roles.name(role)}")


@pytest.fixture
def roles(postgres_server: PostgresServer, postgres_template: str) -> Iterator[Roles]:
    """Three roles on a database at head with one finished run of the owner's."""
    database = postgres_server.create(postgres_template)
    made = make_roles(postgres_server, database)
    made.run_script()  # twice is as good as once
    with TrainStore(made.url("owner")) as store:
        run = store.start_run(name="first", tags={"old": 1}, hyperparams={"lr": 0.1})
        run.log({"loss": 1.0}, step=0)
        assert run.finish(timeout=60)
    yield made
    postgres_server.drop(database)
    drop_roles(made)


# --- Ours ------------------------------------------------------------------------------------------------------------


def look(store: TrainStore) -> None:
    """Every query."""
    assert list(store.list_runs()["name"]) == ["first"]
    assert store.get_best_run(metric_name="loss", metric_direction="min").name == "first"
    assert store.get_run("first").tags == {"old": 1}
    assert store.get_current_step("first") == 0
    for frame in (
        store.list_step_logs("first"),
        store.list_step_logs("first", attempts="all"),
        store.list_metrics(),
        store.list_hyperparams(),
        store.list_runs_grouped_by_metric(metric_name="loss", metric_direction="min"),
    ):
        assert len(frame)
    assert not store.is_recorded_here(store.get_run("first").uid)
    store.compare_runs(store.list_runs())
    scalarstops = (store.list_datablobs, store.list_model_templates, store.list_models, store.list_model_epochs)
    for every in (store.list_events, *scalarstops):
        assert not len(every())
    assert not len(store.list_models_grouped_by_epoch_metric(metric_name="loss", metric_direction="min"))


def record(store: TrainStore) -> None:
    """Start, log, finish."""
    run = store.start_run(name="second", tags=["new"], hyperparams={"lr": 0.2})
    run.log({"loss": 2.0}, step=0)
    run.log_event("checkpoint", step=0)
    assert run.finish(timeout=60)
    assert store.get_run("second").status == "finished"


def resume(store: TrainStore) -> None:
    """Take up a run behind a checkpoint; summaries are made anew."""
    run = store.resume_run("first", step=-1)
    run.log({"loss": 3.0}, step=0)
    assert run.finish(timeout=60)
    assert list(store.list_step_logs("first")["loss"]) == [3.0]


def tag(store: TrainStore) -> None:
    """Set tags, one of which is there."""
    store.set_tags("first", {"old": 2, "more": True})
    assert store.get_run("first").tags == {"old": 2, "more": True}


def untag(store: TrainStore) -> None:
    """Take a tag away: a row is deleted."""
    assert store.set_tags("first", remove="old") == ["old"]


def note(store: TrainStore) -> None:
    """Notes, and the event that keeps what they were."""
    store.set_notes("first", "a note")
    assert store.set_notes("first", "more", append=True) == "a note\nmore"


def insert_model(store: TrainStore) -> None:
    """ScalarStop's tables, with keys made by a sequence."""
    store.insert_datablob_by_str(name="d", group_name="g", hyperparams={})
    store.insert_model_template_by_str(name="t", group_name="g", hyperparams={})
    store.insert_model_by_str(name="m", model_class_name="M", datablob_name="d", model_template_name="t")
    store.insert_model_epoch(epoch_num=1, model_name="m", metrics={"loss": 1.0})


def remove(store: TrainStore) -> None:
    """Delete a run."""
    store.delete_run("first")
    assert not len(store.list_runs())


OPERATIONS: list[tuple[Callable[[TrainStore], None], set[str], dict[str, str]]] = [
    (look, EVERYBODY, {}),
    (record, RECORDING, {}),
    (resume, RECORDING, {}),
    (tag, RECORDING, {"reader": "UPDATE"}),
    (untag, OWNER, {"writer": "DELETE", "reader": "UPDATE"}),
    (note, RECORDING, {"reader": "UPDATE"}),
    (insert_model, RECORDING, {"reader": "INSERT"}),
    (remove, OWNER, {"writer": "DELETE", "reader": "UPDATE"}),
]


MATRIX = [
    pytest.param(role, operation, rights.get(role), id=f"{operation.__name__}-{role}")
    for operation, allowed, rights in OPERATIONS
    for role in ROLES
    if role in allowed or role in rights  # recording as a reader is no call that is refused: see below
]


@pytest.mark.parametrize(("role", "operation", "right"), MATRIX)
def test_operations(roles: Roles, role: str, operation: Callable[[TrainStore], None], right: str | None):
    """What a role may do works; what it may not is refused by an error of ours with the right's name."""
    with TrainStore(roles.url(role)) as store:
        if right is None:
            operation(store)
            return
        with pytest.raises(PermissionDeniedError) as refused:
            operation(store)
    message = str(refused.value)
    assert f"the right to {right} " in message
    assert f"login_{role}_{roles.suffix}" in message
    assert "trainstore db roles" in message
    with TrainStore(roles.url("owner")) as store:
        look(store)  # nothing was changed


def test_reading_as_a_reader(roles: Roles):
    """A store that is only read asks for no right but SELECT, and refuses before the server would."""
    with TrainStore(roles.url("reader"), read_only=True) as store:
        look(store)
        with pytest.raises(ReadOnlyStoreError):
            record(store)


def test_a_dashboard_of_a_reader(roles: Roles):
    """It shows everything; one that may edit says at its start which right is missing."""
    reading = Reading(roles.url("reader"))
    assert reading.answers.meta()["runs"] == 1
    assert reading.answers.runs()["count"] == 1
    assert reading.answers.health()["findings"]
    reading.close()
    with pytest.raises(PermissionDeniedError, match="INSERT and UPDATE"):
        Reading(roles.url("reader"), can_edit=True)
    editing = Reading(roles.url("writer"), can_edit=True)
    assert editing.editing is not None
    editing.editing.edit_run("first", {"name": "renamed"}, "*")
    assert editing.answers.run("renamed")["run"]["name"] == "renamed"
    editing.close()


@pytest.mark.parametrize(
    "begin", [lambda store: store.start_run(name="second"), lambda store: store.resume_run("first")]
)
def test_recording_as_a_reader(roles: Roles, begin: Callable[[TrainStore], ActiveRun]):
    """It is refused at the start, by an error that names the fix; nothing is left. Rights that are granted count."""
    with TrainStore(roles.url("reader")) as store:
        with pytest.raises(PermissionDeniedError, match=r"the writer's role .*trainstore db roles") as refused:
            begin(store)
        assert f"login_reader_{roles.suffix}" in str(refused.value)
        assert list(store._service.journals()) == []
        roles.server.execute(f"GRANT {roles.name('writer')} TO login_reader_{roles.suffix}")
        assert begin(store).finish(timeout=60)


def test_a_reader_whose_rights_are_not_known_at_the_start(
    roles: Roles, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """While the database is away, a reader's training begins in the journal, and goes on.

    There is one warning, however often it is tried; finish and close do not wait for what cannot come; a writer
    delivers the records later.
    """
    monkeypatch.setattr(delivery_thread, "BACKOFF", (0.01, 0.05))
    monkeypatch.setattr("trainstore.store.CLOSE_TIMEOUT", FOREVER)
    roles.server.execute(f"ALTER ROLE login_reader_{roles.suffix} NOLOGIN")
    with TrainStore(roles.url("reader"), offline_ok=True) as store:
        run = store.start_run(name="second")
        run.log({"loss": 2.0}, step=0)
        caplog.clear()
        roles.server.execute(f"ALTER ROLE login_reader_{roles.suffix} LOGIN")
        deadline = time.monotonic() + 60
        while not store._backend.lacks_rights:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert run.flush(FOREVER) is False
        run.log({"loss": 1.0}, step=1)
        assert run.finish(timeout=FOREVER) is False
    told = [entry.getMessage() for entry in caplog.records if "cannot be written" in entry.getMessage()]
    assert len(told) == 1
    assert "the right to INSERT" in told[0]  # a new run's row, first of all
    assert "the training goes on" in told[0]
    caplog.clear()
    with TrainStore(roles.url("reader")) as store:
        assert set(store.recovered.failed.values()) == {"no right to write"}
        assert set(store.recover().failed.values()) == {"no right to write"}
        assert list(store.list_runs()["name"]) == ["first"]
    told = [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.WARNING]
    assert len(told) == 2  # once at opening and once when it was asked for
    assert all("could not be delivered and are kept" in message for message in told)
    with TrainStore(roles.url("writer")) as store:
        assert not store.recovered.failed
        assert store.get_run("second").status == "finished"
        assert list(store.list_step_logs("second")["loss"]) == [2.0, 1.0]


def test_stranger(roles: Roles):
    """A login without any of the roles cannot even connect."""
    with pytest.raises(StoreUnavailableError, match="may not connect"):
        TrainStore(roles.url("stranger"))


def test_commands(roles: Roles, capsys: pytest.CaptureFixture[str]):
    """On the command line a refusal is one line and exit code 1."""
    with pytest.raises(SystemExit, match="1"):
        main(["rm", "first", "--yes", "--store", roles.url("writer")])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Error: ")
    assert "the right to DELETE" in line


# --- The schema ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
def test_upgrade(roles: Roles, role: str, newer_trainstore):
    """At head an upgrade is nothing to anybody; a newer revision is the owner's, and everybody reads its column."""
    with opened(roles.url(role)) as database:
        schema.upgrade(*database)
    with newer_trainstore(), opened(roles.url(role)) as database:
        if role == "owner":
            schema.upgrade(*database)
            assert schema.current(*database) == AFTER
        else:
            with pytest.raises(SchemaMissingError, match="trainstore db upgrade"):
                schema.upgrade(*database)
            assert schema.current(*database) == HEAD
    for reader in ROLES:
        with opened(roles.url(reader)) as (engine, backend, models), backend.reading(engine) as connection:
            view = models.current_step_log
            assert connection.execute(select(func.count()).select_from(view)).scalar_one() == 1


def test_tables_of_a_later_revision_get_their_rights_by_themselves(postgres_server: PostgresServer):
    """An upgrade from 0001 by the owner is enough: the script need not run again."""
    database = postgres_server.create()
    roles = make_roles(postgres_server, database)
    try:
        with opened(roles.url("owner")) as older:
            schema.upgrade(*older, "0001")
        roles.run_script()
        with opened(roles.url("owner")) as older:
            schema.upgrade(*older)
        for role in ROLES:
            for table in ("deleted_run", "notification"):
                refused = {right for right in ON_TABLES if roles.execute(role, on_table(right, table))}
                assert refused == set(ON_TABLES) - RIGHTS[role], (role, table)
        with TrainStore(roles.url("writer")) as store:
            record(store)
            elsewhere = str(uuid.uuid4())
            child = store.start_run(name="child", parent=elsewhere, parent_step=3)
            assert child.finish(timeout=60)
        with TrainStore(roles.url("reader"), read_only=True) as store:
            assert store.get_run("child").parent_uid == elsewhere
    finally:
        postgres_server.drop(database)
        drop_roles(roles)


def test_the_writer_makes_no_tombstone_and_takes_up_a_deleted_run(roles: Roles):
    """It may not delete. From a checkpoint it goes on with a run that the owner deleted, which is then there again."""
    with TrainStore(roles.url("writer")) as store:
        run = store.start_run(name="taken up")
        run.log({"loss": 1.0}, step=5)
        assert run.finish(timeout=60)
        with pytest.raises(PermissionDeniedError, match="the right to DELETE"):
            store.delete_run(run)
        with store.engine.connect() as connection:
            assert deleted_runs(connection, store.models) == {}
    with TrainStore(roles.url("owner")) as store:
        store.delete_run(run)
    with TrainStore(roles.url("writer")) as store:
        again = store.resume_run(run.uid, step=5, lineage=run.lineage)
        again.log({"loss": 0.5})
        assert again.finish(timeout=60)
    with TrainStore(roles.url("reader"), read_only=True) as store, store.engine.connect() as connection:
        tombstone = deleted_runs(connection, store.models)[run.uid]
        assert tombstone.holds(None)
        assert not tombstone.holds(latest_of(connection, store.models, store.get_run(run.uid).run_id))


def test_the_writer_merges_what_needs_no_right_to_delete(roles: Roles, new_database: Callable[..., str]):
    """Runs, deletions, edits of another store; a run of which a tag was removed is named, and the owner brings it."""
    with TrainStore(new_database("sqlite")) as other, TrainStore(roles.url("writer")) as store:
        uids = {}
        for name in ("plain", "edited", "gone"):
            with other.start_run(name, tags=["first"]) as run:
                run.log({"loss": 1.0}, step=0)
            uids[name] = run.uid
        other.delete_run("gone")
        assert sorted(run.name for run in store.merge(other).new) == ["edited", "plain"]
        other.set_tags("edited", remove=["first"])
        other.set_tags("plain", ["second"])
        report = store.merge(other)
        assert [run.name for run in report.updated] == ["plain"]
        assert "the right to DELETE" in report.refused[uids["edited"]]
        assert store.get_run("plain").tags == {"first": True, "second": True}
        with TrainStore(roles.url("owner")) as owner:
            assert [run.name for run in owner.merge(other).updated] == ["edited"]
            assert owner.get_run("edited").tags == {}
    with TrainStore(roles.url("reader")) as reader, pytest.raises(PermissionDeniedError):
        reader.merge(new_database("sqlite"))


@pytest.mark.parametrize("role", ROLES)
def test_new_store(roles: Roles, role: str):
    """Tables of another prefix are made by the owner alone, whose default rights let the others in at once."""
    if role != "owner":
        with pytest.raises(SchemaMissingError, match=r"db upgrade .*--prefix other_"):
            migrate(roles.url(role), "other_")
        return
    migrate(roles.url("owner"), "other_")
    with TrainStore(roles.url("writer"), table_name_prefix="other_") as store:
        run = store.start_run(name="elsewhere")
        run.log({"loss": 1.0}, step=0)
        assert run.finish(timeout=60)
    with TrainStore(roles.url("reader"), table_name_prefix="other_") as store:
        assert list(store.list_runs()["name"]) == ["elsewhere"]
    assert roles.execute("writer", "DELETE FROM other_run") == "42501"
    assert roles.execute("writer", "UPDATE other_trainstore_version SET version_num = 'x'") is None
    roles.run_script("other_")
    assert roles.execute("writer", "UPDATE other_trainstore_version SET version_num = 'x'") == "42501"
    assert roles.execute("writer", "UPDATE other_run SET notes = 'x'") is None


def test_script_first(postgres_server: PostgresServer):
    """The script may come before the tables, and they may lie in a schema of their own."""
    database = postgres_server.create()
    roles = make_roles(postgres_server, database)
    try:
        roles.run_script(schema="runs")
        migrate(roles.url("owner"))
        roles.run_script(schema="runs")
        with TrainStore(roles.url("writer")) as store:
            record(store)
        with TrainStore(roles.url("reader")) as store:
            assert store.get_run("second").status == "finished"
        assert roles.execute("reader", "SELECT * FROM runs.run") is None
        assert roles.execute("reader", "SELECT * FROM public.run") == "42P01"
        assert roles.execute("writer", "CREATE TABLE runs.mine ()") == "42501"
    finally:
        postgres_server.drop(database)
        drop_roles(roles)


# --- Raw SQL ---------------------------------------------------------------------------------------------------------

STATEMENTS = [
    ("SELECT * FROM current_step_log", EVERYBODY),
    ("UPDATE run SET notes = 'x'", RECORDING),
    ("INSERT INTO event (run_id, writer_uid, seq, at, kind) SELECT id, 'w', 1, now(), 'k' FROM run", RECORDING),
    ("SELECT nextval('event_id_seq')", RECORDING),
    ("SELECT setval('event_id_seq', 1)", OWNER),
    ("UPDATE trainstore_version SET version_num = 'x'", OWNER),
    ("UPDATE store SET uid = 'x'", OWNER),
    ("DELETE FROM step_log", OWNER),
    ("DELETE FROM hyperparam", OWNER),
    ("TRUNCATE step_log", OWNER),
    ("DROP TABLE step_log CASCADE", OWNER),
    ("ALTER TABLE run ADD COLUMN x INTEGER", OWNER),
    ("CREATE INDEX ON run (notes)", OWNER),
    ("CREATE TRIGGER t AFTER DELETE ON run EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()", OWNER),
    ("CREATE TABLE x ()", OWNER),
    ("CREATE VIEW x AS SELECT 1", OWNER),
    ("CREATE FUNCTION x() RETURNS int LANGUAGE sql AS 'SELECT 1'", OWNER),
    ("ALTER TABLE run OWNER TO CURRENT_USER", OWNER),
    ("SET ROLE {owner}", OWNER),
    ("CREATE TEMP TABLE x ()", NOBODY),
    ("CREATE SCHEMA x", NOBODY),
    ("CREATE ROLE x", NOBODY),
    ("COPY run TO PROGRAM 'true'", NOBODY),
    ("COPY run TO '/nowhere'", NOBODY),
    ("SELECT pg_read_file('/etc/hostname')", NOBODY),
    ("SELECT pg_reload_conf()", NOBODY),
    ("ALTER DATABASE {database} SET search_path = x", NOBODY),
]


#: What is tried on every table: each is refused, or does nothing that lasts.
ON_TABLES = {
    "SELECT": "SELECT FROM {table}",
    "INSERT": "INSERT INTO {table} SELECT * FROM {table} WHERE false",
    "UPDATE": "UPDATE {table} SET {column} = {column} WHERE false",
    "DELETE": "DELETE FROM {table} WHERE false",
    "TRUNCATE": "TRUNCATE {table} CASCADE",
    "ALTER": "ALTER TABLE {table} ADD COLUMN one_more integer",
    "INDEX": "CREATE INDEX ON {table} ({column})",
    "DROP": "DROP TABLE {table} CASCADE",
}
#: What each may of these, on most tables.
RIGHTS = {"owner": set(ON_TABLES), "writer": {"SELECT", "INSERT", "UPDATE"}, "reader": {"SELECT"}}
#: What no training writes: the writer reads it.
FIXED = {"store", "trainstore_version"}


def on_table(right: str, name: str) -> str:
    """The statement that tries a right on a table."""
    column = next(iter(models_for("").metadata.tables[name].primary_key.columns)).name
    return ON_TABLES[right].format(table=name, column=column)


@pytest.mark.parametrize("role", ROLES)
def test_every_table(roles: Roles, role: str):
    """Each right on each table of ours, those of ScalarStop and the version's too."""
    tables = [table for table in models_for("").metadata.sorted_tables if table.name != VIEW_NAME]
    assert len(tables) == len(models_for("").table_names) - 1
    found, expected = {}, {}
    for table in tables:
        for right in ON_TABLES:
            allowed = right in (RIGHTS["reader"] if role == "writer" and table.name in FIXED else RIGHTS[role])
            found[right, table.name] = roles.execute(role, on_table(right, table.name))
            expected[right, table.name] = None if allowed else "42501"
    assert found == expected


@pytest.mark.parametrize("role", ROLES)
def test_every_sequence(roles: Roles, role: str):
    """The writer takes the next number of each; nobody but the owner sets one."""
    plain = make_url(roles.url("owner")).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain) as connection:
        rows = connection.execute("SELECT relname FROM pg_class WHERE relkind = 'S' ORDER BY relname").fetchall()
    names = [str(name) for (name,) in rows]
    assert {"event_id_seq", "run_id_seq"} <= set(names)
    for name in names:
        assert roles.execute(role, f"SELECT nextval('{name}')") == (None if role in RECORDING else "42501")
        assert roles.execute(role, f"SELECT setval('{name}', 1)") == (None if role in OWNER else "42501")
        assert roles.execute(role, f"ALTER SEQUENCE {name} RESTART") == (None if role in OWNER else "42501")


def test_the_writer_recovers_a_killed_writers_journal(roles: Roles, start_script: Callable[..., Any]):
    """What a killed training left is delivered by another login of the role; nothing else is needed."""
    script = start_script(
        """
        import sys, time
        from trainstore.recording import delivery_thread
        from trainstore.store import TrainStore

        delivery_thread.INTERVAL = 1_000
        run = TrainStore(sys.argv[1]).start_run(name="killed")
        for step in range(100):
            run.log({"loss": step / 2}, step=step)
        print("logged")
        time.sleep(600)
        """,
        roles.url("writer"),
    )
    script.wait_for("logged")
    script.kill()
    with TrainStore(roles.url("writer")) as store:
        assert store.recovered.failed == {}
        assert len(store.list_step_logs("killed")) == 100
        assert store.get_run("killed").status == "lost"


@pytest.mark.parametrize("role", ROLES)
def test_raw_sql(roles: Roles, role: str):
    """What the server itself lets each role do, whatever program it uses."""
    found, expected = {}, {}
    for statement, allowed in STATEMENTS:
        sql = statement.format(owner=roles.name("owner"), database=roles.database)
        found[statement] = roles.execute(role, sql)
        expected[statement] = None if role in allowed else "42501"
    assert found == expected


def test_rights_of_earlier_days_are_taken_away(roles: Roles):
    """The script is the whole truth: what was granted by hand is gone after it."""
    for role in ("writer", "reader"):
        roles.server.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {roles.name(role)}", roles.database)
    roles.server.execute("GRANT ALL ON run TO PUBLIC", roles.database)
    assert roles.execute("reader", "DELETE FROM run") is None
    roles.run_script()
    assert roles.execute("reader", "DELETE FROM run") == "42501"
    assert roles.execute("writer", "TRUNCATE step_log") == "42501"
    assert roles.execute("writer", "UPDATE run SET notes = 'x'") is None


# --- The command -----------------------------------------------------------------------------------------------------


def test_db_roles_prints_the_script(roles: Roles, capsys: pytest.CaptureFixture[str]):
    """``trainstore db roles`` prints what was run here; names follow the prefix unless they are given."""
    with pytest.raises(SystemExit, match="0"):
        main(["db", "roles", *(f"--{role}={roles.name(role)}" for role in ROLES)])
    printed = capsys.readouterr().out
    assert printed == postgresql_roles(**{role: roles.name(role) for role in ROLES})
    with pytest.raises(SystemExit, match="0"):
        main(["db", "roles", "--prefix", "mine_"])
    printed = capsys.readouterr().out
    assert '"mine_trainstore_writer"' in printed
    assert "'mine_step_log'" in printed
    assert "'step_log'" not in printed


@pytest.mark.parametrize(
    "names",
    [
        {"owner": 'x"; DROP TABLE run; --'},
        {"writer": "x'"},
        {"reader": "$trainstore$"},
        {"schema": "Öl"},
        {"owner": "x" * 64},
        {"owner": "same", "writer": "same"},
        {"prefix": "1"},
    ],
)
def test_odd_names_are_refused(names: dict[str, Any]):
    """No name can become SQL."""
    with pytest.raises(InvalidArgumentError):
        postgresql_roles(**names)


def test_script_is_beside_the_backend():
    """The script is part of the package."""
    import trainstore.backends.roles

    assert Path(trainstore.backends.roles.__file__).with_name("postgresql_roles.sql").is_file()
