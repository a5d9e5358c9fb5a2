"""Where options may stand, and other words for commands."""

import click
import pytest

from trainstore import TrainStore
from trainstore.cli import cli


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


def commands(group, path=()):
    """Every command, with the words that lead to it."""
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def test_a_command_without_other_arguments_takes_the_store_as_its_argument():
    """All of them, and no other."""
    for path, command in commands(cli):
        arguments = [p.metavar or p.name for p in command.params if isinstance(p, click.Argument)]
        has_store = any("--store" in p.opts and "--into" not in p.opts for p in command.params)
        others = [name for name in arguments if name != "[URL|PATH]"]
        assert ("[URL|PATH]" in arguments) == (has_store and not others), path


def test_the_store_as_the_argument(database_url, call, monkeypatch):
    """It counts more than what stands before the command, and than the environment; twice is refused."""
    with TrainStore(database_url) as store, store.start_run(name="seen"):
        pass
    monkeypatch.setenv("TRAINSTORE_URL", "nowhere.db")
    assert "seen" in call("runs", database_url).out
    assert call("--store", "nowhere.db", "db", "check", database_url).code == 0
    twice = call("doctor", database_url, "--store", database_url)
    assert (twice.code, "Name the store once" in twice.err) == (2, True)
    assert "there is no store at seen" in call("runs", "seen").err


@pytest.mark.parametrize("words", [("ls",), ("list",)])
def test_other_words_for_runs(trainstore, words):
    """ls and list are runs."""
    assert trainstore(*words, "--json").out == trainstore("runs", "--json").out


def test_another_word_for_rm(trainstore):
    """Delete is rm."""
    assert trainstore("delete", "first", "--yes").code == 0
    assert "first" not in trainstore("runs").out
