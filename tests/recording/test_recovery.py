"""Recovery: journals whose process is gone reach the database, and only theirs."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import event, make_url, select
from sqlalchemy.exc import OperationalError

from recording.support import HandJournal, first_attempt, next_attempt, opener
from trainstore.backends import open_backend
from trainstore.recording import journal as journals
from trainstore.recording import recovery
from trainstore.recording.journal import FileJournal, journal_folders
from trainstore.store import TrainStore


def abandoned(store: TrainStore, journal: HandJournal, **meta: Any) -> Path:
    """Leave a journal as a process leaves it that was killed: nothing delivered, the lock free."""
    known = {
        "run_uid": journal.run_uid,
        "prefix": store._models.prefix,
        "database": store._backend.identity,
        "schema": None,
        "store_uid": store._service.store_uid,
        "seen": journal.seen,
    }
    kept = FileJournal(store._service.journal_root(), journal.uid, known | meta)
    for record in journal.records:
        kept.append(orjson.dumps(record))
    kept.close()
    return kept.folder


def hand_journal(steps: int = 3) -> HandJournal:
    journal = opener(str(uuid.uuid4()), first_attempt())
    for step in range(steps):
        journal.step(step, {"loss": float(step)})
    return journal


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def losses(store: TrainStore, run_uid: str) -> dict[int, float]:
    frame = store.list_step_logs(run_uid)
    return dict(zip(frame["step"], frame["loss"], strict=True)) if len(frame) else {}


def test_the_next_opening_delivers_what_a_process_left(database_url: str) -> None:
    """Opening the store is enough: the run is there, its journal is gone, its writer is closed."""
    journal = hand_journal()
    with TrainStore(database_url) as store:
        folder = abandoned(store, journal)
    with TrainStore(database_url) as store:
        assert store.recovered.records == 5
        assert store.recovered.runs == [journal.run_uid]
        assert losses(store, journal.run_uid) == {0: 0.0, 1: 1.0, 2: 2.0}
        assert store.get_run(journal.run_uid).status == "lost"
        assert not folder.exists()
    with TrainStore(database_url) as store:
        assert store.recovered.records == 0
        assert losses(store, journal.run_uid) == {0: 0.0, 1: 1.0, 2: 2.0}


def test_recover_delivers_without_opening_again(store: TrainStore) -> None:
    """`TrainStore.recover` does the same for a store that is open, and may be called again."""
    journal = hand_journal()
    abandoned(store, journal)
    assert store.recover().runs == [journal.run_uid]
    assert losses(store, journal.run_uid) == {0: 0.0, 1: 1.0, 2: 2.0}
    assert store.recover().runs == []


def test_recovery_goes_on_from_the_watermark(store: TrainStore) -> None:
    """Records that the process had stored itself are not stored again."""
    journal = hand_journal()
    journal.event("checkpoint")
    abandoned(store, journal)
    store.recover()
    for step in range(3, 6):
        journal.step(step, {"loss": float(step)})
    journal.event("checkpoint")
    folder = abandoned(store, journal, seen=True)
    assert store.recover().records == 4
    assert losses(store, journal.run_uid) == {step: float(step) for step in range(6)}
    assert len(store.list_events(journal.run_uid)) == 2
    assert not folder.exists()


def test_a_journal_of_nothing_new_just_goes(store: TrainStore) -> None:
    """A process that died after its last commit and before its journal's removal leaves no work."""
    journal = hand_journal()
    abandoned(store, journal)
    store.recover()
    folder = abandoned(store, journal, seen=True)
    assert store.recover().records == 0
    assert not folder.exists()


def test_many_records_come_in_several_transactions(store: TrainStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal longer than a batch, over several segments, is delivered whole."""
    monkeypatch.setattr(recovery, "MAX_RECORDS", 7)
    monkeypatch.setattr(journals.file, "SEGMENT_BYTES", 500)
    journal = hand_journal(steps=50)
    folder = abandoned(store, journal)
    assert len(list(folder.glob("*.seg"))) > 3
    assert store.recover().records == 52
    assert losses(store, journal.run_uid) == {step: float(step) for step in range(50)}


def test_a_recovery_that_breaks_off_is_finished_by_the_next(store: TrainStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a COMMIT's answer is lost in the middle the journal stays, and the next recovery stores the rest once."""
    monkeypatch.setattr(recovery, "MAX_RECORDS", 2)
    journal = hand_journal(steps=10)
    journal.event("checkpoint")
    folder = abandoned(store, journal)
    dialect = store._service._engine.dialect
    original, plan = dialect.do_commit, ["", "", "", "lose"]

    def commit(connection: Any) -> None:
        original(connection)
        if plan and plan.pop(0):
            raise OperationalError("COMMIT", {}, ConnectionError("lost"))

    monkeypatch.setattr(dialect, "do_commit", commit)
    assert list(store.recover().failed) == [folder]
    assert folder.exists()
    assert store.recover().runs == [journal.run_uid]
    assert losses(store, journal.run_uid) == {step: float(step) for step in range(10)}
    assert len(store.list_events(journal.run_uid)) == 1


def test_a_deleted_run_is_not_made_again(store: TrainStore, caplog: pytest.LogCaptureFixture) -> None:
    """The journal of a run that the database had seen and has no more is set aside, with one warning."""
    journal = hand_journal()
    folder = abandoned(store, journal, seen=True)
    result = store.recover()
    assert [path.name for path in result.set_aside] == [f"{folder.name}.aside"]
    assert result.set_aside[0].is_dir()
    assert len(warnings(caplog)) == 1
    assert journal.run_uid in warnings(caplog)[0]
    assert store.recover().set_aside == []
    assert len(store.list_runs()) == 0


def test_other_journals_stay_where_they_are(store: TrainStore) -> None:
    """Those of another prefix, of another store, and of another database without a store's uid are not ours."""
    others = [
        abandoned(store, hand_journal(), prefix="other_"),
        abandoned(store, hand_journal(), store_uid=str(uuid.uuid4())),
        abandoned(store, hand_journal(), store_uid=None, database="postgresql://elsewhere:5432/db"),
    ]
    own = abandoned(store, hand_journal(), store_uid=None)
    assert len(store.recover().runs) == 1
    assert all(folder.is_dir() for folder in others)
    assert not own.exists()


def test_a_journal_is_found_wherever_this_store_is_named(store: TrainStore, tmp_path: Path) -> None:
    """The same database under another spelling of its URL keeps its journals elsewhere; they are delivered too."""
    journal = hand_journal()
    folder = abandoned(store, journal, database="postgresql://another-spelling/db")
    elsewhere = tmp_path / "journals" / ("f" * 32)
    elsewhere.mkdir()
    shutil.move(folder, elsewhere)
    assert store.recover().runs == [journal.run_uid]


def test_journals_beside_an_sqlite_file_are_delivered(
    new_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without TRAINSTORE_JOURNAL_DIR a file's journals lie beside it, and are found with it set as well."""
    url = new_database("sqlite")
    monkeypatch.delenv("TRAINSTORE_JOURNAL_DIR")
    journal = hand_journal()
    with TrainStore(url) as store:
        folder = abandoned(store, journal)
    assert folder.parent == Path(f"{make_url(url).database}.journal")
    monkeypatch.setenv("TRAINSTORE_JOURNAL_DIR", str(folder.parent.parent / "elsewhere"))
    with TrainStore(url) as store:
        assert store.recovered.runs == [journal.run_uid]
    assert not folder.parent.exists()


def test_damage_costs_what_it_hit_and_is_told(store: TrainStore, caplog: pytest.LogCaptureFixture) -> None:
    """A journal with a hole is delivered without what stood there, and a warning says which records."""
    journal = hand_journal(steps=10)
    folder = abandoned(store, journal)
    (segment,) = folder.glob("*.seg")
    data = bytearray(segment.read_bytes())
    hit = sum(len(journals.frame(n, orjson.dumps(r))) for n, r in enumerate(journal.records[:5], start=1)) + 30
    data[hit] ^= 1
    segment.write_bytes(data + b"TSj1 torn")
    assert store.recover().runs == [journal.run_uid]
    assert set(losses(store, journal.run_uid)) == set(range(10)) - {3}
    assert any("records 6 to 6 are lost" in text for text in warnings(caplog))
    (gap,) = store.list_events(journal.run_uid, kind="gap")["details"]
    assert gap == {"reason": "damage", "records": [6, 6]}


@pytest.mark.parametrize("damaged", [{1}, {2}, {1, 2}, {1, 2, 3}])
def test_a_run_whose_first_records_are_damaged_is_stored_all_the_same(store: TrainStore, damaged: set[int]) -> None:
    """Its run and its attempt stand in the journal twice."""
    journal = hand_journal()
    folder = abandoned(store, journal, opening=journal.records[:2])
    (segment,) = folder.glob("*.seg")
    data = bytearray(segment.read_bytes())
    end = 0
    for number, (after, *_) in enumerate(list(journals.frames(bytes(data))), start=1):
        if number in damaged:
            data[(end + after) // 2] ^= 1
        end = after
    segment.write_bytes(data)
    assert store.recover().runs == [journal.run_uid]
    assert set(losses(store, journal.run_uid)) == {0, 1, 2} - {number - 3 for number in damaged}
    assert store.get_run(journal.run_uid).name == "n"


def test_a_live_run_keeps_its_first_records_twice(store: TrainStore) -> None:
    """In ``meta.json`` from the start."""
    run = store.start_run(name="kept")
    opening = journals.read_meta(run._recorder.journal.folder)["opening"]
    assert [record["kind"] for record in opening] == ["run", "attempt"]
    assert opening[0]["name"] == "kept"


def test_a_record_that_the_database_refuses_is_put_aside(store: TrainStore) -> None:
    """It becomes an event that holds it; those before and after it in the same batch are stored as they are."""
    journal = hand_journal(steps=9)
    journal.records[5]["at"] = "no time"
    journal.records[7]["step"] = 2**63
    journal.event("checkpoint")
    abandoned(store, journal)
    assert store.recover().runs == [journal.run_uid]
    assert set(losses(store, journal.run_uid)) == set(range(9)) - {3, 5}
    refused = store.list_events(journal.run_uid, kind="refused")["details"].tolist()
    assert len(refused) == 2
    assert "no time" in refused[0]["record"]
    assert str(2**63) in refused[1]["record"]
    assert len(store.list_events(journal.run_uid, kind="checkpoint")) == 1


def test_one_bad_journal_does_not_hide_the_others(store: TrainStore) -> None:
    """A journal that cannot be delivered stays where it is, with a reason; those before and after it are delivered."""
    good = [hand_journal(), hand_journal()]
    bad = hand_journal()
    bad.records[0]["started_at"] = "no time"
    folder = abandoned(store, bad)
    for journal in good:
        abandoned(store, journal)
    result = store.recover()
    assert sorted(result.runs) == sorted(journal.run_uid for journal in good)
    assert list(result.failed) == [folder]
    assert folder.is_dir()
    assert set(store.list_runs()["uid"]) == {journal.run_uid for journal in good}


def test_what_a_live_process_writes_is_left_to_it(store: TrainStore, database_url: str) -> None:
    """Opening the store again, in this process, leaves a running recording alone."""
    run = store.start_run()
    with TrainStore(database_url) as second:
        assert second.recovered.runs == []
        assert len(second.recover().live) == 1
        assert second.is_recorded_here(run)
        assert not second.is_recorded_here(str(uuid.uuid4()))
    run.log({"loss": 1.0}, step=0)
    assert run.finish(timeout=60)
    assert losses(store, run.uid) == {0: 1.0}
    assert not store.is_recorded_here(run)


def test_another_hosts_journal_waits_until_it_was_silent(store: TrainStore) -> None:
    """Locks of a shared home may not reach other machines: lock file and heartbeat must be older than 90 s."""
    journal = hand_journal()
    journal.records = journal.records[:2]
    abandoned(store, journal)
    store.recover()
    journal.step(1, {"loss": 1.0})
    folder = abandoned(store, journal, host="another-machine", seen=True)
    assert store.recover().live == [folder], "its lock file was touched just now"
    assert folder.is_dir()
    long_ago = time.time() - 91
    os.utime(folder / "lock", (long_ago, long_ago))
    writer = store.table.writer
    with store._service.transaction() as connection:
        connection.execute(writer.update().values(heartbeat_at=store._backend.now(), closed_at=None))
    assert store.recover().live == [folder], "its writer beats"
    with store._service.transaction() as connection:
        connection.execute(writer.update().values(heartbeat_at=datetime.now(UTC) - timedelta(seconds=91)))
    assert store.recover().runs == [journal.run_uid]
    assert losses(store, journal.run_uid) == {1: 1.0}


def test_late_journals_of_several_attempts_come_in_any_order(store: TrainStore) -> None:
    """Two attempts of a run whose processes both died are delivered into one history."""
    root = first_attempt()
    first = opener(str(uuid.uuid4()), root)
    second = opener(first.run_uid, next_attempt(root, 4))
    for step in range(10):
        first.step(step, {"loss": 1.0})
        second.step(step + 5, {"loss": 2.0})
    for journal in (second, first):
        abandoned(store, journal)
    store.recover()
    assert losses(store, first.run_uid) == {step: 1.0 if step < 5 else 2.0 for step in range(15)}


def test_a_reader_without_the_right_to_write_leaves_journals(
    new_database: Callable[..., str], postgres_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A PostgreSQL user who may only read opens and queries the store; the journal stays, with one warning."""
    url = new_database("postgresql")
    database = str(make_url(url).database)
    role = f"reader_{uuid.uuid4().hex[:8]}"
    with TrainStore(url) as store:
        run = store.start_run(name="there")
        run.finish()
    postgres_server.execute(f"CREATE ROLE {role} LOGIN", database)
    postgres_server.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}", database)
    try:
        reader_url = make_url(url).set(username=role)
        with TrainStore(url) as store:
            folder = abandoned(store, hand_journal())
        with TrainStore(reader_url) as reader:
            assert list(reader.list_runs()["name"]) == ["there"]
            assert reader.recovered.failed == {folder: "no right to write"}
        assert len(warnings(caplog)) == 1
        assert "no right to write" in warnings(caplog)[0]
        assert folder.is_dir()
        with TrainStore(url) as store:
            assert len(store.recovered.runs) == 1
    finally:
        postgres_server.execute(f"DROP OWNED BY {role}; DROP ROLE {role}", database)


def test_a_file_that_may_not_be_written_leaves_journals(
    new_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The same for an SQLite file that this user may only read."""
    url = new_database("sqlite")
    with TrainStore(url) as store:
        folder = abandoned(store, hand_journal())
    backend = type(open_backend(url))
    connect = backend._driver_connect

    def read_only(self: Any, timeout: float) -> sqlite3.Connection:
        connection = connect(self, timeout)
        connection.execute("PRAGMA query_only = ON")  # as root no file mode keeps anybody from writing
        return connection

    with monkeypatch.context() as patched:
        patched.setattr(backend, "_driver_connect", read_only)
        with TrainStore(url) as reader:
            assert len(reader.list_runs()) == 0
            assert reader.recovered.failed == {folder: "no right to write"}
    assert len(warnings(caplog)) == 1
    assert folder.is_dir()


def test_a_database_made_anew_gets_no_journal_of_the_old_one(
    new_database: Callable[..., str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that was deleted and made again is another store: neither a recovery nor a live writer fills it."""
    monkeypatch.setattr("trainstore.store.CLOSE_TIMEOUT", 0.2)
    url = new_database("sqlite")
    path = Path(str(make_url(url).database))
    with TrainStore(url) as store:
        run = store.start_run(name="live")
        assert run.flush(60)
        folder = abandoned(store, hand_journal())
        store.engine.dispose()
        for file in path.parent.glob(f"{path.name}*"):
            if file.is_file():
                file.unlink()
        with TrainStore(url) as anew:
            assert anew.recovered.runs == []
            run.log({"loss": 1.0}, step=0)
            store._service._delivery._drop_connection()
            assert not run.flush(0.5)
            assert len(anew.list_runs()) == 0
        assert folder.is_dir()
    assert any("not the same store as before" in text for text in warnings(caplog))


def test_two_recoveries_at_once_store_each_record_once(database_url: str) -> None:
    """Two stores that recover in turn over the same journals, one of them interrupted by the other, double nothing."""
    with TrainStore(database_url) as one, TrainStore(database_url) as other:
        journal = hand_journal(steps=5)
        folder = abandoned(one, journal)
        inner: list[Any] = []

        def recover_too(_connection: Any) -> None:
            if not inner:
                inner.append(None)
                inner.append(other.recover())

        event.listen(one._service._engine, "engine_connect", recover_too)
        assert one.recover().runs == [journal.run_uid]
        assert inner[1].runs == []
        assert inner[1].live == [folder]
        assert losses(one, journal.run_uid) == {step: float(step) for step in range(5)}
        with one.engine.connect() as connection:
            assert len(connection.execute(select(one.table.step_log)).all()) == 5


def test_nothing_is_left_of_a_root_without_journals(store: TrainStore) -> None:
    """When the last journal went, its folder went too."""
    folder = abandoned(store, hand_journal())
    store.recover()
    assert journal_folders(folder.parent) == []
    assert not folder.parent.exists()
