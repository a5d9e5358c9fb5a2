"""Where options may stand, and other words for commands."""

import pytest

from trainstore import TrainStore


def test_the_store_may_be_named_before_the_command(database_url, call, monkeypatch):
    """It counts more than the environment, and less than what stands behind the command."""
    with TrainStore(database_url, table_name_prefix="one_") as store, store.start_run(name="seen"):
        pass
    monkeypatch.setenv("TRAINSTORE_URL", "nowhere.db")
    named = ("--store", database_url, "--prefix", "one_")
    assert "seen" in call(*named, "runs").out
    assert call(*named, "db", "check").code == 0
    assert call("db", *named, "check").code == 0
    assert "other.db" in call(*named, "runs", "--store", "other.db").err


@pytest.mark.parametrize("words", [("ls",), ("list",)])
def test_other_words_for_runs(trainstore, words):
    """ls and list are runs."""
    assert trainstore(*words, "--json").out == trainstore("runs", "--json").out


def test_another_word_for_rm(trainstore):
    """Delete is rm."""
    assert trainstore("delete", "first", "--yes").code == 0
    assert "first" not in trainstore("runs").out
