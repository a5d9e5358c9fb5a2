"""What holds for every source: all its points are there, imported again nothing changes, and it may be interrupted,
grow, or be damaged at any place."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from importing.harness import (
    KILLS,
    Source,
    content,
    damaged,
    everything,
    fingerprint,
    grown,
    killed_and_done,
    lacking,
    seconds_to_import,
    stored_points,
)
from importing.sources import SOURCES
from trainstore.errors import SourceError
from trainstore.importing import readers
from trainstore.importing.places import Place
from trainstore.importing.sessions import FAULT
from trainstore.store import TrainStore

LOGS = [source for source in SOURCES if source.is_log]
every_source = pytest.mark.parametrize("source", SOURCES, ids=str)


def test_every_reader_has_a_source_here() -> None:
    """A reader without a sample that goes through these tests is not done."""
    assert set(readers.tools()) == {source.reads_as or source.tool for source in SOURCES}


@every_source
def test_a_source_is_known_by_what_lies_there(source: Source) -> None:
    """Without --from, and by one reader alone."""
    found = readers.reader_of(Place.of(source.path))
    assert found.TOOL in (source.reads_as, source.tool)


@every_source
def test_every_point_of_the_truth_is_in_the_store(source: Source, store: TrainStore) -> None:
    """All runs of the truth, each with all points and no other, repeated steps included."""
    result = source.bring(store)
    expected, found = source.expected(), stored_points(store)
    assert set(found) == set(expected)
    for name, points in expected.items():
        assert found[name] == points, name
    assert {run.state for run in result.runs} == {"new"}
    assert result.points == sum(name != source.apart for points in expected.values() for name, *_ in points)


@every_source
def test_imported_again_nothing_changes(source: Source, store: TrainStore, tmp_path: Path) -> None:
    """Every row of every table stays as it is, and the report says so; the source's bytes and times stay too."""
    place = source.copy(tmp_path / "somewhere")
    before = fingerprint(place)
    source.bring(store, place)
    rows = everything(store)
    again = source.bring(store, place)
    assert everything(store) == rows
    assert {run.state for run in again.runs} == {"unchanged"}
    assert again.points == 0
    assert fingerprint(place) == before


@every_source
def test_a_copy_elsewhere_is_the_same_runs(source: Source, tmp_path: Path, new_database: Callable[..., str]) -> None:
    """Where a source lies is not part of its runs' identity."""
    with TrainStore(new_database("sqlite")) as store:
        source.bring(store)
        rows = content(store)
        again = source.bring(store, source.copy(tmp_path / "elsewhere"))
        assert {run.state for run in again.runs} <= {"unchanged", "updated"}
        assert again.points == 0
        assert content(store) == rows


@every_source
def test_a_dry_run_reports_the_same_and_writes_nothing(source: Source, new_database: Callable[..., str]) -> None:
    """Its report has the same runs, states, points and damage as the import's."""
    with TrainStore(new_database("sqlite")) as store:
        rows = everything(store)
        dry = source.bring(store, dry_run=True)
        assert everything(store) == rows
        wet = source.bring(store)
    assert {**dry.to_json(), "dry_run": False} == wet.to_json()


@pytest.mark.parametrize("source", LOGS, ids=str)
@pytest.mark.parametrize("seed", range(2))
def test_a_log_that_grows_between_imports_is_as_if_it_was_imported_once(
    source: Source, seed: int, tmp_path: Path, new_database: Callable[..., str]
) -> None:
    """File after file, each cut anywhere, imported after each piece."""
    with TrainStore(new_database("sqlite")) as once, TrainStore(new_database("sqlite")) as piecewise:
        source.bring(once)
        place = tmp_path / "grown" / source.path.name
        place.parent.mkdir()
        for _ in grown(source.path, place, source.written, random.Random(seed)):
            try:
                source.bring(piecewise, place)
            except SourceError:
                assert not stored_points(piecewise)  # nothing of it can be known yet
        assert stored_points(piecewise) == stored_points(once)
        assert content(piecewise) == content(once)


@every_source
def test_an_import_that_is_killed_again_and_again_goes_on(
    source: Source, backend_name: str, tmp_path: Path, new_database: Callable[..., str]
) -> None:
    """SIGKILL at random places, then an import to its end: the store holds what one import brings."""
    kills = KILLS - KILLS // 3 if backend_name == "sqlite" else KILLS // 3
    place, random_, killed, stores = source.copy(tmp_path / "source"), random.Random(str(source)), 0, 0
    url = new_database(backend_name)
    seconds = seconds_to_import(source, place, url)
    with TrainStore(url) as store:
        once = content(store)
    while killed < kills:
        url = new_database(backend_name)
        killed += killed_and_done(source, place, url, seconds, random_, min(5, kills - killed))
        stores += 1
        with TrainStore(url) as store:
            assert content(store) == once
    print(f"{source} on {backend_name}: {killed} imports were killed, {stores} stores are as of one import")


@every_source
@pytest.mark.parametrize("seed", range(int(os.environ.get("IMPORT_DAMAGES", "3"))))
def test_damaged_files_never_crash_it(
    source: Source, seed: int, tmp_path: Path, new_database: Callable[..., str]
) -> None:
    """A file that is cut short or has other bits: an error of ours, or an import of what can be read.

    What lacks of the truth is named as damage, or left out with a count, or its run cannot be read at all.
    """
    place = source.copy(tmp_path / "source")
    done = damaged(place, random.Random(f"{source}-{seed}"))
    with TrainStore(new_database("sqlite")) as store:
        try:
            result = source.bring(store, place)
        except SourceError:
            return  # nothing of it can be read
        again = source.bring(store, place)
        assert again.points == 0, done
        assert not [line for run in result.runs for line in run.damage if FAULT in line], done
        assert content(store) is not None
        found = stored_points(store)
        lost = {name: lacking(found.get(name, []), points) for name, points in source.expected().items()}
        if any(lost.values()) and source.is_log:
            told: list[Any] = [*result.unread, *(line for run in result.runs for line in (*run.damage, *run.left_out))]
            # A log that is cut between two records looks whole; the readers' own tests say what else is told.
            assert told or " cut at byte " in done, (done, lost)


@every_source
def test_a_file_that_cannot_be_read_is_named(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_database: Callable[..., str]
) -> None:
    """An error of the disk, or no right to read: an error of ours, or what the other files hold and a line about it."""
    place = source.copy(tmp_path / "source")
    opened, failing = Path.open, random.Random(str(source))

    def open_(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.is_relative_to(place) and failing.random() < 0.3:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    for _ in range(3):
        with TrainStore(new_database("sqlite")) as store, monkeypatch.context() as patch:
            patch.setattr(Path, "open", open_)
            refused = ""
            try:
                result = source.bring(store, place)
            except SourceError as error:
                refused = str(error)
        if refused:
            assert "Permission denied" in refused
        else:
            assert result.is_damaged or result.points == sum(map(len, source.expected().values()))
