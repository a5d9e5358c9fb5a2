"""``TrainStore(…, read_only=True)``: what looks changes nothing, and needs no right to."""

from __future__ import annotations

import pickle
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import DBAPIError

from faults.rights import bound, mode
from fixtures import forkserver
from fixtures.databases import opened
from recording.test_recovery import abandoned, hand_journal
from trainstore import TrainStore
from trainstore.errors import (
    InvalidArgumentError,
    ReadOnlyStoreError,
    SchemaMissingError,
    SchemaOutdatedError,
    StoreUnavailableError,
)


@pytest.fixture
def recorded(database_url: str) -> str:
    """The address of a store of one run, and a journal that a killed process left."""
    with TrainStore(database_url) as store:
        with store.start_run(name="a", hyperparams={"lr": 0.1}, tags=["t"]) as run:
            run.log({"loss": 1.0}, step=0)
        abandoned(store, hand_journal())
    return database_url


@pytest.fixture
def reader(recorded: str):
    """It, opened to be read only."""
    with TrainStore(recorded, read_only=True) as store:
        yield store


def test_it_is_read(reader: TrainStore, recorded: str) -> None:
    """Every way to look works, also while another process records, and shows what is stored now."""
    assert "read only" in repr(reader)
    run = reader.table.run.c.name
    for names in (["a"], ["b", "a"]):
        assert reader.list_runs()["name"].tolist() == names
        assert reader.connection.scalars(select(run)).all() == names[::-1]
        with reader.session() as session:
            assert session.scalars(select(run)).all() == names[::-1]
        with reader._backend.snapshot(reader.engine) as connection:
            assert connection.scalars(select(run)).all() == names[::-1]
        assert reader.list_step_logs("a")["loss"].tolist() == [1.0]
        assert reader.get_best_run(metric_name="loss", metric_direction="min").name == "a"
        assert not reader.is_recorded_here(reader.get_run("a"))
        if len(names) == 1:
            with TrainStore(recorded) as writer:
                writer.delete_run(writer.recovered.runs[0])  # what the journal held
                writer.start_run(name="b").finish()
    with pickle.loads(pickle.dumps(reader)) as again:
        assert "read only" in repr(again)


def test_whatever_records_or_edits_is_refused(reader: TrainStore) -> None:
    """By an error that says how to open the store."""
    uid = reader.get_run("a").uid
    for change in (
        lambda: reader.start_run(),
        lambda: reader.resume_run("a", step=0),
        lambda: reader.resume_run(uid, lineage=[["x", -1, 0]], step=0),
        lambda: reader.recover(),
        lambda: reader.delete_run("a"),
        lambda: reader.set_tags("a", ["new"]),
        lambda: reader.set_notes("a", "new"),
        lambda: reader.insert_datablob_by_str(name="d", group_name="g", hyperparams={}),
        lambda: _in_session(reader),
    ):
        with pytest.raises(ReadOnlyStoreError, match="opened with read_only=True; open it without"):
            change()
    assert reader.list_runs()["name"].tolist() == ["a"]


def _in_session(store: TrainStore) -> None:
    with store.session() as session:
        session.execute(insert(store.table.store).values(uid="x"))


def test_the_connections_themselves_refuse(reader: TrainStore) -> None:
    """Also what goes past the store's methods, again and again, and after a snapshot gave its connection back."""
    for _ in range(2):
        with reader._backend.snapshot(reader.engine) as connection:
            connection.execute(select(reader.table.run)).all()
        for statement in ("UPDATE run SET name = 'b'", "DELETE FROM run", "CREATE TABLE new (id INTEGER)"):
            with pytest.raises(DBAPIError, match=r"read-?\s?only"):
                reader.connection.execute(text(statement))
            with pytest.raises(DBAPIError, match=r"read-?\s?only"), reader.engine.begin() as connection:
                connection.execute(text(statement))
            with pytest.raises(ReadOnlyStoreError), reader._backend.reading(reader.engine) as connection:
                connection.execute(text(statement))


def test_nothing_is_left_behind(recorded: str, backend_name: str, tmp_path: Path) -> None:
    """No journal is made or delivered, and no file appears beside the database or changes."""

    def look() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}

    before = look()
    assert any(path.name == "meta.json" for path in before)
    with TrainStore(recorded, read_only=True) as store:
        assert store.recovered.records == 0
        assert len(store.list_runs()) == 1
    assert look() == before


def test_no_store_is_made(empty_database_url: str, backend_name: str, tmp_path: Path) -> None:
    """A path that is not there is an error, and so is a database without our tables, which stays so."""
    if backend_name == "sqlite":
        path = Path(empty_database_url.removeprefix("sqlite:///"))
        for missing in (path, tmp_path / "no folder" / "runs.db"):
            with pytest.raises(StoreUnavailableError, match="there is no f"):
                TrainStore(missing, read_only=True)
            with pytest.raises(StoreUnavailableError, match="there is no f"):
                TrainStore.from_filesystem(filename=missing, read_only=True)
            assert not missing.exists()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE other (id INTEGER)")
    with pytest.raises(SchemaMissingError, match="read_only=True creates none"):
        TrainStore(empty_database_url, read_only=True)
    with pytest.raises(SchemaMissingError, match="with the prefix p_"):
        TrainStore(empty_database_url, table_name_prefix="p_", read_only=True)
    with opened(empty_database_url) as database, database.engine.connect() as connection:
        assert not database.engine.dialect.has_table(connection, "run")


def test_no_store_is_upgraded(recorded: str, newer_trainstore) -> None:
    """One that an older trainstore made is refused, with the command that upgrades it."""
    with newer_trainstore(), pytest.raises(SchemaOutdatedError, match="upgrade it with: trainstore db upgrade"):
        TrainStore(recorded, read_only=True)


@pytest.mark.parametrize("options", [{"offline_ok": True}, {"auto_upgrade": True}])
def test_options_that_contradict_it(database_url: str, options: dict[str, bool]) -> None:
    """Those that are about recording and upgrading."""
    with pytest.raises(InvalidArgumentError, match="read_only=True"):
        TrainStore(database_url, read_only=True, **options)
    with pytest.raises(InvalidArgumentError, match="in memory"):
        TrainStore(":memory:", read_only=True)


def test_who_may_not_write_reads(new_database, tmp_path: Path) -> None:
    """A file of another user's that one may read; in a folder that is closed, what `backup` made."""
    closed, opened = tmp_path / "closed", tmp_path / "opened"
    closed.mkdir()
    opened.mkdir()
    with TrainStore(new_database("sqlite")) as store:
        store.start_run(name="a").finish()
        backup = store.backup(closed / "backup.db")
        used = [store.backup(folder / "used.db") for folder in (closed, opened)]
    for path in used:
        with TrainStore(path) as store:  # which makes it one that SQLite reads with files beside it
            store.set_notes("a", "used")
    for path in (backup, *used):
        path.chmod(0o444)
    with mode(closed, 0o555):
        done = forkserver.run(["-c", bound() + READ, *map(str, (backup, *used))])
    from_backup, from_closed, from_opened = done.stdout.splitlines()
    assert from_backup == from_opened == "['a']"
    assert "you may not write into its folder; copy the file" in from_closed


READ = """
import sys
from trainstore.store import TrainStore
for path in sys.argv[1:]:
    try:
        with TrainStore(path, read_only=True) as store:
            print(store.list_runs()["name"].tolist())
    except Exception as error:
        print(type(error).__name__, error)
"""
