"""Whose journals are whose, under whatever name a file is opened."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import make_url

from recording.test_recovery import abandoned, hand_journal
from trainstore.store import TrainStore


@pytest.fixture
def path(new_database: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An SQLite store in a folder of its own; journals lie beside it."""
    monkeypatch.delenv("TRAINSTORE_JOURNAL_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = Path(str(make_url(new_database("sqlite")).database))
    folder = tmp_path / "data"
    folder.mkdir()
    return made.rename(folder / "runs.db")


def left_by(path: Path) -> str:
    """A journal that a killed process left, which had opened the store by this name; its run's uid."""
    journal = hand_journal()
    with TrainStore(path) as store:
        abandoned(store, journal)
    return journal.run_uid


def recovered_by(path: Path) -> list[str]:
    with TrainStore(path) as store:
        return store.recovered.runs


def symbolic_link(path: Path) -> Path:
    link = path.parent.parent / "link.db"
    link.symlink_to(path)
    return link


def linked_folder(path: Path) -> Path:
    folder = path.parent.parent / "other"
    folder.symlink_to(path.parent)
    return folder / path.name


def hard_link(path: Path) -> Path:
    link = path.with_name("hard.db")
    os.link(path, link)
    return link


@pytest.mark.parametrize("link", [symbolic_link, linked_folder, hard_link])
def test_every_name_of_a_file_finds_its_journals(path: Path, link: Callable[[Path], Path]) -> None:
    """What a process left that opened one name is delivered to who opens the other, both ways."""
    other = link(path)
    for began, finds in ((other, path), (path, other)):
        uid = left_by(began)
        assert recovered_by(finds) == [uid]


def test_a_journal_beside_a_link_is_found(path: Path) -> None:
    """Where it lay before journals went to the file itself."""
    link = symbolic_link(path)
    uid = left_by(path)
    path.with_name("runs.db.journal").rename(link.with_name("link.db.journal"))
    assert recovered_by(link) == [uid]


def test_a_renamed_file_finds_its_journals(path: Path) -> None:
    """The folder beside it has the old name, and the uid in it is the store's."""
    uid = left_by(path)
    moved = path.rename(path.with_name("moved.db"))
    with TrainStore(path) as new:  # another store, in the old place
        assert new.recovered.runs == []
    assert recovered_by(moved) == [uid]


def test_a_folder_that_was_copied_has_its_journals(path: Path) -> None:
    """Those copied with the file are delivered into the copy, those of the original into the original."""
    uid = left_by(path)
    copy = path.parent.parent / "copy"
    shutil.copytree(path.parent, copy)
    assert recovered_by(copy / path.name) == [uid]
    assert recovered_by(path) == [uid]


def test_a_copy_takes_no_journal_of_its_original(path: Path) -> None:
    """Both have one uid; the journal is of the file that it was begun for, as long as that is there."""
    uid = left_by(path)
    copy = path.with_name("copy.db")
    shutil.copyfile(path, copy)
    assert recovered_by(copy) == []
    assert recovered_by(path) == [uid]
    uid = left_by(path)
    path.unlink()
    assert recovered_by(copy) == [uid]
