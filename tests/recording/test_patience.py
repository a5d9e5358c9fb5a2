"""A merge and an import wait while somebody else writes into their target, and go on."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from recording.support import eventually
from trainstore import TrainStore
from trainstore.backends import open_backend
from trainstore.importing import import_runs
from trainstore.recording import patience


@contextmanager
def _locked(url: str) -> Iterator[sqlite3.Connection]:
    """A connection that is writing into an SQLite file."""
    with closing(sqlite3.connect(str(make_url(url).database), isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        yield writer


def test_a_merge_waits_for_another_writer(new_database: Callable[..., str], caplog: pytest.LogCaptureFixture) -> None:
    """Longer than a connection waits for a lock; it is told once."""
    url, other = new_database("sqlite"), new_database("sqlite")
    with TrainStore(other) as source, source.start_run("a") as run:
        run.log({"loss": 1.0}, step=0)
    with TrainStore(url) as store, _locked(url) as writer:
        merging = threading.Thread(target=store.merge, args=(other,))
        with caplog.at_level(logging.WARNING, logger="trainstore"):
            merging.start()
            eventually(lambda: "others are writing into" in caplog.text, "the merge's warning")
            writer.execute("COMMIT")
            merging.join()
        assert caplog.text.count("others are writing into") == 1
        assert list(store.list_runs()["uid"]) == [run.uid]


def test_an_import_waits_for_another_writer(
    new_database: Callable[..., str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As a merge does: nothing is left out, and it is told once for each transaction that waits."""
    (tmp_path / "log.csv").write_text("step,loss\n1,0.5\n2,0.25\n")
    url = new_database("sqlite")
    with TrainStore(url) as store, _locked(url) as writer:
        importing = threading.Thread(target=import_runs, args=(store, tmp_path / "log.csv"))
        with caplog.at_level(logging.WARNING, logger="trainstore"):
            importing.start()
            eventually(lambda: "others are writing into" in caplog.text, "the import's warning")
            writer.execute("COMMIT")
            importing.join()
        assert caplog.text.count("others are writing into") == 1
        (run,) = store.list_runs()["uid"]
        assert list(store.list_step_logs(run)["loss"]) == [0.5, 0.25]


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """What others never leave is an error in the end, and other errors are never tried again."""
    backend = open_backend(":memory:")
    busy = sqlite3.OperationalError("database is locked")
    busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
    broken = sqlite3.OperationalError("no such table")
    broken.sqlite_errorcode = sqlite3.SQLITE_ERROR
    tried = []

    def fail(cause: Exception) -> None:
        tried.append(cause)
        raise OperationalError("", {}, cause)

    with pytest.raises(OperationalError):
        patience.patiently(backend, lambda: fail(broken))
    assert tried == [broken]
    monkeypatch.setattr(patience, "PATIENCE", -1.0)
    with pytest.raises(OperationalError):
        patience.patiently(backend, lambda: fail(busy))
    assert tried == [broken, busy]
