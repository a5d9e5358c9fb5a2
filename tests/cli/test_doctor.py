"""``trainstore doctor``: what it finds, and that looking changes nothing."""

import json
import os
from pathlib import Path

import pytest
from sqlalchemy import delete, text, update

from fixtures.databases import opened
from trainstore import TrainStore
from trainstore.recording.deletion import delete_run
from trainstore.recording.statements import Statements
from trainstore.schema import HEAD


@pytest.fixture
def examine(call, database_url):
    """Runs the doctor; gives its exit code and its findings."""

    def run(*arguments, store=database_url):
        called = call("doctor", "--store", store, "--json", *arguments)
        assert called.err == ""
        found = json.loads(called.out)
        assert (called.code == 1) == (found["problems"] > 0)
        return called.code, found["findings"]

    return run


def of(findings, check, level=None):
    return [f["text"] for f in findings if f["check"] == check and level in (None, f["level"])]


def with_steps(url):
    with TrainStore(url) as store, store.start_run(name="r") as run:
        for step in range(20):
            run.log({"loss": float("nan") if step == 7 else 1 / (step + 1), "lr": 0.1}, step=step)
    return run.uid


def test_a_healthy_store_has_no_problem(examine, call, database_url, backend_name):
    """Versions, backend, schema, integrity, runs, summaries and journals each get a line; code 0."""
    with_steps(database_url)
    code, findings = examine("--full")
    assert code == 0
    assert of(findings, "schema", "ok") == [f"{HEAD}, as this version of trainstore needs it"]
    assert of(findings, "runs", "ok") == ["1: 1 finished"]
    assert of(findings, "summaries", "ok") == ["match the steps of all runs"]
    assert any(line.startswith("none left in ") for line in of(findings, "journals", "ok"))
    assert any("sqlalchemy 2" in line for line in of(findings, "libraries"))
    if backend_name == "sqlite":
        assert of(findings, "integrity", "ok") == ["the file is whole"]
        assert of(findings, "foreign keys", "ok")
    else:
        assert any(line.startswith("PostgreSQL") for line in of(findings, "server", "ok"))
        assert of(findings, "rights", "ok") == ["this user may SELECT, INSERT, UPDATE, DELETE"]
    out = call("doctor", "--store", database_url).out
    assert "ok       schema" in out
    assert "0 problems" in out


def test_where_there_is_no_store_none_is_made(examine, tmp_path, monkeypatch):
    """That is the problem, and the folder stays empty."""
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.delenv("TRAINSTORE_JOURNAL_DIR")
    code, findings = examine(store=str(folder / "none.db"))
    assert code == 1
    assert "there is no store" in of(findings, "store", "problem")
    assert of(findings, "trainstore", "ok")
    assert list(folder.iterdir()) == []


def test_a_database_without_schema_stays_so(call, empty_database_url, backend_name):
    """The problem names the command that makes one."""
    if backend_name == "sqlite":
        Path(empty_database_url.removeprefix("sqlite:///")).touch()
    called = call("doctor", "--store", empty_database_url)
    assert called.code == 1
    assert "problem  schema       the database has none" in called.out
    assert "trainstore db upgrade" in called.out
    with opened(empty_database_url) as database, database.engine.connect() as connection:
        assert not database.engine.dialect.has_table(connection, "run")


@pytest.mark.parametrize(
    ("store", "words"),
    [
        ("postgresql://u:s3cret@127.0.0.1:1/x", "cannot be reached"),
        ("foo://x", "no backend for 'foo'"),
        ("x" * 300, "problem"),  # no file can be called so
    ],
)
def test_what_cannot_be_opened_is_a_problem(call, store, words):
    """The rest is examined all the same, and no password is shown."""
    called = call("doctor", "--store", store)
    assert called.code == 1
    assert words in called.out
    assert "ok       python" in called.out
    assert "s3cret" not in called.out + called.err


def test_a_damaged_file_is_a_problem(examine, new_database):
    """A file that is not a database, or whose pages are damaged, is a problem."""
    url = new_database("sqlite")
    with_steps(url)
    path = Path(url.removeprefix("sqlite:///"))
    whole = bytearray(path.read_bytes())
    whole[8192:12288] = os.urandom(4096)
    path.write_bytes(whole)
    code, findings = examine(store=url)
    assert code == 1
    assert any("damaged" in f["text"] for f in findings if f["level"] == "problem")
    path.write_bytes(b"not a database, not at all" * 100)
    code, findings = examine(store=url)
    assert code == 1
    assert any("is not an SQLite database" in line for line in of(findings, "database", "problem"))


def test_a_damaged_value_is_a_problem(examine, new_database):
    """It is named, and that queries fail at it keeps nothing else from being examined."""
    url = new_database("sqlite")
    old, new = with_steps(url), with_steps(url)
    assert of(examine(store=url)[1], "values", "ok") == ["can be read"]
    for change, uid, why in [
        (
            "UPDATE step_log SET metrics = '{' WHERE run_id = 1 AND step = 7",
            old,
            "step_log.metrics at step 7 holds '{'",
        ),
        ("UPDATE run SET started_at = 'soon' WHERE id = 2", new, "run.started_at holds 'soon'"),
    ]:
        with opened(url) as database, database.engine.begin() as connection:
            connection.exec_driver_sql(change)
        code, findings = examine(store=url)
        assert code == 1
        assert f"run {uid}: it is damaged: {why}" in of(findings, "values", "problem")[0]
        assert of(findings, "journals")


def test_summaries_that_another_program_changed(examine, database_url):
    """Stored summaries are compared with what the steps come to."""
    uid = with_steps(database_url)
    with opened(database_url) as database, database.engine.begin() as connection:
        table = database.models.metric_summary
        connection.execute(update(table).where(table.c.metric == "loss").values(min=0.0))
    code, findings = examine()
    assert code == 1
    assert uid in of(findings, "summaries", "problem")[0]
    with opened(database_url) as database, database.engine.begin() as connection:
        connection.execute(delete(database.models.metric_summary))
    assert examine()[0] == 1


def test_a_schema_that_another_program_changed(examine, database_url):
    """A column that is missing, or an older or newer version."""
    with opened(database_url) as database, database.engine.begin() as connection:
        connection.execute(text("DROP INDEX ix_run_project"))
    code, findings = examine()
    assert code == 1
    assert any("ix_run_project" in line for line in of(findings, "schema", "problem"))
    with opened(database_url) as database, database.engine.begin() as connection:
        connection.execute(text("UPDATE trainstore_version SET version_num = 'future'"))
    code, findings = examine()
    assert code == 1
    assert any("future" in line for line in of(findings, "schema", "problem"))


def test_rows_that_belong_to_nothing(examine, new_database):
    """SQLite keeps such rows where another program deleted without foreign keys."""
    url = new_database("sqlite")
    with_steps(url)
    with opened(url) as database, database.engine.connect() as connection:
        connection.exec_driver_sql("ROLLBACK")
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        connection.exec_driver_sql("DELETE FROM attempt")
    code, findings = examine(store=url)
    assert code == 1
    assert "'step_log'" in of(findings, "foreign keys", "problem")[0] or "'attempt'" in str(findings)


def test_journals_that_are_left(examine, database_url, start_script, tmp_path):
    """A living process's journal is well; a killed one's is a warning, and is not delivered by looking."""
    process = start_script(
        """
        import sys
        from trainstore import TrainStore
        from trainstore.recording import delivery_thread
        delivery_thread.INTERVAL = 3600.0
        run = TrainStore(sys.argv[1]).start_run(name="killed")
        run.log({"loss": 1.0}, step=0)
        print("logged", flush=True)
        sys.stdin.read()
        """,
        database_url,
    )
    process.wait_for("logged")
    code, findings = examine()
    assert code == 0
    assert any("their processes are running" in line for line in of(findings, "journals", "ok"))
    process.kill()
    for _ in range(2):
        code, findings = examine()
        assert code == 0
        assert any("left by processes that have ended" in line for line in of(findings, "journals", "warning"))
    journal = next(tmp_path.glob("journals/*/*/meta.json")).parent
    journal.chmod(0o755)
    code, findings = examine()
    assert any("others may get at" in line for line in of(findings, "journals", "warning"))


def test_runs_that_are_missing(examine, database_url, start_script):
    """Their journals say that they were in the store; only what nobody deleted is a warning."""
    process = start_script(
        """
        import sys
        from trainstore import TrainStore
        from trainstore.recording import delivery_thread
        store = TrainStore(sys.argv[1])
        for name in ("deleted", "missing"):
            run = store.start_run(name=name)
            assert run.flush(60)
            delivery_thread.INTERVAL = 3600.0
            run.log({"loss": 1.0}, step=0)
            print(run.uid, flush=True)
        sys.stdin.read()
        """,
        database_url,
    )
    deleted, missing = process.wait_for(""), process.wait_for("")
    process.kill()
    with opened(database_url) as database, database.engine.begin() as connection:
        statements = Statements(database.models, database.backend)
        delete_run(connection, statements, statements.run_id(connection, deleted), deleted, force=True)
        connection.execute(delete(database.models.run))
    _, findings = examine()
    (told,) = [text for text in of(findings, "journals", "warning") if "was in the store" in text]
    assert f"run {missing} of " in told


def test_lost_runs_are_named(examine, database_url):
    """A run that nobody records any more and nobody ended is a warning."""
    uid = with_steps(database_url)
    with opened(database_url) as database, database.engine.begin() as connection:
        connection.execute(update(database.models.run).values(status="running"))
    _, findings = examine()
    assert uid in of(findings, "runs", "warning")[0]


def test_a_file_that_others_may_write(examine, new_database):
    """It is a warning that says how to fix it."""
    url = new_database("sqlite")
    path = Path(url.removeprefix("sqlite:///"))
    path.chmod(0o666)
    assert any("others may write" in line for line in of(examine(store=url)[1], "file", "warning"))
    path.chmod(0o600)
    assert of(examine(store=url)[1], "file", "ok").count("file mode 0600") == 1


def test_a_newer_summary_of_a_live_run_is_no_problem(examine, database_url):
    """What is read while a run is recorded is of one moment."""
    with TrainStore(database_url) as store, store.start_run(name="live") as run:
        for step in range(50):
            run.log({"loss": 1 / (step + 1)}, step=step)
            if step % 25 == 0:
                run.flush()
                assert examine("--full")[0] == 0
