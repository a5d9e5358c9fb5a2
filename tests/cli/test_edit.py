"""``trainstore tag``, ``note``, ``rename``, ``rm``: what they change, what they ask, what they refuse."""

import io
import json
import os
import pty
import subprocess
import sys

import pytest

from fixtures import forkserver
from trainstore import TrainStore


def test_tags_are_set_shown_and_removed(trainstore, store_url):
    """A name alone is True, = gives text, := gives JSON; all tags are shown after it."""
    assert trainstore("tag", "first") == (0, "t\n", "")
    code, out, _ = trainstore("tag", "first", "owner=ann", "version=1.10", "folds:=5", "good", "--remove", "t")
    assert code == 0
    assert sorted(out.split()) == ["folds=5", "good", "owner=ann", "version=1.10"]
    shown = json.loads(trainstore("tag", "first", "--json")[1])
    assert shown["tags"] == {"folds": 5, "good": True, "owner": "ann", "version": "1.10"}
    with TrainStore(store_url) as store:
        assert list(store.list_runs(tag={"folds": 5})["name"]) == ["first"]
        assert store.get_run("second").tags == {"t": True}
    trainstore("tag", "second", "--remove", "t")
    assert trainstore("tag", "second").out == "no tags\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("first", "--remove", "nothing"), 1, "has no tag 'nothing'"),
        (("nobody", "a"), 1, "there is no run 'nobody'"),
        (("first", "a", "--remove", "a"), 2, "cannot be both set and removed"),
        (("first", "=x"), 2, "no name before the '='"),
        (("first", "n:=x y"), 2, "is not JSON"),
    ],
)
def test_tags_that_cannot_be(trainstore, arguments, code, words):
    """Each is refused in words."""
    called = trainstore("tag", *arguments)
    assert called.code == code
    assert words in called.err


def test_names_that_are_cut_are_found_by_what_was_given(call, database_url, monkeypatch):
    """Tags to take away, and metrics to show, to rank by and to export."""
    name = "n" * 300
    with TrainStore(database_url) as store, store.start_run(name=name, tags=[name]) as run:
        run.log({name: 1.5}, step=0)
    monkeypatch.setenv("TRAINSTORE_URL", database_url)
    for arguments in (("show", name, "--metric", name), ("best", name), ("export", name, "--metric", name)):
        code, out, err = call(*arguments)
        assert (code, err, "1.5" in out) == (0, "", True), arguments
    assert call("tag", name, "--remove", name) == (0, "no tags\n", "")


def test_a_run_is_renamed(trainstore, store_url):
    """By its name or uid; the new name is shown, and the old one is kept as an event."""
    assert trainstore("rename", "first", "better\x07") == (0, "better\\x07\n", "")
    shown = json.loads(trainstore("rename", "better\x07", "best", "--json")[1])
    assert shown["name"] == "best"
    with TrainStore(store_url) as store:
        assert store.get_run("best").uid == shown["uid"]
        assert [entry["before"]["name"] for entry in store.list_events("best", kind="rename")["details"]] == [
            "first",
            "better\x07",
        ]
    assert trainstore("rename", "best", "").code == 2
    assert trainstore("rename", "best").code == 2
    assert "no run 'first'" in trainstore("rename", "first", "x").err


def test_notes_are_set_added_to_shown_and_taken_away(trainstore, store_url, monkeypatch):
    """Without a text they are shown; - reads standard input; what they were stays as an event."""
    assert trainstore("note", "first") == (0, "no notes\n", "")
    assert trainstore("note", "first", "hello") == (0, "hello\n", "")
    monkeypatch.setattr(sys, "stdin", io.StringIO("two\nlines\n"))
    assert trainstore("note", "first", "-", "--append").out == "hello\ntwo\nlines\n"
    assert json.loads(trainstore("note", "first", "--json")[1])["notes"] == "hello\ntwo\nlines"
    assert trainstore("note", "first", "").out == "no notes\n"
    with TrainStore(store_url) as store:
        assert store.get_run("first").notes is None
        details = list(store.list_events("first", kind="note")["details"])
    assert [entry["before"].get("notes") for entry in details] == [None, "hello", "hello\ntwo\nlines"]
    assert trainstore("note", "first", "--append").code == 2
    assert "there is no run" in trainstore("note", "nobody", "x").err


def test_notes_cannot_steer_the_terminal(trainstore):
    """Control characters are shown, not obeyed; lines stay lines."""
    trainstore("note", "first", "a\x1b[31m\nb")
    assert trainstore("note", "first").out == "a\\x1b[31m\nb\n"


def test_rm_deletes_after_yes(trainstore, store_url):
    """--yes asks nothing; every run that is named goes, once."""
    uid = json.loads(trainstore("show", "first", "--json")[1])["run"]["uid"]
    code, out, err = trainstore("rm", "first", uid, "second", "--yes")
    assert (code, err) == (0, "")
    assert out.count("deleted") == 2
    assert uid in out
    assert trainstore("runs").out == "no runs\n"


def test_rm_deletes_no_run_that_was_not_meant(call, database_url, monkeypatch):
    """Digits that are one run's id and another's name delete neither; spelled out, they delete the one meant."""
    with TrainStore(database_url) as store:
        for name in ("0", "1", "2"):
            assert store.start_run(name=name).finish()
    monkeypatch.setenv("TRAINSTORE_URL", database_url)
    refused = call("rm", "1", "--yes")
    assert refused.code == 1
    assert "id:1, name:1" in refused.err
    assert call("rm", "name:1", "id:3", "--yes").code == 0
    with TrainStore(database_url) as store:
        assert list(store.list_runs()["name"]) == ["0"]
    assert call("rm", "1", "--yes").code == 0, "no run is called so any more"


def test_rm_without_a_terminal_asks_for_yes(trainstore, monkeypatch):
    """Where nobody can be asked nothing is deleted; one wrong name keeps them all."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    code, _, err = trainstore("rm", "first")
    assert code == 1
    assert "add --yes" in err
    assert "there is no run 'nobody'" in trainstore("rm", "first", "nobody", "--yes").err
    assert len(json.loads(trainstore("runs", "--json")[1])) == 2
    assert len(json.loads(trainstore("rm", "first", "--yes", "--json")[1])["deleted"]) == 1


@pytest.mark.parametrize(("answer", "code", "left"), [(b"n\n", 0, 2), (b"y\n", 0, 1)])
def test_rm_shows_what_will_go_and_asks(trainstore, answer, code, left):
    """At a terminal it shows the run and waits for the answer."""
    ours, theirs = pty.openpty()
    arguments = [forkserver.command("trainstore"), "rm", "first"]
    process = forkserver.start(arguments, "trainstore", stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.close(theirs)
    os.write(ours, answer)
    out, err = process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == code, err
    assert b"To be deleted" in out
    assert b"first" in out
    assert b"Delete 1 run permanently?" in out + err
    assert (b"nothing was deleted" in out) == (left == 2)
    assert len(json.loads(trainstore("runs", "--json")[1])) == left


def test_rm_leaves_a_run_that_is_being_recorded(trainstore, store_url):
    """It says by which process, and --force deletes it all the same; the others named go."""
    with TrainStore(store_url) as store:
        live = store.start_run(name="live")
        live.log({"loss": 1.0}, step=0)
        live.flush()
        code, out, err = trainstore("rm", "live", "first", "--yes")
        assert code == 1
        assert out.count("deleted") == 1
        assert f"process {os.getpid()}" in err
        assert "add --force" in err
        assert trainstore("rm", "live", "--yes", "--force").code == 0
        assert [run["name"] for run in json.loads(trainstore("runs", "--json")[1])] == ["second"]
        live.finish()
