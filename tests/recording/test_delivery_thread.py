"""The delivery thread: exactly once, whatever the database does meanwhile."""

from __future__ import annotations

import itertools
import logging
import sqlite3
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url, select
from sqlalchemy.exc import OperationalError

from recording.support import desk_at, eventually
from trainstore import store as stores
from trainstore.backends import health
from trainstore.errors import NetworkFileSystemError, StoreUnavailableError
from trainstore.recording import delivery_thread
from trainstore.recording.journal import journal_folders
from trainstore.run import ActiveRun
from trainstore.store import TrainStore

PASSWORD = "s3cret-pass"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commits and retries come fast, so that a test sees many."""
    monkeypatch.setattr(delivery_thread, "INTERVAL", 0.02)
    monkeypatch.setattr(delivery_thread, "BACKOFF", (0.01, 0.05))


@pytest.fixture
def commits(store: TrainStore) -> Commits:
    """The writer's COMMITs, to be failed before or after they happen."""
    return Commits(store)


class Commits:
    """Makes the COMMITs of a store's writer fail on demand, before or after the database has done it."""

    def __init__(self, store: TrainStore) -> None:
        self.dialect = store._service._engine.dialect
        self.original = self.dialect.do_commit
        self.plan: list[str] = []
        self.done = 0
        self.dialect.do_commit = self._commit

    def _commit(self, connection: Any) -> None:
        what = self.plan.pop(0) if self.plan else "work"
        if what != "refuse":
            self.original(connection)
        self.done += 1
        if what != "work":
            raise OperationalError("COMMIT", {}, ConnectionError(f"the row of {PASSWORD}"))


def stored(store: TrainStore, run: ActiveRun) -> dict[int, dict[str, Any]]:
    table, of_run = store.table.current_step_log, store.table.run
    query = select(table.c.step, table.c.metrics).join(of_run, of_run.c.id == table.c.run_id)
    with store.engine.connect() as connection:
        rows = connection.execute(query.where(of_run.c.uid == run.uid).order_by(table.c.step)).all()
    assert len({step for step, _ in rows}) == len(rows)
    return {row.step: row.metrics for row in rows}


def check(store: TrainStore, run: ActiveRun) -> None:
    """The invariants of the run, by a connection of its own."""
    with desk_at(url_of(store)) as desk:
        desk.check(run.uid)


def url_of(store: TrainStore) -> str:
    path = getattr(store._backend, "path", None)
    return str(path) if path else store._backend.url.render_as_string(hide_password=False)


def test_records_reach_the_database_without_asking(store: TrainStore) -> None:
    """What is logged is stored soon after, without flush() or finish()."""
    run = store.start_run()
    run.log({"loss": 0.5}, step=3)
    assert eventually(lambda: stored(store, run)) == {3: {"loss": 0.5}}
    assert run.finish()


def test_a_commit_whose_answer_was_lost_counts_once(store: TrainStore, commits: Commits) -> None:
    """The database committed and the connection broke before it could say so: nothing is lost, nothing doubled."""
    run = store.start_run()
    for step in range(100):
        if step % 5 == 0:
            commits.plan.append("lose the answer" if step % 10 else "refuse")
        run.log({"loss": float(step)}, step=step)
        run.log_event("mark", step=step)
        if step % 7 == 0:
            assert run.flush(60)
    assert run.finish(timeout=60)
    assert not commits.plan
    assert stored(store, run) == {step: {"loss": float(step)} for step in range(100)}
    assert list(store.list_events(run)["step"]) == list(range(100))
    check(store, run)


def test_a_run_that_never_pauses_leaves_the_others_their_turn(store: TrainStore, commits: Commits) -> None:
    """Where a record comes with every commit, something always waits: the other run is delivered all the same."""
    busy, quiet = store.start_run(), store.start_run()
    original, steps = commits.original, itertools.count()

    def commit(connection: Any) -> None:
        original(connection)
        busy.log({"loss": 1.0}, step=next(steps))

    commits.original = commit
    quiet.log({"loss": 0.5}, step=3)
    assert eventually(lambda: stored(store, quiet)) == {3: {"loss": 0.5}}
    commits.original = original
    assert busy.finish(timeout=60)
    assert quiet.finish(timeout=60)
    assert list(stored(store, busy)) == list(range(next(steps)))


def test_the_first_commit_may_lose_its_answer(store: TrainStore, commits: Commits) -> None:
    """Also the one that makes the run: there is one run, one attempt, one writer afterwards."""
    commits.plan = ["lose the answer"] * 3
    run = store.start_run()
    run.log({"loss": 1.0}, step=0)
    assert run.finish(timeout=60)
    with store.engine.connect() as connection:
        for name in ("run", "attempt", "writer", "step_log"):
            assert len(connection.execute(select(getattr(store.table, name))).all()) == 1
    assert store.get_run(run).status == "finished"


def test_a_failure_is_logged_once_and_names_no_secret(
    store: TrainStore, commits: Commits, caplog: pytest.LogCaptureFixture
) -> None:
    """Twenty failures in a row make one warning, and one when they are over; the driver's own text is in neither."""
    caplog.set_level(logging.INFO, "trainstore")
    commits.plan = ["refuse"] * 20
    run = store.start_run()
    run.log({"loss": 1.0}, step=0)
    assert run.finish(timeout=60)
    eventually(lambda: any("reached again" in record.message for record in caplog.records), "the second message")
    texts = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [("cannot be written" in text, "reached again" in text) for text in texts] == [(True, False), (False, True)]
    assert "ConnectionError" in texts[0]
    assert not any(PASSWORD in text for text in texts)


def test_a_locked_sqlite_file_holds_nobody_up(new_database: Callable[..., str]) -> None:
    """While another connection has the file to itself log() goes on; when it is free everything is stored."""
    url = new_database("sqlite")
    with TrainStore(url) as store:
        run = store.start_run()
        run.log({"loss": 0.0}, step=0)
        assert run.flush(60)
        locker = sqlite3.connect(str(make_url(url).database), isolation_level=None)
        locker.execute("BEGIN EXCLUSIVE")
        for step in range(1, 200):
            run.log({"loss": float(step)}, step=step)
        assert not run.flush(0.1)
        locker.execute("ROLLBACK")
        locker.close()
        assert run.flush(60)
        assert set(stored(store, run)) == set(range(200))


def test_terminated_server_processes_lose_nothing(new_database: Callable[..., str]) -> None:
    """pg_terminate_backend on the writer's connection again and again: each record is stored once."""
    url = new_database("postgresql")
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    kill = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with psycopg.connect(plain, autocommit=True) as admin, TrainStore(url) as store:
        run = store.start_run()
        for step in range(400):
            run.log({"loss": float(step)}, step=step)
            if step % 10 == 0:
                eventually(lambda: admin.execute(kill).fetchone()[0] > 0, "a connection to end")
        assert run.finish(timeout=60)
        assert stored(store, run) == {step: {"loss": float(step)} for step in range(400)}
        check(store, run)
        assert store.get_run(run).status == "finished"


def test_flush_and_finish_wake_a_writer_that_pauses(
    store: TrainStore, commits: Commits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After errors the writer pauses for long; whoever waits for it ends the pause at once."""
    run = store.start_run()
    assert run.flush(60)
    monkeypatch.setattr(delivery_thread, "BACKOFF", (10_000.0, 10_000.0))
    commits.plan = ["refuse"]
    run.log({"loss": 1.0}, step=0)
    eventually(lambda: not commits.plan, "the failure")
    assert run.finish(timeout=60)


def test_whoever_waits_is_served_when_the_database_comes_back(
    store: TrainStore, commits: Commits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While somebody waits, the pauses are short however long the database has been away."""
    run = store.start_run()
    assert run.flush(60)
    monkeypatch.setattr(delivery_thread, "BACKOFF", (10_000.0, 10_000.0))
    commits.plan = ["refuse"] * 5
    run.log({"loss": 1.0}, step=0)
    assert run.finish(timeout=60)


def test_a_process_that_records_keeps_one_connection(new_database: Callable[..., str]) -> None:
    """The writer's; what the opening and queries used before is closed."""
    url = new_database("postgresql")
    with TrainStore(url) as store:
        store.list_runs()
        run = store.start_run()
        assert run.flush(60)
        with psycopg.connect(url) as connection:
            count = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchone()
        assert count == (1,)
        assert len(store.list_runs()) == 1


def test_a_thousand_records_do_not_wait_for_the_clock(store: TrainStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nobody waiting, 1,000 records or a mebibyte wake the writer before its interval is over."""
    monkeypatch.setattr(delivery_thread, "INTERVAL", 10_000.0)
    for count, text in ((1_100, ""), (3, "x" * 500_000)):
        run = store.start_run()
        assert run.flush(60)
        for step in range(count):
            run.log({"loss": float(step), "text": text}, step=step)
        eventually(lambda run=run: run._recorder.acked > 2, "delivery")
        assert run.finish(timeout=60)


def test_what_the_database_forgot_does_not_stop_the_rest(store: TrainStore, caplog: pytest.LogCaptureFixture) -> None:
    """When an older copy of the database was put back, recording goes on, with a warning that names the loss."""
    run = store.start_run()
    for step in range(10):
        run.log({"loss": float(step)}, step=step)
        assert run.flush(60)
    assert run._recorder is not None
    acked = run._recorder.acked
    with store._service.transaction() as connection:
        connection.execute(store.table.writer.update().values(acked=acked - 5))
    run.log({"loss": 99.0}, step=99)
    assert run.finish(timeout=60)
    assert stored(store, run)[99] == {"loss": 99.0}
    assert any("has forgotten records" in record.getMessage() for record in caplog.records)


def test_a_deleted_run_is_set_aside_while_others_go_on(
    store: TrainStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning names the run and where its records are; further log() calls do nothing; other runs are stored."""
    gone, other = store.start_run(name="gone"), store.start_run(name="other")
    for run in (gone, other):
        run.log({"loss": 1.0}, step=0)
        assert run.flush(60)
    store.delete_run(gone, force=True)
    for step in range(1, 50):
        gone.log({"loss": 2.0}, step=step)
        other.log({"loss": 2.0}, step=step)
    eventually(lambda: gone._recorder.abandoned, "the deletion to be seen")
    gone.log({"loss": 3.0}, step=50)
    assert gone.flush(60)
    assert gone.finish(timeout=60)
    assert other.finish(timeout=60)
    warnings = [record.getMessage() for record in caplog.records if "was deleted" in record.getMessage()]
    assert len(warnings) == 1
    assert gone.uid in warnings[0]
    assert [path.suffix for path in tmp_path.glob("journals/*/*.aside")] == [".aside"]
    assert set(store.list_runs()["name"]) == {"other"}
    assert store.recover().runs == []


def test_a_finished_run_leaves_no_journal(store: TrainStore, tmp_path: Path) -> None:
    """The journal goes when its last record is stored; so does the folder above once it is empty."""
    runs = [store.start_run() for _ in range(3)]
    assert sum(len(journal_folders(root)) for root in (tmp_path / "journals").iterdir()) == 3
    for run in runs:
        run.log({"loss": 1.0})
        assert run.finish(timeout=60)
    eventually(lambda: list((tmp_path / "journals").rglob("*.seg")) == [], "the journals to go")


def test_logging_while_another_thread_finishes_loses_nothing(store: TrainStore) -> None:
    """A record whose log() returned is stored, however finish() in another thread falls."""
    for _ in range(10):
        run = store.start_run()
        begin = threading.Event()

        def work(run: ActiveRun = run, begin: threading.Event = begin) -> None:
            for step in range(300):
                run.log({"loss": float(step)}, step=step)
                if step == 50:
                    begin.set()

        thread = threading.Thread(target=work)
        thread.start()
        begin.wait()
        run.finish(timeout=60)
        thread.join()
        assert run.finish(timeout=60)
        assert store.flush(60)
        assert list(store.list_step_logs(run)["step"]) == list(range(300))
        assert store.get_run(run).status == "finished"


def test_a_record_between_the_last_commit_and_the_end_is_kept(
    store: TrainStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The instant at which the writer takes a finished journal away is no gap for a thread that just logs into it."""
    run = store.start_run()
    recorder = run._recorder
    assert recorder is not None
    remove = recorder.journal.remove
    late: list[int] = []

    def log_first(acked: int) -> bool:
        if not late:
            late.append(recorder.journal.append(b'{"kind":"step","at":1,"step":7,"metrics":{"loss":7.0}}'))
        return remove(acked)

    monkeypatch.setattr(recorder.journal, "remove", log_first)
    assert run.finish(timeout=60)
    eventually(lambda: recorder.acked == recorder.journal.last and late, "the late record")
    assert list(store.list_step_logs(run)["step"]) == [7]


def test_the_heartbeat_says_that_a_silent_writer_lives(store: TrainStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that logs nothing for long still beats, by the database's clock."""
    run = store.start_run()
    assert run.flush(60)

    def beat() -> Any:
        with store.engine.connect() as connection:
            return connection.execute(select(store.table.writer.c.heartbeat_at)).scalar_one()

    before = beat()
    monkeypatch.setattr(delivery_thread, "HEARTBEAT", 0.0)
    eventually(lambda: beat() > before, "a heartbeat")


def test_a_file_that_is_deleted_is_not_written_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What nobody could open any more is no place for records: they wait, and arrive when the file is back."""
    path = tmp_path / "runs.db"
    with TrainStore(path) as store, store.start_run() as run:
        run.log({"loss": 0.0}, step=0)
        assert run.flush(60)
        store.engine.dispose()
        files = list(tmp_path.glob("runs.db*"))
        away = tmp_path / "away"
        away.mkdir()
        for file in files:
            if file.is_file():
                file.rename(away / file.name)
        run.log({"loss": 1.0}, step=1)
        assert not run.flush(3)
        assert not path.exists()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(StoreUnavailableError, match="was deleted"):
                store.list_runs()
        assert [text for text in caplog.messages if "was deleted" in text]
        for file in away.iterdir():
            file.rename(tmp_path / file.name)
        assert run.flush(60)
        assert store.list_step_logs(run)["loss"].tolist() == [0.0, 1.0]


def test_a_file_that_was_replaced_gets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another store at the same address is another store; the records stay in the journal."""
    monkeypatch.setattr(stores, "CLOSE_TIMEOUT", 0.5)
    path = tmp_path / "runs.db"
    with TrainStore(path) as store:
        run = store.start_run()
        run.log({"loss": 0.0}, step=0)
        assert run.flush(60)
        for file in tmp_path.glob("runs.db*"):
            if file.is_file():
                file.unlink()
        TrainStore(path).close()
        run.log({"loss": 1.0}, step=1)
        assert not run.flush(1)
        with TrainStore(path) as other:
            assert other.list_runs().empty
        assert not run.finish(timeout=1)


def test_a_network_file_system_is_refused_for_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite's locks do not hold there; reading is harmless. A journal there is a warning, once."""
    with TrainStore(database_url) as store, store.start_run() as run:
        run.log({"loss": 0.0})
    monkeypatch.setattr(health, "file_system_of", lambda _path, _mounts=None: "nfs4")
    monkeypatch.setattr(health, "_file_system_on", lambda _path, _device: "nfs4")
    if database_url.startswith("sqlite"):
        with TrainStore(database_url) as store:
            assert len(store.list_runs()) == 1
            with pytest.raises(NetworkFileSystemError, match=r"nfs4.*PostgreSQL"):
                store.start_run()
        with pytest.raises(NetworkFileSystemError):
            TrainStore(tmp_path / "new.db")
        assert not (tmp_path / "new.db").exists()
    else:
        with TrainStore(database_url) as store:
            for _ in range(2):
                store.start_run().finish()
        assert len([text for text in caplog.messages if "TRAINSTORE_JOURNAL_DIR" in text]) == 1
