"""From the first ``run.log`` until everything is in the database and on the disk; and how fast a full queue drains."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import ForeignKeyConstraint, MetaData

from benchmarks.cases import BOTH, Cases, Figures, Place, check, is_sqlite, raw_connection
from benchmarks.workload import ROWS_A_TRANSACTION, NarrowTable, metrics_of, points_of, sum_of
from trainstore import ActiveRun, TrainStore
from trainstore.backends import open_backend
from trainstore.models import models_for
from trainstore.recording.delivery_thread import DeliveryThread

case = Cases("durable")


@case(backends=BOTH)
def finished(place: Place) -> Figures:
    steps = place.size.steps
    with TrainStore(place.url) as store:
        run = store.start_run()
        run.flush()
        began, cpu = time.perf_counter(), time.process_time()
        for step in range(steps):
            run.log(metrics_of(step), step=step)
        check("finished in time", run.finish(timeout=60), True)
        figures = {"s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
        _check_steps(store, run, steps)
    return figures


@case(backends=BOTH)
def finished_floor(place: Place) -> Figures:
    steps = place.size.steps
    with raw_connection(place.url) as connection:
        table = NarrowTable(connection, place.url)
        table.create()
        began, cpu = time.perf_counter(), time.process_time()
        table.write(points_of(map(metrics_of, range(steps))))
        figures = {"s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
        count, total = table.totals()
    check("rows", count, 6 * steps)
    check("the sum of the first metric", total, sum_of(steps))
    return figures


SHORT = 100  # steps of a short run


@case(backends=BOTH)
def short(place: Place) -> Figures:
    """A run of 100 steps with 20 hyperparameters, from start to finish, in a store that is open."""
    count = place.size.short_runs
    with TrainStore(place.url) as store:

        def record(number: int) -> None:
            run = store.start_run(name=f"run-{number}", hyperparams={f"argument_{key}": key for key in range(20)})
            for step in range(SHORT):
                run.log(metrics_of(step), step=step)
            check("finished in time", run.finish(timeout=60), True)

        figures = _median_of(record, count)
        check("steps", len(store.list_step_logs(store.list_runs(), metrics=["loss"])), SHORT * (count + 1))
    return figures


@case(backends=BOTH)
def short_floor(place: Place) -> Figures:
    """Its values alone, in one transaction on an open connection."""
    count = place.size.short_runs
    with raw_connection(place.url) as connection:
        table = NarrowTable(connection, place.url)
        table.create()
        figures = _median_of(lambda number: table.write(points_of(map(metrics_of, range(SHORT)), run=number)), count)
        check("rows", table.totals()[0], 6 * SHORT * (count + 1))
    return figures


def _median_of(function: Callable[[int], None], count: int) -> Figures:
    """The median of calls that follow a first one, by the clock and in processor time."""
    function(0)
    times, processor = [], []
    for number in range(1, count + 1):
        began, cpu = time.perf_counter(), time.process_time()
        function(number)
        times.append(time.perf_counter() - began)
        processor.append(time.process_time() - cpu)
    return {"ms": statistics.median(times) * 1e3, "cpu_ms": statistics.median(processor) * 1e3}


@contextmanager
def held_writer() -> Iterator[threading.Event]:
    """The writer delivers nothing until the event is set."""
    go, deliver = threading.Event(), DeliveryThread._pass
    DeliveryThread._pass = lambda self: deliver(self) if go.is_set() else None  # type: ignore[method-assign]
    try:
        yield go
    finally:
        DeliveryThread._pass = deliver  # type: ignore[method-assign]


@contextmanager
def full_queue(url: str, steps: int) -> Iterator[tuple[TrainStore, ActiveRun, threading.Event]]:
    """A store, its run, of which all steps but the first wait in the journal, and what lets the writer go."""
    with held_writer() as go, TrainStore(url) as store:
        go.set()
        run = store.start_run()
        run.log(metrics_of(0), step=0)
        run.flush()
        go.clear()
        for step in range(1, steps):
            run.log(metrics_of(step), step=step)
        yield store, run, go


@case(backends=BOTH)
def drained(place: Place) -> Figures:
    steps = place.size.steps
    with full_queue(place.url, steps) as (store, run, go):
        began = time.perf_counter()
        go.set()
        check("delivered in time", run.flush(timeout=60), True)
        seconds = time.perf_counter() - began
        run.finish()
        _check_steps(store, run, steps)
    return {"s": seconds, "rows_per_s": (steps - 1) / seconds}


@case(backends=BOTH)
def drained_floor(place: Place) -> Figures:
    """The same rows of ``step_log``, made before the clock starts: an upsert of them, or one COPY."""
    steps = place.size.steps
    logged_at = datetime(2026, 1, 1, tzinfo=UTC)
    shown = logged_at.strftime("%Y-%m-%d %H:%M:%S.%f") if is_sqlite(place.url) else logged_at.isoformat()
    rows = [(1, step, 1, shown, None, None, orjson.dumps(metrics_of(step)).decode(), None) for step in range(1, steps)]
    _create_step_log(place)
    with raw_connection(place.url) as connection:
        began = time.perf_counter()
        if is_sqlite(place.url):
            for start in range(0, len(rows), ROWS_A_TRANSACTION):
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(_UPSERT, rows[start : start + ROWS_A_TRANSACTION])
                connection.execute("COMMIT")
        else:
            with connection.cursor() as cursor, cursor.copy("COPY step_log FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        seconds = time.perf_counter() - began
        check("rows", connection.execute("SELECT count(*) FROM step_log").fetchone()[0], steps - 1)
    return {"s": seconds, "rows_per_s": (steps - 1) / seconds}


_UPSERT = """
    INSERT INTO step_log VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run_id, step, attempt) DO UPDATE SET
    logged_at = excluded.logged_at, epoch = excluded.epoch, step_time = excluded.step_time,
    metrics = excluded.metrics, details = excluded.details
"""


def _create_step_log(place: Place) -> None:
    """The table alone: with its key, without the foreign one."""
    table = models_for("").step_log.to_metadata(MetaData())
    table.constraints = {one for one in table.constraints if not isinstance(one, ForeignKeyConstraint)}
    engine = open_backend(place.url).create_engine()
    table.create(engine)
    engine.dispose()


def _check_steps(store: TrainStore, run: Any, steps: int) -> None:
    frame = store.list_step_logs(run, metrics=["loss"])
    check("steps", len(frame), steps)
    check("the sum of the loss", float(frame["loss"].sum()), sum_of(steps))
    summary = store.list_metrics(run).set_index("metric").loc["loss"]
    check("the summary's count", int(summary["count"]), steps)
    check("the summary's maximum", float(summary["max"]), steps / 3)
