"""``trainstore merge``: what it brings, what it says, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import func, make_url, select

from trainstore import TrainStore


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another store, with one run."""
    path = tmp_path / "laptop" / "runs.db"
    path.parent.mkdir()
    record(path, "third")
    return path


def record(url: object, *names: str, **options: object) -> None:
    with TrainStore(url) as store:  # type: ignore[arg-type]
        for name in names:
            with store.start_run(name=name, project="laptop", **options) as run:  # type: ignore[arg-type]
                for step in range(3):
                    run.log({"loss": step}, step=step)


def names_in(url: object) -> list[str]:
    with TrainStore(url, read_only=True) as store:  # type: ignore[arg-type]
        return sorted(store.list_runs()["name"])


def test_what_is_new_is_brought_and_shown(trainstore, store_url, other):
    """A table of runs, then the counts; the second time nothing is new. The source stays as it is."""
    before = other.read_bytes(), sorted(other.parent.iterdir())
    code, out, err = trainstore("merge", other)
    assert (code, err) == (0, "")
    assert "Merged into" in out
    assert ["third", "new", "laptop"] in [line.split()[:3] for line in out.splitlines()]
    assert out.splitlines()[-1] == "1 new"
    assert names_in(store_url) == ["first", "second", "third"]
    assert trainstore("merge", other) == (0, "1 unchanged\n", "")
    assert (other.read_bytes(), sorted(other.parent.iterdir())) == before


def test_the_other_way(trainstore, store_url, other):
    """--into names the target; a run that went on is updated, the report names what is behind."""
    trainstore("merge", other)
    with TrainStore(store_url) as store, store.resume_run("third", step=1) as run:
        run.log({"loss": 9}, step=2)
    out = trainstore("merge", other).out
    assert "1 run (third): the source lacks something of it; merge the other way to bring it there" in out
    code, out, _ = trainstore("merge", store_url, "--into", other)
    assert code == 0
    assert out.splitlines()[-1] == "2 new, 1 updated"
    assert trainstore("merge", other) == (0, "3 unchanged\n", "")
    with TrainStore(other) as store:
        assert store.get_run("third").attempts == 2


def test_values_that_both_changed(trainstore, store_url, other):
    """Each is named, with the one that counts and the other one, and what becomes of it."""
    trainstore("merge", other)
    for url, value in ((other, 0.25), (store_url, 0.75)):
        with TrainStore(url) as store, store.resume_run("third") as run:
            run.log({"loss": value}, step=1)
    out = trainstore("merge", other).out
    assert "1 value changed in both stores: the writer that started last counts" in out
    assert "  third: loss at step 1: 0.75, not 0.25" in out.splitlines()


def test_json(trainstore, other):
    """The report as data."""
    report = json.loads(trainstore("merge", other, "--json").out)
    assert [run["name"] for run in report["new"]] == ["third"]
    assert report["waiting"] == {"journals": 0, "records": 0, "live": 0, "command": ""}
    assert json.loads(trainstore("merge", other, "--json").out)["new"] == []


def test_looking_only(trainstore, store_url, other, tmp_path):
    """--dry-run says the same and writes nothing; a store that does not exist is not made."""
    code, out, err = trainstore("merge", other, "--dry-run")
    assert (code, err) == (0, "")
    assert "Would be merged into" in out
    assert out.endswith("1 new; nothing was written (--dry-run)\n")
    assert names_in(store_url) == ["first", "second"]
    code, out, _ = trainstore("merge", other, "--into", tmp_path / "none.db", "--dry-run")
    assert (code, out.splitlines()[-1]) == (0, "1 new; nothing was written (--dry-run)")
    assert not (tmp_path / "none.db").exists()


def test_a_store_is_made_to_merge_into(call, other, tmp_path):
    """Only if the source can be read."""
    assert call("merge", tmp_path / "missing.db", "--into", tmp_path / "made.db").code == 1
    assert not (tmp_path / "made.db").exists()
    assert call("merge", other, "--into", tmp_path / "made.db").code == 0
    assert names_in(tmp_path / "made.db") == ["third"]


def test_deleted_runs(trainstore, store_url, other):
    """A run that was deleted here stays away until --revive; one deleted there is kept until --delete."""
    trainstore("merge", other)
    trainstore("rm", "third", "--yes")
    out = trainstore("merge", other).out
    assert "1 run (third): deleted here and not brought back; --revive brings it back" in out
    assert names_in(store_url) == ["first", "second"]
    assert trainstore("merge", other, "--revive").out.splitlines()[-1] == "1 revived"
    assert names_in(store_url) == ["first", "second", "third"]
    trainstore("rm", "third", "--yes", "--store", other)
    out = trainstore("merge", other).out
    assert "1 run (third): deleted in the source and kept here; --delete deletes it" in out
    assert trainstore("merge", other, "--delete").out.splitlines()[-1] == "1 deleted"
    assert names_in(store_url) == ["first", "second"]


def test_a_project_and_its_parents(trainstore, store_url, other):
    """Only that project's runs; --with-parents brings those of others that they began from."""
    with TrainStore(other) as store:
        parent = store.get_run("third")
        with store.start_run("child", project="more", parent=parent, parent_step=2):
            pass
    out = trainstore("merge", other, "--project", "more").out
    assert "1 run (child): began from a run that is not here; --with-parents brings that" in out
    assert names_in(store_url) == ["child", "first", "second"]
    trainstore("merge", other, "--project", "more", "--with-parents")
    assert names_in(store_url) == ["child", "first", "second", "third"]
    with TrainStore(store_url) as store:
        assert store.get_run("child").parent_uid == store.get_run("third").uid
        assert store.connection.scalar(select(func.count(store.table.run.c.parent_run_id))) == 1


def test_prefixes(call, store_url, tmp_path):
    """Each side has one; a wrong one is told with those that are there."""
    target = tmp_path / "target.db"
    with TrainStore(target, table_name_prefix="a_") as store, store.start_run("x"):
        pass
    code, _, err = call("merge", target, "--into", store_url)
    assert (code, "some with the prefix 'a_'" in err) == (1, True)
    assert call("merge", target, "--source-prefix", "a_", "--into", store_url).code == 0
    assert names_in(store_url) == ["first", "second", "x"]
    assert call("merge", store_url, "--into", target, "--prefix", "a_").code == 0
    with TrainStore(target, table_name_prefix="a_") as store:
        assert len(store.list_runs()) == 3


def test_what_waits_in_journals_is_told(trainstore, other, start_script):
    """With the command that delivers it, and that works."""
    script = start_script(
        """
        import sqlite3, sys
        from trainstore import TrainStore
        store = TrainStore(sys.argv[1], offline_ok=True)
        lock = sqlite3.connect(sys.argv[1], isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        run = store.start_run("killed")
        run.log({"loss": 1}, step=0)
        print("logged", flush=True)
        sys.stdin.readline()
        """,
        other,
    )
    script.wait_for("logged")
    script.kill()
    out = trainstore("merge", other).out
    assert "3 records in 1 journal of the source are not in it yet" in out
    (line,) = [line for line in out.splitlines() if line.startswith("to bring them too")]
    command = line.partition(": trainstore ")[2].split()
    assert trainstore(*command).code == 0
    assert trainstore("merge", other).out.splitlines()[-1] == "1 new, 1 unchanged"


def test_scalarstops_rows_are_counted(trainstore, other):
    """A line for each table that got some."""
    with TrainStore(other) as store:
        store.insert_datablob_by_str(name="data", group_name="blobs", hyperparams={"rows": 3})
    assert "ScalarStop's table datablob: 1 rows new, 0 updated" in trainstore("merge", other).out
    assert "ScalarStop" not in trainstore("merge", other).out


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("missing.db", "No such file"),
        ("text.db", "is not an SQLite database"),
        ("folder", "is not a file"),
        ("nosuch://me:geheim7@host/db", "no backend"),
        ("postgresql://me:geheim7@127.0.0.1:1/db", "cannot be reached"),
        (":memory:", "in memory"),
    ],
)
def test_sources_that_cannot_be(trainstore, store_url, tmp_path, monkeypatch, source, words):
    """One line says what is wrong, without a password; nothing is changed."""
    (tmp_path / "text.db").write_text("hello")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    code, out, err = trainstore("merge", source)
    assert (code, out) == (1, "")
    assert words in err
    assert len(err.splitlines()) == 1
    assert "geheim7" not in err
    assert names_in(store_url) == ["first", "second"]


def test_a_store_and_itself(trainstore, store_url):
    """Refused, by its path too."""
    for source in [store_url] + ([make_url(store_url).database] if store_url.startswith("sqlite") else []):
        code, _, err = trainstore("merge", source)
        assert (code, "is the target itself" in err) == (1, True)


def test_names_of_runs_do_not_reach_the_terminal_as_they_are(trainstore, other):
    """Control characters are made visible."""
    record(other, "bad\x1b[31m")
    out = trainstore("merge", other).out
    assert "\x1b[31m" not in out
    assert "bad" in out
