"""What one ``run.log`` costs the training's thread, while the writer's thread shares its core."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import orjson

from benchmarks.cases import Cases, Figures, Place, check
from benchmarks.workload import METRICS, metrics_of, sum_of
from trainstore import TrainStore

case = Cases("calls")
WIDE = tuple(f"layers.{index}.weight.norm" for index in range(500))


def timed(call: Callable[[dict[str, float], int], object], steps: int, names: tuple[str, ...] = METRICS) -> Figures:
    """What the calls take, one a step."""
    clock, times = time.perf_counter_ns, []
    for step in range(steps):
        metrics = metrics_of(step, names)
        began = clock()
        call(metrics, step)
        times.append(clock() - began)
    times.sort()
    return {
        "median_us": times[steps // 2] / 1e3,
        "p99_us": times[steps * 99 // 100] / 1e3,
        "worst_us": times[-1] / 1e3,
    }


def _log(place: Place, names: tuple[str, ...], steps: int) -> Figures:
    with TrainStore(place.url) as store:
        run = store.start_run()
        run.flush()
        figures = timed(run.log, steps, names)
        check("finished in time", run.finish(timeout=60), True)
        summary = store.list_metrics(run).set_index("metric")
        check("metrics stored", len(summary), len(names))
        check("values of the first", int(summary.loc[names[0], "count"]), steps)
        check("the last one's last value", float(summary.loc[names[-1], "last"]), steps / (len(names) + 2))
        if len(names) == len(METRICS):
            check("their sum", float(store.list_step_logs(run, metrics=names[:1])[names[0]].sum()), sum_of(steps))
    return figures


def _write(place: Place, names: tuple[str, ...], steps: int) -> Figures:
    """The least that keeps a record beyond the process: JSON, and one write to a file."""
    path = place.folder / "records"
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    try:
        figures = timed(
            lambda metrics, step: os.write(file, orjson.dumps({"step": step, "metrics": metrics}) + b"\n"), steps, names
        )
    finally:
        os.close(file)
    check("lines written", path.read_bytes().count(b"\n"), steps)
    return figures


@case()
def six(place: Place) -> Figures:
    return _log(place, METRICS, place.size.steps)


@case()
def six_floor(place: Place) -> Figures:
    return _write(place, METRICS, place.size.steps)


@case()
def wide(place: Place) -> Figures:
    return _log(place, WIDE, place.size.wide_steps)


@case()
def wide_floor(place: Place) -> Figures:
    return _write(place, WIDE, place.size.wide_steps)
