"""A copy of an SQLite file alone, without its ``-wal``, has what finished a second ago."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import make_url, select

from recording.support import eventually
from recording.test_recovery import abandoned, hand_journal
from trainstore.store import TrainStore


@pytest.fixture
def path(new_database: Callable[..., str]) -> Path:
    """An SQLite store."""
    return Path(str(make_url(new_database("sqlite")).database))


@pytest.fixture
def notebook(path: Path) -> Iterator[TrainStore]:
    """It is open in another process all the while, as it were: so no close brings ``-wal`` into the file."""
    with TrainStore(path) as store:
        assert len(store.list_runs()) == 0
        yield store


FINISHED = "SELECT name, notes FROM run WHERE status <> 'running' ORDER BY id"


def in_a_copy(path: Path, query: str = FINISHED) -> list[tuple[str, ...]]:
    """What a copy of the file alone answers: names and notes of the runs that have finished."""
    copy = path.with_name("copy.db")
    shutil.copyfile(path, copy)
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return connection.execute(query).fetchall()


def test_what_finished_is_in_the_file_soon(path: Path, notebook: TrainStore) -> None:
    """Without a close, and again for the next run."""
    for names in (["a"], ["a", "b"]):
        with notebook.start_run(name=names[-1]) as run:
            run.log({"loss": 1.0}, step=0)
        eventually(lambda names=names: [name for name, _ in in_a_copy(path)] == names, f"{names} in the file")


def test_at_the_close_beside_others(path: Path, notebook: TrainStore) -> None:
    """The process that recorded ends; another one still has the file open."""
    with TrainStore(path) as other, other.start_run(name="a") as run:
        run.log({"loss": 1.0}, step=0)
    assert in_a_copy(path) == [("a", None)]


def test_what_is_written_beside_the_journals(path: Path, notebook: TrainStore) -> None:
    """An edit, an edit at once before a close, and a recovery."""
    notebook.start_run(name="a").finish()
    notebook.set_notes("a", "seen")
    eventually(lambda: in_a_copy(path) == [("a", "seen")], "the notes in the file")
    with TrainStore(path) as other:
        other.set_notes("a", "seen again")
    assert in_a_copy(path) == [("a", "seen again")]
    abandoned(notebook, hand_journal())
    notebook.recover()
    assert ("n",) in in_a_copy(path, "SELECT name FROM run")


def test_a_reader_may_hold_it_up(path: Path, notebook: TrainStore) -> None:
    """Its snapshot keeps the old pages: recording goes on, and when it has ended the file gets the rest."""
    with notebook.engine.connect() as reader:
        reader.execute(select(notebook.table.run)).all()
        with notebook.start_run(name="a") as run:
            run.log({"loss": 1.0}, step=0)
        with TrainStore(path) as other:
            assert other.list_runs()["name"].tolist() == ["a"]
        assert in_a_copy(path) == []
    eventually(lambda: in_a_copy(path) == [("a", None)], "the run in the file")
