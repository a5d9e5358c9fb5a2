"""``store.snapshot()``: several queries, one moment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import func
from sqlalchemy.exc import DBAPIError

from trainstore import TrainStore
from trainstore.errors import InvalidArgumentError, StoreClosedError, StoreUnavailableError


def record(store: TrainStore, name: str, loss: float) -> None:
    """One run of one step."""
    with store.start_run(name=name, hyperparams={"lr": 0.1}) as run:
        run.log({"loss": loss}, step=0)


def test_its_queries_fit_together(store: TrainStore) -> None:
    """What is stored after its block began is in none of its answers, and in the store's own at once."""
    record(store, "before", 1.0)
    with store.snapshot() as now:
        record(store, "after", 0.5)
        assert store.list_runs()["name"].tolist() == ["after", "before"]
        assert now.list_runs()["name"].tolist() == ["before"]
        best = now.get_best_run(metric_name="loss", metric_direction="min")
        assert best is not None
        assert best.name == "before"
        assert now.list_step_logs("before")["loss"].tolist() == [1.0]
        assert len(now.list_metrics()) == len(now.list_hyperparams(key="lr")) == 1
    with store.snapshot() as now:
        assert len(now.list_runs()) == 2


def test_it_has_what_was_just_logged(store: TrainStore) -> None:
    """As every query it waits for this store object's own records."""
    with store.start_run() as run:
        run.log({"loss": 1.0}, step=0)
        with store.snapshot() as now:
            assert now.get_current_step(run) == 0


def test_a_mistake_leaves_it_usable(store: TrainStore) -> None:
    """An argument that cannot be is an error of the one query."""
    record(store, "a", 1.0)
    with store.snapshot() as now:
        with pytest.raises(InvalidArgumentError):
            now.list_runs(summary="mean")
        assert len(now.list_runs()) == 1


def test_a_query_that_the_database_refuses_leaves_it_usable(store: TrainStore) -> None:
    """Each time, whichever query it was; what was seen before is still what is seen."""
    record(store, "a", 1.0)
    refused = func.no_such_function(store.table.run.c.name) == 1
    with store.snapshot() as now:
        for _ in range(3):
            with pytest.raises(InvalidArgumentError, match="no_such_function"):
                now.list_runs(where=refused)
            assert now.list_runs()["name"].tolist() == ["a"]
            with pytest.raises(InvalidArgumentError, match="no_such_function"):
                now.get_best_run(metric_name="loss", metric_direction="min", where=refused)
            record(store, "later", 0.5)
            assert len(now.list_metrics()) == 1
    assert len(store.list_runs()) == 4


def test_a_connection_that_was_lost_is_said_to_be(store: TrainStore) -> None:
    """The query's error is raised, not that of the way back to where the next query could start."""
    with store.snapshot() as now:
        now.list_runs()
        driver = now.reader.connection.connection.driver_connection
        assert driver is not None
        driver.close()
        with pytest.raises((DBAPIError, StoreUnavailableError), match=r"closed|cannot be reached"):
            now.list_runs()


def test_after_its_block(store: TrainStore) -> None:
    """It is over, and says how to get another; its connection is back in the pool."""
    with store.snapshot() as now:
        assert len(now.list_runs()) == 0
    with pytest.raises(StoreClosedError, match=r"store\.snapshot\(\)"):
        now.list_runs()
    record(store, "a", 1.0)
    assert len(store.list_runs()) == 1
    store.close()
    with pytest.raises(StoreClosedError), store.snapshot():
        pass


def test_a_store_that_is_read_only_has_one(store: TrainStore, database_url: str) -> None:
    """The right to read is enough."""
    record(store, "a", 1.0)
    with TrainStore(database_url, read_only=True) as reader, reader.snapshot() as now:
        assert now.list_runs()["name"].tolist() == ["a"]


def test_a_file_that_was_replaced_is_not_read(tmp_path: Path) -> None:
    """Nor does a pooled connection show what was in a deleted file."""
    with TrainStore(tmp_path / "runs.db") as store:
        record(store, "a", 1.0)
        assert len(store.list_runs()) == 1
        os.rename(tmp_path / "runs.db", tmp_path / "other.db")
        with pytest.raises(StoreUnavailableError), store.snapshot():
            pass
