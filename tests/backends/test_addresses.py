"""Paths and URLs: each means one database, and what is not understood is refused by its name."""

import os
import pwd
import shutil
from pathlib import Path

import pytest
from sqlalchemy import URL, make_url

from backends.test_registry import visible_text
from trainstore import TrainStore
from trainstore.backends import absolute_target, open_backend
from trainstore.errors import JournalError, StoreURLError

ODD_NAMES = [
    "plain.db",
    "50%20off.db",
    "a%2Fb.db",
    "100%.db",
    "what?.db",
    "?mode=ro",
    "#hash.db",
    "a b+c&d=e.db",
    "größe-数.db",
    "new\nline.db",
    os.fsdecode(b"not-utf8-\xff.db"),
    "x" * 200 + "/" + "y" * 150 + ".db",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_url_opens_the_file_that_it_was_asked_of(
    sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    """``store.url`` gives the same file again, here, in SQLAlchemy's URL, and from any folder."""
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(sqlite_template, path)
    monkeypatch.chdir(path.parent)
    with TrainStore(path.name) as store:
        store.start_run(name="here").finish()
        url = store.url
    monkeypatch.chdir("/")
    with TrainStore(url) as again:
        assert again.list_runs()["name"].tolist() == ["here"]
        assert again.url == url
    if "\udcff" not in name:  # SQLAlchemy reads the bytes of a URL as UTF-8
        assert make_url(url).database == str(path)
        assert open_backend(make_url(url)).path == path
        assert open_backend(URL.create("sqlite", database=str(path))).path == path


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("sqlite:///runs.db?mode=ro", "'mode'.*read_only=True"),
        ("sqlite:///runs.db?immutable=1", "'immutable'.*read_only=True"),
        ("sqlite:///runs.db?uri=true", "'uri'.*plain path"),
        ("sqlite:///file:runs.db?mode=ro&uri=true", "'mode'.*read_only=True"),
        ("sqlite:///runs.db?timeout=3", "'timeout'.*%3F"),
        ("sqlite:///file:runs.db", "is an SQLite URI.*read_only=True"),
        ("file:runs.db?mode=ro", "is an SQLite URI.*read_only=True"),
        ("sqlite://./runs.db", "two slashes where three are needed"),
        ("sqlite://user:c4n4ry@host/runs.db", "two slashes where three are needed"),
        ("sqlite:///~/runs.db", "pass the path '~/runs.db'"),
        ("sqlite+aiosqlite:///runs.db", "'aiosqlite'.*sqlite:///"),
        ("~nobody-of-this-name/runs.db", "no such home folder"),
        ("postgresql://me:c4n4ry@host/db?foo=1", "'foo'"),
        ("postgresql://me:c4n4ry@host/db?sslmod=require", "did you mean sslmode"),
        ("postgresql://me:c4n4ry@host/db?read_only=true", "pass read_only=True"),
        ("postgresql://me:c4n4ry@host/db?prepare_threshold=5", "'prepare_threshold'"),
    ],
)
def test_what_a_url_says_and_nobody_understands_is_refused(tmp_path, monkeypatch, url: str, hint: str):
    """By its name, with what to do instead, before anything is made or connected, and without the password."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreURLError, match=hint) as refused:
        open_backend(url)
    assert "c4n4ry" not in visible_text(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_options_of_libpq_are_taken():
    """What libpq knows may stand after the question mark."""
    backend = open_backend(
        "postgresql://me@/db?host=/tmp&port=5433&sslmode=require&connect_timeout=2&options=-cgeqo%3Doff"
    )
    assert backend.url.query["sslmode"] == "require"


@pytest.mark.parametrize("target", ["runs.db", Path("runs.db"), "sqlite:///runs.db", make_url("sqlite:///runs.db")])
def test_a_relative_path_means_one_file(tmp_path, monkeypatch, target):
    """Wherever the process goes after it was named."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "a")
    fixed = absolute_target(target, str(tmp_path / "b"))
    assert open_backend(fixed).path == tmp_path / "b" / "runs.db"
    with TrainStore(target) as store:
        monkeypatch.chdir(tmp_path / "b")
        store.start_run(name="here").finish()
        assert len(store.list_runs()) == 1
    assert [path.parent.name for path in tmp_path.rglob("runs.db")] == ["a"]


@pytest.mark.parametrize("target", [":memory:", "sqlite://", "postgresql://me:x@host/db"])
def test_what_is_no_path_is_left_as_it_is(target):
    """A store in memory, a server."""
    assert absolute_target(target, "/somewhere") is target


@pytest.mark.parametrize("target", ["no://such", "", "postgresql://me:x@host:port/db", "a\0b"])
def test_what_cannot_be_opened_is_refused(target):
    """Before anything is opened or connected."""
    with pytest.raises(StoreURLError):
        absolute_target(target, "/somewhere")


def test_a_relative_journal_folder_means_one_folder(database_url, tmp_path, monkeypatch):
    """TRAINSTORE_JOURNAL_DIR starts from the folder in which the store was opened."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "a")
    monkeypatch.setenv("TRAINSTORE_JOURNAL_DIR", "journals")
    with TrainStore(database_url) as store:
        monkeypatch.chdir(tmp_path / "b")
        store.start_run()
        assert len(list((tmp_path / "a").rglob("meta.json"))) == 1
    assert list((tmp_path / "b").iterdir()) == []


def test_a_folder_that_was_deleted(tmp_path, monkeypatch):
    """A relative path starts nowhere then; the error says what to pass."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(StoreURLError, match=r"'runs\.db' is relative.*absolute path"):
        TrainStore("runs.db")
    with TrainStore(tmp_path / "runs.db") as store:
        assert len(store.list_runs()) == 0


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user id that has no name, without HOME, as in many containers."""

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", "XDG_STATE_HOME", "TRAINSTORE_JOURNAL_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


def test_without_a_home_folder(no_home, database_url, backend_name, tmp_path, monkeypatch):
    """Queries need none, nor does SQLite: its journals lie beside the file. PostgreSQL names the remedy."""
    with TrainStore(database_url) as store:
        assert len(store.list_runs()) == 0
        if backend_name == "postgresql":
            with pytest.raises(JournalError, match="no home folder; set TRAINSTORE_JOURNAL_DIR"):
                store.start_run()
            monkeypatch.setenv("TRAINSTORE_JOURNAL_DIR", str(tmp_path / "journals"))
        with store.start_run(name="here") as run:
            run.log({"loss": 1.0})
        assert store.list_runs()["name"].tolist() == ["here"]
    with pytest.raises(StoreURLError, match="no such home folder"):
        TrainStore("~/runs.db")
