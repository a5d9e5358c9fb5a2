"""The workload through one tracker: ``python adapters.py TRACKER FOLDER STEPS RUNS``; prints its figures as JSON.

A script on its own, as it runs in that tracker's environment, where nothing of this repository is installed. Each
adapter uses the tracker as its documentation says, with everything on this machine, and counts what was stored.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

METRICS = ("loss", "grad_norm", "learning_rate", "accuracy", "tokens_per_second", "samples_per_second")
HYPERPARAMS = {f"argument_{key}": key for key in range(20)}
SHORT, SHORT_RUNS = 100, 50  # steps of a short run, and how many of them


def metrics_of(step: int) -> dict[str, float]:
    return {name: (step + 1) / (index + 3) for index, name in enumerate(METRICS)}


class Tracker:
    """One run; and, where the tracker has them, a table of runs and the best run."""

    has_runs_table = False
    has_short_runs = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self) -> None:
        """Begin the run."""

    def log(self, metrics: dict[str, float], step: int) -> None:
        """Record one step."""
        raise NotImplementedError

    def finish(self) -> None:
        """End the run, when everything is stored."""
        raise NotImplementedError

    def stored_steps(self) -> int:
        """How many steps can be read back."""
        raise NotImplementedError

    def record_run(self, name: str, hyperparams: dict[str, Any], metrics: dict[str, float]) -> None:
        """A whole small run."""
        raise NotImplementedError

    def short_run(self, name: str) -> None:
        """A run of `SHORT` steps, from start to finish."""
        raise NotImplementedError

    def runs_table(self) -> Any:
        """All runs with hyperparameters and metrics, as a DataFrame."""
        raise NotImplementedError

    def best_run(self) -> str:
        """The name of the run with the lowest loss."""
        raise NotImplementedError


class TrainStore(Tracker):
    has_runs_table = True
    has_short_runs = True

    def start(self) -> None:
        from trainstore import TrainStore as Store

        self.store = Store(self.folder / "runs.db")
        self.run = self.store.start_run()
        self.run.flush()

    def log(self, metrics: dict[str, float], step: int) -> None:
        self.run.log(metrics, step=step)

    def finish(self) -> None:
        assert self.run.finish(timeout=60)

    def stored_steps(self) -> int:
        return len(self.store.list_step_logs(self.run))

    def record_run(self, name: str, hyperparams: dict[str, Any], metrics: dict[str, float]) -> None:
        with self.store.start_run(name=name, project="table", hyperparams=hyperparams) as run:
            run.log(metrics)

    def short_run(self, name: str) -> None:
        with self.store.start_run(name=name, hyperparams=HYPERPARAMS) as run:
            for step in range(SHORT):
                run.log(metrics_of(step), step=step)

    def runs_table(self) -> Any:
        return self.store.list_runs(project="table")

    def best_run(self) -> str:
        best = self.store.get_best_run(metric_name="loss", metric_direction="min", project="table")
        assert best is not None
        return str(best.name)


class TrainStoreWandB(Tracker):
    """A script written for W&B, into our store: what Trackio is a drop-in for, too."""

    has_short_runs = True

    def start(self) -> None:
        from trainstore.integrations import wandb

        self.wandb = wandb
        wandb.init(store=self.folder / "runs.db", name="run")

    def log(self, metrics: dict[str, float], step: int) -> None:
        self.wandb.log(metrics, step=step)

    def finish(self) -> None:
        self.wandb.finish()

    def short_run(self, name: str) -> None:
        self.wandb.init(store=self.folder / "runs.db", project="short", name=name, config=HYPERPARAMS)
        for step in range(SHORT):
            self.wandb.log(metrics_of(step), step=step)
        self.wandb.finish()

    def stored_steps(self) -> int:
        from trainstore import TrainStore as Store

        with Store(self.folder / "runs.db") as store:
            return len(store.list_step_logs("run"))


class Trackio(Tracker):
    has_short_runs = True

    def start(self) -> None:
        os.environ["TRACKIO_DIR"] = str(self.folder)
        import trackio

        self.trackio = trackio
        trackio.init(project="benchmark", name="run", embed=False)

    def log(self, metrics: dict[str, float], step: int) -> None:
        self.trackio.log(metrics, step=step)

    def finish(self) -> None:
        self.trackio.finish()

    def short_run(self, name: str) -> None:
        self.trackio.init(project="short", name=name, config=HYPERPARAMS, embed=False)
        for step in range(SHORT):
            self.trackio.log(metrics_of(step), step=step)
        self.trackio.finish()

    def stored_steps(self) -> int:
        import sqlite3

        with contextlib.closing(sqlite3.connect(self.folder / "benchmark.db")) as connection:
            return int(connection.execute("SELECT count(*) FROM metrics").fetchone()[0])


class MLflow(Tracker):
    has_runs_table = True
    synchronous = True

    def start(self) -> None:
        os.environ["DO_NOT_TRACK"] = "true"
        import mlflow

        self.mlflow = mlflow
        mlflow.set_tracking_uri(f"sqlite:///{self.folder}/mlflow.db")
        mlflow.set_experiment("benchmark")
        self.run = mlflow.start_run()

    def log(self, metrics: dict[str, float], step: int) -> None:
        self.mlflow.log_metrics(metrics, step=step, synchronous=self.synchronous)

    def finish(self) -> None:
        if not self.synchronous:
            self.mlflow.flush_async_logging()
        self.mlflow.end_run()

    def stored_steps(self) -> int:
        return len(self.mlflow.MlflowClient().get_metric_history(self.run.info.run_id, "loss"))

    def record_run(self, name: str, hyperparams: dict[str, Any], metrics: dict[str, float]) -> None:
        if name == "run-0":
            self.mlflow.set_experiment("table")
        with self.mlflow.start_run(run_name=name):
            self.mlflow.log_params(hyperparams)
            self.mlflow.log_metrics(metrics)

    def runs_table(self) -> Any:
        return self.mlflow.search_runs(max_results=50_000)

    def best_run(self) -> str:
        best = self.mlflow.search_runs(order_by=["metrics.loss ASC"], max_results=1)
        return str(best["tags.mlflow.runName"][0])


class MLflowAsync(MLflow):
    has_runs_table = False  # as MLflow's
    synchronous = False


class TensorBoard(Tracker):
    def start(self) -> None:
        from tensorboard.summary import Writer

        self.writer = Writer(str(self.folder))

    def log(self, metrics: dict[str, float], step: int) -> None:
        for name, value in metrics.items():
            self.writer.add_scalar(name, value, step=step)

    def finish(self) -> None:
        self.writer.close()

    def stored_steps(self) -> int:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(self.folder), size_guidance={"tensors": 0})
        events.Reload()
        return len(events.Tensors("loss"))


class WandB(Tracker):
    def start(self) -> None:
        import wandb

        self.run = wandb.init(
            mode="offline", dir=self.folder, project="benchmark", settings=wandb.Settings(silent=True)
        )

    def log(self, metrics: dict[str, float], step: int) -> None:
        self.run.log(metrics, step=step)

    def finish(self) -> None:
        self.run.finish()

    def stored_steps(self) -> int:
        from wandb.proto import wandb_internal_pb2

        (path,) = self.folder.glob("wandb/offline-run-*/*.wandb")
        kinds = []
        for data in _leveldb_records(path.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            kinds.append(record.WhichOneof("record_type"))
        return kinds.count("history")


def _leveldb_records(data: bytes) -> Iterator[bytes]:
    """The records of W&B's file: a header of 7 bytes, then LevelDB's log format, blocks of 32 KiB."""
    block, position, parts = 32 * 1024, 7, []
    while position + 7 <= len(data):
        if block - position % block < 7:  # no room for another part: the block is padded
            position += block - position % block
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        parts.append(data[position + 7 : position + 7 + length])
        position += 7 + length
        if kind in (1, 4):  # a whole record, or its last part
            yield b"".join(parts)
            parts = []


TRACKERS = {
    "trainstore": TrainStore,
    "trainstore-wandb": TrainStoreWandB,
    "trackio": Trackio,
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "mlflow-async": MLflowAsync,
    "wandb": WandB,
}


def log_steps(tracker: Tracker, steps: int) -> dict[str, float]:
    """One run, step by step: what one call costs, and how long it takes until everything is stored."""
    tracker.start()
    clock, times = time.perf_counter_ns, []
    start = time.perf_counter()
    for step in range(steps):
        metrics = metrics_of(step)
        began = clock()
        tracker.log(metrics, step)
        times.append(clock() - began)
    tracker.finish()
    seconds = time.perf_counter() - start
    times.sort()
    stored = tracker.stored_steps()
    if stored != steps:
        raise SystemExit(f"{stored} of {steps} steps are stored")
    return {
        "steps": steps,
        "log_us": times[steps // 2] / 1e3,
        "log_p99_us": times[steps * 99 // 100] / 1e3,
        "stored_us": seconds / steps * 1e6,
    }


def short_runs(tracker: Tracker) -> dict[str, float]:
    """Short runs one after the other: the median of one, by the clock and in processor time."""
    times, processor = [], []
    for number in range(SHORT_RUNS + 1):
        began, cpu = time.perf_counter(), time.process_time()
        tracker.short_run(f"short-{number}")
        times.append(time.perf_counter() - began)
        processor.append(time.process_time() - cpu)
    # The first does not count.
    return {"short_ms": statistics.median(times[1:]) * 1e3, "short_cpu_ms": statistics.median(processor[1:]) * 1e3}


def record_runs(tracker: Tracker, runs: int) -> dict[str, float]:
    """Many small runs, then the table of them, and the best one."""
    start = time.perf_counter()
    for index in range(runs):
        hyperparams = {f"argument_{key}": index * key for key in range(20)}
        tracker.record_run(f"run-{index}", hyperparams, metrics_of(abs(index - runs // 2)))
    filled = time.perf_counter() - start

    def median_ms(query: Any) -> tuple[float, Any]:
        query()
        times = []
        for _ in range(5):
            began = time.perf_counter()
            answer = query()
            times.append(time.perf_counter() - began)
        return sorted(times)[2] * 1e3, answer

    table_ms, table = median_ms(tracker.runs_table)
    best_ms, best = median_ms(tracker.best_run)
    if len(table) != runs or best != f"run-{runs // 2}":
        raise SystemExit(f"the table has {len(table)} of {runs} runs; the best is {best}, not run-{runs // 2}")
    return {"runs": runs, "run_ms": filled / runs * 1e3, "table_ms": table_ms, "best_ms": best_ms}


def main() -> None:
    """One tracker's figures on the last line of standard output."""
    name, folder, steps, runs = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    tracker = TRACKERS[name](folder)
    figures = log_steps(tracker, steps)
    if runs and tracker.has_short_runs:
        figures |= short_runs(tracker)
    if runs and tracker.has_runs_table:
        figures |= record_runs(tracker, runs)
    print(json.dumps(figures), flush=True)
    sys.stdout.flush()
    os._exit(0)  # some keep servers and threads


if __name__ == "__main__":
    main()
