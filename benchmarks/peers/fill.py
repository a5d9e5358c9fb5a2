"""Runs for the dashboards: ``python fill.py TRACKER FOLDER RUNS STEPS``. A script on its own, as adapters.py is.

Each run has 20 hyperparameters and, at every step, a loss and an accuracy. They are written by the quickest way that
the tracker has; how long this takes is not measured.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

PROJECT = "dashboard"
START = datetime(2026, 1, 1, tzinfo=UTC)


def hyperparams_of(run: int) -> dict[str, Any]:
    values: dict[str, Any] = {f"argument_{key}": key for key in range(17)}
    return values | {"lr": 10 ** (-5 + run % 7 / 2), "width": 32 << run % 4, "optimizer": ("adamw", "sgd")[run % 2]}


def metrics_of(run: int, step: int) -> dict[str, float]:
    loss = 1 + 2 * math.exp(-step / 500) + 0.1 * math.sin(run + step / 9)
    return {"loss": loss, "accuracy": 1 / loss}


def runs_of(runs: int, steps: int) -> Iterator[tuple[int, str, list[dict[str, float]]]]:
    for run in range(runs):
        yield run, f"run-{run:04}", [metrics_of(run, step) for step in range(steps)]


def fill_trainstore(folder: Path, runs: int, steps: int) -> None:
    from trainstore import TrainStore

    with TrainStore(folder / "runs.db") as store:
        for run, name, logged in runs_of(runs, steps):
            with store.start_run(name=name, project=PROJECT, hyperparams=hyperparams_of(run)) as handle:
                for step, metrics in enumerate(logged):
                    handle.log(metrics, step=step)


def fill_trackio(folder: Path, runs: int, steps: int) -> None:
    os.environ["TRACKIO_DIR"] = str(folder)
    from trackio.sqlite_storage import SQLiteStorage

    for run, name, logged in runs_of(runs, steps):
        times = [(START + timedelta(minutes=run, milliseconds=step)).isoformat() for step in range(len(logged))]
        SQLiteStorage.bulk_log(
            PROJECT, name, logged, steps=list(range(len(logged))), timestamps=times, config=hyperparams_of(run)
        )


def fill_tensorboard(folder: Path, runs: int, steps: int) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import summary_v2
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    for run, name, logged in runs_of(runs, steps):
        writer = EventFileWriter(str(folder / name))
        began = (START + timedelta(minutes=run)).timestamp()
        writer.add_event(Event(wall_time=began, summary=summary_v2.hparams_pb(hyperparams_of(run), trial_id=name)))
        for step, metrics in enumerate(logged):
            values = [Summary.Value(tag=tag, simple_value=value) for tag, value in metrics.items()]
            writer.add_event(Event(wall_time=began + step / 1000, step=step, summary=Summary(value=values)))
        writer.close()


FILLERS: dict[str, Callable[[Path, int, int], None]] = {
    "trainstore": fill_trainstore,
    "trackio": fill_trackio,
    "tensorboard": fill_tensorboard,
}

if __name__ == "__main__":
    tracker, folder, runs, steps = sys.argv[1:]
    FILLERS[tracker](Path(folder), int(runs), int(steps))
