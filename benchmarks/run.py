"""What recording and reading cost, against the least that could be asked of raw sqlite3: JSON on standard output.

``python benchmarks/run.py [--rounds N]``; each round uses a fresh store, figures are medians over the rounds, and
ratios are to a floor that was measured in the same round.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from time import perf_counter

from trainstore import TrainStore

STEPS = 10_000
RUNS = 200
METRICS = ("loss", "grad_norm", "learning_rate", "accuracy", "tokens_per_second", "step_time_ms")


def metrics_of(step):
    return {name: (step + 1) / (index + 2) for index, name in enumerate(METRICS)}


def floor_durable(folder):
    """The same points into the narrowest table, 1,000 rows of the run a transaction, durable at the end."""
    began = perf_counter()
    with contextlib.closing(sqlite3.connect(folder / "floor.db")) as connection:
        connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
        connection.execute("CREATE TABLE point (step INTEGER, metric INTEGER, value REAL)")
        for start in range(0, STEPS, 1_000):
            rows = [
                (step, index, value)
                for step in range(start, start + 1_000)
                for index, value in enumerate(metrics_of(step).values())
            ]
            with connection:
                connection.executemany("INSERT INTO point VALUES (?, ?, ?)", rows)
    return perf_counter() - began


def measure(folder):
    """Seconds of one round, by name."""
    result = {"floor: the same points by raw sqlite3, s": floor_durable(folder)}
    with TrainStore(folder / "store.db") as store:
        run = store.start_run()
        run.flush()
        calls = []
        began = perf_counter()
        for step in range(STEPS):
            metrics = metrics_of(step)
            start = perf_counter()
            run.log(metrics, step=step)
            calls.append(perf_counter() - start)
        assert run.finish(timeout=60)
        result["10,000 steps x 6 metrics logged and durable, s"] = perf_counter() - began
        calls.sort()
        result["one log() of 6 metrics, median, us"] = calls[STEPS // 2] * 1e6
        result["one log() of 6 metrics, p99, us"] = calls[STEPS * 99 // 100] * 1e6

        for index in range(RUNS):
            with store.start_run(hyperparams={f"hp{i}": index * i for i in range(20)}) as other:
                other.log({"loss": 1.0 + index})
        for name, query in (
            ("run table of 201 runs, ms", store.list_runs),
            ("best run by metric, ms", lambda: store.get_best_run(metric_name="loss", metric_direction="min")),
            ("one series of 10,000 steps, ms", lambda: store.list_step_logs(run, metrics=["loss"])),
            ("all 6 metrics of 10,000 steps, ms", lambda: store.list_step_logs(run)),
        ):
            query()
            began = perf_counter()
            query()
            result[name] = (perf_counter() - began) * 1e3
    began = perf_counter()
    subprocess.run([sys.executable, "-c", "import trainstore"], check=True)
    result["import trainstore, with the interpreter's start, s"] = perf_counter() - began
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    logging.getLogger("trainstore").setLevel(logging.ERROR)
    figures = defaultdict(list)
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            for name, value in measure(Path(folder)).items():
                figures[name].append(value)
    medians = {name: statistics.median(values) for name, values in figures.items()}
    durable, floor = (
        figures["10,000 steps x 6 metrics logged and durable, s"],
        figures["floor: the same points by raw sqlite3, s"],
    )
    ratio = statistics.median(ours / least for ours, least in zip(durable, floor, strict=True))
    print(
        json.dumps(
            {
                "python": platform.python_version(),
                "sqlite": sqlite3.sqlite_version,
                "rounds": rounds,
                "medians": {name: round(value, 4) for name, value in medians.items()},
                "ratios": {"10,000 steps x 6 metrics logged and durable / floor": round(ratio, 2)},
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
