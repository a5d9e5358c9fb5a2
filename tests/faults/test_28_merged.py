"""Merges beside trainings, and merges that are killed

Fault 28 of docs/guarantees.md: one training records into the source and one into the target while the one is merged
into the other again and again; a merge is killed with SIGKILL at random moments and begun again.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url, select

from faults.oracle import Fault
from fixtures import forkserver
from trainstore.store import TrainStore

MERGE = """
import sys
from trainstore.store import TrainStore
with TrainStore(sys.argv[1]) as target:
    print("merging", flush=True)
    print(target.merge(sys.argv[2]))
"""


def record(store: TrainStore, chance: random.Random, runs: int, steps: int) -> None:
    """Runs of several attempts, with tags, notes, checkpoints, parents; and more of those that are there."""
    for uid in list(store.list_runs()["uid"])[:runs]:
        with store.resume_run(uid, step=chance.randrange(10)) as run:
            for step in range(11, chance.randrange(12, 40)):
                run.log({"loss": chance.random(), "more": step}, step=step)
    parent: Any = None
    for number in range(runs):
        name = f"run {chance.random()}"
        with store.start_run(name, hyperparams={"lr": chance.random()}, tags=["t"], parent=parent) as run:
            for step in range(steps if number == 0 else 30):
                run.log({"loss": chance.random(), "text": str(step), "bad": float("nan")}, step=step)
            run.log_event("checkpoint", step=3)
        parent = run
        store.set_tags(run, {"number": number})
        store.set_notes(run, f"note {number}")


def contents(url: str) -> dict[str, Any]:
    """Everything about runs that must be the same in both stores, without the ids that are local."""
    found: dict[str, Any] = {}
    with TrainStore(url) as store, store.engine.connect() as connection:
        tables = store.table
        runs = {row.id: row for row in connection.execute(select(tables.run))}
        attempts = {(row.run_id, row.attempt): row.uid for row in connection.execute(select(tables.attempt))}
        for row in runs.values():
            parent = runs.get(row.parent_run_id)
            plain = {key: value for key, value in row._mapping.items() if key not in ("id", "parent_run_id")}
            found[row.uid] = {"run": plain | {"parent": parent and parent.uid}}
        for name in ("attempt", "writer", "step_log", "metric_summary", "hyperparam", "event"):
            table = getattr(tables, name)
            for row in connection.execute(select(table)):
                values = dict(row._mapping)
                run_id = values.pop("run_id")
                values.pop("id", None)
                for column in ("attempt", "resumed_from"):
                    if column in values:
                        values[column] = attempts.get((run_id, values[column]))
                found[runs[run_id].uid].setdefault(name, []).append(values)
    for parts in found.values():
        for name, rows in parts.items():
            if name != "run":
                rows.sort(key=lambda row: repr(sorted(row.items(), key=lambda item: item[0])))
    return found


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """A store, the same one after more was recorded in it, and what that one holds."""
    folder = tmp_path_factory.mktemp("sources")
    before, after, chance = folder / "before.db", folder / "after.db", random.Random(7)
    with TrainStore(after) as store:
        record(store, chance, runs=6, steps=1_500)
        store.backup(before)
        record(store, chance, runs=6, steps=1_500)
    return before, after, contents(f"sqlite:///{after}")


def test_killed_at_random_times(fault: Fault, sources: Any, new_database: Callable[..., str]) -> None:
    """Whenever a merge dies, the next one completes it: in the end the target holds what the source holds, once."""
    before, after, expected = sources
    longest = 0.2  # seconds; then what a whole merge took
    for index in fault.times(short=2):
        target = new_database(fault.backend)
        if index % 2:  # runs to be added to, not only new ones
            with TrainStore(target) as store:
                store.merge(before)
        killed = 0
        for _ in range(3):
            process = forkserver.start(["-c", MERGE, target, str(after)], "trainstore")
            time.sleep(fault.chance.uniform(0, longest))
            process.kill()
            killed += process.wait(60) == -signal.SIGKILL
        began = time.monotonic()
        with TrainStore(target) as store:
            store.merge(after)
            longest = max(0.1, min(1.0, 0.1 + time.monotonic() - began))
            again = store.merge(after)
        assert [*again.new, *again.updated, *again.behind] == []
        assert contents(target) == expected, f"after {killed} kills"


def test_beside_trainings_on_both_ends(fault: Fault, new_database: Callable[..., str]) -> None:
    """Nothing is lost or doubled of what either of them logged, and neither waits for the merges."""
    for index in fault.times(short=1, long=20):
        fault.url = new_database(fault.backend)
        source = new_database(("sqlite", "postgresql")[(index + (fault.backend == "sqlite")) % 2])
        plan = {"count": 700, "rate": 500, "hold": True}
        there, here = fault.start(url=source, **plan), fault.start(**plan)
        there.wait_for(20)
        here.wait_for(20)
        location = str(make_url(source).database) if source.startswith("sqlite") else source
        with TrainStore(fault.url) as store:
            merges = 0
            while merges < 4 or not ("produced" in there.lines and "produced" in here.lines):
                store.merge(location)
                merges += 1
                time.sleep(0.02)
            for producer in (there, here):
                producer.go_on()
                producer.end()
            store.merge(location)
        fault.verify(there, here, status="finished")
