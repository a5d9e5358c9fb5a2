"""Where the time of an operation goes: ``python -m benchmarks.profiles``; prints the tables of docs/performance.md.

The parts of one ``run.log`` are measured one by one, in a loop: a profiler costs more than they do. The rest is
cProfile's own time of each function, added up by module: it makes code of many small calls look slower than it is, so
the shares tell more than the sum, and beside them stands the time of the operation without a profiler.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson
from tests.fixtures.databases import running_server

from benchmarks.cases import FULL, TINY, Size
from benchmarks.durable import full_queue, held_writer
from benchmarks.stored import STORES, uid_of
from benchmarks.workload import metrics_of
from trainstore import TrainStore
from trainstore.recording.journal import frame

Parts = dict[str, float]  # of an operation → milliseconds (of log: microseconds)
SHOWN = 0.02  # a smaller share of the whole is one of "other"
#: What functions written in C belong to; others count for whoever calls them.
C_MODULES = ("sqlite3", "orjson", "numpy", "psycopg", "pandas", "zlib")


def per_call(function: Callable[[], object], calls: int) -> float:
    """Microseconds: the median of many."""
    times = []
    for _ in range(calls):
        began = time.perf_counter_ns()
        function()
        times.append(time.perf_counter_ns() - began)
    return statistics.median(times) / 1e3


def profiled(function: Callable[[], object], calls: int) -> Parts:
    """Milliseconds of one call, by module: ours by name, others by package."""
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(calls):
        function()
    profiler.disable()
    parts: defaultdict[str, float] = defaultdict(float)
    for (file, _, name), (_, _, own, _, callers) in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]
        of_c = next((module for module in C_MODULES if module in name), None) if file == "~" else None
        if file != "~" or of_c or not callers:
            parts[of_c or _module(file)] += own
            continue
        for (caller, _, _), (_, _, its_own, _) in callers.items():
            parts[_module(caller)] += its_own
    return {part: seconds * 1e3 / calls for part, seconds in parts.items()}


def _module(file: str) -> str:
    path = Path(file)
    if "site-packages" in path.parts:
        return path.parts[path.parts.index("site-packages") + 1].removesuffix(".py")
    if "trainstore" in path.parts:
        below = path.parts[len(path.parts) - path.parts[::-1].index("trainstore") :]
        return "trainstore." + ".".join(below).removesuffix(".py").removesuffix(".__init__")
    return "Python's library" if file not in ("~", "") else "Python"


def table(title: str, whole: float, unit: str, parts: Parts, times: str) -> str:
    """Markdown: the parts, the largest first."""
    total = sum(parts.values())
    large = {part: value for part, value in parts.items() if value >= SHOWN * total}
    rows = sorted(large.items(), key=lambda one: -one[1])
    if len(large) < len(parts):
        rows.append(("other", total - sum(large.values())))
    lines = [f"{title}: {whole:.4g} {unit}", "", f"| part | {times} | share |", "| --- | --: | --: |"]
    lines += [f"| {part} | {value:.2f} {unit} | {value / total:.0%} |" for part, value in rows]
    return "\n".join([*lines, ""])


def parts_of_log(folder: Path, calls: int) -> str:
    """One ``run.log`` of 6 metrics, and what it is made of."""
    with TrainStore(folder / "log.db") as store, held_writer():
        run = store.start_run()
        metrics = metrics_of(0)
        whole = per_call(lambda: run.log(metrics), calls)
    record = {"kind": "step", "at": time.time_ns() // 1000, "step": 1234, "metrics": metrics}
    payload = orjson.dumps(record)
    data = frame(1234, payload)
    file = os.open(folder / "frames", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    try:
        parts = {
            "write(2) of the frame": per_call(lambda: os.write(file, data), calls),
            "JSON, by orjson": per_call(lambda: orjson.dumps(record), calls),
            "the frame: number, length, checksum": per_call(lambda: frame(1234, payload), calls),
        }
    finally:
        os.close(file)
    nothing = per_call(lambda: None, calls)
    parts = {part: value - nothing for part, value in parts.items()}
    parts["names, values, step, locks, the call"] = max(0.0, whole - nothing - sum(parts.values()))
    return table("One `run.log` of 6 metrics", whole - nothing, "µs", parts, "time")


def parts_of_flush(new_url: Callable[[], str], database: str, steps: int) -> str:
    """The writer's pass over a full queue."""

    def drained(measure: Callable[[Callable[[], object]], Any]) -> Any:
        with full_queue(new_url(), steps) as (store, run, go):
            writer = store._service._delivery
            writer._connected()  # before the clock starts

            def deliver_all() -> None:
                for recorder in writer.recorders:
                    writer._deliver(recorder)

            measured = measure(deliver_all)
            go.set()
            run.finish(timeout=60)
            return measured

    whole = statistics.median(drained(lambda function: per_call(function, 1)) for _ in range(3)) / 1e3
    parts = drained(lambda function: profiled(function, 1))
    return table(f"A full queue of {steps:,} records of 6 metrics, {database}", whole, "ms", parts, "cProfile")


def parts_of_query(title: str, function: Callable[[], object], calls: int) -> str:
    """A query that has been asked before."""
    function()
    return table(title, per_call(function, calls) / 1e3, "ms", profiled(function, calls), "cProfile")


def all_tables(folder: Path, size: Size) -> Iterable[str]:
    """Everything that docs/performance.md shows."""
    yield parts_of_log(folder, size.steps)
    numbers = iter(range(1_000_000))
    yield parts_of_flush(lambda: f"sqlite:///{folder / f'flush{next(numbers)}.db'}", "SQLite", size.steps)
    with running_server() as server:
        yield parts_of_flush(lambda: server.url_of(server.create()), "PostgreSQL", size.steps)
    for name in ("runs", "series"):
        STORES[name](f"sqlite:///{folder / name}.db", size)
    with TrainStore(folder / "runs.db") as store:
        yield parts_of_query(
            f"`list_runs()` of {size.runs:,} runs × 20 hyperparameters × 6 metrics", store.list_runs, 5
        )
        yield parts_of_query(
            f"`get_best_run()` of {size.runs:,}",
            lambda: store.get_best_run(metric_name="loss", metric_direction="min"),
            50,
        )
    with TrainStore(folder / "series.db") as store:
        steps = f"`list_step_logs()` of {size.series_steps:,} steps"
        yield parts_of_query(f"{steps}, one metric", lambda: store.list_step_logs(uid_of(0), metrics=["loss"]), 3)
        yield parts_of_query(f"{steps}, all 6", lambda: store.list_step_logs(uid_of(0)), 3)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profiles", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--size", choices=("full", "tiny"), default="full")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="trainstore-profile-") as folder:
        for text in all_tables(Path(folder), FULL if options.size == "full" else TINY):
            print(f"{text}\n", flush=True)


if __name__ == "__main__":
    main()
