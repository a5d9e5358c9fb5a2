"""Several merges into one store at once: each run arrives once and whole."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import func, select

from trainstore import TrainStore

RUNS = 30
STEPS = 4


def fill(url: str, target: str) -> list[str]:
    """Runs of which each began from the one before; the first half is in the target already, and went on here."""
    uids: list[str] = []
    with TrainStore(url) as store:
        for number in range(RUNS):
            if number == RUNS // 2:
                with TrainStore(target) as other:
                    other.merge(store)
            with store.start_run(f"run {number}", parent=uids[-1] if uids else None) as run:
                for step in range(STEPS):
                    run.log({"loss": step}, step=step)
            uids.append(run.uid)
        for uid in uids[: RUNS // 2]:
            with store.resume_run(uid, step=STEPS - 1) as run:
                run.log({"loss": 1.0}, step=STEPS)
    return uids


def test_each_run_arrives_once(database_url: str, new_database: Callable[..., str]) -> None:
    """Three merges of the same runs, each through a store of its own, as three machines would."""
    source = new_database("sqlite")
    uids = fill(source, database_url)

    def merge(_number: int) -> Any:
        with TrainStore(database_url) as store:
            return store.merge(source)

    with ThreadPoolExecutor(3) as pool:
        reports = list(pool.map(merge, range(3)))
    assert not any(report.refused or report.conflicts for report in reports)
    with TrainStore(database_url) as store:
        table = store.table
        counted = {
            name: store.connection.execute(select(func.count()).select_from(getattr(table, name))).scalar_one()
            for name in ("run", "attempt", "writer", "step_log")
        }
        half = RUNS // 2
        assert counted == {
            "run": RUNS,
            "attempt": RUNS + half,
            "writer": RUNS + half,
            "step_log": RUNS * STEPS + half,
        }
        parents = {row.uid: row.parent_uid for row in store.connection.execute(table.run.select())}
        assert parents == dict(zip(uids, [None, *uids], strict=False))
        orphans = table.run.c.parent_run_id.is_(None)
        assert store.connection.execute(select(func.count()).where(orphans)).scalar_one() == 1
        assert len(store.merge(source).unchanged) == RUNS
