"""``trainstore copy``: runs into another store, to be sent or kept."""

from __future__ import annotations

import json

import pytest

from trainstore import TrainStore


def names_in(url):
    with TrainStore(url, read_only=True) as store:
        return sorted(store.list_runs()["name"])


def test_a_run_is_copied_whole(trainstore, store_url, tmp_path):
    """Into a new file: the same uid, steps, hyperparameters, tags and events."""
    code, out, err = trainstore("copy", "first", "--to", tmp_path / "send.db")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "1 new"
    with TrainStore(store_url) as one, TrainStore(tmp_path / "send.db") as other:
        assert len(other.list_runs()) == 1
        before, after = one.get_run("first"), other.get_run("first")
        assert (after.uid, after.hyperparams, after.tags) == (before.uid, before.hyperparams, before.tags)
        assert other.list_step_logs("first")["eval_loss"].tolist() == one.list_step_logs("first")["eval_loss"].tolist()
        assert other.list_events("first")["kind"].tolist() == one.list_events("first")["kind"].tolist()
    assert trainstore("copy", "first", "--to", tmp_path / "send.db") == (0, "1 unchanged\n", "")


def test_several_runs_into_a_store_that_is_there(trainstore, store_url, new_database):
    """Runs are named as everywhere; JSON has the report."""
    target = new_database("postgresql")
    with TrainStore(store_url) as store:
        uid = store.get_run("second").uid
    code, out, err = trainstore("copy", "first", uid, "--to", target, "--json")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert sorted(run["name"] for run in report["new"]) == ["first", "second"]
    assert names_in(target) == ["first", "second"]


def test_parents(trainstore, store_url, tmp_path):
    """Only with --with-parents; what is missing is told."""
    with TrainStore(store_url) as store, store.start_run("child", parent=store.get_run("first"), parent_step=2):
        pass
    out = trainstore("copy", "child", "--to", tmp_path / "a.db").out
    assert "1 run (child): began from a run that is not here; --with-parents brings that" in out
    assert names_in(tmp_path / "a.db") == ["child"]
    trainstore("copy", "child", "--to", tmp_path / "b.db", "--with-parents")
    assert names_in(tmp_path / "b.db") == ["child", "first"]


def test_looking_only(trainstore, tmp_path):
    """--dry-run makes no file."""
    code, out, _ = trainstore("copy", "first", "--to", tmp_path / "send.db", "--dry-run")
    assert (code, out.splitlines()[-1]) == (0, "1 new; nothing was written (--dry-run)")
    assert not (tmp_path / "send.db").exists()


def test_prefixes(call, store_url, tmp_path):
    """--prefix is the source's, --to-prefix the other's."""
    assert call("copy", "first", "--store", store_url, "--to", tmp_path / "x.db", "--to-prefix", "team_").code == 0
    assert call("copy", "first", "--store", tmp_path / "x.db", "--prefix", "team_", "--to", tmp_path / "y.db").code == 0
    assert names_in(tmp_path / "y.db") == ["first"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("nobody", "--to", "x.db"), 1, "there is no run 'nobody'"),
        (("--to", "x.db"), 2, "Missing argument 'RUN...'"),
        (("first",), 2, "Missing option '--to'"),
        (("first", "--to", "folder/none/x.db"), 1, "there is no folder"),
        (("first", "--to", "x.db", "--store", "none.db"), 1, "there is no store at none.db"),
    ],
)
def test_what_cannot_be_copied(trainstore, tmp_path, monkeypatch, arguments, code, words):
    """One line says why, and no file is made."""
    monkeypatch.chdir(tmp_path)
    called = trainstore("copy", *arguments)
    assert (called.code, words in called.err) == (code, True), called.err
    assert not (tmp_path / "x.db").exists()


def test_a_store_and_itself(trainstore, store_url):
    """Refused."""
    code, _, err = trainstore("copy", "first", "--to", store_url)
    assert (code, "is the target itself" in err) == (1, True)


def test_a_damaged_run_is_not_copied(trainstore, store_url, tmp_path):
    """The others are, and the error says which value it is."""
    if not store_url.startswith("sqlite"):
        return  # its types see to it
    with TrainStore(store_url) as store, store.engine.begin() as connection:
        uid = connection.exec_driver_sql("SELECT uid FROM run WHERE name = 'second'").scalar()
        connection.exec_driver_sql("UPDATE run SET started_at = 'soon' WHERE name = 'second'")
    why = f"Error: run {uid} was not merged: it is damaged: run.started_at holds 'soon', no time\n"
    code, out, err = trainstore("copy", "second", "--to", tmp_path / "send.db")
    assert (code, out, err) == (1, "no run was merged\n", why)
    code, out, err = trainstore("copy", "first", "second", "--to", tmp_path / "send.db")
    assert (code, out.splitlines()[-1], err) == (1, "1 new", why)
