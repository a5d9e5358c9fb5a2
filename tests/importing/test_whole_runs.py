"""Our own export read back: importing it is copying, whatever is there already; what is not whole is named."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from importing.harness import KILLS, Source, killed_and_done, seconds_to_import
from trainstore import TrainStore
from trainstore.cli import main
from trainstore.errors import InvalidArgumentError, SourceError
from trainstore.importing import check_source, import_runs
from transfer.held import rows


def fill(store: TrainStore) -> None:
    """A parent that was resumed, its child, edits."""
    with store.start_run(project="p", name="parent", hyperparams={"lr": 1e-5, "nested": {"a": [1, "x"]}}) as run:
        for step in range(20):
            run.log({"loss": 1 / (step + 1), "nan": float("nan"), "huge": 2**80}, step=step, epoch=step / 10)
        run.log_event("checkpoint", step=9, details={"path": "here"})
        uid = run.uid
    with store.resume_run(uid, step=9) as run:
        for step in range(10, 15):
            run.log({"loss": 2.0, "text": "größe"}, step=step)
    store.set_tags(uid, {"good": True})
    store.set_notes(uid, "looks *good*")
    with store.start_run(project="p", name="child", parent=uid, parent_step=9) as run:
        run.log({"loss": 1.0}, step=0)


@pytest.fixture
def source(recorded_once: Any, new_database: Callable[..., str]) -> Iterator[TrainStore]:
    with TrainStore(new_database("sqlite", template=recorded_once("sqlite", fill))) as opened:
        yield opened


@pytest.fixture
def plain(new_database: Callable[..., str]) -> Iterator[TrainStore]:
    """An empty store, for what does not depend on the database."""
    with TrainStore(new_database("sqlite")) as opened:
        yield opened


@pytest.fixture
def exported(source: TrainStore, tmp_path: Path) -> Path:
    """Its export."""
    path = tmp_path / "runs.jsonl"
    export(source, path)
    return path


def export(store: TrainStore, path: Path) -> None:
    with pytest.raises(SystemExit) as exited:
        main(["export", "--all", "--for-import", "--force", "-o", str(path), "--store", store.url])
    assert exited.value.code == 0


def test_importing_it_is_copying(source: TrainStore, exported: Path, store: TrainStore) -> None:
    """Every row of every table is there, in a store of either database; again, nothing changes."""
    result = import_runs(store, exported)
    assert (result.tool, result.unread) == ("trainstore", {})
    assert [(run.name, run.state) for run in result.runs] == [("parent", "new"), ("child", "new")]
    assert result.points == 20 * 3 + 5 * 2 + 1
    assert rows(store) == rows(source)
    again = import_runs(store, exported)
    assert {run.state for run in again.runs} == {"unchanged"}
    assert again.points == 0
    assert rows(store) == rows(source)


def test_it_goes_to_the_other_database_and_back(
    source: TrainStore, exported: Path, tmp_path: Path, new_database: Callable[..., str]
) -> None:
    """By two files, SQLite to PostgreSQL to SQLite, and nothing is lost."""
    with TrainStore(new_database("postgresql")) as between, TrainStore(new_database("sqlite")) as last:
        import_runs(between, exported)
        export(between, tmp_path / "back.jsonl")
        import_runs(last, tmp_path / "back.jsonl")
        assert rows(last) == rows(source)


def test_a_store_that_has_some_of_it_gets_the_rest(source: TrainStore, exported: Path, store: TrainStore) -> None:
    """What both know more of a run stays: edits and attempts of both are there."""
    import_runs(store, exported)
    (parent,) = (run.uid for run in import_runs(store, exported).runs if run.name == "parent")
    with source.resume_run(parent, step=12) as run:
        run.log({"loss": 3.0}, step=13)
    store.set_notes(parent, "seen here")
    export(source, exported)
    result = import_runs(store, exported)
    assert {run.name: run.state for run in result.runs} == {"parent": "updated", "child": "unchanged"}
    back = source.merge(store)
    assert len(back.updated) == 1
    assert rows(store) == rows(source)


def test_a_run_that_was_deleted_stays_away_unless_it_is_revived(exported: Path, store: TrainStore) -> None:
    """As with every import: skipped, with the way to bring it."""
    import_runs(store, exported)
    store.delete_run("child")
    result = import_runs(store, exported)
    assert {run.name: run.state for run in result.runs} == {"parent": "unchanged", "child": "skipped"}
    assert "--revive" in next(run.reason or "" for run in result.runs if run.name == "child")
    assert list(store.list_runs()["name"]) == ["parent"]
    assert import_runs(store, exported, revive=True).counts["new"] == 1
    assert set(store.list_runs()["name"]) == {"parent", "child"}


def test_a_dry_run_writes_nothing(exported: Path, plain: TrainStore) -> None:
    """Its report is the import's."""
    dry = import_runs(plain, exported, dry_run=True)
    assert plain.list_runs().empty
    wet = import_runs(plain, exported)
    assert {**dry.to_json(), "dry_run": False} == wet.to_json()


def test_what_is_cut_off_is_named_and_the_rest_is_there(exported: Path, plain: TrainStore) -> None:
    """The run that is not whole is not taken; without a whole run it is an error."""
    lines = exported.read_bytes().splitlines(keepends=True)
    exported.write_bytes(b"".join(lines[:-3]))
    result = import_runs(plain, exported)
    assert [run.name for run in result.runs] == ["parent"]
    assert result.is_damaged
    assert [what.split(" (")[0] for what in result.unread] == ["run child", "the file"]
    exported.write_bytes(b"".join(lines[:20]))
    with pytest.raises(SourceError, match="no run that can be read"):
        import_runs(plain, exported)


def test_a_newer_version_s_file_is_refused(exported: Path, plain: TrainStore) -> None:
    """The error names the file and what to do."""
    exported.write_bytes(exported.read_bytes().replace(b'"format":1', b'"format":2', 1))
    with pytest.raises(SourceError, match=r"runs\.jsonl cannot be imported: .*upgrade trainstore"):
        import_runs(plain, exported)


def test_options_that_do_not_fit_are_refused(exported: Path, plain: TrainStore) -> None:
    """A project of its own, following, another tool."""
    assert check_source(exported) == "trainstore export"
    with pytest.raises(InvalidArgumentError, match="keep their project"):
        import_runs(plain, exported, project="p")
    with pytest.raises(InvalidArgumentError, match="does not grow"):
        import_runs(plain, exported, follow=True)
    with pytest.raises(SourceError):
        import_runs(plain, exported, tool="tensorboard")
    assert plain.list_runs().empty


def test_the_command_brings_it(exported: Path, plain: TrainStore, capsys: pytest.CaptureFixture[str]) -> None:
    """trainstore import knows the file by its first line, and prints what it did."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exited:
        main(["import", str(exported), "--json", "--store", plain.url])
    assert exited.value.code == 0
    assert json.loads(capsys.readouterr().out)["new"] == 2


def test_an_import_that_is_killed_again_and_again_goes_on(
    source: TrainStore, exported: Path, backend_name: str, new_database: Callable[..., str]
) -> None:
    """SIGKILL at random places, then an import to its end: nothing lacks, nothing is there twice."""
    lines, url = Source("trainstore", ""), new_database(backend_name)
    kills = KILLS if backend_name == "sqlite" else max(1, KILLS // 3)
    seconds = seconds_to_import(lines, exported, new_database(backend_name))
    killed_and_done(lines, exported, url, seconds, random.Random(7), kills)
    with TrainStore(url) as store:
        assert rows(store) == rows(source)


def test_no_run_is_ever_half_there(exported: Path, tmp_path: Path, new_database: Callable[..., str]) -> None:
    """A bit that is another anywhere in the file: an error of ours, or runs as they were; what lacks is named."""
    with TrainStore(new_database("sqlite")) as whole:
        import_runs(whole, exported)
        expected = rows(whole)
    random_ = random.Random(3)
    for number in range(5):
        content = bytearray(exported.read_bytes())
        content[random_.randrange(len(content))] ^= 1 << random_.randrange(8)
        path = tmp_path / f"{number}.jsonl"
        path.write_bytes(content)
        with TrainStore(new_database("sqlite")) as store:
            try:
                result = import_runs(store, path)
            except SourceError:
                assert store.list_runs().empty
                continue
            assert result.unread or len(result.runs) == 2
            assert all(set(found) <= set(expected[name]) for name, found in rows(store).items())
            assert store.list_runs().shape[0] == len(result.runs)
