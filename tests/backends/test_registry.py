"""From a connection string to its backend: ours, a third party's, and clear errors for the rest."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest
from sqlalchemy import make_url

import trainstore.backends as registry
from backends.third_party.src.trainstore_filelite import FileLiteBackend
from trainstore import TrainStore
from trainstore.backends import backend_class, known_schemes, open_backend, register_backend
from trainstore.backends.postgresql import PostgreSQLBackend
from trainstore.backends.sqlite import SQLiteBackend
from trainstore.errors import StoreURLError


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The third backend, registered for one test."""
    monkeypatch.setattr(registry, "_registered", {})
    register_backend("filelite", FileLiteBackend)


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("runs.db", SQLiteBackend),
        (Path("runs.db"), SQLiteBackend),
        (":memory:", SQLiteBackend),
        ("sqlite:///runs.db", SQLiteBackend),
        ("sqlite://", SQLiteBackend),
        ("SQLITE:///runs.db", SQLiteBackend),
        (make_url("sqlite:///runs.db"), SQLiteBackend),
        ("C:\\runs\\a.db", SQLiteBackend),
        ("a b/100% #?.db", SQLiteBackend),
        ("postgresql://me@host/db", PostgreSQLBackend),
        ("postgresql+psycopg://me@host/db", PostgreSQLBackend),
        ("postgres://me@host/db", PostgreSQLBackend),
        (make_url("postgresql://me:pa55@host/db"), PostgreSQLBackend),
    ],
)
def test_targets(target: object, kind: type):
    """A path, a URL or SQLAlchemy's URL object opens the backend that serves it; nothing is connected."""
    assert type(open_backend(target)) is kind


def test_a_path_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """No character of a path has a meaning, but for ~ at its start; relative paths are fixed when opened."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_backend("~/runs.db").path == tmp_path / "runs.db"
    monkeypatch.chdir(tmp_path)
    assert open_backend("a%20b?c=d#e.db").path == tmp_path / "a%20b?c=d#e.db"


def test_registered_backend(registered: None, tmp_path: Path):
    """A backend registered from outside serves its scheme, and stores and finds runs by the defaults alone."""
    with TrainStore(f"filelite:///{tmp_path}/file") as store:
        for name, loss in (("worse", 2.0), ("better", 1.0)):
            with store.start_run(project="p", name=name, hyperparams={"lr": loss / 10}) as run:
                for step in range(3):
                    run.log({"loss": loss / (step + 1), "text": "x"}, step=step)
                run.log({"loss": float("nan")}, step=2)
        best = store.get_best_run(metric_name="loss", metric_direction="min")
        assert best is not None
        assert best.name == "better"
        assert best.sort_metric_value == 0.5
        assert list(store.list_step_logs(best)["step"]) == [0, 1, 2]
    with TrainStore(f"filelite:///{tmp_path}/file") as store:
        assert len(store.list_runs()) == 2


def test_registered_before_installed(registered: None):
    """What a process registers goes before what is built in."""
    register_backend("sqlite", FileLiteBackend)
    assert backend_class("sqlite") is FileLiteBackend


def test_entry_point(monkeypatch: pytest.MonkeyPatch):
    """An installed package adds a backend by an entry point, which is loaded only when its scheme is used."""
    group = "trainstore.backends"
    points = EntryPoints(
        [
            EntryPoint("filelite", "backends.third_party.src.trainstore_filelite:FileLiteBackend", group),
            EntryPoint("broken", "no.such.module:Backend", group),
        ]
    )
    monkeypatch.setattr(registry, "entry_points", lambda **params: points.select(**params))
    assert backend_class("filelite").__name__ == "FileLiteBackend"
    assert {"filelite", "broken", "sqlite", "postgresql", "postgres"} == set(known_schemes())


@pytest.mark.parametrize("url", ["mysql://me:c4n4ry@host/db", "nosuch+driver://host/db", "://x", "http://x.org/a.db"])
def test_unknown_scheme(url: str):
    """An unknown scheme is answered by the known ones and how another is added, without the password."""
    with pytest.raises(StoreURLError, match=r"known: postgres, postgresql, sqlite.*trainstore\.backends") as refused:
        open_backend(url)
    assert "c4n4ry" not in str(refused.value)


@pytest.mark.parametrize("target", ["", None, 3, b"runs.db", ["runs.db"], object()])
def test_no_connection_string(target: object):
    """What is no text and no path is refused with an example of what is."""
    with pytest.raises(StoreURLError, match=r"trainstore\.db|sqlite"):
        open_backend(target)


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("sqlite://runs.db", "sqlite:///path/to/file.db"),
        ("sqlite:runs.db", "two slashes"),
        ("postgresql:me:c4n4ry@host/db", "two slashes"),
        ("postgresql+psycopg2://me:c4n4ry@host/db", "psycopg 3"),
        ("postgresql+asyncpg://me:c4n4ry@host/db", "psycopg 3"),
        ("postgresql://me:x@c4n4ry@host/db", "%40"),
        ("postgresql://me:c4n4ry@host:port/db", "postgresql://user:password@host:5432/database"),
        ("a\x00b.db", "NUL"),
    ],
)
def test_malformed_urls(url: str, hint: str):
    """A URL that cannot mean anything is refused with the spelling that does, and without its password."""
    with pytest.raises(StoreURLError, match=hint) as refused:
        open_backend(url)
    assert "c4n4ry" not in visible_text(refused.value)


def test_missing_driver(monkeypatch: pytest.MonkeyPatch):
    """Without psycopg a PostgreSQL URL is answered by the command that installs it."""
    monkeypatch.setattr("trainstore.backends.postgresql.find_spec", lambda name: None)
    with pytest.raises(StoreURLError, match=r"pip install 'trainstore\[postgres\]'"):
        open_backend("postgresql://host/db")


def visible_text(error: BaseException) -> str:
    """Everything that a traceback of this error shows."""
    import traceback

    return "".join(traceback.format_exception(error)) + repr(error)
