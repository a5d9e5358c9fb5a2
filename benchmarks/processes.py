"""Several processes that record into one database at once: from a barrier until the last one's ``finish()``."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from typing import Any

from benchmarks.cases import BOTH, Cases, Figures, Place, check, raw_connection
from benchmarks.workload import NarrowTable, metrics_of, points_of, sum_of
from trainstore import TrainStore

case = Cases("processes")
DEADLINE = 300.0  # seconds; generous, as it only ends what hangs


def _together(place: Place, work: Callable[..., None]) -> float:
    """Seconds from the barrier until the last process is done."""
    spawn = multiprocessing.get_context("spawn")
    barrier, ends = spawn.Barrier(place.size.processes + 1), spawn.Queue()
    workers = [
        spawn.Process(target=work, args=(place, number, barrier, ends)) for number in range(place.size.processes)
    ]
    for worker in workers:
        worker.start()
    try:
        barrier.wait(DEADLINE)
        began = time.monotonic()
        last = max(ends.get(timeout=DEADLINE) for _ in workers)
    finally:
        for worker in workers:
            worker.join(DEADLINE)
            worker.kill()
    return last - began


def _record(place: Place, number: int, barrier: Any, ends: Any) -> None:
    with TrainStore(place.url) as store:
        barrier.wait(DEADLINE)
        run = store.start_run(name=f"process-{number}")
        for step in range(place.size.process_steps):
            run.log(metrics_of(step), step=step)
        run.finish(timeout=DEADLINE)
        ends.put(time.monotonic())


def _write(place: Place, number: int, barrier: Any, ends: Any) -> None:
    with raw_connection(place.url) as connection:
        barrier.wait(DEADLINE)
        rows = map(metrics_of, range(place.size.process_steps))
        NarrowTable(connection, place.url).write(points_of(rows, run=number))
        ends.put(time.monotonic())


@case(backends=BOTH, pinned=False)
def together(place: Place) -> Figures:
    TrainStore(place.url).close()  # makes the tables
    seconds = _together(place, _record)
    count, steps = place.size.processes, place.size.process_steps
    with TrainStore(place.url) as store:
        check("finished runs", len(store.list_runs(status="finished")), count)
        summaries = store.list_metrics()
        check("values", int(summaries["count"].sum()), 6 * count * steps)
        frame = store.list_step_logs(store.list_runs(), metrics=["loss"])
        check("steps", len(frame), count * steps)
        check("the sum of the loss", float(frame["loss"].sum()), count * sum_of(steps))
    return {"s": seconds}


@case(backends=BOTH, pinned=False)
def together_floor(place: Place) -> Figures:
    with raw_connection(place.url) as connection:
        table = NarrowTable(connection, place.url)
        table.create()
        seconds = _together(place, _write)
        rows, total = table.totals()
    count, steps = place.size.processes, place.size.process_steps
    check("rows", rows, 6 * count * steps)
    check("the sum of the loss", total, count * sum_of(steps))
    return {"s": seconds}
