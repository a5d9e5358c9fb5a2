"""TrainStore's recording side: starting, resuming, deleting, closing; the database away, disabled, in memory."""

from __future__ import annotations

import logging
import os
import re
import shlex
import uuid
from collections.abc import Callable, Iterator
from html import escape, unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import make_url, select

from recording.proxy import Proxy
from recording.support import desk_at
from trainstore.errors import (
    InvalidArgumentError,
    JournalError,
    PendingRecordsWarning,
    RunActiveError,
    RunNotFoundError,
    StoreClosedError,
    StoreUnavailableError,
)
from trainstore.recording import delivery_thread, opening
from trainstore.store import TrainStore

AWAY = "postgresql://someone:hidden-word@127.0.0.1:1/db"  # nothing listens on port 1


@pytest.fixture
def proxy(new_database: Callable[..., str]) -> Iterator[Proxy]:
    """A PostgreSQL database behind a port that is down at first."""
    made = Proxy(new_database("postgresql"))
    yield made
    made.down()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def steps(store: TrainStore, run: Any) -> list[int]:
    return list(store.list_step_logs(run)["step"])


# --- Starting --------------------------------------------------------------------------------------------------------


def test_a_run_takes_its_names_from_arguments_environment_or_uid(
    store: TrainStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """project and name as given; else TRAINSTORE_PROJECT and TRAINSTORE_RUN_NAME; else "default" and the uid."""
    plain = store.start_run()
    assert (plain.project, plain.name) == ("default", f"run-{plain.uid[:8]}")
    monkeypatch.setenv("TRAINSTORE_PROJECT", "from-environment")
    monkeypatch.setenv("TRAINSTORE_RUN_NAME", "nightly")
    assert (store.start_run().project, store.start_run().name) == ("from-environment", "nightly")
    given = store.start_run(project="p", name="n")
    assert (given.project, given.name) == ("p", "n")


def test_the_name_may_come_first_without_a_word(store: TrainStore) -> None:
    """``start_run("baseline")`` means the name."""
    with store.start_run("baseline", project="p") as run:
        assert (run.name, run.project) == ("baseline", "p")
    assert store.get_run("baseline").project == "p"


def test_what_a_run_is_started_with_is_stored(store: TrainStore) -> None:
    """Hyperparameters, tags, notes, source, parent and rank reach their tables; secrets do not."""
    parent = store.start_run(name="parent")
    run = store.start_run(
        hyperparams={"lr": 0.1, "big": 2**70, "api_key": "abc"},
        tags=["baseline"],
        notes="why",
        source="test",
        parent=parent,
        parent_step=7,
        rank=3,
        model_name="m",
    )
    assert parent.flush(60)
    assert run.flush(60)
    record = store.get_run(run)
    assert record.hyperparams == {"lr": 0.1, "big": 2**70, "api_key": "[redacted]"}
    row = store.list_runs(name=run.name).iloc[0]
    assert (row["notes"], row["source"], row["parent_uid"], row["parent_step"], row["model_name"]) == (
        "why",
        "test",
        parent.uid,
        7,
        "m",
    )
    assert bool(row["tag__baseline"]) is True
    with store.engine.connect() as connection:
        attempt = connection.execute(
            select(store.table.attempt).where(store.table.attempt.c.uid == run.attempt_uid)
        ).one()
        rank = connection.execute(
            select(store.table.writer.c.rank).where(store.table.writer.c.uid == run.attempt_uid)
        ).scalar_one()
    assert rank == 3
    assert attempt.versions["python"]
    assert attempt.host


@pytest.mark.parametrize(
    "arguments",
    [
        {"project": 3}, {"name": b"x"}, {"notes": 1.5}, {"source": None, "model_name": []}, {"hyperparams": [1]},
        {"hyperparams": "lr=1"}, {"tags": 3}, {"parent": b"no uid"}, {"parent": 1.5}, {"parent_step": -1},
        {"parent_step": 2**63}, {"parent_step": True}, {"rank": "0"}, {"rank": -1}, {"rank": 2**31}, {"rank": True},
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_argument_is_an_error_before_training_starts(store: TrainStore, arguments: dict[str, Any]) -> None:
    """It is named, and no run is made."""
    with pytest.raises(InvalidArgumentError):
        store.start_run(**arguments)
    assert len(store.list_runs()) == 0


def test_names_of_any_length_and_kind_are_stored(store: TrainStore) -> None:
    """Odd characters are kept or escaped; a name longer than 255 characters is cut and marked by a hash."""
    names = ["'; DROP TABLE run; --", "損失 🙂", "nul\x00", os.urandom(2_000).hex(), "x" * 300]
    runs = [store.start_run(project=name, name=name) for name in names]
    assert all(run.flush(60) for run in runs)
    frame = store.list_runs().set_index("uid")
    assert [frame.loc[run.uid, "name"] for run in runs] == [run.name for run in runs]
    assert [run.name for run in runs[:3]] == ["'; DROP TABLE run; --", "損失 🙂", "nul\\u0000"]
    assert all(len(run.name) <= 255 for run in runs)


def test_a_run_begins_without_touching_the_database(store: TrainStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """start_run and log() only write to the journal; the uid is known at once."""
    monkeypatch.setattr(delivery_thread, "INTERVAL", 10_000.0)
    run = store.start_run()
    run.log({"loss": 1.0}, step=0)
    with store.engine.connect() as connection:
        assert connection.execute(select(store.table.run)).all() == []
    assert uuid.UUID(run.uid)
    assert steps(store, run) == [0], "a query brings this store's own records first"


def test_the_journal_lies_where_it_is_told_to(
    new_database: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRAINSTORE_JOURNAL_DIR; else beside an SQLite file, and in the user's state folder for PostgreSQL."""
    monkeypatch.setattr(delivery_thread, "INTERVAL", 10_000.0)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    chosen = tmp_path / "chosen"
    for kind in ("sqlite", "postgresql"):
        url = new_database(kind)
        monkeypatch.setenv("TRAINSTORE_JOURNAL_DIR", str(chosen))
        with TrainStore(url) as store:
            run = store.start_run()
            assert [path.parent.name for path in chosen.glob("*/*/meta.json")] == [run.attempt_uid]
        monkeypatch.delenv("TRAINSTORE_JOURNAL_DIR")
        with TrainStore(url) as store:
            run = store.start_run()
            root = Path(f"{make_url(url).database}.journal") if kind == "sqlite" else tmp_path / "state"
            assert [path.parent.name for path in root.rglob("meta.json")] == [run.attempt_uid]
        assert list(tmp_path.rglob("meta.json")) == []


def test_a_journal_that_cannot_be_kept_is_an_error_at_the_start(
    store: TrainStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the folder and the variable, before any step is lost."""
    blocked = tmp_path / "blocked"
    blocked.write_text("a file")
    monkeypatch.setenv("TRAINSTORE_JOURNAL_DIR", str(blocked))
    with pytest.raises(JournalError, match="TRAINSTORE_JOURNAL_DIR"):
        store.start_run()


@pytest.mark.parametrize("value", ["1", "true", "YES", "on"])
def test_recording_can_be_turned_off_everywhere(
    store: TrainStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str
) -> None:
    """With TRAINSTORE_DISABLED handles do nothing, and say so nowhere; queries work."""
    before = store.start_run(name="before")
    assert before.finish()
    monkeypatch.setenv("TRAINSTORE_DISABLED", value)
    with store.start_run(name="off", hyperparams={"a": 1}, tags=["x"]) as run:
        run.log({"loss": 1.0}, step=-5)
        run.set_notes("x")
        run.log_event("checkpoint")
        assert run.flush()
    assert run.status == "finished"
    again = store.resume_run(before, step=3)
    again.log({"loss": 1.0})
    assert again.finish()
    assert list(store.list_runs()["name"]) == ["before"]
    assert len(store.list_step_logs(before)) == 0
    assert list((tmp_path / "journals").rglob("*.seg")) == []


# --- Resuming --------------------------------------------------------------------------------------------------------


def test_a_run_can_be_named_in_many_ways(store: TrainStore) -> None:
    """resume_run takes a handle, a record, a uid, an id and a unique name; a stranger is an error."""
    run = store.start_run(name="only one")
    run.log({"loss": 1.0}, step=0)
    assert run.finish()
    record = store.get_run(run)
    for known in (run, record, run.uid, record.run_id, "only one"):
        handle = store.resume_run(known)
        assert handle.uid == run.uid
        assert (handle.project, handle.name) == (run.project, run.name)
        assert handle.finish()
    for stranger in (str(uuid.uuid4()), "nobody", 10**6):
        with pytest.raises(RunNotFoundError):
            store.resume_run(stranger, step=3)


@pytest.mark.parametrize(
    ("step", "lineage"),
    [
        (-2, None), (2**63, None), (1.0, None), (True, None), ("3", None), (None, []), (3, "text"), (3, [[1, 2, 3]]),
        (3, [["a", 1]]), (3, [["a", 1, 2.5]]), (3, [["a" * 37, 1, 2]]), (3, [["a", -2, 2]]), (3, [["a", 1, 10**30]]),
        (3, [["a", 1, -1]]), (3, [["a", True, 1]]),
    ],
    ids=str,
)  # fmt: skip
def test_a_step_or_lineage_that_cannot_be_is_an_error(store: TrainStore, step: Any, lineage: Any) -> None:
    """It is told at once, and the run is as it was."""
    run = store.start_run()
    assert run.finish()
    with pytest.raises(InvalidArgumentError):
        store.resume_run(run, step=step, lineage=lineage)
    with store.engine.connect() as connection:
        assert len(connection.execute(select(store.table.attempt)).all()) == 1


def test_a_run_is_asked_for_as_a_frame_shows_it(store: TrainStore) -> None:
    """Names and NumPy integers will do wherever a run, a step or a number of rows is asked for."""
    base = store.start_run(name="base")
    base.log({"loss": 1.0}, step=4)
    assert store.is_recorded_here("base")
    assert base.finish()
    frame = store.list_runs()
    run_id, step = frame["run_id"].iloc[0], frame["last_step"].iloc[0]
    assert not store.is_recorded_here(run_id)
    for parent in (base, store.get_run("base"), base.uid, run_id, int(run_id), "base"):
        child = store.start_run(parent=parent, parent_step=step, name="child")
        assert child.finish()
        assert store.get_run(child).parent_uid == base.uid
        assert store.get_run(child).parent_step == 4
        store.delete_run(child)
    resumed = store.resume_run(run_id, step=step)
    assert resumed.finish()
    assert resumed.lineage[-1][1] == 4
    store.set_tags(run_id, ["kept"])
    store.set_notes(run_id, "noted")
    assert (store.get_run(run_id).tags, store.get_current_step(run_id)) == ({"kept": True}, 4)
    assert len(store.list_runs(limit=np.int64(1))) == len(store.list_step_logs([run_id])) == 1
    for stranger in ("nobody", np.int64(10**6)):
        with pytest.raises(RunNotFoundError):
            store.start_run(parent=stranger)
        with pytest.raises(RunNotFoundError):
            store.is_recorded_here(stranger)


def test_a_resume_names_what_it_goes_back_to(store: TrainStore) -> None:
    """The lineage is root first and ends in the handle's own attempt; times only grow, whatever the clock says."""
    first = store.start_run()
    first.log({"loss": 1.0}, step=10)
    assert first.finish()
    second = store.resume_run(first, step=5)
    assert second.lineage[0] == first.lineage[0]
    assert [entry[:2] for entry in second.lineage] == [[first.attempt_uid, -1], [second.attempt_uid, 5]]
    future = [[str(uuid.uuid4()), -1, first.lineage[0][2] + 10**15]]
    third = store.resume_run(first, step=7, lineage=future)
    assert third.lineage[-1][2] == future[0][2] + 1
    fourth = store.resume_run(first, step=8, lineage=first.lineage)
    assert fourth.lineage[-1][2] > third.lineage[-1][2], "later than all that the database knows of the run"


def test_an_old_checkpoint_brings_its_own_history_back(store: TrainStore, database_url: str) -> None:
    """Resuming the first attempt after a second one had gone on shows the first one's steps, then the new ones."""
    first = store.start_run()
    for step in range(10):
        first.log({"who": 1.0}, step=step)
    assert first.finish()
    second = store.resume_run(first, step=4)
    for _ in range(20):
        second.log({"who": 2.0})
    assert second.finish()
    third = store.resume_run(first, step=7, lineage=first.lineage)
    third.log({"who": 3.0})
    assert third.finish()
    frame = store.list_step_logs(first)
    assert frame["who"].tolist() == [1.0] * 8 + [3.0]
    assert store.get_current_step(first) == 8
    assert len(store.list_step_logs(first, attempts="all")) == 10 + 20 + 1
    with desk_at(database_url) as desk:
        desk.check(first.uid)


def test_a_checkpoint_of_a_deleted_run_makes_it_anew(store: TrainStore) -> None:
    """Under the same uid, with the steps from there on, and project and name as asked for."""
    run = store.start_run(project="p", name="n")
    run.log({"loss": 1.0}, step=5)
    assert run.finish()
    store.delete_run(run)
    again = store.resume_run(run, step=5, lineage=run.lineage, project="p2", name="n2")
    again.log({"loss": 2.0})
    assert again.finish()
    assert steps(store, run.uid) == [6]
    record = store.get_run(run.uid)
    assert (record.project, record.name, record.status) == ("p2", "n2", "finished")


def test_a_run_whose_parent_is_elsewhere_keeps_it_when_it_is_resumed(store: TrainStore, database_url: str) -> None:
    """So the resumed attempt's journal tells it to a store that has not heard of the run, too."""
    elsewhere = str(uuid.uuid4())
    run = store.start_run(parent=elsewhere, parent_step=3)
    assert run.finish()
    again = store.resume_run(run, step=0)
    assert again.finish()
    assert store.get_run(run).parent_uid == elsewhere
    with desk_at(database_url) as desk, desk.connection.begin():
        record, *_ = opening.known_run(desk.connection, desk.statements, store.get_run(run).run_id)
    assert (record["parent"], record["parent_step"]) == (elsewhere, 3)


# --- The database away -----------------------------------------------------------------------------------------------


def test_an_unreachable_server_is_an_error_unless_it_may_be(caplog: pytest.LogCaptureFixture) -> None:
    """The error names the host and no password; with offline_ok there is one warning, without the password too."""
    with pytest.raises(StoreUnavailableError, match=r"127\.0\.0\.1:1") as error:
        TrainStore(AWAY)
    assert "hidden-word" not in str(error.value)
    with TrainStore(AWAY, offline_ok=True) as store:
        assert len(warnings(caplog)) == 1
        assert "127.0.0.1" in warnings(caplog)[0]
        assert "hidden-word" not in warnings(caplog)[0] + repr(store)
        with pytest.raises(StoreUnavailableError):
            store.list_runs()


def test_a_run_without_a_lineage_cannot_be_resumed_offline() -> None:
    """Which attempt it would resume is not known: an error at once."""
    with TrainStore(AWAY, offline_ok=True) as store, pytest.raises(StoreUnavailableError):
        store.resume_run(str(uuid.uuid4()), step=3)


def test_a_run_begins_while_the_server_is_away_and_arrives_later(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The same process delivers everything when the server appears, the resume of a run unknown till then included."""
    monkeypatch.setattr(delivery_thread, "BACKOFF", (0.01, 0.2))
    lineage = [[str(uuid.uuid4()), -1, 1_700_000_000_000_000]]
    resumed_uid = str(uuid.uuid4())
    with TrainStore(proxy.url, offline_ok=True) as store:
        run = store.start_run(project="p", name="offline", hyperparams={"lr": 0.1})
        resumed = store.resume_run(resumed_uid, step=4, lineage=lineage, project="p", name="resumed")
        for step in range(100):
            run.log({"loss": float(step)}, step=step)
            resumed.log({"loss": float(step)})
        assert not run.flush(0.1)
        proxy.up()
        assert run.finish(timeout=60)
        assert resumed.finish(timeout=60)
        assert steps(store, run) == list(range(100))
        assert steps(store, resumed_uid) == list(range(5, 105))
        assert store.get_run(resumed_uid).name == "resumed"
        assert store.get_run("offline").hyperparams == {"lr": 0.1}
    assert not any("hidden-word" in text for text in warnings(caplog))


def test_a_journal_begun_offline_is_delivered_by_the_next_opening(
    proxy: Proxy, start_script: Callable[..., Any]
) -> None:
    """A process that never saw the server leaves a journal that names no store; opening this URL delivers it."""
    script = start_script(
        """
        import os, sys
        from trainstore.store import TrainStore
        store = TrainStore(sys.argv[1], offline_ok=True)
        run = store.start_run(name="never connected")
        for step in range(20):
            run.log({"loss": float(step)}, step=step)
        print("logged")
        os._exit(0)
        """,
        proxy.url,
    )
    script.finish()
    proxy.up()
    with TrainStore(proxy.url) as store:
        assert store.recovered.records == 22
        assert steps(store, "never connected") == list(range(20))
        assert store.get_run("never connected").status == "lost"


def test_a_server_that_goes_and_comes_loses_nothing(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Training goes on meanwhile; a query warns with the number of records that wait, or says that it cannot."""
    monkeypatch.setattr(delivery_thread, "INTERVAL", 0.02)
    monkeypatch.setattr(delivery_thread, "BACKOFF", (0.01, 0.2))
    proxy.up()
    with TrainStore(proxy.url) as store:
        run = store.start_run()
        for turn in range(5):
            for step in range(turn * 50, turn * 50 + 50):
                run.log({"loss": float(step)}, step=step)
            assert run.flush(60)
            proxy.down()
            run.log({"down": float(turn)}, step=turn)
            assert not run.flush(0.05)
            proxy.up()
        assert run.finish(timeout=60)
        frame = store.list_step_logs(run)
        assert frame["loss"].tolist() == [float(step) for step in range(250)]
        assert frame["down"].dropna().tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert not any("hidden-word" in text for text in warnings(caplog))


def test_a_query_says_what_is_not_stored_yet(store: TrainStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its own records cannot be stored within a second, a query reads what is there and warns."""
    run = store.start_run()
    run.log({"loss": 0.0}, step=0)
    assert run.flush(60)
    monkeypatch.setattr("trainstore.store.READ_OWN_WRITES_TIMEOUT", 0.05)

    def refuse(*_arguments: Any) -> None:
        raise RuntimeError("no commit today")

    with monkeypatch.context() as patched:
        patched.setattr(store._service._engine.dialect, "do_commit", refuse)
        run.log({"loss": 1.0}, step=1)
        with pytest.warns(PendingRecordsWarning, match="1 records are not stored yet"):
            assert steps(store, run) == [0]
    assert run.finish(timeout=60)
    assert steps(store, run) == [0, 1]


# --- Two stores, memory, deletion, closing ---------------------------------------------------------------------------


def test_two_stores_of_one_database_in_one_process_do_not_disturb_each_other(database_url: str) -> None:
    """Each delivers its own runs, sees the other's, and closes for itself."""
    with TrainStore(database_url) as one:
        with TrainStore(database_url) as other:
            first, second = one.start_run(name="first"), other.start_run(name="second")
            for step in range(200):
                first.log({"loss": 1.0}, step=step)
                second.log({"loss": 2.0}, step=step)
            assert second.finish()
            assert first.flush(60)
            assert steps(one, "second") == steps(other, "first") == list(range(200))
        first.log({"loss": 1.0}, step=200)
        assert first.finish()
        assert steps(one, "first") == list(range(201))


def test_prefixes_are_stores_of_their_own(database_url: str) -> None:
    """Two prefixes in one database, recording at once, know nothing of each other."""
    with (
        TrainStore(database_url) as one,
        TrainStore(database_url, table_name_prefix="team_", auto_upgrade=True) as other,
    ):
        a, b = one.start_run(name="a"), other.start_run(name="b")
        a.log({"loss": 1.0})
        b.log({"loss": 2.0})
        assert list(one.list_runs()["name"]) == ["a"]
        assert list(other.list_runs()["name"]) == ["b"]
        assert a.finish()
        assert b.finish()


def test_a_store_in_memory_records_and_answers(tmp_path: Path) -> None:
    """:memory: keeps no file and is gone when it is closed; two of them are two stores."""
    with TrainStore(":memory:") as one, TrainStore("sqlite://") as other:
        with one.start_run(name="here", hyperparams={"lr": 0.1}) as run:
            for step in range(2_500):
                run.log({"loss": float(step)}, step=step)
        assert steps(one, run) == list(range(2_500))
        resumed = one.resume_run(run, step=9)
        resumed.log({"loss": -1.0})
        assert resumed.finish()
        assert steps(one, run) == list(range(11))
        assert one.get_run(run).metrics == {"loss": -1.0}
        assert len(other.list_runs()) == 0
        assert one.recover().runs == []
        one.delete_run(run)
        assert len(one.list_runs()) == 0
    assert not (tmp_path / "journals").exists()


def test_an_active_run_is_deleted_only_by_force(store: TrainStore) -> None:
    """A live writer protects its run, and its process is named; a finished run goes with all that belongs to it."""
    run, child = store.start_run(hyperparams={"a": 1}, tags=["t"]), None
    run.log({"loss": 1.0}, step=0)
    run.log_event("checkpoint")
    assert run.flush(60)
    with pytest.raises(RunActiveError, match=str(os.getpid())):
        store.delete_run(run)
    child = store.start_run(parent=run, parent_step=0)
    assert child.finish()
    assert run.finish()
    store.delete_run(run)
    with pytest.raises(RunNotFoundError):
        store.get_run(run)
    with pytest.raises(RunNotFoundError):
        store.delete_run(run)
    with store.engine.connect() as connection:
        for name in ("step_log", "metric_summary", "hyperparam", "event"):
            assert connection.execute(select(getattr(store.table, name))).all() == []
        assert connection.execute(select(store.table.run.c.uid, store.table.run.c.parent_run_id)).all() == [
            (child.uid, None)
        ]


def test_a_closed_store_says_so_and_a_late_record_is_kept(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Its methods raise; a handle that outlives it neither raises nor loses what is logged; closing twice is fine."""
    store = TrainStore(database_url)
    run = store.start_run()
    run.log({"loss": 1.0}, step=0)
    store.close()
    store.close()
    for call in (store.start_run, store.list_runs, lambda: store.resume_run(run), lambda: store.engine):
        with pytest.raises(StoreClosedError):
            call()
    run.log({"loss": 2.0}, step=1)
    assert run.finish()
    with TrainStore(database_url) as again:
        assert steps(again, run.uid) == [0, 1]
        assert store.recovered.failed == {}


def test_a_handle_outlives_a_store_in_memory_in_peace(caplog: pytest.LogCaptureFixture) -> None:
    """There is nothing left to record into: log() does nothing, at once, and a warning says so."""
    store = TrainStore(":memory:")
    run = store.start_run()
    run.log({"loss": 1.0}, step=0)
    store.close()
    for step in range(1, 10):
        run.log({"loss": 2.0}, step=step)
    assert run.finish()
    (warning,) = warnings(caplog)
    assert "closed" in warning


def test_a_lineage_is_of_the_run_it_is_given_for(store):
    """Resuming a run with the lineage of another one is an error, and both go on as they were."""
    first, second = store.start_run(name="first"), store.start_run(name="second")
    assert store.flush()
    with pytest.raises(InvalidArgumentError, match=f"belongs to run {second.uid}, not to {first.uid}"):
        store.resume_run(first, step=3, lineage=second.lineage)
    first.log({"loss": 1.0})
    assert first.finish()
    assert second.finish()
    assert store.list_runs()["attempts"].tolist() == [1, 1]


def test_a_store_is_opened_from_the_filesystem(tmp_path, monkeypatch):
    """A file name is a file name, whatever characters it has, and ``~`` is the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with TrainStore.from_filesystem(filename="~/odd ?a=b#100%.db", table_name_prefix="mine_") as store:
        store.start_run(name="here").finish()
    path = tmp_path / "odd ?a=b#100%.db"
    assert path.is_file()
    with TrainStore(path, table_name_prefix="mine_") as store:
        assert store.list_runs()["name"].tolist() == ["here"]


# --- In a notebook ---------------------------------------------------------------------------------------------------


def test_a_store_shows_its_newest_runs(store: TrainStore):
    """As a table of what a person looks at first, in which no text is taken for HTML; a handle shows itself."""
    assert store._repr_html_() == f"<p>{escape(repr(store))}</p>"
    for width in (1, 2):
        with store.start_run(name=f"<b>{width}", hyperparams={"width": width, "same": 0}) as run:
            run.log({"loss": 1 / width, "rare": 1.0})
    html = store._repr_html_()
    assert escape(repr(store)) in html
    assert "<th>loss</th><th>width</th></tr>" in html
    assert "<td>0.5</td><td>2</td></tr>" in html
    assert "&lt;b&gt;1" in html
    assert "<b>" not in html
    assert "rare" not in html
    assert run.uid in run._repr_html_()
    assert "&lt;b&gt;2" in run._repr_html_()


def test_what_shows_a_store_says_how_to_look_in_a_browser(store: TrainStore, database_url: str, monkeypatch):
    """With the commands to paste: for the store those for all its runs, for a run those for it alone."""
    monkeypatch.setenv("TRAINSTORE_URL", "another.db")
    with store.start_run(name="../a b'<&>$(x)") as run:
        run.log({"loss": 1.0})
    for shown, words in ((store, "report --all -o runs.html"), (run, f"report {run.uid} -o a-b-x.html")):
        commands = re.findall("<code>(.*?)</code>", shown._repr_html_())
        assert len(commands) == 2
        for command, asked in zip(map(unescape, commands), ("ui", words), strict=True):
            if "the URL of the database in TRAINSTORE_URL" not in command:  # it has a password
                assert shlex.split(command)[: len(asked.split()) + 1] == ["trainstore", *asked.split()]
                assert shlex.split(command)[-2] == "--store"
    monkeypatch.setenv("TRAINSTORE_URL", database_url)
    assert "<code>trainstore ui</code>" in store._repr_html_()


def test_a_store_in_memory_can_be_looked_at_from_nowhere_else():
    """No command would find it."""
    with TrainStore(":memory:") as store:
        run = store.start_run(name="here")
        run.log({"loss": 1.0})
        run.finish()
        assert "<code>" not in store._repr_html_() + run._repr_html_()


def test_a_closed_store_shows_its_address(database_url: str):
    """Showing a result must not fail because there is nothing to read."""
    with TrainStore(database_url) as store:
        pass
    assert "is closed" in store._repr_html_()
