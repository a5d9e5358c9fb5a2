"""Other trackers' runs brought into a new store; beside it what reading them costs, and storing the same points."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.cases import Cases, Figures, Place, check, memory_mib
from benchmarks.sources import event_file
from benchmarks.workload import METRICS, sum_of
from trainstore import TrainStore

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


def _check(store: TrainStore, runs: int, steps: int) -> None:
    found = store.list_runs()
    check("runs", len(found), runs)
    metrics = store.list_metrics(list(found["uid"]))
    check("points", int(metrics["count"].sum()), runs * steps * len(METRICS))
    run = found["uid"].iloc[0]
    log = store.list_step_logs(run, metrics=["loss"])
    # TensorBoard keeps 32 bits of a value.
    check("the sum of the loss", float(log["loss"].sum()), sum_of(steps), tolerance=1e-6)
