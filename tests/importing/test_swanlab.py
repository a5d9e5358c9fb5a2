"""SwanLab's folders: which runs and sessions they are, and that every point is there, whatever their state."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from importing.reading import SAMPLES, entries_of, hyperparams, points, runs_of, true_points, truth, unread_of
from importing.writers import (
    SWANLAB_HEADER,
    changed_records,
    log,
    swanlab_finish,
    swanlab_record,
    swanlab_scalar,
    swanlab_start,
)
from trainstore.errors import SourceError
from trainstore.importing import swanlab
from trainstore.importing.foreign import End, Entry, ForeignRun, Notes, Step
from trainstore.importing.places import Place

T = 1_780_000_000.0


def write(folder: Path, *records: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "run-abc.swanlab"
    path.write_bytes(log(SWANLAB_HEADER, records))
    return path


def only(folder: Path) -> ForeignRun:
    (run,) = runs_of(swanlab, folder).values()
    return run


def series(begin: int, end: int, at: float = T) -> list[bytes]:
    return [swanlab_scalar("loss", step, at + step, 1 / (step + 1)) for step in range(begin, end)]


def steps(entries: list[Entry]) -> list[tuple[int, dict[str, Any]]]:
    return [(entry.step, dict(entry.metrics)) for entry in entries if isinstance(entry, Step)]


def test_the_sample_s_runs_have_every_point_of_the_truth() -> None:
    """Runs, points, parameters, tags, notes, times and status are as the sample's makers logged them."""
    found = runs_of(swanlab, SAMPLES / "swanlab")
    assert set(found) == {run["name"] for run in truth("swanlab")}
    for run in truth("swanlab"):
        entries = entries_of(found[run["name"]])
        assert points(entries) == true_points(run["points"])
        assert hyperparams(entries) == run["params"]
        (end,) = [entry for entry in entries if isinstance(entry, End)]
        assert end.status == run.get("status", "finished")
        started = found[run["name"]].started_at
        assert all(started <= entry.at <= end.at for entry in entries if isinstance(entry, Step))
    (notes,) = [entry.text for entry in entries_of(found["groesse-1"]) if isinstance(entry, Notes)]
    assert notes == "Notizen"
    assert hyperparams(entries_of(found["groesse-1"]), "tag") == {"a": True}
    (failed,) = [entry for entry in entries_of(found["failed"]) if isinstance(entry, End)]
    assert failed.error == "ValueError: kaputt"


def test_it_is_known_by_its_logs(tmp_path: Path) -> None:
    """A log, or a folder that holds one somewhere."""
    assert not swanlab.is_at(Place.of(tmp_path))
    path = write(tmp_path / "swanlog" / "run-20260101_000000-abc", swanlab_start(T))
    assert swanlab.is_at(Place.of(tmp_path))
    assert swanlab.is_at(Place.of(path))


def test_numbers_of_one_step_are_one_entry(tmp_path: Path) -> None:
    """Those that follow each other; console lines between them do not count, a value again does."""
    write(
        tmp_path,
        swanlab_start(T),
        swanlab_scalar("a", 0, T, 1),
        swanlab_record(16, T, (1, "a line")),
        swanlab_scalar("b", 0, T + 1, 0),
        swanlab_scalar("a", 0, T + 2, 3),
        swanlab_scalar("a", 1, T + 3, float("-inf")),
    )
    entries = entries_of(only(tmp_path))
    assert steps(entries) == [(0, {"a": 1.0, "b": 0.0}), (0, {"a": 3.0}), (1, {"a": float("-inf")})]
    assert [entry.at for entry in entries if isinstance(entry, Step)] == [
        int(T * 1e6),
        int((T + 2) * 1e6),
        int((T + 3) * 1e6),
    ]


def test_what_is_no_number_of_the_training_is_counted(tmp_path: Path) -> None:
    """Media, console, the machine's numbers, values of other kinds and negative steps."""
    write(
        tmp_path,
        swanlab_start(T),
        swanlab_record(14, T, (1, "image")),
        swanlab_record(16, T, (1, "a line")),
        swanlab_scalar("__swanlab__.cpu.pct", 0, T, 1),
        swanlab_record(13, T, (1, "x"), (2, 0), (5, b"\x12\x01a")),
        swanlab_scalar("loss", -1, T, 1),
        swanlab_scalar("loss", 1, T, 1),
    )
    run = only(tmp_path)
    assert steps(entries_of(run)) == [(1, {"loss": 1.0})]
    assert run.sessions[0].left_out == {
        "media item": 1,
        "console line": 1,
        "system metric": 1,
        "unknown value": 1,
        "number at a negative step": 1,
    }


@pytest.mark.parametrize(("state", "status"), [(1, "finished"), (2, "failed"), (3, "interrupted"), (9, "interrupted")])
def test_the_end_is_as_swanlab_says(tmp_path: Path, state: int, status: str) -> None:
    """Finished, crashed with its error, aborted."""
    write(tmp_path, swanlab_start(T), *series(0, 1), swanlab_finish(T + 9, state, "why"))
    (end,) = [entry for entry in entries_of(only(tmp_path)) if isinstance(entry, End)]
    assert (end.status, end.error, end.at) == (status, "why", int((T + 9) * 1e6))


def test_later_folders_of_one_id_supersede_what_follows_their_first_step(tmp_path: Path) -> None:
    """A folder without any number or end is not told yet; one that began while the other was written joins it."""

    def openings() -> list[int | None]:
        return [session.opening() for session in only(tmp_path).sessions]

    write(tmp_path / "b", swanlab_start(T), *series(0, 26))
    write(tmp_path / "a", swanlab_start(T + 100))
    assert openings() == [-1]
    write(tmp_path / "a", swanlab_start(T + 100), *series(21, 30, T + 100))
    assert openings() == [-1, 20]
    write(tmp_path / "a", swanlab_start(T + 10), *series(21, 30, T + 10))
    assert openings() == [-1, None]
    write(tmp_path / "copy", swanlab_start(T + 10), *series(21, 25, T + 10))
    assert openings() == [-1, None]


def test_the_configuration_is_that_of_the_folder(tmp_path: Path) -> None:
    """Values of any depth; a file that is no YAML is told, and the numbers are read all the same."""
    write(tmp_path, swanlab_start(T, "abc", (7, "g"), (8, "j")), *series(0, 1))
    config = tmp_path / "files" / "config.yaml"
    config.parent.mkdir()
    config.write_text("lr:\n  desc: ''\n  sort: 0\n  value: 0.1\nno:\n  value: {}\nother: 3\n")
    entries = entries_of(only(tmp_path))
    assert hyperparams(entries) == {"lr": 0.1, "no": None}
    assert hyperparams(entries, "tag") == {"group": "g", "job_type": "j"}
    config.write_text("{[\n")
    run = only(tmp_path)
    assert steps(entries_of(run)) == [(0, {"loss": 1.0})]
    (line,) = run.sessions[0].damage
    assert "config.yaml" in line


def test_reading_goes_on_after_any_entry_and_after_any_cut(tmp_path: Path) -> None:
    """Whatever part of a log is there when it is read: what is read then and later is all that it holds."""
    path = write(
        tmp_path,
        swanlab_start(T, "abc", (5, "notes"), (6, "tag")),
        *series(0, 3),
        *(swanlab_scalar(name, 3, T, 1) for name in "abc"),
        swanlab_record(13, T, (1, "unknown"), (5, b"\x12\x01a")),
        swanlab_finish(T, 1),
    )
    whole = entries_of(only(tmp_path))
    data = path.read_bytes()
    for cut in range(len(log(SWANLAB_HEADER, [swanlab_start(T, "abc", (5, "notes"), (6, "tag"))])), len(data)):
        path.write_bytes(data[:cut])
        before = entries_of(only(tmp_path))
        path.write_bytes(data)
        after = list(only(tmp_path).sessions[0].entries(before[-1].position))
        assert points(before + after) == points(whole)
        assert [e for e in before + after if not isinstance(e, Step)] == [e for e in whole if not isinstance(e, Step)]
    for count, entry in enumerate(whole):
        assert list(only(tmp_path).sessions[0].entries(entry.position)) == whole[count + 1 :]


def test_what_is_not_read_is_named(tmp_path: Path) -> None:
    """Other files of that name and other versions of the format; a log that has just begun is no run yet."""
    with pytest.raises(SourceError, match="holds no SwanLab logs"):
        list(runs_of(swanlab, tmp_path))
    (tmp_path / "b.swanlab").write_bytes(b":SWL" + struct.pack("<HB", 0xE1D6, 3))
    with pytest.raises(SourceError, match=r"b\.swanlab is of version 3 of SwanLab's format; only version 2 can"):
        list(runs_of(swanlab, tmp_path))
    (tmp_path / "a.swanlab").write_bytes(b"something else")
    (tmp_path / "c.swanlab").write_bytes(SWANLAB_HEADER)
    write(tmp_path, swanlab_start(T), *series(0, 1))
    assert list(runs_of(swanlab, tmp_path)) == ["abc"]
    assert set(unread_of(swanlab, tmp_path)) == {"a.swanlab", "b.swanlab", "c.swanlab"}


@given(st.data())
def test_no_bytes_of_a_record_raise(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Records whose bytes were changed behind a right checksum are read, counted, or told as damage."""
    folder = tmp_path_factory.mktemp("hostile")
    known = [
        swanlab_start(T, "abc", (6, "tag")),
        swanlab_scalar("loss", 3, T, 1),
        swanlab_finish(T, 2, "why"),
        swanlab_record(20, T, (5, 1)),
        swanlab_record(14, T, (1, "image")),
    ]
    changed = changed_records(data, known)
    write(folder / "a", swanlab_start(T), *series(0, 2), *changed)
    write(folder / "b", swanlab_start(T + 100), *changed, *series(0, 2))
    for run in runs_of(swanlab, folder).values():
        for entry in entries_of(run):
            assert not isinstance(entry, Step) or 0 <= entry.step < 2**63
        assert all(opening is None or opening >= -1 for opening in (session.opening() for session in run.sessions))
