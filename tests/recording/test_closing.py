"""A lost run is ended by hand: close_run."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from recording.support import AttemptFacts, HandJournal, desk_at
from trainstore import TrainStore
from trainstore.errors import InvalidArgumentError, RunActiveError, RunEndedError, RunNotFoundError
from trainstore.values import time_of

KILLED = """
import os, sys, time
from trainstore.store import TrainStore
run = TrainStore(sys.argv[1]).start_run(name="lost")
for step in range(5):
    run.log({"loss": 1.0}, step=step)
run.flush(60)
print("logged")
time.sleep(600)
"""


@pytest.fixture
def lost(database_url: str, start_script: Callable[..., Any]) -> str:
    """The name of a run whose process was killed."""
    script = start_script(KILLED, database_url)
    script.wait_for("logged")
    script.kill()
    assert script.process.returncode == -signal.SIGKILL
    return "lost"


def test_a_lost_run_is_ended(database_url: str, lost: str) -> None:
    """When it was last heard of; an event says that it was by hand, and a further attempt goes on as ever."""
    with TrainStore(database_url) as store:
        assert store.get_run(lost).status == "lost"
        store.close_run(lost, "failed", reason="out of memory, token=hf_AbCdEf0123456789AbCdEf0123456789Ab")
        record = store.get_run(lost)
        assert (record.status, record.error) == ("failed", "out of memory, token=[redacted]")
        last = store.list_step_logs(lost)["logged_at"].max()
        assert timedelta(0) <= record.ended_at - last < timedelta(seconds=60)
        (details,) = store.list_events(lost, kind="end")["details"]
        assert details == {"by": "hand", "status": "failed", "reason": record.error}
        with store.resume_run(lost, step=2) as run:
            run.log({"loss": 2.0})
        record = store.get_run(lost)
        assert (record.status, record.error, record.attempts) == ("finished", None, 2)
        with desk_at(database_url) as desk:
            desk.check(record.uid)


def test_a_run_that_is_finished_has_no_error(database_url: str, lost: str) -> None:
    """The reason is in the event alone."""
    with TrainStore(database_url) as store:
        store.close_run(lost, "finished", reason="all steps are there")
        record = store.get_run(lost)
        assert (record.status, record.error) == ("finished", None)
        (details,) = store.list_events(lost, kind="end")["details"]
        assert details["reason"] == "all steps are there"


def test_a_process_that_is_killed_while_the_store_is_open(database_url: str, start_script: Callable[..., Any]) -> None:
    """Is not alive: its journal is delivered first. While it lives, the run is not closed."""
    script = start_script(KILLED, database_url)
    script.wait_for("logged")
    with TrainStore(database_url) as store:
        with pytest.raises(RunActiveError, match="being recorded by a process on this machine"):
            store.close_run("lost", "failed")
        assert store.get_run("lost").status == "running"
        script.kill()
        store.close_run("lost", "interrupted")
        assert store.get_run("lost").status == "interrupted"


def test_a_run_of_another_machine(store: TrainStore, database_url: str) -> None:
    """It is alive while its heartbeat says so. Its real end, in a journal that arrives later, is what counts."""
    run_uid, attempt_uid = str(uuid.uuid4()), str(uuid.uuid4())
    journal = HandJournal(run_uid, AttemptFacts(attempt_uid, -1, 0), uid=attempt_uid)
    journal.step(0, {"loss": 1.0})
    writer = store.table.writer
    with desk_at(database_url) as desk:
        desk.deliver(journal)
        with pytest.raises(RunActiveError, match="process 1 on h; finish it there"):
            store.close_run(run_uid, "failed")
        heard = datetime(2026, 1, 1, tzinfo=UTC)
        with store.engine.begin() as connection:
            connection.execute(update(writer).values(heartbeat_at=heard))
        store.close_run(run_uid, "failed")
        assert store.get_run(run_uid).ended_at == heard
        journal.status("finished")
        desk.deliver(journal)
        desk.check(run_uid)
    record = store.get_run(run_uid)
    assert (record.status, record.ended_at) == ("finished", time_of(journal.records[-1]["at"]))


@pytest.mark.parametrize("status", ["finished", "failed"])
def test_a_run_that_has_ended_is_not_closed(store: TrainStore, status: str) -> None:
    """The error names its status, and what goes on with it; nothing is changed."""
    run = store.start_run(name="ended")
    assert run.finish(status)
    with pytest.raises(RunEndedError, match=rf"is {status} already.*resume_run"):
        store.close_run("ended", "pruned")
    assert store.get_run(run).status == status
    assert len(store.list_events(run, kind="end")) == 0


def test_what_cannot_be_closed(store: TrainStore) -> None:
    """Each error names the value."""
    run = store.start_run(name="r")
    for status in ("running", "lost", "done", None):
        with pytest.raises(InvalidArgumentError, match=f"{status!r} is not one of finished, failed"):
            store.close_run(run, status)
    with pytest.raises(InvalidArgumentError, match="reason 3 is not a str"):
        store.close_run(run, "failed", reason=3)
    with pytest.raises(RunNotFoundError, match="'nobody'"):
        store.close_run("nobody", "failed")
