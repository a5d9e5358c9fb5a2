"""Bytes on the disk, and memory."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import make_url

from benchmarks.cases import BOTH, Cases, Figures, Place, check, is_sqlite, memory_mib, raw_connection
from benchmarks.workload import TRAINER_METRICS, NarrowTable, metrics_of, points_of, trainer_metrics
from trainstore import TrainStore

case = Cases("storage")


def _bytes_of(url: str, table: str) -> int:
    """The whole file after a checkpoint; on PostgreSQL the table with its indexes."""
    with raw_connection(url) as connection:
        if is_sqlite(url):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return Path(str(make_url(url).database)).stat().st_size
        return int(connection.execute("SELECT pg_total_relation_size(%s::regclass)", (table,)).fetchone()[0])


@case(backends=BOTH)
def disk(place: Place) -> Figures:
    steps = place.size.disk_steps
    with TrainStore(place.url) as store:
        run = store.start_run()
        for step, metrics in enumerate(trainer_metrics(steps)):
            run.log(metrics, step, epoch=step / 1000)
        check("finished in time", run.finish(timeout=60), True)
        check("values", int(store.list_metrics(run)["count"].sum()), steps * len(TRAINER_METRICS))
    return {"bytes_a_step": _bytes_of(place.url, "step_log") / steps}


@case(backends=BOTH)
def disk_floor(place: Place) -> Figures:
    return _narrow(place, keyed=False)


@case(backends=BOTH)
def disk_keyed_floor(place: Place) -> Figures:
    """With the primary key that ours has too."""
    return _narrow(place, keyed=True)


def _narrow(place: Place, *, keyed: bool) -> Figures:
    steps = place.size.disk_steps
    with raw_connection(place.url) as connection:
        table = NarrowTable(connection, place.url, keyed=keyed)
        table.create()
        table.write(points_of(trainer_metrics(steps)))
        check("rows", table.totals()[0], steps * len(TRAINER_METRICS))
    return {"bytes_a_step": _bytes_of(place.url, "point") / steps}


@case()
def memory(place: Place) -> Figures:
    """One run logs without a pause; what it needs at most, beyond what it needed after its first records."""
    steps = place.size.memory_steps
    with TrainStore(place.url) as store:
        run = store.start_run()
        run.log(metrics_of(0), 0)
        run.flush()
        before = memory_mib("VmRSS")
        for step in range(1, steps):
            run.log(metrics_of(step), step)
        check("finished in time", run.finish(timeout=300), True)
        grown = memory_mib("VmHWM") - before
        check("values", int(store.list_metrics(run)["count"].sum()), 6 * steps)
        check("the current step", store.get_current_step(run), steps - 1)
    return {"mib": grown}
