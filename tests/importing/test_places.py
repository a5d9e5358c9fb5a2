"""Which files a folder holds, as the readers see them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trainstore.errors import SourceError
from trainstore.importing import places
from trainstore.importing.places import Place


def test_only_regular_files_and_links_within_the_source_are_seen(tmp_path: Path) -> None:
    """Links out of it, links to folders, in a circle or to nothing, pipes: none is followed or opened."""
    source, outside = tmp_path / "source", tmp_path / "outside"
    (source / "a").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret").write_text("x")
    (source / "a" / "file").write_text("1234")
    (source / "link").symlink_to(source / "a" / "file")
    (source / "out").symlink_to(outside / "secret")
    (source / "folder").symlink_to(outside)
    (source / "a" / "circle").symlink_to(source)
    (source / "self").symlink_to(source / "self")
    (source / "nothing").symlink_to(source / "gone")
    os.mkfifo(source / "pipe")
    assert [(file.relative, file.size) for file in Place.of(source).files] == [("a/file", 4), ("link", 4)]


def test_folders_in_folders_have_no_limit(tmp_path: Path) -> None:
    """A thousand and more are not too many for Python's stack."""
    folders = [str(tmp_path)]
    while len(folders[-1]) < 3_500:
        folders.append(f"{folders[-1]}/a")
        os.mkdir(folders[-1])
    file = Path(folders[-1], "file")
    file.touch()
    try:
        assert [file.name for file in Place.of(tmp_path).files] == ["file"]
    finally:  # pytest's own cleaning up calls itself
        file.unlink()
        for folder in reversed(folders[1:]):
            os.rmdir(folder)


def test_a_folder_of_too_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was hardly meant, and would take long."""
    monkeypatch.setattr(places, "MAX_FILES", 2)
    for number in range(3):
        (tmp_path / str(number)).touch()
    with pytest.raises(SourceError, match="more than 2 files; name a folder inside it"):
        _ = Place.of(tmp_path).files


def test_a_database_s_name_is_that_of_its_url_without_what_follows() -> None:
    """It names the project where the tool has none."""
    assert Place.of("postgresql://me:secret@host/runs?host=/run/sockets&password=secret").name == "runs"
