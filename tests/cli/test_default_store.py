"""The store that is meant if nobody names one, and a mistyped path."""

from pathlib import Path

import pytest

from trainstore import StoreUnavailableError, TrainStore
from trainstore.backends import open_backend
from trainstore.integrations.transformers import TrainStoreCallback


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch) -> Path:
    """An empty current folder, and no store in the environment."""
    monkeypatch.delenv("TRAINSTORE_URL", raising=False)
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_python_the_callback_and_the_command_line_mean_one_store(in_folder, call):
    """Without a word it is trainstore.db in the current folder."""
    with TrainStore() as store, store.start_run(name="mine"):
        pass
    assert (in_folder / "trainstore.db").exists()
    with TrainStoreCallback()._settings.open_store() as store:
        assert list(store.list_runs()["name"]) == ["mine"]
    assert "mine" in call("runs").out


def test_the_environment_names_it(database_url, monkeypatch, call, in_folder):
    """TRAINSTORE_URL, on each database; an empty value names nothing."""
    monkeypatch.setenv("TRAINSTORE_URL", database_url)
    with TrainStore() as store, store.start_run(name="there"):
        assert store.url == open_backend(database_url).safe_url
    assert "there" in call("runs").out
    assert list(in_folder.iterdir()) == []
    monkeypatch.setenv("TRAINSTORE_URL", "")
    with TrainStore() as store:
        assert store.url.endswith("/trainstore.db")


def test_a_new_store_is_told_of_once(database_url, monkeypatch, capfd):
    """A mistyped path in a notebook does not look like lost runs; who records is told the place by the run's line."""
    monkeypatch.setenv("TRAINSTORE_QUIET", "0")
    with TrainStore(database_url, table_name_prefix="typo_") as store:
        store.list_runs()
        store.list_runs()
    assert capfd.readouterr().err.count("is a new store, without runs") == 1
    with TrainStore(database_url, table_name_prefix="typo_") as store:
        store.list_runs()
    with TrainStore(database_url, table_name_prefix="other_") as store, store.start_run(name="r"):
        store.list_runs()
    with TrainStore(":memory:") as store:
        store.list_runs()
    assert "new store" not in capfd.readouterr().err


def test_a_reader_creates_nothing(in_folder):
    """read_only=True names the path that is not there."""
    with pytest.raises(StoreUnavailableError, match=r"typo\.db"):
        TrainStore("typo.db", read_only=True)
    assert list(in_folder.iterdir()) == []


def test_the_other_store_of_the_folder_is_named(in_folder, call):
    """If there is exactly one; other files are not taken for one."""
    (in_folder / "notes.txt").write_text("nothing")
    with TrainStore("runs.db"):
        pass
    called = call("runs")
    assert (called.code, called.err.count("\n")) == (1, 1)
    assert "no store at trainstore.db, but at runs.db;" in called.err
    with TrainStore("more.db"):
        pass
    assert "but at" not in call("runs").err


@pytest.mark.parametrize("arguments", [("ui",), ("runs", "--store")])
def test_the_only_store_in_a_folder_is_named(in_folder, call, arguments):
    """For who names the folder."""
    with TrainStore("runs.db"):
        pass
    called = call(*arguments, str(in_folder))
    assert called.code == 1
    assert f"no store at {in_folder}, which is a folder, but at {in_folder / 'runs.db'};" in called.err
