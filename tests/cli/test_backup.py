"""``trainstore backup`` and ``TrainStore.backup``: a copy that is whole, or none."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import select

from fixtures.pages import _clients
from recording.test_recovery import abandoned, hand_journal
from trainstore import TrainStore
from trainstore.errors import BackupError, StoreClosedError


@pytest.fixture
def sqlite(new_database) -> str:
    """The URL of an SQLite store, in which a run is being recorded."""
    url = new_database("sqlite")
    with TrainStore(url) as store:
        with store.start_run(name="a") as run:
            run.log({"loss": 1.0}, step=0)
        yield url


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty folder for copies."""
    folder = tmp_path / "copies"
    folder.mkdir()
    return folder


def test_a_backup_is_a_store(sqlite: str, place: Path) -> None:
    """With what was recorded a moment ago, by this object and by processes that ended, in one file with its rights."""
    source = Path(sqlite.removeprefix("sqlite:///"))
    source.chmod(0o640)
    with TrainStore(sqlite) as store:
        run = store.start_run(name="live")
        run.log({"loss": 2.0}, step=0)
        journal = hand_journal()
        abandoned(store, journal)
        with store.engine.connect() as reader:  # a snapshot that keeps the newest pages out of the file
            reader.execute(select(store.table.run)).all()
            run.log({"loss": 3.0}, step=1)
            assert store.backup(place / "copy.db") == place / "copy.db"
        run.log({"loss": 4.0}, step=2)
    assert files(place) == ["copy.db"]
    assert (place / "copy.db").stat().st_mode & 0o777 == 0o640
    with TrainStore(place / "copy.db", read_only=True) as copy:
        assert sorted(copy.list_runs()["name"]) == ["a", "live", "n"]
        assert copy.list_step_logs("live")["loss"].tolist() == [2.0, 3.0]
        assert len(copy.list_step_logs(journal.run_uid)) == 3
    assert files(place) == ["copy.db"]
    with TrainStore(place / "copy.db") as copy, copy.start_run(name="goes on"):
        pass


def test_a_file_that_is_there_is_left_alone(sqlite: str, place: Path) -> None:
    """Whatever it is, the store itself included; nothing half-made stays behind."""
    there = place / "there"
    there.write_text("mine")
    dangling = place / "link"
    dangling.symlink_to(place / "nowhere")
    with TrainStore(sqlite) as store:
        for target in (there, dangling, place, Path(sqlite.removeprefix("sqlite:///"))):
            with pytest.raises(BackupError, match="already exists"):
                store.backup(target)
        for target in (place / "no folder" / "x", there / "x"):
            with pytest.raises(BackupError, match="cannot be written"):
                store.backup(target)
        (place / "slow.db.partial").touch()
        with pytest.raises(BackupError, match=r"slow\.db\.partial already exists; .* delete it if it was left"):
            store.backup(place / "slow.db")
        assert store.list_runs()["name"].tolist() == ["a"]
    assert there.read_text() == "mine"
    assert files(place) == ["link", "slow.db.partial", "there"]
    with pytest.raises(StoreClosedError):
        store.backup(place / "late.db")


def test_stores_that_are_read_and_in_memory(sqlite: str, place: Path, monkeypatch) -> None:
    """Both can be copied; a relative path starts in the current folder."""
    monkeypatch.chdir(place)
    with TrainStore(sqlite, read_only=True) as store:
        assert store.backup("one.db") == place / "one.db"
    with TrainStore(":memory:") as store:
        store.start_run(name="b").finish()
        store.backup("two.db")
    for name, run in (("one.db", "a"), ("two.db", "b")):
        with TrainStore(name, read_only=True) as copy:
            assert copy.list_runs()["name"].tolist() == [run]


def test_the_command(call, sqlite: str, place: Path) -> None:
    """It says what is in the copy, and what is not; a file that is there is an error."""
    done = call("backup", place / "copy.db", "--store", sqlite)
    assert done.code == 0
    assert done.out.startswith(f"{place / 'copy.db'}: 1 run, ")
    assert "being recorded" not in done.out
    again = call("backup", place / "copy.db", "--store", sqlite)
    assert again.code == 1
    assert "already exists" in again.err
    with TrainStore(sqlite) as store:
        store.start_run(name="live").flush(60)
        done = call("backup", place / "other.db", "--store", sqlite, "--json")
    assert json.loads(done.out) | {"bytes": 0} == {
        "file": str(place / "other.db"),
        "runs": 2,
        "bytes": 0,
        "live": 1,
        "left": {},
        "damaged": {},
    }


def test_a_damaged_store_is_copied_as_it_is(call, sqlite: str, place: Path) -> None:
    """So nothing of it is lost; the damage is named, and the exit code says that older copies are worth keeping."""
    with TrainStore(sqlite) as store, store.engine.begin() as connection:
        uid = connection.exec_driver_sql("SELECT uid FROM run").scalar()
        connection.exec_driver_sql("UPDATE step_log SET metrics = '{'")
    done = call("backup", place / "copy.db", "--store", sqlite)
    assert done.code == 1
    assert done.out.startswith(f"{place / 'copy.db'}: 1 run, ")
    assert f"(run {uid}: it is damaged: step_log.metrics at step 0 holds '{{', no JSON object)" in done.err
    assert json.loads(call("backup", place / "other.db", "--store", sqlite, "--json").out)["damaged"].keys() == {uid}
    merged = call("merge", place / "copy.db", "--into", place / "new.db")
    assert merged.code == 1
    assert f"run {uid} was not merged: it is damaged" in merged.err


@pytest.mark.parametrize("prefix", ["", "team_"])
def test_postgresql_says_what_to_run(call, new_database, postgres_server, place: Path, prefix: str) -> None:
    """The command makes a dump that another database is made from, as far as the prefix goes."""
    url = new_database("postgresql", migrated=not prefix)
    with TrainStore(url, table_name_prefix=prefix) as store:
        store.start_run(name="a").finish()
    refused = call("backup", place / "it's.dump", "--store", url, "--prefix", prefix)
    assert refused.code == 1
    command = refused.err.partition("run: ")[2]
    assert command.startswith("pg_dump ")
    environment = {**os.environ, "PATH": f"{_clients()}:{os.environ['PATH']}"}
    subprocess.run(shlex.split(command), check=True, env=environment)
    copy = new_database("postgresql", migrated=False)
    restore = ["pg_restore", f"--dbname={copy.replace('+psycopg', '')}", str(place / "it's.dump")]
    subprocess.run(restore, check=True, env=environment)
    with TrainStore(copy, table_name_prefix=prefix, read_only=True) as store:
        assert store.list_runs()["name"].tolist() == ["a"]
    with TrainStore(copy, table_name_prefix=prefix) as store:
        store.start_run(name="b").finish()
        assert len(store.list_runs()) == 2


# --- What the doctor says of copies ----------------------------------------------------------------------------------


def findings(call, path: Path) -> list[str]:
    """What it warns of."""
    found = json.loads(call("doctor", "--store", path, "--json").out)["findings"]
    return [f"{one['text']} → {one['fix']}" for one in found if one["level"] == "warning" and one["check"] != "sqlite"]


@pytest.fixture
def unsettled(sqlite: str, place: Path):
    """A file whose newest run stands in ``-wal``, as a reader holds it up."""
    path = place / "runs.db"
    shutil.copyfile(sqlite.removeprefix("sqlite:///"), path)
    with TrainStore(path) as reader, reader.engine.connect() as connection:
        connection.execute(select(reader.table.run)).all()
        with TrainStore(path) as store, store.start_run(name="newest"):
            pass
        yield path


def test_the_doctor_sees_a_copy_without_its_wal(call, unsettled: Path) -> None:
    """Beside its original, which says itself that a copy of the file alone is not enough."""
    shutil.copyfile(unsettled, unsettled.with_name("copy.db"))
    assert findings(call, unsettled) == []
    told = call("doctor", "--store", unsettled).out
    assert "pages are in runs.db-wal only" in told
    assert "trainstore backup FILE" in told
    (warned,) = findings(call, unsettled.with_name("copy.db"))
    assert "this is a copy of runs.db, which has 1 runs more; they are in runs.db-wal" in warned
    with TrainStore(unsettled) as store:
        store.backup(unsettled.with_name("good.db"))
    assert findings(call, unsettled.with_name("good.db")) == []


def test_the_doctor_sees_a_wal_without_its_file(call, unsettled: Path, tmp_path: Path) -> None:
    """A file that was moved without it."""
    elsewhere = tmp_path / "moved"
    elsewhere.mkdir()
    shutil.copyfile(unsettled, elsewhere / "moved.db")
    shutil.copyfile(f"{unsettled}-wal", elsewhere / "runs.db-wal")
    (warned,) = findings(call, elsewhere / "moved.db")
    assert "runs.db-wal is here without runs.db" in warned
    together = tmp_path / "together"
    together.mkdir()
    shutil.copyfile(elsewhere / "moved.db", together / "runs.db")
    shutil.copyfile(elsewhere / "runs.db-wal", together / "runs.db-wal")
    with TrainStore(together / "runs.db") as store:
        assert "newest" in set(store.list_runs()["name"])


def test_the_doctor_sees_a_store_that_is_behind_its_journals(call, unsettled: Path, tmp_path: Path) -> None:
    """doctor notices the journal of a run that was in the store and is missing now."""
    copy = tmp_path / "copy.db"
    shutil.copyfile(unsettled, copy)
    with TrainStore(unsettled) as store:
        run = store.start_run(name="live")
        assert run.flush(60)
        unsettled.rename(unsettled.with_name("gone.db"))
        assert any(f"run {run.uid} of " in text and "is missing now" in text for text in findings(call, copy))
        unsettled.with_name("gone.db").rename(unsettled)


def test_the_doctor_sees_hard_links(call, sqlite: str, place: Path) -> None:
    """SQLite names ``-wal`` by the name that a file is opened by."""
    os.link(sqlite.removeprefix("sqlite:///"), place / "other.db")
    (warned,) = findings(call, place / "other.db")
    assert "has 2 names (hard links)" in warned
