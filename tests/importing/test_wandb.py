"""W&B's folders: which runs and sessions they are, on which axis their rows lie, and that every point is there."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from importing.reading import (
    SAMPLES,
    WORDS,
    entries_of,
    events,
    hyperparams,
    points,
    runs_of,
    true_points,
    truth,
    unread_of,
)
from importing.writers import (
    WANDB_HEADER,
    changed_records,
    log,
    proto,
    wandb_axis,
    wandb_config,
    wandb_exit,
    wandb_items,
    wandb_record,
    wandb_row,
    wandb_run,
    wandb_summary,
)
from trainstore.errors import SourceError
from trainstore.importing import wandb
from trainstore.importing.foreign import End, Entry, ForeignRun, Notes, Step
from trainstore.importing.places import File, Place

T = 1_780_000_000.0


def write(folder: Path, *records: bytes, run: str = "abc") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"run-{run}.wandb"
    path.write_bytes(log(WANDB_HEADER, records))
    return path


def only(folder: Path) -> ForeignRun:
    (run,) = runs_of(wandb, folder).values()
    return run


def rows(begin: int, end: int, at: float = T) -> list[bytes]:
    return [wandb_row(step, at + step, {"loss": 1 / (step + 1)}) for step in range(begin, end)]


def steps(entries: list[Entry]) -> list[tuple[int, dict[str, Any]]]:
    return [(entry.step, dict(entry.metrics)) for entry in entries if isinstance(entry, Step)]


def ends(entries: list[Entry]) -> list[tuple[str, str | None]]:
    return [(entry.status, entry.error) for entry in entries if isinstance(entry, End)]


def test_the_sample_s_runs_have_every_point_of_the_truth() -> None:
    """Runs, points, parameters, tags, notes, summaries, sessions and status are as the sample's makers logged them."""
    found = runs_of(wandb, SAMPLES / "wandb" / "wandb")
    assert set(found) == {run["name"] for run in truth("wandb")}
    for run in truth("wandb"):
        name = run["name"]
        entries = entries_of(found[name])
        expected = true_points(run["points"])
        if "axis" in run:
            expected = sorted((metric, 10 * step + 10, value) for metric, step, value in expected)
        summary = run.get("summary_own", {})
        assert points(entries) == sorted([*expected, *((key, 40, repr(value)) for key, value in summary.items())]), name
        assert hyperparams(entries) == run["params"]
        tags = {**dict.fromkeys(run.get("tags", []), True)}
        tags |= {key: run[key] for key in ("group", "job_type") if key in run}
        assert hyperparams(entries, "tag") == tags
        assert [entry.text for entry in entries if isinstance(entry, Notes)] == (
            [run["notes"]] if "notes" in run else []
        )
        assert ends(entries)[-1][0] == run["status"]
        assert found[name].project == run["project"]
        assert len(found[name].sessions) == len(run["folders"])
    assert [session.opening() for session in found["resumed"].sessions] == [-1, 20]
    alerts = [event.details for run in found.values() for event in events(entries_of(run))]
    assert alerts == [{"title": "Achtung", "text": "loss is nan", "level": "warn"}]


def test_it_is_known_by_its_logs_and_its_folders(tmp_path: Path) -> None:
    """A log, or a folder named as W&B names them."""
    (tmp_path / "run-1").mkdir()
    (tmp_path / "run-1" / "x.csv").write_text("a")
    assert not wandb.is_at(Place.of(tmp_path))
    path = write(tmp_path / "offline-run-20260101_000000-abc", wandb_run(T))
    assert wandb.is_at(Place.of(tmp_path))
    assert wandb.is_at(Place.of(path))
    path.rename(path.parent / "other")
    assert wandb.is_at(Place.of(tmp_path))


def test_moving_a_folder_changes_no_identity_and_a_copy_is_the_same_session(tmp_path: Path) -> None:
    """A session is known by project, id and start; of two copies the longer one is read."""
    write(tmp_path / "a" / "one", wandb_run(T), *rows(0, 3))
    before = only(tmp_path / "a")
    write(tmp_path / "b" / "one", wandb_run(T), *rows(0, 3))
    write(tmp_path / "b" / "two", wandb_run(T), *rows(0, 5))
    after = only(tmp_path / "b")
    assert (after.identity, after.sessions[0].identity) == (before.identity, before.sessions[0].identity)
    assert len(after.sessions) == 1
    assert len(steps(entries_of(after))) == 5


def test_rows_lie_on_the_axis_that_was_defined_for_them(tmp_path: Path) -> None:
    """A step is an axis, by name or by pattern; an epoch is none; without a whole number the counted step stays."""
    write(
        tmp_path,
        wandb_run(T),
        wandb_axis("train/*", "train/global_step"),
        wandb_axis("train/special", "env_steps"),
        wandb_axis("eval/*", "epoch"),
        wandb_row(0, T, {"train/loss": 1.0, "train/global_step": 10, "train/special": 2.0, "env_steps": 500}),
        wandb_row(1, T, {"eval/loss": 3.0, "epoch": 7}),
        wandb_row(2, T, {"train/loss": 4.0}),
        wandb_row(3, T, {"train/loss": 5.0, "train/global_step": 20.5}),
        wandb_row(4, T, {"train/loss": 6.0, "train/global_step": 30.0, "other": 1}),
    )
    assert steps(entries_of(only(tmp_path))) == [
        (10, {"train/loss": 1.0, "train/global_step": 10}),
        (500, {"train/special": 2.0, "env_steps": 500}),
        (1, {"eval/loss": 3.0, "epoch": 7}),
        (2, {"train/loss": 4.0}),
        (3, {"train/loss": 5.0, "train/global_step": 20.5}),
        (4, {"other": 1}),
        (30, {"train/loss": 6.0, "train/global_step": 30.0}),
    ]


def test_what_is_no_number_is_kept_as_it_is_or_counted(tmp_path: Path) -> None:
    """Texts, lists, nested values and infinities stay; media, console and system metrics are counted."""
    write(
        tmp_path,
        wandb_run(T),
        wandb_row(0, T, {"text": "a", "list": [1, 2], "flag": True, "inf": float("inf"), "none": None}),
        wandb_record(2, (1, proto((2, "a"), (2, "b"), (16, "NaN")))),
        wandb_row(1, T, {"i": {"_type": "image-file", "path": "x"}, "h": {"_type": "histogram", "values": []}, "l": 1}),
        wandb_row(2, T, {"i": {"_type": "images/separated"}, "t": {"_type": "table-file"}}),
        wandb_record(7, (3, proto((1, "cpu"), (16, "1"))), (3, proto((1, "gpu"), (16, "1")))),
        wandb_record(13, (3, "a line")),
        wandb_record(6, (1, proto((1, "requirements.txt")))),
        wandb_exit(0),
    )
    run = only(tmp_path)
    (_, first), (_, nested), (_, beside) = steps(entries_of(run))
    assert first == {"text": "a", "list": [1, 2], "flag": True, "inf": float("inf"), "none": None}
    assert list(nested) == ["a.b"]
    assert str(nested["a.b"]) == "nan"
    assert beside == {"l": 1}
    assert run.sessions[0].left_out == {
        "image": 2,
        "histogram": 1,
        "table": 1,
        "system metric": 2,
        "console line": 1,
    }


def test_media_are_counted_as_one_whose_properties_w_and_b_writes_one_by_one(tmp_path: Path) -> None:
    """So it writes images and histograms; values that are nested otherwise stay."""

    def item(*names: str, value: object) -> tuple[int, bytes]:
        return 1, proto(*((2, name) for name in names), (16, json.dumps(value)))

    write(
        tmp_path,
        wandb_run(T),
        wandb_record(
            2,
            item("img", "_type", value="image-file"),
            item("img", "path", value="media/images/img.png"),
            item("imgs", value=1),
            item("a", "hist", "_type", value="histogram"),
            item("a", "hist", "values", value=[1, 2]),
            item("a", "loss", value=0.5),
            (2, proto((1, 3))),
        ),
        wandb_record(8, (4, "run_table"), (5, "of a table")),
    )
    run = only(tmp_path)
    assert steps(entries_of(run)) == [(3, {"imgs": 1, "a.loss": 0.5})]
    assert run.sessions[0].left_out == {"image": 1, "histogram": 1}


def test_a_summary_that_was_set_by_hand_is_logged_at_the_last_step(tmp_path: Path) -> None:
    """What W&B made of the rows is none; a value that hides a metric's is counted; names are joined by dots."""
    own = {"best": 0.5, "test": {"acc": 1}, "where": "here", "loss": 0.1, "table": {"_type": "table-file"}}
    write(
        tmp_path,
        wandb_run(T),
        *rows(0, 3),
        wandb_summary({"loss": {"min": 1}, "lr": 3}, own=False),
        wandb_summary(own),
        wandb_row(1, T, {"lr": 1}),
        wandb_exit(0),
    )
    run = only(tmp_path)
    entries = entries_of(run)
    assert steps(entries)[-1] == (2, {"best": 0.5, "test.acc": 1, "where": "here"})
    assert run.sessions[0].left_out == {"summary value": 1, "table": 1}
    for before in entries[:-1]:  # the end needs what was read long ago
        rest = list(only(tmp_path).sessions[0].entries(before.position))
        assert rest == entries[entries.index(before) + 1 :]


@pytest.mark.parametrize(
    ("code", "end"),
    [
        (0, ("finished", None)),
        (255, ("interrupted", None)),
        (1, ("failed", "exit code 1")),
        (-9, ("failed", "exit code -9")),
    ],
)
def test_the_exit_code_is_the_status(tmp_path: Path, code: int, end: tuple[str, str | None]) -> None:
    """0 is finished, 255 interrupted, everything else failed; without an exit nothing is said."""
    write(tmp_path, wandb_run(T), *rows(0, 1), wandb_exit(code))
    assert ends(entries_of(only(tmp_path))) == [end]
    write(tmp_path, wandb_run(T), *rows(0, 1))
    assert ends(entries_of(only(tmp_path))) == []


def test_hyperparameters_tags_and_notes_change_while_it_runs(tmp_path: Path) -> None:
    """A later configuration and a later record of the run count; one that says the same says nothing."""
    first = wandb_run(T, "abc", {"lr": 0.1, "_wandb": {}, "opt": {"name": "adam"}}, (9, "notes"), (10, "a"), (6, "g"))
    changed = wandb_run(T, "abc", {"lr": 0.1, "_wandb": {}, "opt": {"name": "adam"}}, (9, "more"), (10, "b"), (12, "s"))
    nested = wandb_record(5, (1, proto((2, "opt"), (2, "eps"), (16, "1e-8"))), (2, proto((1, "lr"))))
    write(tmp_path, first, *rows(0, 2), first, wandb_config({"lr": 0.2}), nested, changed)
    run = only(tmp_path)
    entries = entries_of(run)
    assert [hyperparams([entry]) for entry in entries if hyperparams([entry])] == [
        {"lr": 0.1, "opt": {"name": "adam"}},
        {"lr": 0.2},
        {"opt": {"eps": 1e-8}},
    ]
    assert [hyperparams([entry], "tag") for entry in entries if hyperparams([entry], "tag")] == [
        {"a": True, "group": "g"},
        {"b": True, "sweep": "s"},
    ]
    assert [entry.text for entry in entries if isinstance(entry, Notes)] == ["notes", "more"]
    assert run.sessions[0].left_out == {"removed hyperparameter": 1}
    for count, entry in enumerate(entries):
        assert list(run.sessions[0].entries(entry.position)) == entries[count + 1 :]


def test_artifacts_are_links(tmp_path: Path) -> None:
    """An artifact's name, kind, digest, and how much it holds; one that was used."""
    manifest = proto((4, proto((1, "a"), (4, 10))), (4, proto((1, "b"), (4, 5))))
    write(
        tmp_path,
        wandb_run(T),
        *rows(0, 3),
        wandb_record(8, (4, "model"), (5, "best"), (6, "d1"), (11, "latest"), (12, manifest)),
        wandb_record(25, (1, "i"), (2, "dataset"), (3, "mnist:v0")),
    )
    made, used = events(entries_of(only(tmp_path)))
    assert (made.kind, made.step, made.at) == ("artifact", 2, int((T + 2) * 1e6))
    assert made.details == {
        "type": "model",
        "name": "best",
        "digest": "d1",
        "aliases": ["latest"],
        "files": 2,
        "size": 15,
    }
    assert used.details == {"id": "i", "type": "dataset", "name": "mnist:v0", "used": True}


def openings(folder: Path) -> list[int | None]:
    return [session.opening() for session in only(folder).sessions]


def test_later_folders_of_one_id_supersede_what_follows_their_first_step(tmp_path: Path) -> None:
    """By the times at which they began; one without any row or end is not told yet."""
    write(tmp_path / "b", wandb_run(T), *rows(0, 26), wandb_exit(255))
    write(tmp_path / "a", wandb_run(T + 100), wandb_axis("loss", "step"))
    assert openings(tmp_path) == [-1]
    why = "has no row yet that would tell where it resumes its run"
    assert unread_of(wandb, tmp_path) == {"a/run-abc.wandb": why}
    write(tmp_path / "a", wandb_run(T + 100), *rows(21, 30, T + 100))
    assert openings(tmp_path) == [-1, 20]
    write(tmp_path / "c", wandb_run(T + 200), wandb_exit(1))
    write(tmp_path / "d", wandb_run(T + 300), *rows(0, 1, T + 300))
    assert openings(tmp_path) == [-1, 20, None, -1]


def test_a_folder_that_began_while_the_other_was_written_joins_it(tmp_path: Path) -> None:
    """Several processes may write one run."""
    write(tmp_path / "a", wandb_run(T), *rows(0, 26))
    write(tmp_path / "b", wandb_run(T + 10), *rows(10, 26))
    assert openings(tmp_path) == [-1, None]


def test_forked_runs_have_a_parent_and_rewound_ones_go_on(tmp_path: Path) -> None:
    """``fork_from`` names another run and its step, ``resume_from`` the run itself."""
    write(tmp_path / "a", wandb_run(T), *rows(0, 26))
    branch = (23, proto((1, "abc"), (2, 12.0), (3, "_step")))
    write(tmp_path / "b", wandb_run(T + 100, "fork", {}, branch), *rows(13, 15), run="fork")
    write(tmp_path / "c", wandb_run(T + 200, "abc", {}, branch))
    found = runs_of(wandb, tmp_path)
    assert (found["fork"].parent, found["fork"].parent_step) == (found["abc"].identity, 12)
    assert found["abc"].parent is None
    assert [session.opening() for session in found["abc"].sessions] == [-1, 12]


def test_axes_are_those_of_the_run_and_branches_are_told_on_them(tmp_path: Path) -> None:
    """A session that resumes a run need not define them again; W&B's own count of a branch's step is no step there."""
    counted = [wandb_row(s, T + s, {"loss": s, "global_step": 10 * s}) for s in range(26)]
    write(tmp_path / "a", wandb_run(T), wandb_axis("*", "global_step"), *counted)
    resumed = [wandb_row(20, T + 100, {"loss": 0.5, "global_step": 210})]
    write(tmp_path / "b", wandb_run(T + 100), *resumed)
    branch = (23, proto((1, "abc"), (2, 12.0), (3, "_step")))
    write(tmp_path / "c", wandb_run(T + 200, "fork", {}, branch), *rows(13, 15), run="fork")
    write(tmp_path / "d", wandb_run(T + 300, "abc", {}, branch))
    found = runs_of(wandb, tmp_path)
    assert [session.opening() for session in found["abc"].sessions] == [-1, 209, 120]
    assert steps(list(found["abc"].sessions[1].entries())) == [(210, {"loss": 0.5, "global_step": 210})]
    assert found["fork"].parent_step == 120


def test_facts_of_the_machine_and_the_versions_are_kept(tmp_path: Path) -> None:
    """Host, commit, and the versions of Python and W&B."""
    others = ((13, "host"), (19, proto((4, "3.11.7"), (5, "0.31.0"))), (21, proto((1, "url"), (2, "abc123"))))
    write(tmp_path, wandb_run(T, "abc", {}, *others))
    (session,) = only(tmp_path).sessions
    assert session.host == "host"
    assert session.facts == {"versions": {"python": "3.11.7", "wandb": "0.31.0"}, "git_commit": "abc123"}


def test_reading_goes_on_after_any_entry_and_after_any_cut(tmp_path: Path) -> None:
    """Whatever part of a log is there when it is read: what is read then and later is all that it holds."""
    path = write(
        tmp_path,
        wandb_run(T, "abc", {"lr": 0.1}, (9, "notes"), (10, "a")),
        wandb_axis("train/*", "train/global_step"),
        *(wandb_row(s, T + s, {"train/loss": s, "train/global_step": 10 * s, "x": s}) for s in range(3)),
        wandb_record(10, (1, "title"), (2, "text"), (3, "ERROR")),
        wandb_summary({"best": 1.0}),
        wandb_axis("x", "x_step"),
        wandb_record(10, (1, "again")),
        wandb_row(3, T + 3, {"x": 7, "x_step": 70}),
        wandb_exit(0),
    )
    whole = entries_of(only(tmp_path))
    data = path.read_bytes()
    start = len(log(WANDB_HEADER, [wandb_run(T, "abc", {"lr": 0.1}, (9, "notes"), (10, "a"))]))
    for cut in range(start, len(data)):
        path.write_bytes(data[:cut])
        before = entries_of(only(tmp_path))
        path.write_bytes(data)
        assert before + list(only(tmp_path).sessions[0].entries(before[-1].position)) == whole
    for count, entry in enumerate(whole):
        assert list(only(tmp_path).sessions[0].entries(entry.position)) == whole[count + 1 :]


def test_following_a_log_reads_only_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has read a log goes on where it was, and knows axes, names and summary."""
    records = [
        wandb_run(T),
        wandb_axis("train/*", "train/step"),
        *(wandb_row(s, T + s, {"train/loss": s, "train/step": 10 * s}) for s in range(2_000)),
        wandb_summary({"best": 1.0}),
        wandb_exit(0),
    ]
    path = write(tmp_path, *records)
    whole = entries_of(only(tmp_path))
    read: list[int] = []
    original = wandb.record_of
    monkeypatch.setattr(wandb, "_READ", {})
    monkeypatch.setattr(wandb, "record_of", lambda payload: read.append(1) or original(payload))
    found: list[Entry] = []
    for count in (500, 1_000, 1_500, len(records)):
        path.write_bytes(log(WANDB_HEADER, records[:count]))
        found += only(tmp_path).sessions[0].entries(found[-1].position if found else 0)
    assert found == whole
    assert len(read) < len(records) + 50


def test_a_run_that_was_resumed_often_is_read_a_few_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each session asks what those before it were; that does not read all of them again for each."""
    count = 30
    for number in range(count):
        at = T + 1_000 * number
        write(
            tmp_path / f"offline-run-20260101_{number:06d}-abc",
            wandb_run(at),
            *(wandb_row(step, at + step, {"loss": 1.0}) for step in range(10 * number, 10 * number + 12)),
        )
    opened, read = wandb._records, list[str]()

    def records(file: File, damage: list[str], start: int = 0) -> Iterator[tuple[int, int, int, bytes]]:
        read.append(file.relative)
        return opened(file, damage, start)

    monkeypatch.setattr(wandb, "_records", records)
    run = only(tmp_path)
    assert [session.opening() for session in run.sessions] == [-1, *range(9, 10 * count - 1, 10)]
    assert sum(len([*session.entries()]) for session in run.sessions) == 12 * count
    assert len(read) < 8 * count


def test_a_row_on_too_many_axes_is_counted(tmp_path: Path) -> None:
    """A record has room for so many steps; the row after it is read in any case."""
    axes = [wandb_axis(f"m{number}", f"a{number}/step") for number in range(100)]
    row = {f"m{number}": 0.5 for number in range(100)} | {f"a{number}/step": 10 * number for number in range(100)}
    write(tmp_path / "offline-run-20260101_000000-abc", wandb_run(T), *axes, wandb_row(0, T, row), *rows(1, 3))
    run = only(tmp_path)
    found = points(entries_of(run))
    assert len([name for name, *_ in found if name.startswith("m")]) == 64
    assert len([name for name, *_ in found if name == "loss"]) == 2
    assert run.sessions[0].left_out == {"value on one of too many axes": 72}


def test_nesting_has_an_end(tmp_path: Path) -> None:
    """A name of thousands of parts is joined, a value of thousands of lists is damage; the rest is read."""
    name, deep = [(2, "a")] * 5_000, "[" * 900 + "]" * 900
    write(
        tmp_path / "offline-run-20260101_000000-abc",
        wandb_run(T),
        wandb_record(5, (1, proto(*name, (16, "1")))),
        wandb_record(5, (1, proto((1, "deep"), (16, deep)))),
        *rows(0, 3),
    )
    run = only(tmp_path)
    entries = entries_of(run)
    (found,) = hyperparams(entries).values()
    for _ in range(64):
        (found,) = found.values()
    assert found == 1
    assert len(points(entries)) == 3
    assert len(run.sessions[0].damage) == 1


def test_a_log_that_is_torn_or_damaged_gives_what_is_whole(tmp_path: Path) -> None:
    """A cut is told; a flipped bit costs the rest of its block of 32 KiB and is told."""
    path = write(tmp_path, wandb_run(T), *rows(0, 1_000))
    data = bytearray(path.read_bytes())
    path.write_bytes(data[:-3])
    run = only(tmp_path)
    assert len(steps(entries_of(run))) == 999
    (line,) = run.sessions[0].damage
    assert line.startswith("its last record is torn (byte ")
    data[40_000] ^= 1
    path.write_bytes(data)
    run = only(tmp_path)
    assert 0 < 1_000 - len(steps(entries_of(run))) < 400
    assert len(run.sessions[0].damage) == 1
    assert "cannot be read from byte" in run.sessions[0].damage[0]


def test_a_value_that_is_no_json_is_damage(tmp_path: Path) -> None:
    """A row with a broken or bottomless value is told, and the rows around it are read."""
    deep = "[" * 100_000
    write(
        tmp_path,
        wandb_run(T),
        *rows(0, 1),
        wandb_record(2, (1, proto((2, "a"), (16, "{no")))),
        wandb_record(2, (1, proto((2, "a"), (16, deep)))),
        wandb_record(2, (1, proto((2, "a"), (16, "1" * 10_000)))),
        *rows(1, 2),
    )
    run = only(tmp_path)
    assert [step for step, _ in steps(entries_of(run))] == [0, 1]
    assert len(run.sessions[0].damage) == 3


def test_what_is_not_read_is_named(tmp_path: Path) -> None:
    """Folders whose history is only on the server, other files of that name, other versions."""
    with pytest.raises(SourceError, match="holds no W&B logs"):
        list(runs_of(wandb, tmp_path))
    synced = tmp_path / "wandb" / "run-20260101_000000-xyz" / "files"
    synced.mkdir(parents=True)
    (synced / "config.yaml").write_text("lr: 1\n")
    with pytest.raises(SourceError, match=r"run-20260101_000000-xyz has no \.wandb file: its history is only on"):
        list(runs_of(wandb, tmp_path))
    write(tmp_path / "wandb" / "offline-run-20260101_000000-abc", wandb_run(T), *rows(0, 1))
    (tmp_path / "a.wandb").write_bytes(b"something else")
    (tmp_path / "b.wandb").write_bytes(b":W&B" + struct.pack("<HB", 0xBEE1, 7))
    (tmp_path / "c.wandb").write_bytes(b"")
    assert list(runs_of(wandb, tmp_path)) == ["abc"]
    (tmp_path / "d.wandb").write_bytes(WANDB_HEADER)
    assert unread_of(wandb, tmp_path) == {
        "c.wandb": "is empty",
        "d.wandb": "does not say yet which run it belongs to",
        "a.wandb": "is not a log of W&B",
        "b.wandb": "is of version 7 of W&B's format; only version 0 can be read",
        "wandb/run-20260101_000000-xyz": "has no .wandb file: its history is only on W&B's server",
    }


RECORDS = [
    wandb_axis("a", "step"),
    wandb_row(3, T, {"a": 1, "b": {"_type": "x"}}),
    wandb_config({"a": {"b": 1}}),
    wandb_summary({"a": 1}),
    wandb_record(8, (4, "model"), (12, proto((4, proto((4, 10)))))),
    wandb_record(10, (1, "title")),
    wandb_run(T, "abc", {"x": 1}, (23, proto((1, "abc"), (2, 1.0)))),
    wandb_exit(3),
    wandb_record(7, (3, b"")),
]


@given(st.data())
def test_no_bytes_of_a_record_raise(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Records whose bytes were changed behind a right checksum are read, counted, or told as damage."""
    folder = tmp_path_factory.mktemp("hostile")
    changed = changed_records(data, RECORDS)
    write(folder / "a", wandb_run(T), *rows(0, 2), *changed)
    write(folder / "b", wandb_run(T + 100), *changed, *rows(0, 2))
    for run in runs_of(wandb, folder).values():
        for entry in entries_of(run):
            assert not isinstance(entry, Step) or 0 <= entry.step < 2**63
        assert all(session.opening() is None or session.opening() >= -1 for session in run.sessions)


TEXTS = st.text().filter(lambda text: text not in WORDS)  # in a truth, these words are floats
VALUES = st.floats() | st.integers(-(2**62), 2**62) | TEXTS


@given(st.lists(st.dictionaries(st.text(min_size=1), VALUES, max_size=4)))
def test_any_history_comes_back(tmp_path_factory: pytest.TempPathFactory, history: list[dict[str, Any]]) -> None:
    """Names and values of any kind, as JSON has them."""
    folder = tmp_path_factory.mktemp("any")
    known = [{name: value for name, value in row.items() if not name.startswith("_")} for row in history]
    write(folder, wandb_run(T), *(wandb_row(step, T, row) for step, row in enumerate(known)))
    expected = [[name, step, value] for step, row in enumerate(known) for name, value in row.items()]
    assert points(entries_of(only(folder))) == true_points(json.loads(json.dumps(expected)))


def test_a_metric_s_items_are_those_of_older_versions_too(tmp_path: Path) -> None:
    """Older versions of W&B wrote names in another field."""
    write(tmp_path, wandb_run(T), wandb_record(2, *[(1, wandb_items({"a": 1}, own=True)[2:])], (2, proto((1, 4)))))
    assert steps(entries_of(only(tmp_path))) == [(4, {"a": 1})]
