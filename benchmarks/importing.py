"""Other trackers' runs brought into a new store; beside it what reading them costs, and storing the same points."""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import make_url

from benchmarks.cases import Cases, Figures, Place, check, memory_mib
from benchmarks.sources import event_file, millisecond_of, run_uuid_of
from benchmarks.workload import METRICS, metrics_of, sum_of
from trainstore import TrainStore
from trainstore.backends import open_backend
from trainstore.models import models_for
from trainstore.recording.delivery import deliver
from trainstore.recording.delivery_thread import MAX_RECORDS
from trainstore.recording.flush import Source, flush
from trainstore.recording.records import Record, attempt_record, run_record, status_record, step_record
from trainstore.recording.statements import Statements

case = Cases("importing")


@case()
def tensorboard(place: Place) -> Figures:
    """One event file; and the same again, when all of it is there."""
    steps = place.size.steps
    source = _event_file(place, steps)
    with TrainStore(place.url) as store:
        figures = {"s": _import(store, source), "again_s": _import(store, source)}
        _check(store, 1, steps)
    return figures


@case()
def tensorboard_reader(place: Place) -> Figures:
    """The same file read by TensorBoard itself, and nothing stored."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    steps = place.size.steps
    source = _event_file(place, steps)
    began = time.perf_counter()
    found = EventAccumulator(str(source), size_guidance={"scalars": 0})  # 0: all of them
    found.Reload()
    points = sum(len(found.Scalars(name)) for name in found.Tags()["scalars"])
    seconds = time.perf_counter() - began
    check("points", points, steps * len(METRICS))
    return {"s": seconds}


@case(stored="mlflow")
def mlflow(place: Place) -> Figures:
    """An MLflow database; and the same again, when all of it is there."""
    with TrainStore(f"sqlite:///{place.folder / 'target.db'}") as store:
        source = _path_of(place)
        figures = {"s": _import(store, source), "again_s": _import(store, source)}
        _check(store, place.size.imported_runs, place.size.imported_steps)
    return figures


@case(stored="mlflow")
def mlflow_floor(place: Place) -> Figures:
    """Its metrics read in order; then the same points, ready as records, given to delivery. One after the other."""
    size = place.size
    began = time.perf_counter()
    with closing(sqlite3.connect(_path_of(place))) as connection:
        points = 0
        for run in range(size.imported_runs):
            found = connection.execute(
                "SELECT step, timestamp, key, value, is_nan FROM metrics WHERE run_uuid = ? "
                "ORDER BY step, timestamp, key",
                (run_uuid_of(run),),
            )
            points += sum(1 for _ in found)
    select_s = time.perf_counter() - began
    check("points", points, size.imported_runs * size.imported_steps * len(METRICS))
    target = f"sqlite:///{place.folder / 'target.db'}"
    with TrainStore(target) as store:
        store.list_runs()  # makes the tables
        deliver_s = _delivered(target, size.imported_runs, size.imported_steps)
        _check(store, size.imported_runs, size.imported_steps)
    return {"s": select_s + deliver_s, "select_s": select_s, "deliver_s": deliver_s}


@case()
def memory(place: Place) -> Figures:
    """What the import of one very long event file needs at most, beyond what the process needed before."""
    steps = place.size.imported_long
    source = _event_file(place, steps)
    with TrainStore(place.url) as store:
        small = place.folder / "small"
        small.mkdir()
        event_file(small / "events.out.tfevents.1.small", 10)
        _import(store, small)
        before = memory_mib("VmRSS")
        seconds = _import(store, source)
        grown = memory_mib("VmHWM") - before
        runs = store.list_runs()
        check("points", int(store.list_metrics(list(runs["uid"]))["count"].sum()), (steps + 10) * len(METRICS))
    return {"mib": grown, "points_per_s": steps * len(METRICS) / seconds}


def _import(store: TrainStore, source: Path) -> float:
    """The seconds that it takes."""
    from trainstore.importing import import_runs

    began = time.perf_counter()
    import_runs(store, source)
    return time.perf_counter() - began


def _event_file(place: Place, steps: int) -> Path:
    folder = place.folder / "runs"
    folder.mkdir()
    event_file(folder / "events.out.tfevents.1767225600.host", steps)
    return folder


def _path_of(place: Place) -> Path:
    return Path(str(make_url(place.url).database))


def _check(store: TrainStore, runs: int, steps: int) -> None:
    found = store.list_runs()
    check("runs", len(found), runs)
    metrics = store.list_metrics(list(found["uid"]))
    check("points", int(metrics["count"].sum()), runs * steps * len(METRICS))
    run = found["uid"].iloc[0]
    log = store.list_step_logs(run, metrics=["loss"])
    # TensorBoard keeps 32 bits of a value.
    check("the sum of the loss", float(log["loss"].sum()), sum_of(steps), tolerance=1e-6)


def _delivered(url: str, runs: int, steps: int) -> float:
    """The seconds that delivery needs for records that are ready."""
    models, backend = models_for(""), open_backend(url)
    statements = Statements(models, backend)
    payloads = [
        (2 + step + 1, orjson.dumps(step_record(millisecond_of(step) * 1_000, step, dict(metrics_of(step)))))
        for step in range(steps)
    ]
    seconds = 0.0
    engine = backend.create_writer_engine()
    with closing(engine.connect()) as connection:
        for number in range(runs):
            uid, run_uid, opening = _opening(number)
            records = [*enumerate(opening, 1), *payloads]
            records.append((steps + 3, status_record("finished", None, millisecond_of(steps) * 1_000)))
            source = Source(uid, run_uid, seen=False, alive=False)
            began = time.perf_counter()
            acked = 0
            for first in range(0, len(records), MAX_RECORDS):
                store = partial(flush, connection, statements, source)
                acked = deliver(store, backend.is_refusal, acked, records[first : first + MAX_RECORDS])
                source.seen = True
            seconds += time.perf_counter() - began
    engine.dispose()
    backend.close()
    return seconds


def _opening(number: int) -> tuple[str, str, Iterator[Record]]:
    """A writer's uid, its run's, and the records that it begins with."""
    uid, run_uid = str(uuid.UUID(int=2**64 + number)), str(uuid.UUID(int=number + 1))
    at = millisecond_of(0) * 1_000
    run: dict[str, Any] = {"uid": run_uid, "project": "large", "name": f"run-{number}", "started_at": at}
    run |= {"source": "mlflow", "notes": None, "model_name": None, "parent": None, "parent_step": None}
    writer = {"uid": uid, "rank": 0, "started_at": at, "host": "", "username": None, "pid": 0}
    attempt = {"uid": uid, "start_step": -1, "opened_at": at, "lineage": []}
    return uid, run_uid, iter((run_record(run, seen=False, writer=writer), attempt_record(attempt)))
