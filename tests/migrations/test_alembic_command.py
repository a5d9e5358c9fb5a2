"""The command ``alembic``, run as a developer runs it: in the repository's root, in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from fixtures import forkserver
from fixtures.databases import migrate, opened
from fixtures.revisions import AFTER, HEAD, PATCH
from trainstore import schema
from trainstore.models import models_for

ROOT = Path(__file__).parents[2]


def alembic(*arguments: str, cwd: Path = ROOT, code: int = 0, **env: str) -> str:
    """Run it; what it wrote to both streams."""
    done = forkserver.run([forkserver.command("alembic"), *arguments], cwd=cwd, env=env)
    output = done.stdout + done.stderr
    assert done.returncode == code, output
    return output


def names(url: str) -> set[str]:
    with opened(url) as (engine, _, _):
        inspector = inspect(engine)
        return {*inspector.get_table_names(), *inspector.get_view_names()}


def test_up_check_down(empty_database_url: str):
    """upgrade, current, history, check and downgrade work with TRAINSTORE_URL, beside a foreign alembic_version."""
    with opened(empty_database_url) as (engine, _, _), engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('theirs')"))
    env = {"TRAINSTORE_URL": empty_database_url}
    assert "Running upgrade  -> 0001" in alembic("upgrade", "head", **env)
    assert names(empty_database_url) == {"alembic_version", *models_for().table_names}
    assert f"{HEAD} (head)" in alembic("current", **env)
    assert "<base> -> 0001" in alembic("history", **env)
    assert "No new upgrade operations detected" in alembic("check", **env)
    with opened(empty_database_url) as database:
        assert schema.check(*database) == []
    uid = migrate(empty_database_url)
    assert len(uid) == 36
    alembic("downgrade", "base", **env)
    assert names(empty_database_url) == {"alembic_version", "trainstore_version"}
    alembic("upgrade", "head", **env)
    assert migrate(empty_database_url) != uid


def test_arguments_before_environment(empty_database_url: str, tmp_path: Path):
    """-x url= and -x prefix= win over the environment, and the other prefix's tables stay as they are."""
    uid = migrate(empty_database_url)
    env = {"TRAINSTORE_URL": f"sqlite:///{tmp_path}/wrong.db", "TRAINSTORE_PREFIX": "wrong_"}
    both = ("-x", f"url={empty_database_url}", "-x", "prefix=mine_")
    alembic(*both, "upgrade", "head", **env)
    assert "No new upgrade operations detected" in alembic(*both, "check", **env)
    assert names(empty_database_url) == {*models_for().table_names, *models_for("mine_").table_names}
    alembic(*both, "downgrade", "base", **env)
    assert names(empty_database_url) == {*models_for().table_names, "mine_trainstore_version"}
    assert migrate(empty_database_url) == uid
    assert not (tmp_path / "wrong.db").exists()


def test_prefix_from_environment(empty_database_url: str):
    """TRAINSTORE_PREFIX is the prefix where no argument names one."""
    alembic("upgrade", "head", TRAINSTORE_URL=empty_database_url, TRAINSTORE_PREFIX="mine_")
    assert names(empty_database_url) == models_for("mine_").table_names


def test_default_is_a_file_here(tmp_path: Path):
    """Without a URL the database is trainstore.db in the current folder."""
    alembic("-c", str(ROOT / "alembic.ini"), "upgrade", "head", cwd=tmp_path)
    assert names(f"sqlite:///{tmp_path}/trainstore.db") == models_for().table_names


def test_check_finds_a_difference(database_url: str):
    """check fails where the database lacks a column of the models, and names it."""
    with opened(database_url) as (engine, _, _), engine.begin() as connection:
        connection.execute(text("ALTER TABLE run DROP COLUMN notes"))
    assert "notes" in alembic("check", TRAINSTORE_URL=database_url, code=255)


@pytest.mark.parametrize(("url", "kind"), [("sqlite:///x.db", "DATETIME"), ("postgresql://u@h/d", "JSONB")])
def test_sql_for_a_database_administrator(url: str, kind: str):
    """--sql prints the statements for a database that nobody can reach from here."""
    output = alembic("upgrade", "head", "--sql", TRAINSTORE_URL=url)
    assert "CREATE TABLE metric_summary" in output
    assert "CREATE VIEW current_step_log" in output
    assert "INSERT INTO store" in output
    assert kind in output


def test_password_is_not_printed():
    """An unreachable server is named in one line, without the password of its URL."""
    output = alembic("current", TRAINSTORE_URL="postgresql://me:my-secret@127.0.0.1:9/db", code=255)
    assert "FAILED: PostgreSQL at 127.0.0.1:9 cannot be reached" in output
    assert "Traceback" not in output
    assert "my-secret" not in output


def test_foreign_tables_are_refused(empty_database_url: str):
    """upgrade refuses, before it changes anything, a database where one of our names is somebody else's."""
    with opened(empty_database_url) as (engine, _, _), engine.begin() as connection:
        connection.execute(text("CREATE TABLE event (id INTEGER)"))
    output = alembic("upgrade", "head", TRAINSTORE_URL=empty_database_url, code=255)
    assert "already has 'event'" in output
    assert names(empty_database_url) == {"event"}


def test_an_older_file_is_copied_first(new_database, newer_migrations: Path, tmp_path: Path):
    """upgrade copies an older SQLite file beside itself, as the library does."""
    url = new_database("sqlite")
    ini = tmp_path / "alembic.ini"
    folder = str(newer_migrations)
    place = folder.replace("%", "%%")
    ini.write_text((ROOT / "alembic.ini").read_text().replace("%(here)s/migrations", place))
    script = tmp_path / "patched.py"
    script.write_text(f"{PATCH}\nfrom alembic.config import main\nmain(sys.argv[2:])")
    arguments = [str(script), folder, "-c", str(ini), "upgrade", "head"]
    forkserver.run(arguments, env={"TRAINSTORE_URL": url}).check_returncode()
    (copy,) = Path(url.removeprefix("sqlite:///")).parent.glob(f"*.backup-{HEAD}-*")
    with opened(f"sqlite:///{copy}") as database, database.engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM trainstore_version")).scalar() == HEAD
    with opened(url) as database, database.engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM trainstore_version")).scalar() == AFTER
