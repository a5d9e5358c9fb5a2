"""The store that a merge reads: which can be read, what waits beside it, and that nothing of it changes."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, make_url, select

from fixtures.databases import Opened, migrate, opened
from trainstore import TrainStore
from trainstore.errors import (
    SchemaForeignError,
    SchemaMissingError,
    SchemaOutdatedError,
    SchemaTooNewError,
    SourceError,
    StoreURLError,
)
from trainstore.transfer import sources
from trainstore.transfer.sources import Source, Target

NewDatabase = Callable[..., str]


@pytest.fixture
def source_url(backend_name: str, new_database: NewDatabase) -> str:
    """A store with a run of three steps."""
    url = new_database(backend_name)
    fill(url)
    return url


@pytest.fixture
def target_url(new_database: NewDatabase) -> str:
    """The store that it would be brought into."""
    return new_database("sqlite")


def fill(url: str, prefix: str = "") -> None:
    with TrainStore(url, table_name_prefix=prefix) as store, store.start_run("a") as run:
        for step in range(3):
            run.log({"loss": step}, step=step)


@contextmanager
def target_at(url: str, prefix: str = "") -> Iterator[Target]:
    database: Opened
    with opened(url, prefix) as database, database.engine.connect() as connection:
        yield Target(database.backend, database.models, connection)


@contextmanager
def source_at(location: Any, target_url: str, prefix: str = "", target_prefix: str = "") -> Iterator[Source]:
    with target_at(target_url, target_prefix) as target, sources.open_store(location, prefix, target) as source:
        yield source


def steps_in(source: Source) -> int:
    return int(source.connection.execute(select(func.count()).select_from(source.models.step_log)).scalar_one())


def path_of(url: str) -> Path:
    return Path(str(make_url(url).database))


def test_a_store_is_read_as_of_one_moment(source_url: str, target_url: str) -> None:
    """What is recorded after the opening is not seen; the store's uid is."""
    with source_at(source_url, target_url) as source:
        assert steps_in(source) == 3
        fill(source_url)
        assert steps_in(source) == 3
        assert source.waiting == (0, 0, 0, "")
        source_uid = source.store_uid
    with TrainStore(source_url) as store:
        assert store._service.store_uid == source_uid
    assert "password" not in source.name


def test_an_open_store_is_read_by_its_own_connection(source_url: str, target_url: str) -> None:
    """So it is with a store in memory, which nobody else could read."""
    for url in (source_url, ":memory:"):
        with TrainStore(url) as store, store.start_run("b") as run:
            run.log({"loss": 1})
            run.flush()
            with (
                target_at(target_url) as target,
                store._backend.snapshot(store._engine) as connection,
                sources.read_store(connection, store._models, store._backend, target) as source,
            ):
                assert steps_in(source) == (4 if url == source_url else 1)


@pytest.fixture
def laptop(new_database: NewDatabase, tmp_path: Path) -> Path:
    """A store in a folder of its own."""
    path = tmp_path / "laptop" / "runs.db"
    path.parent.mkdir()
    path_of(new_database("sqlite")).rename(path)
    fill(f"sqlite:///{path}")
    return path


def state_of(path: Path) -> Any:
    return sorted(path.parent.iterdir()), path.read_bytes(), path.stat().st_mtime_ns, path.parent.stat().st_mtime_ns


def test_nothing_is_written_beside_a_file(laptop: Path, target_url: str) -> None:
    """Neither while it is read nor after."""
    before = state_of(laptop)
    with source_at(laptop, target_url) as source:
        assert steps_in(source) == 3
        assert state_of(laptop) == before
    assert state_of(laptop) == before


def test_an_older_file_is_upgraded_in_a_copy(
    laptop: Path, target_url: str, newer_trainstore: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The original keeps its revision and its bytes, and nothing is left of the copy."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    before = state_of(laptop)
    with newer_trainstore(), source_at(laptop, target_url) as source:
        assert source.connection.exec_driver_sql("SELECT extra FROM step_log").scalars().all() == ["new"] * 3
        assert source.name == f"sqlite:///{laptop}"
        assert state_of(laptop) == before
        assert [path.name for path in (tmp_path / "temporary").rglob("*.backup*")] == []
    assert state_of(laptop) == before
    assert list((tmp_path / "temporary").iterdir()) == []


def test_an_older_server_is_named_with_the_command_that_upgrades_it(
    new_database: NewDatabase, newer_trainstore: Callable[[], Any]
) -> None:
    """A database cannot be copied by a reader, so its owner has to upgrade it."""
    url, target = new_database("postgresql"), new_database("sqlite")
    with (
        newer_trainstore(),
        pytest.raises(SchemaOutdatedError, match="upgrade it with: trainstore db upgrade --store"),
        source_at(url, target),
    ):
        pass


def test_a_newer_store_is_refused(source_url: str, target_url: str) -> None:
    """What a later version may mean is not known."""
    with opened(source_url) as database, database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE trainstore_version SET version_num = '9999'")
    with pytest.raises(SchemaTooNewError, match="pip install -U trainstore"), source_at(source_url, target_url):
        pass


def test_a_database_without_the_tables_is_refused(
    backend_name: str, new_database: NewDatabase, target_url: str
) -> None:
    """If there are stores with other prefixes, they are named."""
    url = new_database(backend_name, migrated=False)
    if backend_name == "sqlite":
        sqlite3.connect(path_of(url)).execute("CREATE TABLE other (n)")
    with pytest.raises(SchemaMissingError, match="no trainstore tables; name the file"), source_at(url, target_url):
        pass
    migrate(url, "team_")
    with (
        pytest.raises(SchemaMissingError, match=r"prefix 'team_'; say so with source_prefix"),
        source_at(url, target_url),
    ):
        pass
    with source_at(url, target_url, "team_") as source:
        assert steps_in(source) == 0


def test_tables_of_somebody_else_are_refused(backend_name: str, new_database: NewDatabase, target_url: str) -> None:
    """A table "run" that is not ours is named."""
    url = new_database(backend_name, migrated=False)
    with opened(url) as database, database.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE run (distance int)")
    with pytest.raises(SchemaForeignError, match="already has 'run'"), source_at(url, target_url):
        pass


def test_a_store_is_not_merged_with_itself(source_url: str, backend_name: str, tmp_path: Path) -> None:
    """However its URL or path is spelled; another prefix in the same database is another store."""
    urls = [source_url]
    if backend_name == "sqlite":
        link = tmp_path / "link.db"
        link.symlink_to(path_of(source_url))
        urls.append(str(link))
    else:
        urls.append(source_url.replace("postgresql://", "postgresql+psycopg://") + "&application_name=other")
    for url in urls:
        with pytest.raises(SourceError, match="is the target itself"), source_at(url, source_url):
            pass
    fill(source_url, "team_")
    with source_at(source_url, source_url, "team_") as source:
        assert steps_in(source) == 3
    with (
        opened(source_url) as database,
        database.backend.snapshot(database.engine) as connection,
        target_at(source_url) as target,
        pytest.raises(SourceError, match="is the target itself"),
        sources.read_store(connection, database.models, database.backend, target),
    ):
        pass


def test_a_copy_of_the_target_is_another_store(target_url: str, tmp_path: Path) -> None:
    """It has the same uid: a laptop's file that was copied from the cluster's, and recorded into."""
    fill(target_url)
    with TrainStore(target_url) as store:
        store.backup(tmp_path / "copy.db")
    with source_at(tmp_path / "copy.db", target_url) as source:
        assert steps_in(source) == 3


def test_what_waits_in_journals_is_counted_and_left_there(
    source_url: str, backend_name: str, target_url: str, start_script: Callable[..., Any]
) -> None:
    """A killed process left records that its store lacks: they stay, and the command that delivers them is named."""
    with opened(source_url) as database, database.engine.connect() as connection, connection.begin():
        # Nothing can be stored meanwhile.
        connection.exec_driver_sql(
            "UPDATE store SET uid = uid" if backend_name == "sqlite" else "LOCK TABLE run, writer IN EXCLUSIVE MODE"
        )
        script = start_script(
            """
            import sys
            from trainstore import TrainStore
            run = TrainStore(sys.argv[1], offline_ok=True).start_run("b")
            run.log({"loss": 1}, step=0)
            print("logged", flush=True)
            sys.stdin.readline()
            """,
            source_url,
        )
        script.wait_for("logged")
        with source_at(source_url, target_url) as source:
            assert source.waiting == (1, 3, 1, "")
        script.kill()
    for _ in range(2):
        with source_at(source_url, target_url) as source:
            journals, records, live, command = source.waiting
            assert (journals, records, live) == (1, 3, 0)
            assert command.startswith("trainstore recover")
            assert steps_in(source) == 3
    with TrainStore(source_url), source_at(source_url, target_url) as source:
        assert steps_in(source) == 4
        assert source.waiting == (0, 0, 0, "")


def test_a_path_that_is_no_store_is_refused(target_url: str, tmp_path: Path) -> None:
    """Each with what is wrong; nothing is made."""
    (tmp_path / "text.db").write_text("hello")
    (tmp_path / "empty.db").touch()
    for name, message in {
        "missing.db": "No such file",
        "text.db": "is not an SQLite",
        "empty.db": "is an empty",
    }.items():
        with pytest.raises(SourceError, match=message), source_at(tmp_path / name, target_url):
            pass
    assert not (tmp_path / "missing.db").exists()
    with pytest.raises(SourceError, match="in memory"), source_at(":memory:", target_url):
        pass
    with pytest.raises(StoreURLError, match="no backend"), source_at("nosuch://host/db", target_url):
        pass


def test_a_file_among_our_journals_is_refused(target_url: str, tmp_path: Path) -> None:
    """What lies there is delivered, and is no source."""
    inside = path_of(target_url).with_name(path_of(target_url).name + ".journal")
    inside.mkdir()
    migrate(f"sqlite:///{inside}/odd.db")
    with pytest.raises(SourceError, match="where journals of the target are"), source_at(inside / "odd.db", target_url):
        pass


def test_a_store_whose_uid_is_gone_is_refused(source_url: str, target_url: str) -> None:
    """Whose journals belong to it could not be told."""
    with opened(source_url) as database, database.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM store")
    with pytest.raises(SourceError, match="no whole store"), source_at(source_url, target_url):
        pass


def test_views_in_the_place_of_tables_are_refused(source_url: str, target_url: str) -> None:
    """A query of them would run what somebody wrote into the file."""
    with opened(source_url) as database, database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE notification RENAME TO other")
        connection.exec_driver_sql("CREATE VIEW notification AS SELECT * FROM other")
    with pytest.raises(SourceError, match="has no table 'notification'"), source_at(source_url, target_url):
        pass


def test_a_database_of_scalarstop_is_read_in_an_upgraded_copy(target_url: str, tmp_path: Path) -> None:
    """Its tables are taken over in the copy."""
    path = tmp_path / "scalarstop.db"
    migrate(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        tables = {"datablob", "model_template", "model", "model_epoch"}
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'view'").fetchall():
            connection.execute(f"DROP VIEW {name}")
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
            if name not in tables and not name.startswith("sqlite_"):
                connection.execute(f"DROP TABLE {name}")
        connection.commit()
    before = path.read_bytes()
    with source_at(path, target_url) as source:
        assert steps_in(source) == 0
    assert path.read_bytes() == before
