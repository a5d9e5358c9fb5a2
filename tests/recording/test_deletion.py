"""Deleted runs: what is remembered of them, how stores come to agree, and what brings a run back."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from recording.support import Desk, desk_at
from trainstore.errors import RunActiveError
from trainstore.recording import opening
from trainstore.recording.deletion import Tombstone, delete_run, deleted_runs, latest_of, revive, unite
from trainstore.store import TrainStore
from trainstore.values import microseconds_of

START = datetime(2026, 1, 2, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.fixture
def desk(database_url: str) -> Iterator[Desk]:
    with desk_at(database_url) as opened:
        yield opened


def remembered(store: TrainStore, uid: str) -> Tombstone:
    with store.engine.connect() as connection:
        return deleted_runs(connection, store.models, [uid])[uid]


def counts_as_deleted(store: TrainStore, run: Any) -> bool:
    with store.engine.connect() as connection:
        latest = latest_of(connection, store.models, store.get_run(run).run_id)
        return deleted_runs(connection, store.models, [run.uid])[run.uid].holds(latest)


def finished_run(store: TrainStore) -> Any:
    run = store.start_run()
    run.log({"loss": 1.0}, step=5)
    assert run.finish()
    return run


# --- One store -------------------------------------------------------------------------------------------------------


def test_a_deleted_run_is_remembered(store: TrainStore) -> None:
    """By its uid, from its deletion on; a run that cannot be deleted is not."""
    run, other = finished_run(store), store.start_run()
    assert other.flush(60)
    store.delete_run(run)
    with pytest.raises(RunActiveError):
        store.delete_run(other)
    with store.engine.connect() as connection:
        assert list(deleted_runs(connection, store.models)) == [run.uid]
        assert deleted_runs(connection, store.models, [other.uid, str(uuid.uuid4())]) == {}
    tombstone = remembered(store, run.uid)
    assert tombstone.holds(None)
    assert tombstone.revived_at is None
    assert other.finish()


def test_a_deletion_is_later_than_the_run_whatever_the_clocks_say(
    store: TrainStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training's clock may be ahead of the database's."""
    ahead = microseconds_of(datetime.now(UTC) + timedelta(days=2))
    monkeypatch.setattr(opening, "now", lambda: ahead)
    run = finished_run(store)
    with store.engine.connect() as connection:
        latest = latest_of(connection, store.models, store.get_run(run).run_id)
    assert latest is not None
    assert microseconds_of(latest) >= ahead
    store.delete_run(run)
    assert remembered(store, run.uid).deleted_at > latest
    assert remembered(store, run.uid).holds(latest)


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(days=2)])
def test_a_run_that_is_resumed_counts_as_there(
    store: TrainStore, monkeypatch: pytest.MonkeyPatch, ahead: timedelta
) -> None:
    """Its new attempt is later than its deletion, even if the training's clock is behind; deleted again, it is gone."""
    run = finished_run(store)
    store.delete_run(run)
    now = microseconds_of(datetime.now(UTC) - ahead)
    monkeypatch.setattr(opening, "now", lambda: now)
    again = store.resume_run(run.uid, step=5, lineage=run.lineage)
    again.log({"loss": 2.0})
    assert again.finish()
    assert not counts_as_deleted(store, again)
    first = remembered(store, run.uid)
    store.delete_run(again)
    second = remembered(store, run.uid)
    assert second.deleted_at > first.deleted_at
    assert second.holds(None)


def test_a_run_that_is_joined_counts_as_there(store: TrainStore) -> None:
    """A writer that joins an old attempt of a deleted run, as a notebook does to add an evaluation, began later."""
    run = finished_run(store)
    store.delete_run(run)
    joined = store.resume_run(run.uid, lineage=run.lineage)
    joined.log({"eval_loss": 2.0}, step=5)
    assert joined.finish()
    assert not counts_as_deleted(store, joined)


def test_a_run_whose_deletion_fails_is_not_remembered(desk: Desk) -> None:
    """Both belong to the caller's transaction."""
    uid = str(uuid.uuid4())
    with desk.connection.begin():
        row = {"uid": uid, "project": "p", "name": "n", "status": "finished", "started_at": START, "source": "python"}
        desk.connection.execute(insert(desk.models.run), row)
    run_id = desk.run(uid).id
    with desk.connection.begin() as transaction:
        delete_run(desk.connection, desk.statements, run_id, uid, force=False)
        transaction.rollback()
    assert desk.run(uid).id == run_id
    with desk.connection.begin():
        assert deleted_runs(desk.connection, desk.models) == {}
        delete_run(desk.connection, desk.statements, run_id, uid, force=False)  # it has no attempt: there is no latest
    with desk.connection.begin():
        assert deleted_runs(desk.connection, desk.models)[uid].holds(None)


# --- Bringing a run back on purpose ----------------------------------------------------------------------------------


def test_a_revived_run_counts_as_there_until_it_is_deleted_again(desk: Desk) -> None:
    """Also if the clock has gone back meanwhile. What is not deleted cannot be revived."""
    with desk.connection.begin():
        future = desk.statements.now(desk.connection) + timedelta(days=2)
        unite(desk.connection, desk.statements, [Tombstone("a", future), Tombstone("b", at(0), at(1))])
        assert revive(desk.connection, desk.statements, ["a", "b", "c"]) == ["a"]
        assert revive(desk.connection, desk.statements, ["a"]) == []
        found = deleted_runs(desk.connection, desk.models)
        assert not found["a"].holds(None)
        assert found["b"] == Tombstone("b", at(0), at(1))
        row = {"uid": "a", "project": "p", "name": "n", "status": "finished", "started_at": START, "source": "x"}
        desk.connection.execute(insert(desk.models.run), row)
    with desk.connection.begin():
        delete_run(desk.connection, desk.statements, _id(desk, "a"), "a", force=False)
        assert deleted_runs(desk.connection, desk.models)["a"].holds(None)


def _id(desk: Desk, uid: str) -> int:
    found = desk.statements.run_id(desk.connection, uid)
    assert found is not None
    return found


# --- Several stores --------------------------------------------------------------------------------------------------


def test_stores_agree_in_whatever_order_they_hear_of_it(new_database: Callable[..., str], backend_name: str) -> None:
    """Of each run the greater of both times is kept; hearing it again changes nothing."""
    said = [
        Tombstone("a", at(1)),
        Tombstone("a", at(5), at(2)),
        Tombstone("a", at(3), at(4)),
        Tombstone("b", at(1), at(1)),
    ]
    with desk_at(new_database(backend_name)) as desk:
        for order in itertools.permutations(said):
            with desk.connection.begin():
                desk.connection.execute(desk.models.deleted_run.delete())
            for tombstone in (*order, order[0]):
                with desk.connection.begin():
                    unite(desk.connection, desk.statements, [tombstone])
            with desk.connection.begin():
                found = deleted_runs(desk.connection, desk.models)
            assert found == {"a": Tombstone("a", at(5), at(4)), "b": Tombstone("b", at(1), at(1))}
        with desk.connection.begin():
            desk.connection.execute(desk.models.deleted_run.delete())
            unite(desk.connection, desk.statements, said)  # at once, one run three times
            assert deleted_runs(desk.connection, desk.models) == found


def test_more_runs_than_a_statement_takes_can_be_asked_for(desk: Desk) -> None:
    """Those that were deleted are found."""
    uids = [str(uuid.uuid4()) for _ in range(1_200)]
    with desk.connection.begin():
        unite(desk.connection, desk.statements, [Tombstone(uid, at(1)) for uid in uids[::3]])
        assert sorted(deleted_runs(desk.connection, desk.models, uids)) == sorted(uids[::3])


def test_what_counts_as_deleted() -> None:
    """What was deleted last, unless it was brought back later, or something of it began later."""
    assert Tombstone("a", at(5)).holds(None)
    assert Tombstone("a", at(5)).holds(at(5))
    assert not Tombstone("a", at(5)).holds(at(5.000001))
    assert Tombstone("a", at(5), at(4)).holds(at(3))
    assert not Tombstone("a", at(5), at(6)).holds(None)
