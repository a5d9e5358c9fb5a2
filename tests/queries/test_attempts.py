"""Attempts: when a run was started and resumed, and which steps of each attempt are shown."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd
import pytest

from queries.builders import START, Builder
from trainstore import TrainStore, queries
from trainstore.errors import RunNotFoundError

ATTEMPTS = {
    "uid": "object",
    "attempt": "int64",
    "resumed_from": "Int64",
    "start_step": "int64",
    "last_step": "Int64",
    "kept_step": "Int64",
    "status": "object",
    "error": "object",
    "started_at": "datetime64[us, UTC]",
    "ended_at": "datetime64[us, UTC]",
    "host": "object",
    "command": "object",
    "git_commit": "object",
    "git_dirty": "boolean",
    "versions": "object",
    "changed_hyperparams": "object",
}


def test_each_attempt_of_a_resumed_run_has_a_row(store: TrainStore) -> None:
    """It says what it resumed, at which step, up to where it is still shown, how it ended, and what it changed."""
    run = store.start_run(name="r", hyperparams={"lr": 0.1})
    for step in range(6):
        run.log({"loss": 1.0}, step=step)
    run.finish("failed", "out of memory")
    with store.resume_run("r", step=3) as run:
        run.log_hyperparams({"lr": 0.2})
        for step in (4, 5):
            run.log({"loss": 0.5}, step=step)
    with store.resume_run("r", step=3) as run:
        run.log({"loss": 0.1}, step=4)
    frame = store.list_attempts("r")
    assert dict(frame.dtypes.astype(str)) == ATTEMPTS
    assert frame["attempt"].tolist() == [1, 2, 3]
    assert frame["start_step"].tolist() == [-1, 3, 3]
    assert frame["last_step"].tolist() == [5, 5, 4]
    assert frame["kept_step"].isna().tolist() == [False, True, False]
    assert (frame["kept_step"].iloc[0], frame["kept_step"].iloc[2]) == (3, 4)
    assert frame["status"].tolist() == ["failed", "finished", "finished"]
    assert frame["error"].tolist() == ["out of memory", None, None]
    assert frame["changed_hyperparams"].tolist() == [None, {"hp.lr": [0.1, 0.2]}, None]
    assert (frame["started_at"] < frame["ended_at"]).all()
    assert frame["versions"].iloc[0]["python"].startswith("3.")
    assert set(frame["uid"]) == {run.uid}


def test_the_attempts_of_several_runs_or_of_all(store: TrainStore) -> None:
    """By run; the columns are the same if there is none; an unknown run is an error."""
    assert dict(store.list_attempts().dtypes.astype(str)) == ATTEMPTS
    for name in ("a", "b"):
        store.start_run(name=name).finish()
    first, second = store.get_run("a").uid, store.get_run("b").uid
    assert store.list_attempts(["b", "a"])["uid"].tolist() == [first, second]
    assert store.list_attempts()["uid"].tolist() == [first, second]
    only = store.list_attempts("b")
    assert only["uid"].tolist() == [second]
    assert only["last_step"].isna().all()
    assert only["kept_step"].isna().all()
    assert store.list_attempts([]).empty
    with pytest.raises(RunNotFoundError):
        store.list_attempts("nobody")


def test_an_attempt_whose_process_disappeared_is_lost(builder: Builder) -> None:
    """A status that only says running is checked against the writer's heartbeat, in attempts as in runs."""
    uid = builder.run("r", status="running", heartbeat_age=1000)
    run_id = builder.run_id(uid)
    opened = builder.attempt(run_id, 2, resumed_from=1, start_step=3, opened_at=START + timedelta(minutes=1))
    builder.writer(run_id, opened, heartbeat_age=1)
    with builder.reader() as reader:
        frame = queries.list_attempts(reader, uid)
    assert frame["status"].tolist() == ["lost", "running"]
    assert frame["resumed_from"].iloc[1] == 1
    assert frame["ended_at"].iloc[0] is pd.NaT
